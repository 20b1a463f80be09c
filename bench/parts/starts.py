"""How long a start takes: a command that does nothing, bare, in sandlock in several ways, in others."""
import json
import os
import re
import subprocess
import time

from .common import BenchError, Section, judge, median, run_text

BIG_HOST_MIB = 1024
FIREJAIL_EVERY = 10  # rounds: it takes ten times as long as all others

# Limits of the overhead over bare, in milliseconds and relative to bubblewrap's; the aims behind them
# are shown, not judged.
CLI_LIMIT_MS = 1.3
CLI_AIM_MS = 1.0
CLI_LIMIT_TO_BWRAP = 0.6
CLI_AIM_TO_BWRAP = 0.45
LIBRARY_LIMIT_MS = 0.6
BIG_HOST_LIMIT_MS = 0.7
# What the supervisor's own confinement adds: shown, not judged, since the noise of two medians adds up.
WALLS_AIM_MS = 0.08

# A disturbed measurement (by the load, or by a missed target) is repeated; the quietest one counts.
ATTEMPTS = 3
DISTURBED_LOAD = 1.0
SECONDS_FOR_REPEATS = 75

COLUMNS = [("command", "command", "%s"), ("variant", "variant", "%s"), ("ms", "median ms", "%.3f"),
           ("overhead", "overhead ms", "%+.3f"), ("ratio", "x bare", "%.2f"),
           ("to_bwrap", "overhead / bwrap's", "%.2f"), ("target", "target", "%s"),
           ("verdict", "", "%s")]


UNCONFINED = "sandlock --without supervisor-confinement"


class Variant:
    def __init__(self, name, argv, kind="spawn", every=1, limit_ms=None, limit_to_bwrap=None):
        self.name, self.argv, self.kind, self.every = name, argv, kind, every
        self.limit_ms, self.limit_to_bwrap = limit_ms, limit_to_bwrap

    def plan_line(self):
        return "\t".join([str(self.every), self.kind, *self.argv]) + "\n"

    def target(self):
        parts = []
        if self.limit_ms is not None:
            aim = " (aim %.1f)" % CLI_AIM_MS if self.kind == "spawn" else ""
            parts.append("<= %.1f ms%s" % (self.limit_ms, aim))
        if self.limit_to_bwrap is not None:
            parts.append("<= %.1f x bwrap (aim %.2f)" % (self.limit_to_bwrap, CLI_AIM_TO_BWRAP))
        return ", ".join(parts)


def host(bench, name, mib, mode, command, limit_ms):
    grants = [] if mode == "bare" else bench.grants()
    return Variant(name, [bench.program("host"), str(mib), mode, *grants, "--", *command], "host",
                   limit_ms=limit_ms)


def variants_of(bench, command):
    cli = bench.sandboxed()
    found = [
        Variant("bare", command),
        Variant("sandlock", cli + command, limit_ms=CLI_LIMIT_MS, limit_to_bwrap=CLI_LIMIT_TO_BWRAP),
        Variant("sandlock --no-supervisor", bench.sandboxed("--no-supervisor") + command,
                limit_ms=CLI_LIMIT_MS, limit_to_bwrap=CLI_LIMIT_TO_BWRAP),
        Variant(UNCONFINED, bench.sandboxed("--without", "supervisor-confinement") + command),
        host(bench, "library", 0, "supervised", command, LIBRARY_LIMIT_MS),
        host(bench, "library, no supervisor", 0, "no-supervisor", command, LIBRARY_LIMIT_MS),
        host(bench, "library, 1 GiB host", BIG_HOST_MIB, "supervised", command, BIG_HOST_LIMIT_MS),
        host(bench, "bare, 1 GiB host", BIG_HOST_MIB, "bare", command, None),
    ]
    if bench.peer:
        found.append(Variant("peer", bench.sandboxed(executable=bench.peer) + command))
        found.append(Variant("peer --no-supervisor", bench.sandboxed(
            "--no-supervisor", executable=bench.peer) + command))
    if bench.bwrap:
        found.append(Variant("bwrap --ro-bind / /", [bench.bwrap, "--ro-bind", "/", "/", *command]))
        found.append(Variant("bwrap, all namespaces",
                             [bench.bwrap, "--unshare-all", "--ro-bind", "/", "/", *command]))
    if bench.firejail:
        found.append(Variant("firejail --noprofile",
                             [bench.firejail, "--quiet", "--noprofile", *command],
                             every=FIREJAIL_EVERY))
    return found


