"""The network under rules: what flows must cost nothing, what is decided must cost little.

All peers are on loopback and bare unless a row says otherwise; every figure stands beside the one of the
same client bare, taken in turn with it. A part's function returns its rows and how long the bare client took.
"""
import contextlib
import csv
import io
import os
import re
import shutil
import socket
import subprocess
import time

from .common import BenchError, Section, judge, median, run_text
from .counts import count, free_port

ATTEMPTS = 3  # a part that misses a target is measured again, and the attempt with the fastest bare client counts
REDIS_CLIENTS = 50
REDIS_ROUNDS = 12
REDIS_OPERATIONS_MIN, REDIS_OPERATIONS_MAX = 2000, 100000
BLOCKED = 200
PEER = "peer, "  # before the name of a variant whose sandbox is another sandlock's

COLUMNS = [("work", "work", "%s"), ("variant", "variant", "%s"), ("value", "value", "%.1f"), ("unit", "", "%s"),
           ("extra", "over bare", "%+.1f"), ("ratio", "x bare", "%.3f"), ("least", "x least", "%.3f"), ("p99", "p99 x bare", "%.2f"),
           ("target", "target", "%s"), ("verdict", "", "%s")]


def at_least(value, limit):
    return judge((-value, -limit))


def host_rules(port):
    """A rule for one address, a range that has it too, and others that do not matter."""
    return ["--net-allow", "127.0.0.1:%d" % port, "--net-allow", "tcp://10.0.0.0/8:80,443",
            "--net-allow", "udp://127.0.0.0/8:%d" % port, "--net-deny", "169.254.0.0/16"]


def takes(bench, section, executable, *options):
    """Whether a peer, which may be an older one, has these options."""
    if executable == bench.sandlock:
        return True
    reason = bench.works(bench.sandboxed(*options, executable=executable) + [bench.helper("true")])
    if reason is not None:
        names = sorted({word for word in options if word.startswith("--net-")})
        section.note("peer left out where it is given %s: %s" % (" ".join(names), reason))
    return reason is None


def executables(bench):
    """What stands before the name of a variant, and whose sandbox that is."""
    return [("" if name == "sandlock" else PEER, executable) for name, executable in bench.sandlocks()]


def confined(bench, section, name, options, command):
    """The variants of that name: of every sandlock that takes the options."""
    return [(prefix + name, bench.sandboxed(*options, executable=executable) + command)
            for prefix, executable in executables(bench) if takes(bench, section, executable, *options)]


def is_judged(name):
    return name != "bare" and not name.startswith(PEER)


