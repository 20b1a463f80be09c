"""own_entry.py PID: what can be had of process PID's entry in /proc, and of one's own; then of a child's. Waits
for the end of standard input, so that others can look."""

import errno
import os
import sys


def attempt(name, act):
    try:
        act()
        print(f"{name}: OK", flush=True)
    except OSError as error:
        print(f"{name}: {errno.errorcode[error.errno]}", flush=True)


def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, text)
    os.close(fd)


def look(whose, pid):
    for name in "cmdline", "comm", "stat":
        attempt(f"{whose}.{name}", lambda: open(f"/proc/{pid}/{name}", "rb").read())
        attempt(f"{whose}.task.{name}", lambda: open(f"/proc/{pid}/task/{pid}/{name}", "rb").read())
    attempt(f"{whose}.fd", lambda: os.listdir(f"/proc/{pid}/fd"))
    attempt(f"{whose}.oom", lambda: write(f"/proc/{pid}/oom_score_adj", b"321"))


look("caller", int(sys.argv[1]))
look("own", os.getpid())
if os.fork() == 0:
    look("child", os.getpid())
    os._exit(0)
os.wait()
print("done: OK", flush=True)
sys.stdin.read()
