"""Changing the terminal on standard input, or one of its own, as a job in the background that the kernel
does not stop."""

import ctypes
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from raw import attempt, call, in_child, report

TCGETS, TCGETA, TCGETS2 = 0x5401, 0x5405, 0x802C542A
BY_SETTINGS = {
    "TCSETS": (TCGETS, 0x5402), "TCSETSW": (TCGETS, 0x5403), "TCSETSF": (TCGETS, 0x5404),
    "TCSETA": (TCGETA, 0x5406), "TCSETAW": (TCGETA, 0x5407), "TCSETAF": (TCGETA, 0x5408),
    "TCSETS2": (TCGETS2, 0x402C542B), "TCSETSW2": (TCGETS2, 0x402C542C), "TCSETSF2": (TCGETS2, 0x402C542D),
}
BY_NUMBER = {
    "TCSBRK": (0x5409, 1), "TCOON": (0x540A, 1), "TCION": (0x540A, 3), "TCFLSH": (0x540B, 2),
    "TIOCNXCL": (0x540D, 0), "TCSBRKP": (0x5425, 0), "TIOCSBRK": (0x5427, 0), "TIOCCBRK": (0x5428, 0),
}


def change_all(fd):
    for name, (get, put) in BY_SETTINGS.items():
        settings = ctypes.create_string_buffer(64)
        assert call("ioctl", fd, get, settings) == 0
        # ECHO is bit 3 of c_lflag, the fourth word; half words in the old structure.
        settings[6 if get == TCGETA else 12] = settings[6 if get == TCGETA else 12][0] ^ 0o10
        report(name, call("ioctl", fd, put, settings))
        report(name + "_high", call("ioctl", fd, put | 7 << 32, settings))
    for name, (number, argument) in BY_NUMBER.items():
        report(name, call("ioctl", fd, number, argument))
    report("TIOCSSOFTCAR", call("ioctl", fd, 0x541A, ctypes.byref(ctypes.c_int(1))))
    report("TIOCSWINSZ", call("ioctl", fd, 0x5414, ctypes.create_string_buffer(struct.pack("4H", 11, 22, 0, 0))))


def ignoring(fd=0):
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    change_all(fd)


def blocking():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    change_all(0)


def elsewhere():
    """From a session of its own, of which the kernel asks nothing."""

    def leave():
        os.setsid()
        ignoring()
        return 0

    in_child(leave)


def while_calling(attack, disturb):
    """Calls attack() on one thread, for a second, while disturb() is called on this one."""
    end = time.monotonic() + 1
    counts = [0, 0]

    def calls():
        while time.monotonic() < end or min(counts) <= 2 and time.monotonic() < end + 20:  # a busy machine
            attack()
            counts[0] += 1

    thread = threading.Thread(target=calls)
    thread.start()
    while thread.is_alive():
        disturb()
        counts[1] += 1
    thread.join()
    print(f"often: {min(counts) > 2}", flush=True)


def switching():
    """The signal is caught when the call is looked at, and perhaps ignored when it is made."""
    settings = ctypes.create_string_buffer(64)
    call("ioctl", 0, TCGETS, settings)
    settings[12] = settings[12][0] ^ 0o10

    def switch():
        signal.signal(signal.SIGTTOU, lambda *_: None)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)

    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    while_calling(lambda: call("ioctl", 0, 0x5402, settings), switch)


def exchanging():
    """The descriptor is one's own terminal when the call is looked at, and the caller's when it is made."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    master, slave = pty.openpty()
    number = os.dup(slave)
    size = ctypes.create_string_buffer(struct.pack("4H", 33, 44, 0, 0))

    def exchange():
        os.dup2(0, number)
        os.dup2(slave, number)

    while_calling(lambda: call("ioctl", number, 0x5414, size), exchange)
    os.close(master)


def own():
    """The same on a terminal of its own, by either end, and a job in the background of that."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    change_all(slave)
    after = termios.tcgetattr(slave)
    print(f"size: {fcntl.ioctl(master, termios.TIOCGWINSZ, bytes(8)) == struct.pack('4H', 11, 22, 0, 0)}")
    print(f"echo: {(before[3] ^ after[3]) & termios.ECHO != 0}")  # an odd number of changes
    after[3] &= ~termios.ECHO
    attempt("master", lambda: termios.tcsetattr(master, termios.TCSANOW, after))
    print(f"no_echo: {termios.tcgetattr(slave)[3] & termios.ECHO == 0}")
    attempt("not_a_terminal", lambda: fcntl.ioctl(os.open("/usr", os.O_RDONLY), 0x5414, bytes(8)))
    attempt("no_descriptor", lambda: fcntl.ioctl(999, 0x5414, bytes(8)))
    report("no_memory", call("ioctl", slave, 0x5414, 8))
    job_control()


def job_control():
    out = os.dup(1)
    pid, master = pty.fork()
    if pid == 0:
        os.dup2(out, 1)
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        job = os.fork()
        if job == 0:
            os.setpgid(0, 0)
            settings = termios.tcgetattr(0)
            settings[3] &= ~termios.ECHO
            termios.tcsetattr(0, termios.TCSANOW, settings)
            os._exit(7)
        _, status = os.waitpid(job, os.WUNTRACED)
        print(f"stopped: {os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGTTOU}", flush=True)
        print(f"unchanged: {termios.tcgetattr(0)[3] & termios.ECHO != 0}", flush=True)
        os.tcsetpgrp(0, job)
        os.kill(job, signal.SIGCONT)
        _, status = os.waitpid(job, 0)
        print(f"went_on: {os.waitstatus_to_exitcode(status) == 7}", flush=True)
        print(f"changed_then: {termios.tcgetattr(0)[3] & termios.ECHO == 0}", flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(master)


def orphaned():
    """Nobody would ever continue a group whose parents are of other sessions."""
    go, left = os.pipe()

    def leave_behind():
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os.read(go, 1)
            settings = ctypes.create_string_buffer(64)
            call("ioctl", 0, TCGETS, settings)
            report("orphaned", call("ioctl", 0, 0x5402, settings))
            os._exit(0)
        time.sleep(0.1)
        os.setsid()
        os.write(left, b"x")
        os.waitpid(child, 0)
        return 0

    in_child(leave_behind)


if len(sys.argv) > 2:  # the terminal is not standard input: its name, or a descriptor
    os.dup2(int(sys.argv[2]) if sys.argv[2].isdigit() else os.open(sys.argv[2], os.O_RDWR | os.O_NOCTTY), 0)
{"ignoring": ignoring, "blocking": blocking, "elsewhere": elsewhere, "switching": switching,
 "exchanging": exchanging, "own": own, "orphaned": orphaned}[sys.argv[1]]()
