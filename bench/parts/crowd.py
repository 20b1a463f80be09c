"""Many sandboxes at once: time until all run, time until all have ended, and what was left behind."""
import os
import subprocess
import time

from .common import BenchError, Section, run_text

PATIENCE = 5  # seconds for the last process to be gone

COLUMNS = [("variant", "variant", "%s"), ("running", "all running ms", "%.0f"),
           ("ended", "all ended ms", "%.0f"), ("each", "us each", "%.0f"),
           ("ratio", "x bare", "%.2f"), ("memory", "KiB each", "%.0f"), ("failed", "failed", "%d"),
           ("left", "left behind", "%d"), ("target", "target", "%s"), ("verdict", "", "%s")]


def processes_with(tag):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                text = file.read()
        except OSError:
            continue
        if tag.encode() in text and int(pid) != os.getpid():
            found.append(int(pid))
    return found


def directories_with(tag):
    base = "/dev/shm/sandlock-%d" % os.getuid()
    try:
        return [name for name in os.listdir(base) if name.startswith(tag)]
    except FileNotFoundError:
        return []


def left_behind(tag):
    deadline = time.monotonic() + PATIENCE
    while True:
        found = processes_with(tag) + directories_with(tag)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def measure_one(bench, prefix, tag):
    """The tag is a word of every process: of sandlock, its guardian and the command."""
    command = [*prefix, bench.helper("crowd"), tag]
    text = run_text([bench.program("crowd"), str(bench.crowd), *command], timeout=180)
    running, ended, before, during, failed = (float(word) for word in text.split()[1:])
    return {"running": running / 1e6, "ended": ended / 1e6,
            "each": (running + ended) / 1e3 / bench.crowd, "memory": (before - during) / bench.crowd,
            "failed": int(failed), "left": len(left_behind(tag))}


def measure(bench):
    section = Section("%d at once" % bench.crowd, COLUMNS)
    tag = "bench-%d-" % os.getpid()
    variants = [("bare", [])]
    for name, executable in bench.sandlocks():
        variants.append((name, bench.sandboxed("--name", tag + "%", executable=executable)))
    variants.append(("sandlock --no-supervisor",
                     bench.sandboxed("--no-supervisor", "--name", tag + "%")))
    if bench.bwrap:
        variants.append(("bwrap --ro-bind / /", [bench.bwrap, "--ro-bind", "/", "/", "--"]))
    bare = None
    for name, prefix in variants:
        try:
            row = measure_one(bench, prefix, tag)
        except (BenchError, subprocess.TimeoutExpired) as error:
            section.note("%s left out: %s" % (name, error))
            continue
        bare = bare or row["each"]
        judged = name.startswith("sandlock")
        clean = row["failed"] == 0 and row["left"] == 0
        section.add(variant=name, ratio=row["each"] / bare,
                    target="none failed or left" if judged else "",
                    verdict=("ok" if clean else "MISSED") if judged else "", **row)
    section.note("memory: what the system had less of while all ran, the command included")
    return section