@contextlib.contextmanager
def started(command, **options):
    """A server that is ended afterwards, and its standard output."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@contextlib.contextmanager
def peer(bench, mode):
    """A bare server of bench-helper-net; gives its port."""
    with started([bench.helper("net"), mode]) as process:
        line = process.stdout.readline()
        if not line:
            raise BenchError("bench-helper-net %s did not start" % mode)
        yield int(line)


def wait_for(port):
    for _ in range(400):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.025)
    raise BenchError("nobody listens on port %d" % port)


def in_turn(rounds, variants, measure):
    """{name: [results]} of measure(value) for every variant (name, value), one of each per round."""
    found = {name: [] for name, _ in variants}
    for turn in range(rounds):
        for name, value in variants if turn % 2 == 0 else reversed(variants):
            found[name].append(measure(value))
    return found


def ratio(found, name, pick, base="bare"):
    """The median of the ratios to the bare result of the same round: what disturbs a round disturbs both."""
    return median([pick(own) / pick(bare) for own, bare in zip(found[name], found[base])])


# ---- redis ---------------------------------------------------------------------------------------


def pinned(which, words):
    """The command on the first or last CPU: left to the scheduler, the two ends of a connection are now on one
    CPU and now on two, and single runs differ by a third."""
    cpus = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cpus[which]), *words] if len(cpus) > 1 else words


def redis_benchmark(words):
    """{test: (operations per second, p99 in ms)}."""
    text = run_text([*words, "--csv"])
    rows = csv.DictReader(io.StringIO(text[text.index('"test"'):]))
    return {row["test"]: (float(row["rps"]), float(row["p99_latency_ms"])) for row in rows}


def missing(work, why):
    """A figure that is not there is not reached."""
    return dict(work=work, variant=why, verdict="MISSED: " + why)


def redis(bench, section, _):
    rows, variants = [], []
    operations = min(max(100 * bench.rounds, REDIS_OPERATIONS_MIN), REDIS_OPERATIONS_MAX)
    if not shutil.which("redis-server") or not shutil.which("redis-benchmark"):
        return [missing("redis", "redis is not installed")], 0
    port, least_port = free_port(), free_port()
    server = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--dir", bench.directory, "--port"]

    def client(to):
        return ["redis-benchmark", "-h", "127.0.0.1", "-p", str(to), "-n", str(operations), "-c", str(REDIS_CLIENTS),
                "-t", "set,get"]

    def measure(words):
        return redis_benchmark(pinned(-1, words))

    servers = [pinned(0, words) for words in ([*server, str(port)], bench.least([*server, str(least_port)]))]
    with contextlib.ExitStack() as stack:
        for words, each in zip(servers, (port, least_port)):
            stack.enter_context(started(words))
            wait_for(each)
        variants += [("bare", client(port)), ("least filter, client", bench.least(client(port))),
                     ("least filter, both", bench.least(client(least_port)))]
        variants += confined(bench, section, "port-only rules", ["--net-allow", "tcp://:%d" % port], client(port))
        variants += confined(bench, section, "host rules", host_rules(port), client(port))
        for prefix, executable in executables(bench):
            each = free_port()
            options, rules = ["-w", "/dev/null", "--net-allow-bind", str(each)], host_rules(each)
            if not takes(bench, section, executable, *options) or not takes(bench, section, executable, *rules):
                continue
            stack.enter_context(started(pinned(0, bench.sandboxed(*options, executable=executable) + [*server, str(each)])))
            wait_for(each)
            variants += [(prefix + "server confined", client(each)),
                         (prefix + "both confined, host rules", bench.sandboxed(*rules, executable=executable) + client(each))]
        found = in_turn(REDIS_ROUNDS, variants, measure)
    section.note("redis: %d rounds of %d operations with every variant in each, servers and clients on a CPU each; least: a filter of "
                 "one instruction in the same place" % (REDIS_ROUNDS, operations))
    limits = {"port-only rules": 0.99, "host rules": 0.985, "server confined": 0.985, "both confined, host rules": 0.985}
    floors = {"port-only rules": "least filter, client", "host rules": "least filter, client",
              "both confined, host rules": "least filter, both"}
    for test in ("SET", "GET"):
        for name, _ in variants:
            speed = ratio(found, name, lambda result, test=test: result[test][0])
            tail = ratio(found, name, lambda result, test=test: result[test][1])
            limit = limits.get(name)
            least = None if name not in floors else ratio(found, name, lambda result, test=test: result[test][0],
                                                          floors[name])
            rows.append(dict(work="redis %s, %d clients" % (test, REDIS_CLIENTS), variant=name,
                        value=median([result[test][0] for result in found[name]]) / 1e3, unit="k/s", ratio=speed, least=least, p99=tail,
                        target="" if limit is None else ">= %g, p99 <= 1.05" % limit,
                        verdict="" if limit is None else judge((-speed, -limit), (tail, 1.05))))
    return rows, -median([result["SET"][0] for result in found["bare"]])


# ---- A server that accepts a connection per request -----------------------------------------------


def wrk(port):
    text = run_text(["wrk", "-t1", "-c8", "-d1", "http://127.0.0.1:%d/" % port])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))


def web(bench, section, rounds):
    rows = []
    if not shutil.which("wrk"):
        section.note("wrk is not installed: no row for a web server")
        return rows, 0
    helper, bare, ports = [bench.helper("net"), "http"], free_port(), []
    with contextlib.ExitStack() as stack:
        def serve(name, port, words):
            stack.enter_context(started([*words, *helper, str(port)]))
            wait_for(port)
            ports.append((name, port))
        serve("bare", bare, [])
        for name, more in (("bind rule", []), ("bind and host rules", host_rules(bare))):
            for prefix, executable in executables(bench):
                port = free_port()
                options = ["--net-allow-bind", str(port), *more]
                if takes(bench, section, executable, *options):
                    serve(prefix + name, port, bench.sandboxed(*options, executable=executable))
        found = in_turn(rounds, ports, wrk)
    for name in found:
        speed = ratio(found, name, lambda result: result)
        judged = is_judged(name)
        rows.append(dict(work="HTTP, a connection per request", variant=name, value=median(found[name]) / 1e3, unit="k/s",
                    ratio=speed, target=">= 0.97" if judged else "", verdict=at_least(speed, 0.97) if judged else ""))
    return rows, -median(found["bare"])


# ---- Single calls --------------------------------------------------------------------------------


def nanoseconds(command):
    """{first word of a line: second} of a helper's output."""
    return {word: float(value) for word, value in (line.split() for line in run_text(command).splitlines())}


