"""What a system call costs inside: one that only passes the filter, and one that the supervisor answers."""
import os

from .common import Section, judge, median, run_text

FILTER_LIMIT_US = 0.1
ROUND_TRIP_LIMIT = 1.2

FILTER_COLUMNS = [("call", "call", "%s"), ("variant", "variant", "%s"), ("ns", "ns per call", "%.1f"),
                  ("extra", "over bare ns", "%+.1f"), ("above", "over least ns", "%+.1f"),
                  ("ratio", "x bare", "%.2f"), ("target", "target", "%s"), ("verdict", "", "%s")]

ROUND_TRIP_COLUMNS = [("call", "call", "%s"), ("variant", "variant", "%s"), ("us", "us", "%.2f"),
                      ("ratio", "x responder", "%.2f"), ("target", "target", "%s"),
                      ("verdict", "", "%s")]

# Call of the helper, what it shows, whether the limit holds for it. Work that a minimal responder does
# not do (who is that process? change that file) is shown, not judged.
TRAPPED = [
    ("priority", "setpriority (registers)", "setpriority", True),
    ("limit", "prlimit64 (other process)", "prlimit64", False),
    ("mode", "fchmod (performed)", None, False),
    ("times", "utimensat (performed)", None, False),
]


LEAST_RULE = "least rule about ioctl"


def interleaved(variants, rounds):
    """variants: [(name, command)]. Returns {(name, first word of a line): median of the second}."""
    found = {}
    for _ in range(rounds):
        for name, command in variants:
            for line in run_text(command).splitlines():
                word, value = line.split()
                found.setdefault((name, word), []).append(float(value))
    return {key: median(values) for key, values in found.items()}


def measure_filter(bench):
    section = Section("A system call that nothing decides about", FILTER_COLUMNS)
    command = [bench.helper("loop"), "101", "1000"]
    variants = [("bare", command), ("least filter", bench.least(command)),
                (LEAST_RULE, bench.least(command, "--rule"))]
    for name, executable in bench.sandlocks():
        variants.append((name, bench.sandboxed(executable=executable) + command))
        variants.append((name + " --no-supervisor",
                         bench.sandboxed("--no-supervisor", executable=executable) + command))
    times = interleaved(variants, max(3, bench.rounds // 10))
    for call, text in (("getppid", "getppid"), ("read", "read /dev/zero"),
                       ("ioctl", "ioctl (argument rule)")):
        floor = LEAST_RULE if call == "ioctl" else "least filter"
        bare, least = times["bare", call], times[floor, call]
        for name, _ in variants:
            own = times[name, call]
            judged = name.startswith("sandlock")
            section.add(call=text, variant=name, ns=own, extra=None if name == "bare" else own - bare,
                        above=own - least if judged else None, ratio=own / bare,
                        target="<= +%.0f ns" % (FILTER_LIMIT_US * 1e3) if judged else "",
                        verdict=judge((own - bare, FILTER_LIMIT_US * 1e3)) if judged else "")
    section.note("least filter: one instruction that allows everything, the floor below any filter on this kernel; "
                 "with a rule about a call's argument the kernel runs the filter for each such call: the floor of ioctl")
    return section


def measure_round_trip(bench):
    section = Section("A system call that the supervisor answers", ROUND_TRIP_COLUMNS)
    file = os.path.join(bench.directory, "file")
    variants = []
    for word, _, trapped, _ in TRAPPED:
        command = [bench.helper("refused"), word, "5", "300", file]
        if trapped is not None:
            variants.append(("minimal responder",
                             [bench.program("responder"), trapped, *command]))
        for name, executable in bench.sandlocks():
            variants.append((name, bench.sandboxed(executable=executable) + command))
    times = interleaved(variants, max(3, bench.rounds // 10))
    for word, text, trapped, judged in TRAPPED:
        least = times["minimal responder", word if trapped else "priority"]
        for name in ["minimal responder"] + [name for name, _ in bench.sandlocks()]:
            own = times.get((name, word))
            if own is None:
                continue
            limited = judged and name == "sandlock"
            section.add(call=text, variant=name, us=own / 1e3, ratio=own / least,
                        target="<= %.1f x" % ROUND_TRIP_LIMIT if limited else "",
                        verdict=judge((own / least, ROUND_TRIP_LIMIT)) if limited else "")
    section.note("fchmod and utimensat are compared with the responder's setpriority")
    return section
