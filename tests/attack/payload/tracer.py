"""A member that traces others. Usage: tracer.py exit|parent|hold ...

    exit              who asks to be stopped at the end of somebody it traces, by each way
    parent FILE MARK  traces its parent, the command, and never waits for it; writes to FILE as long as it lives
    wait              tells that it runs, and does nothing
"""

import ctypes
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from raw import call, report

TRACEME, OLD_SETOPTIONS, SETOPTIONS, SEIZE, EXIT, FORK = 0, 21, 0x4200, 0x4206, 0x40, 2


def child(traced):
    pid = os.fork()
    if pid == 0:
        if traced:
            call("ptrace", TRACEME, 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
        while True:
            signal.pause()
    if traced:
        os.waitpid(pid, os.WUNTRACED)
    return pid


def options(request, value):
    pid = child(traced=request != SEIZE)
    result = call("ptrace", request, pid, 0, value)
    call("ptrace", 17, pid, 0, 0)  # detach: no end may stop us here
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return result


if sys.argv[1] == "exit":
    for name, request in ("SEIZE", SEIZE), ("SETOPTIONS", SETOPTIONS), ("OLDSETOPTIONS", OLD_SETOPTIONS):
        report(f"{name} fork", options(request, FORK))
        report(f"{name} exit", options(request, EXIT | FORK))
elif sys.argv[1] == "parent":
    ready, told = os.pipe()
    if os.fork() == 0:
        result = call("ptrace", SEIZE, os.getppid(), 0, 0)
        os.write(told, b"traces" if result == 0 else b"failed")
        while True:
            with open(sys.argv[2], "w", encoding="ascii") as file:
                file.write(str(time.monotonic()))
            time.sleep(0.01)
    print(os.read(ready, 10).decode(), flush=True)
    while True:
        signal.pause()
else:
    print("up", flush=True)
    while True:
        signal.pause()