def datagrams(bench, section, rounds):
    with peer(bench, "echo") as port:
        command = [bench.helper("net"), "ask", str(port), "21", "200"]
        variants = [("bare", command),
                    *confined(bench, section, "UDP rules",
                              ["--net-allow", "udp://127.0.0.1:%d" % port, "--net-allow", "udp://10.0.0.0/8:53"], command),
                    *confined(bench, section, "all UDP", ["--net-allow", "udp://*"], command)]
        found = in_turn(rounds, variants, lambda words: nanoseconds(words)["udp"])
    bare, rows = median(found["bare"]), []
    for name, _ in variants:
        own, speed = median(found[name]), 1 / ratio(found, name, lambda result: result)
        judged = is_judged(name)
        rows.append(dict(work="UDP request and answer, addressed", variant=name, value=own / 1e3, unit="us",
                    extra=(own - bare) / 1e3 if name != "bare" else None, ratio=speed, target=">= 0.5 of bare" if judged else "",
                    verdict=at_least(speed, 0.5) if judged else ""))
    return rows, bare


def connects(bench, section, rounds):
    with peer(bench, "sink") as port:
        command = [bench.helper("net"), "connect", str(port), "1000"]
        variants = [("bare", command), *confined(bench, section, "host rules", host_rules(port), command),
                    *confined(bench, section, "port-only rules", ["--net-allow", "tcp://:%d" % port], command)]
        found = in_turn(rounds, variants, lambda words: nanoseconds(words)["connect"])
    return added_rows("TCP connect", found, 25)


def lookups(bench, section, rounds):
    command = [bench.program("resolver"), "300"]
    variants = [("bare", command), *confined(bench, section, "no rules", [], command),
                *confined(bench, section, "host rules", host_rules(1), command)]
    found = in_turn(rounds, variants, lambda words: nanoseconds(words)["lookup"])
    return added_rows('getaddrinfo("localhost")', found, 60)


def added_rows(work, found, limit):
    bare, rows = median(found["bare"]), []
    for name, values in found.items():
        added = (median(values) - bare) / 1e3
        judged = is_judged(name)
        rows.append(dict(work=work, variant=name, value=median(values) / 1e3, unit="us", extra=added if name != "bare" else None,
                    target="<= +%d us" % limit if judged else "", verdict=judge((added, limit)) if judged else ""))
    return rows, bare


# ---- What must not happen ------------------------------------------------------------------------


