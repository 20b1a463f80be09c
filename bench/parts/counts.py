"""How many notifications ordinary work causes under the default policy. Most of it must cause none."""
import os
import re
import socket
import subprocess

from .common import BenchError, Section

FILES = 500
CONTROL_CALLS = 100

COLUMNS = [("workload", "workload", "%s"), ("total", "notifications", "%d"),
           ("calls", "calls", "%s"), ("target", "target", "%s"), ("verdict", "", "%s")]

MUST_NOT_TRAP = {
    "close", "read", "pread64", "readv", "write", "pwrite64", "writev", "lseek",
    "wait4", "waitid", "recvfrom", "recvmsg", "recvmmsg", "sendto",
    "stat", "lstat", "fstat", "newfstatat", "statx",
    "fork", "vfork", "clone", "clone3", "set_robust_list", "futex",
    "mmap", "munmap", "mprotect", "brk", "socket", "socketpair", "accept", "accept4",
    "getsockname", "open", "openat",
}

FORK_LOOP = """
i=0
while [ $i -lt 300 ]; do
    (exit 0) || exit 1
    [ $((i % 3)) -ne 0 ] || echo x | cat | cat >/dev/null || exit 1
    i=$((i + 1))
done
exec "$1"
"""

FILE_LOOP = """
set -e
cd "$1"
find . -type f >/dev/null
find . -type f -exec cat {} + >/dev/null
grep -r needle . >/dev/null || :
ls -lR . >/dev/null
wc -c f* >/dev/null
exec "$2" "$1"
"""


def plant_tree(bench):
    tree = os.path.join(bench.directory, "tree")
    os.makedirs(tree, exist_ok=True)
    for number in range(FILES):
        with open(os.path.join(tree, "f%03d" % number), "w", encoding="ascii") as file:
            file.write("hay %d\n" % number * (1 + number % 40))
    return tree


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def count(bench, executable, options, command):
    """Total and {call: notifications} of a run that must succeed."""
    prefix = bench.sandboxed("--stats", "-w", "/dev/null", *options, executable=executable)
    done = subprocess.run(prefix + command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)
    if done.returncode != 0:
        raise BenchError("%s: exit status %d: %s" % (command[0], done.returncode,
                                                     done.stderr.strip()[-300:]))
    if "nothing is supervised" in done.stderr:
        return None, {}
    calls = {name: int(number) for number, name in
             re.findall(r"^ *(\d+) +[\d.]+/s +(.+)$", done.stderr, re.M)}
    summary = re.search(r"stats: (\d+|no) notification", done.stderr)
    if summary is None:
        raise BenchError("no statistics in: %s" % done.stderr.strip()[-300:])
    return 0 if summary.group(1) == "no" else int(summary.group(1)), calls


def describe(calls):
    return ", ".join("%s %d" % item for item in sorted(calls.items(), key=lambda item: -item[1]))


def workloads(bench):
    port = free_port()
    return [
        ("files: find, cat, grep, ls, wc, and the calls of a program, on %d files" % FILES, [],
         ["/bin/sh", "-c", FILE_LOOP, "sh", plant_tree(bench), bench.helper("file")]),
        ("processes: 300 subshells, 100 pipelines, 200 threads, 150 forks", [],
         ["/bin/sh", "-c", FORK_LOOP, "sh", bench.helper("thread")]),
        ("sockets: 200 pairs, 200 named unix connections, 200 TCP sockets, a listener",
         ["--net-allow-bind", str(port)],
         [bench.helper("socket"), bench.directory, str(port)]),
    ]


def measure_one(bench, name, executable, section):
    shown = "" if name == "sandlock" else " (%s)" % name
    total, _ = count(bench, executable, [], [bench.helper("refused"), "priority", "1",
                                             str(CONTROL_CALLS // 2)])
    sound = total is not None and total >= CONTROL_CALLS
    section.add(workload="control: %d trapped calls are counted%s" % (CONTROL_CALLS, shown),
                total=total, calls="", target=">= %d" % CONTROL_CALLS,
                verdict="ok" if sound else "MISSED: zero means nothing below")
    for text, options, command in workloads(bench):
        total, calls = count(bench, executable, options, command)
        wrong = {call: number for call, number in calls.items() if call in MUST_NOT_TRAP}
        verdict = "ok" if not wrong else "MISSED: " + describe(wrong)
        section.add(workload=text + shown, total=total, calls=describe(calls),
                    target="none that must not trap", verdict=verdict if sound else "")


def measure(bench):
    section = Section("Notifications under the default policy", COLUMNS)
    for name, executable in bench.sandlocks():
        try:
            measure_one(bench, name, executable, section)
        except BenchError as error:
            if name == "sandlock":
                raise
            section.note("%s left out: %s" % (name, error))
    section.note("must not trap: reading, writing, closing, stat, seeking, opening, waiting, "
                         "forking, threads, mmap, sockets, receiving, sending on a connection")
    return section
