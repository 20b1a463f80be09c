"""What the processes of a sandbox occupy while the command rests, before and after 1000 notifications."""
import os
import re
import subprocess

from .common import BenchError, Section, judge

NOTIFICATIONS = 1000
LIMIT_KIB = 2048

COLUMNS = [("process", "process", "%s"), ("when", "when", "%s"), ("rss", "RSS KiB", "%d"),
           ("pss", "PSS KiB", "%d"), ("private", "private KiB", "%d"), ("target", "target", "%s"),
           ("verdict", "", "%s")]


def sizes(pid):
    """Rss, Pss, private memory; the last two only where the kernel lets us look."""
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
        rss = re.search(r"VmRSS:\s+(\d+)", file.read())
    found = {"rss": int(rss.group(1)) if rss else None}
    try:
        with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as file:
            fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", file.read(), re.M))
        found["pss"] = int(fields["Pss"])
        found["private"] = int(fields["Private_Clean"]) + int(fields["Private_Dirty"])
    except OSError:
        pass
    return found


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def read_line(process, expected):
    line = process.stdout.readline().strip()
    if line != expected:
        raise BenchError("the command said %r instead of %r" % (line, expected))


def watch(label, command, section, judged):
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          bufsize=1) as process:
        read_line(process, "ready")
        record(label, "at rest", process.pid, section, judged)
        process.stdin.write("x")
        process.stdin.flush()
        read_line(process, "done")
        record(label, "after %d" % NOTIFICATIONS, process.pid, section, judged)
        process.stdin.close()
    if process.returncode != 0:
        raise BenchError("%s: exit status %d" % (label, process.returncode))


def record(label, when, pid, section, judged):
    found = sizes(pid)
    section.add(process=label, when=when, target="<= %d" % LIMIT_KIB if judged else "",
                verdict=judge((found["rss"], LIMIT_KIB)) if judged and found["rss"] else "", **found)
    for child in children(pid):
        with open("/proc/%d/comm" % child, encoding="utf-8", errors="replace") as file:
            name = file.read().strip()
        if name.startswith("sandlock"):
            section.add(process="  its guardian", when=when, target="", verdict="", **sizes(child))


def measure(bench):
    section = Section("Memory of a sandbox, without the command's own", COLUMNS)
    command = [bench.helper("refused"), "priority", "0", str(NOTIFICATIONS)]
    for name, executable in bench.sandlocks():
        try:
            watch(name, bench.sandboxed(executable=executable) + command, section, name == "sandlock")
        except BenchError as error:
            if name == "sandlock":
                raise
            section.note("%s left out: %s" % (name, error))
    if bench.bwrap:
        with subprocess.Popen([bench.bwrap, "--unshare-pid", "--ro-bind", "/", "/", "--",
                               bench.helper("crowd")], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            process.stdout.read(1)
            section.add(process="bwrap", when="at rest", target="", verdict="", **sizes(process.pid))
            process.stdin.close()
    return section
