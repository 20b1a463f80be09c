"""Getting in front of the terminal on standard input: TIOCSPGRP by a group that is not there, and what a
shell does that is."""

import fcntl
import os
import pty
import signal
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.dirname(__file__))
from raw import attempt

signal.signal(signal.SIGTTOU, signal.SIG_IGN)
signal.signal(signal.SIGTTIN, signal.SIG_IGN)


def foreground(fd=0):
    return struct.unpack("i", fcntl.ioctl(fd, termios.TIOCGPGRP, b"\0\0\0\0"))[0]


def read_line():
    try:
        return os.read(0, 100).decode().strip()
    except OSError as error:
        return os.strerror(error.errno) if error.errno != 5 else "EIO"


def take():
    attempt("TIOCSPGRP", lambda: os.tcsetpgrp(0, os.getpgrp()))
    print(f"read: {read_line()}", flush=True)


def outsider():
    """Puts the group of a process outside in front, by a number that may change while it is looked at."""
    attempt("TIOCSPGRP", lambda: os.tcsetpgrp(0, int(sys.argv[2])))
    attempt("own", lambda: os.tcsetpgrp(0, os.getpgrp()))
    attempt("nobody", lambda: os.tcsetpgrp(0, 2**22 - 1))
    attempt("TIOCSPGRP_last", lambda: os.tcsetpgrp(0, int(sys.argv[2])))


def exists(pid):
    try:
        os.getpgid(pid)
    except ProcessLookupError:
        return False
    return True


def wait_and_take():
    """As soon as nobody is left of the group in front."""
    owner = foreground()
    print("ready", flush=True)
    end = time.monotonic() + 10
    while exists(owner) and time.monotonic() < end:
        time.sleep(0.001)
    attempt("TIOCSPGRP", lambda: os.tcsetpgrp(0, os.getpgrp()))


def hand_round(terminal_is_typed_on=True, meanwhile=lambda: None):
    """Gives the terminal to a job of its own and takes it back when that has died."""
    go, start = os.pipe()
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.read(go, 1)
        if terminal_is_typed_on:
            print(f"job_reads: {read_line()}", flush=True)
        os._exit(0)
    try:
        os.setpgid(job, job)
    except OSError:
        pass
    attempt("to_job", lambda: os.tcsetpgrp(0, job))
    os.write(start, b"x")
    os.waitpid(job, 0)
    meanwhile()
    attempt("back", lambda: os.tcsetpgrp(0, os.getpgrp()))
    print(f"in_front: {foreground() == os.getpgrp()}", flush=True)


def own():
    """The same on a terminal of its own."""
    out = os.dup(1)
    pid, master = pty.fork()
    if pid == 0:
        os.dup2(out, 1)
        hand_round(terminal_is_typed_on=False)
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(master)


def many():
    """The same on many of them: all are given away before the first is taken back."""
    (given, ready), (go, start), (output, out) = os.pipe(), os.pipe(), os.pipe()

    def meanwhile():
        os.write(ready, b"x")
        os.read(go, 1)

    sessions = []
    for _ in range(12):
        pid, master = pty.fork()
        if pid == 0:
            os.dup2(out, 1)
            hand_round(terminal_is_typed_on=False, meanwhile=meanwhile)
            os._exit(0)
        sessions.append((pid, master))
        os.read(given, 1)
    os.write(start, b"x" * len(sessions))
    os.close(out)
    for pid, _ in sessions:
        os.waitpid(pid, 0)
    with open(output, encoding="ascii") as stream:
        print("all: " + " ".join(sorted(set(stream.read().replace(": ", "=").splitlines()))))


{"take": take, "wait-and-take": wait_and_take, "hand-round": hand_round, "own": own, "many": many,
 "outsider": outsider}[sys.argv[1]]()
