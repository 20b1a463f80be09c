"""What the payloads share: raw system calls and results by name. x86-64 numbers."""

import ctypes
import errno
import os
import sys

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

NUMBERS = dict(
    ioctl=16, pause=34, getpid=39, socket=41, clone=56, fork=57, vfork=58, kill=62, shmget=29, shmat=30,
    shmctl=31, semget=64, semop=65, semctl=66, shmdt=67, msgget=68, msgsnd=69, msgrcv=70, msgctl=71,
    fcntl=72, ptrace=101, syslog=103, setpgid=109, personality=135, sysfs=139, setpriority=141, vhangup=153,
    modify_ldt=154, pivot_root=155, _sysctl=156, prctl=157, adjtimex=159, chroot=161, acct=163,
    settimeofday=164, mount=165, umount2=166, swapon=167, swapoff=168, reboot=169, sethostname=170,
    setdomainname=171, iopl=172, ioperm=173, init_module=175, delete_module=176, quotactl=179, gettid=186,
    tkill=200, semtimedop=220, clock_settime=227, tgkill=234, mq_open=240, mq_unlink=241, mq_timedsend=242,
    mq_timedreceive=243, mq_notify=244, mq_getsetattr=245, kexec_load=246, add_key=248, request_key=249,
    keyctl=250, ioprio_set=251, unshare=272, perf_event_open=298, fanotify_init=300,
    name_to_handle_at=303, open_by_handle_at=304, clock_adjtime=305, setns=308, process_vm_readv=310,
    process_vm_writev=311, kcmp=312, finit_module=313, bpf=321, kexec_file_load=320, userfaultfd=323,
    pidfd_send_signal=424, io_uring_setup=425, io_uring_enter=426, io_uring_register=427, open_tree=428,
    move_mount=429, fsopen=430, fsconfig=431, fsmount=432, fspick=433, pidfd_open=434, clone3=435,
    close_range=436, openat2=437, pidfd_getfd=438, process_madvise=440, mount_setattr=442, quotactl_fd=443,
    memfd_secret=447, statmount=457, listmount=458, open_tree_attr=467,
)


def call(name, *arguments):
    """The result, or -errno."""
    number = name if isinstance(name, int) else NUMBERS[name]
    words = [ctypes.c_long(number)]
    for argument in arguments:
        words.append(ctypes.c_long(argument) if isinstance(argument, int) else argument)
    ctypes.set_errno(0)
    result = _libc.syscall(*words)
    return -ctypes.get_errno() if result == -1 else result


def name_of(result):
    if result >= 0:
        return "OK"
    if -result == errno.EOPNOTSUPP:  # errorcode knows it by its other name
        return "EOPNOTSUPP"
    return errno.errorcode.get(-result, str(-result))


def report(name, result):
    print(f"{name}: {name_of(result)}", flush=True)


def attempt(name, function):
    """Reports OK, or the errno of the OSError that the function raised."""
    try:
        function()
    except OSError as error:
        report(name, -error.errno)
    else:
        report(name, 0)


def in_child(function):
    """Runs the function in a forked process and returns what it returned as an exit code (0..100), or
    minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = function()
        finally:
            sys.stdout.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
