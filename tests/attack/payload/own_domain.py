"""Confines itself with Landlock, all rights and no rule, and tries what that forbids, in every process that is in
the domain then; and in others. Arguments: confine or stay, PORT of a listener, a free PORT, a directory."""

import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import struct
import sys
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE = {"x86_64": 56, "aarch64": 220}[platform.machine()]
CLONE_PARENT = 0x8000
MARK = 10  # RLIMIT_LOCKS


def say(name, result):
    os.write(1, f"{name}: {result}\n".encode())


def attempt(name, act):
    try:
        act()
        say(name, "OK")
    except OSError as err:
        say(name, errno.errorcode[err.errno])


def read(path, flags=os.O_RDONLY):
    fd = os.open(path, flags)
    if not flags & os.O_DIRECTORY:
        os.read(fd, 10)
    os.close(fd)


def connect(family, address):
    with socket.socket(family) as sock:
        sock.settimeout(10)
        sock.connect(address)


def send(address):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", address)


def bind(port):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))


def attempts(who, port, free, other, names):
    attempt(f"{who}.proc_self", lambda: read("/proc/self/status"))
    attempt(f"{who}.proc_other", lambda: read(f"/proc/{other}/environ"))
    attempt(f"{who}.proc", lambda: read("/proc/meminfo"))
    attempt(f"{who}.sys", lambda: read("/sys/devices/system/cpu/online"))
    attempt(f"{who}.hosts", lambda: read("/etc/hosts"))
    attempt(f"{who}.root", lambda: read("/", os.O_RDONLY | os.O_DIRECTORY))
    attempt(f"{who}.connect", lambda: connect(socket.AF_INET, ("127.0.0.1", port)))
    attempt(f"{who}.bind", lambda: bind(free))
    if names:
        attempt(f"{who}.abstract", lambda: connect(socket.AF_UNIX, names[0]))
        attempt(f"{who}.abstract_send", lambda: send(names[1]))
        attempt(f"{who}.named", lambda: connect(socket.AF_UNIX, names[2]))


def confine():
    abi = LIBC.syscall(444, None, 0, 1)
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
    attributes = struct.pack("QQQ", files, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    ruleset = LIBC.syscall(444, attributes, 24 if abi >= 6 else 16 if abi >= 4 else 8, 0)
    assert ruleset >= 0 and LIBC.prctl(38, 1, 0, 0, 0) == 0
    assert LIBC.syscall(446, ruleset, 0) == 0


def in_child(act, *, orphan=False, flags=0):
    """In a process whose parent does not wait for it, or has ended."""
    pid = LIBC.syscall(CLONE, flags | signal.SIGCHLD, 0, 0, 0, 0)
    if pid < 0:
        say("clone", errno.errorcode[ctypes.get_errno()])
        return
    if pid == 0:
        if not orphan or os.fork() == 0:
            act()
        os._exit(0)
    if not flags:
        os.waitpid(pid, 0)


def raise_mark():
    try:
        resource.setrlimit(MARK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ValueError as err:  # what the module makes of EPERM
        raise PermissionError(errno.EPERM, "") from err


def confined(confines, look):
    if confines:
        confine()
    look("itself")
    thread = threading.Thread(target=look, args=("thread",))
    thread.start()
    thread.join()
    in_child(lambda: look("child"))
    in_child(lambda: look("orphan"), orphan=True)
    in_child(lambda: look("brother"), flags=CLONE_PARENT)
    attempt("raise_mark", raise_mark)
    in_child(lambda: look("raised"))


def main(mode, port, free, directory):
    os.environ["OTHER"] = str(os.getpid())
    LIBC.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans become children of this process
    names = [f"\0own-domain-{os.getpid()}", f"\0own-domain-dgram-{os.getpid()}", f"{directory}/own.{os.getpid()}"]
    kept = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
            socket.socket(socket.AF_UNIX)]
    for sock, name in zip(kept, names):
        sock.bind(name)
    kept[0].listen(100)
    kept[2].listen(100)
    "x".encode("idna")  # loads what an address takes

    def look(who):
        attempts(who, port, free, os.environ["OTHER"], names)

    look("before")
    # Gone when all processes of it have ended, whoever their parents are.
    ended, alive = os.pipe()
    go, wait = os.pipe()
    if os.fork() == 0:
        os.close(wait)
        os.close(alive)
        os.read(go, 1)
        look("sibling")
        os._exit(0)
    if os.fork() == 0:
        os.close(wait)
        confined(mode == "confine", look)
        os._exit(0)
    os.close(alive)
    os.read(ended, 1)
    os.close(wait)
    look("after")
    ended, alive = os.pipe()
    in_child(lambda: look("later"), orphan=True)
    os.close(alive)
    os.read(ended, 1)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    say("done", "OK")


if sys.argv[1] == "look":
    attempts("nested", int(sys.argv[2]), int(sys.argv[3]), os.environ["OTHER"], [])
else:
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