def notifications(bench, section):
    """Two runs that differ in the number of requests differ in nothing else."""
    work = "notifications per request, connected"
    if not shutil.which("redis-server") or not shutil.which("redis-benchmark"):
        section.add(**missing(work, "redis is not installed"))
        return
    port = free_port()
    few, many = 2000, 22000
    with started(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", bench.directory]):
        wait_for(port)
        for prefix, executable in executables(bench):
            if not takes(bench, section, executable, *host_rules(port)):
                continue
            totals = []
            for requests in (few, many):
                command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-n", str(requests), "-c", "20", "-t", "get", "-q"]
                totals.append(count(bench, executable, host_rules(port), command)[0])
            if None in totals or totals[0] < 20:
                if prefix:
                    section.note("peer left out of %s: it counts none" % work)
                else:
                    section.add(**missing(work, "even the connects are not counted"))
                continue
            per_request = max(0, totals[1] - totals[0]) / (many - few)
            section.add(work=work, variant=prefix + "host rules", value=per_request, unit="", target="" if prefix else "0",
                        verdict="" if prefix else judge((per_request, 0.001)))


def blocked_connects(bench, section, rounds):
    rows, quiet = blocked_connects_in(bench, section, rounds, "", bench.sandlock)
    for prefix, executable in executables(bench)[1:]:
        if takes(bench, section, executable, *host_rules(1)):
            rows += blocked_connects_in(bench, section, rounds, prefix, executable)[0]
    return rows, quiet


def blocked_connects_in(bench, section, rounds, prefix, executable):
    with peer(bench, "full") as port:
        def command(threads):
            return bench.sandboxed(*host_rules(port), executable=executable) + [
                bench.helper("net"), "stall", str(port), str(threads), "2000"]
        variants = [("bare", 0), ("blocked", BLOCKED)]
        ends = []

        def measure(threads):
            start = time.monotonic()
            result = nanoseconds(command(threads))
            result["whole"] = time.monotonic() - start
            if threads:
                ends.append(result["waiting"])
            return result
        found = in_turn(max(3, rounds // 2), variants, measure)
    middle = ratio(found, "blocked", lambda result: result["median"])
    quiet, busy = (median([result["median"] for result in found[name]]) / 1e3 for name in ("bare", "blocked"))
    worst = median([result["worst"] for result in found["blocked"]]) / 1e6
    if min(ends) < BLOCKED:
        section.note("%sonly %d of %d connects waited" % (prefix, min(ends), BLOCKED))
    section.note("blocked connects are compared with the same sandbox in which nothing waits")
    rows = [dict(work="another thread's trapped call", variant=prefix + "no connect waits", value=quiet, unit="us"),
            dict(work="another thread's trapped call", variant=prefix + "%d connects wait" % BLOCKED, value=busy, unit="us",
                 extra=busy - quiet, ratio=middle, target="<= 1.5 x",
                 verdict=judge((middle, 1.5), (BLOCKED, min(ends)))),
            dict(work="the longest of 2000 of them", variant=prefix + "%d connects wait" % BLOCKED, value=worst, unit="ms",
                 target="<= 20 ms", verdict=judge((worst, 20)))]
    if prefix:
        for row in rows:
            row.update(target="", verdict="")
    return rows, quiet


def measured(bench, section, part, rounds, attempts):
    """The rows of the best attempt."""
    found = []
    for _ in range(attempts):
        found.append(part(bench, section, rounds))
        if not any(row["verdict"] == "MISSED" for row in found[-1][0] if "verdict" in row):
            break
    return min(found, key=lambda rows_and_bare: rows_and_bare[1])[0]


def measure(bench):
    section = Section("Network under rules", COLUMNS)
    rounds = max(3, bench.rounds // 60)
    for part, share, attempts in ((redis, 1, 1), (web, 2, ATTEMPTS), (datagrams, 2, ATTEMPTS), (connects, 2, ATTEMPTS),
                                  (lookups, 2, ATTEMPTS), (blocked_connects, 1, ATTEMPTS)):
        for row in measured(bench, section, part, share * rounds, attempts):
            section.add(**row)
    notifications(bench, section)
    section.note("x bare: requests per second to the bare client's, the median over rounds taken in turn")
    return section
