"""Reading what is typed on the terminal from a session of its own, or setting flags of its descriptor."""

import fcntl
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from raw import attempt, call, in_child, report

TIOCNOTTY = 0x5422


def read(fd):
    os.set_blocking(fd, False)  # what was typed is there
    try:
        return os.read(fd, 100).decode().strip() or "nothing"
    except OSError as error:
        return os.strerror(error.errno)


def leave(how, fd):
    if how == "setsid":
        attempt("leave", os.setsid)
    elif how == "notty":
        report("leave", call("ioctl", fd, TIOCNOTTY | 7 << 32, 0))
    print(f"read: {read(fd)}", flush=True)
    return 0


how, number = sys.argv[1], int(sys.argv[2])
signal.signal(signal.SIGTTIN, signal.SIG_IGN)
if how == "flags":
    attempt("flags", lambda: fcntl.fcntl(number, fcntl.F_SETFL, os.O_NONBLOCK))
    time.sleep(0.2)  # the caller looks
else:
    in_child(lambda: leave(how, number))
