"""Calls that are refused whatever their arguments. Each is made so that an unconfined process with the
right to it gets past the permission check without any effect on the machine: OK, or an errno about
the arguments. Usage: syscalls.py NAME..."""

import ctypes
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import call, in_child, report

buffer = ctypes.create_string_buffer(4096)
here = ctypes.c_char_p(b"/usr")
nowhere = ctypes.c_char_p(b"/nonexistent")
null = ctypes.c_void_p(None)


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def vector():
    return ctypes.byref(Vector(ctypes.addressof(buffer), 8))


def pid():
    return os.getpid()


def child(function):
    """The result of a call made in a child, so that success does not change this process."""
    return lambda: -in_child(lambda: min(-min(function(), 0), 100))


def pidfd_getfd():
    fd = call("pidfd_open", pid(), 0)
    return call("pidfd_getfd", fd, 1, 0)


def process_madvise():
    fd = call("pidfd_open", pid(), 0)
    return call("process_madvise", fd, vector(), 1, 4, 0)


def handle():
    """name_to_handle_at: fills the buffer."""
    ctypes.memset(buffer, 0, 4096)
    buffer[0] = 128
    return call("name_to_handle_at", -100, here, buffer, ctypes.byref(ctypes.c_int()), 0)


def setns():
    """Into the user namespace of a child that made its own."""
    read_end, write_end = os.pipe()
    other = os.fork()
    if other == 0:
        call("unshare", 0x10000000)
        os.write(write_end, b"x")
        call("pause")
        os._exit(0)
    os.read(read_end, 1)
    fd = call("pidfd_open", other, 0)
    result = call("setns", fd, 0x10000000)
    os.kill(other, 9)
    os.waitpid(other, 0)
    return result


def bpf():
    """BPF_MAP_CREATE of an array map."""
    attributes = (ctypes.c_uint32 * 32)(2, 4, 8, 1)
    return call("bpf", 0, attributes, 128)


def perf():
    """A software counter of this process, user mode only."""
    attributes = (ctypes.c_uint64 * 16)()
    attributes[0] = 1 | (128 << 32)
    attributes[1] = 1
    attributes[5] = (1 << 5) | (1 << 6)
    return call("perf_event_open", attributes, 0, -1, -1, 0)


def mounts():
    """struct mnt_id_req of the whole tree."""
    request = (ctypes.c_uint64 * 4)(24, 0xFFFFFFFFFFFFFFFF, 0, 0)
    return call("listmount", request, buffer, 16, 0)


def statmount():
    request = (ctypes.c_uint64 * 4)(24, 0xFFFFFFFFFFFFFFFF, 2, 0)
    result = call("statmount", request, buffer, 4096, 0)
    return 0 if result == -2 else result  # no such mount: asked and answered


ATTEMPTS = {
    "ptrace": child(lambda: call("ptrace", 0, 0, 0, 0)),
    "process_vm_readv": lambda: call("process_vm_readv", pid(), vector(), 1, vector(), 1, 0),
    "process_vm_writev": lambda: call("process_vm_writev", pid(), vector(), 1, vector(), 1, 0),
    "process_madvise": process_madvise,
    "pidfd_getfd": pidfd_getfd,
    "kcmp": lambda: call("kcmp", pid(), pid(), 0, 0, 1),
    "unshare_user": child(lambda: call("unshare", 0x10000000)),
    "unshare_net": child(lambda: call("unshare", 0x50000000)),
    "unshare_mount": child(lambda: call("unshare", 0x10020000)),
    "unshare_thread_and_files": child(lambda: call("unshare", 0x10400)),
    "unshare_files": child(lambda: call("unshare", 0x400)),
    "setns": child(setns),
    "io_uring_setup": lambda: call("io_uring_setup", 4, buffer),
    "io_uring_enter": lambda: call("io_uring_enter", -1, 0, 0, 0, null, 0),
    "io_uring_register": lambda: call("io_uring_register", -1, 0, null, 0),
    "name_to_handle_at": handle,
    "open_by_handle_at": lambda: call("open_by_handle_at", -100, buffer, 0),
    "keyctl": lambda: call("keyctl", 0, -3, 0),
    "add_key": lambda: call("add_key", ctypes.c_char_p(b"user"), ctypes.c_char_p(b"sandlock"), b"x", 1, -2),
    "request_key": lambda: call("request_key", ctypes.c_char_p(b"nosuchtype"), ctypes.c_char_p(b"x"), null, 0),
    "userfaultfd": lambda: call("userfaultfd", 1),
    "bpf": bpf,
    "perf_event_open": perf,
    "mount": lambda: call("mount", nowhere, nowhere, nowhere, 0, null),
    "umount2": lambda: call("umount2", nowhere, 0),
    "pivot_root": lambda: call("pivot_root", nowhere, nowhere),
    "chroot": child(lambda: call("chroot", here)),
    "fsopen": lambda: call("fsopen", ctypes.c_char_p(b"tmpfs"), 0),
    "fsconfig": lambda: call("fsconfig", -1, 0, null, null, 0),
    "fsmount": lambda: call("fsmount", -1, 0, 0),
    "fspick": lambda: call("fspick", -100, nowhere, 0),
    "move_mount": lambda: call("move_mount", -100, nowhere, -100, nowhere, 0),
    "open_tree": lambda: call("open_tree", -100, here, 0),
    "open_tree_attr": lambda: call("open_tree_attr", -100, here, 0, null, 0),
    "mount_setattr": lambda: call("mount_setattr", -100, nowhere, 0, buffer, 32),
    "fanotify_init": lambda: call("fanotify_init", 0x200, 0),
    "sethostname": lambda: call("sethostname", buffer, -1),
    "setdomainname": lambda: call("setdomainname", buffer, -1),
    "swapon": lambda: call("swapon", nowhere, 0),
    "swapoff": lambda: call("swapoff", nowhere),
    "reboot": lambda: call("reboot", 0, 0, 0, null),
    "kexec_load": lambda: call("kexec_load", 0, -1, null, 0),
    "kexec_file_load": lambda: call("kexec_file_load", -1, -1, 0, null, 0),
    "init_module": lambda: call("init_module", null, 0, ctypes.c_char_p(b"")),
    "finit_module": lambda: call("finit_module", -1, ctypes.c_char_p(b""), 0),
    "delete_module": lambda: call("delete_module", ctypes.c_char_p(b"no_such_module"), 0x800),
    "acct": lambda: call("acct", nowhere),
    "quotactl": lambda: call("quotactl", 0x800001 << 8, null, 0, null),
    "quotactl_fd": lambda: call("quotactl_fd", -1, 0x800001 << 8, 0, null),
    "iopl": lambda: call("iopl", 0),
    "ioperm": lambda: call("ioperm", 0x80, 1, 0),
    "syslog": lambda: call("syslog", 10, null, 0),
    "settimeofday": lambda: call("settimeofday", null, null),
    "clock_settime": lambda: call("clock_settime", 0, null),
    "adjtimex": lambda: call("adjtimex", buffer) if not ctypes.memset(buffer, 0, 4096) is None else -1,
    "clock_adjtime": lambda: call("clock_adjtime", 0, buffer) if ctypes.memset(buffer, 0, 4096) else -1,
    "no_random_addresses": child(lambda: call("personality", 0x40000)),
    "read_implies_exec": child(lambda: call("personality", 0x400000)),
    "listmount": mounts,
    "statmount": statmount,
    "memfd_secret": lambda: call("memfd_secret", 0),
}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or ATTEMPTS:
        report(wanted, ATTEMPTS[wanted]())