def usable(bench, variants, section):
    kept = []
    for variant in variants:
        # A host answers requests; that it starts at all shows when it is asked.
        reason = bench.works(variant.argv) if variant.kind == "spawn" else None
        if reason is None:
            kept.append(variant)
        elif variant.name in ("bare", "sandlock"):
            raise BenchError("%s: %s" % (" ".join(variant.argv), reason))
        else:
            section.note("%s left out: %s" % (variant.name, reason))
    return kept


def is_supervised(bench):
    """Whether a listener exists under these grants, by sandlock's own account."""
    done = subprocess.run(bench.sandboxed("--posture", "-") + [bench.helper("true")],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    text = re.search(r"\{.*\}", done.stderr, re.S)
    try:
        record = json.loads(text.group(0)) if text else {}
    except ValueError:
        record = {}
    return record.get("methods", {}).get("listener", "?") != "none"


def measure_once(bench, plan, label, variants):
    """The rows of one interleaved measurement."""
    output = run_text([bench.program("spawner"), plan, str(bench.rounds)], timeout=600)
    samples = [sorted(int(word) / 1e6 for word in line.split()) for line in output.splitlines()]
    times = {variant.name: median(values) for variant, values in zip(variants, samples)}
    bare = times["bare"]
    bwrap = times.get("bwrap --ro-bind / /")
    rows = []
    for variant, values in zip(variants, samples):
        own = times[variant.name]
        overhead = None if variant.name == "bare" else own - bare
        relative = overhead / (bwrap - bare) if bwrap and overhead is not None else None
        rows.append({
            "command": label, "variant": variant.name, "ms": own, "overhead": overhead,
            "ratio": own / bare, "to_bwrap": relative, "target": variant.target(),
            "quartiles": [values[len(values) // 4], values[len(values) * 3 // 4]],
            "verdict": judge((overhead, variant.limit_ms) if variant.limit_ms else None,
                             (relative, variant.limit_to_bwrap)
                             if variant.limit_to_bwrap and relative is not None else None)})
    if UNCONFINED in times:
        rows.append({"command": label, "variant": "walls (sandlock less the line without)",
                     "overhead": times["sandlock"] - times[UNCONFINED],
                     "target": "aim <= %.2f ms" % WALLS_AIM_MS, "verdict": ""})
    return rows


def is_missed(rows):
    return any(row.get("verdict") == "MISSED" for row in rows)


def measure_command(bench, label, command, section):
    variants = usable(bench, variants_of(bench, command), section)
    plan = os.path.join(bench.directory, "plan")
    with open(plan, "w", encoding="utf-8") as file:
        file.writelines(variant.plan_line() for variant in variants)
    began = time.monotonic()
    found = []
    for _ in range(ATTEMPTS):
        load = os.getloadavg()[0]
        rows = measure_once(bench, plan, label, variants)
        found.append((rows, load))
        spent = time.monotonic() - began
        # After the first, the load is that of the measurement itself.
        if not is_missed(rows) and (load <= DISTURBED_LOAD or len(found) > 1):
            break
        if spent + spent / len(found) > SECONDS_FOR_REPEATS:
            break
    rows, load = min(found, key=lambda attempt: attempt[0][0]["ms"])
    for row in rows:
        section.add(**row)
    section.note("%s: load average %.1f; %d measurement%s%s" % (
        label, load, len(found), "" if len(found) == 1 else "s",
        "" if len(found) == 1 else ", shown is the one with the lowest median of bare starts"))


def measure(bench):
    section = Section("Start of a command that does nothing", COLUMNS)
    measure_command(bench, "static true", [bench.helper("true")], section)
    measure_command(bench, "/bin/true", ["/bin/true"], section)
    section.note("six path grants; all variants of a command once per round, in shuffled order")
    if bench.peer:
        section.note("peer: %s, a program; the library's rows have none" % bench.peer)
    if not is_supervised(bench):
        section.note("WITHOUT A SUPERVISOR: sandlock says that nothing is supervised here")
    return section
