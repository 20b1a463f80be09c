"""The denial log and its readers: one that is slow, asleep or gone, a disk that is full, a file that may not
grow. Whatever they do, the run and its exit status stay what they are, and what did not arrive is said."""

import fcntl
import json
import os
import re
import resource
import signal
import subprocess
import threading
import time

import pytest

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B", "-c"]
MANY = 2500  # far more lines than a pipe holds
SCRIPT = f"""
import sys
for i in range({MANY}):
    try:
        open("%s/denied-%d" % (sys.argv[1], i), "w")
    except OSError:
        pass
print("done", flush=True)
sys.exit(7)
"""


def lost(result):
    """What is said of the lines that did not arrive: their number, and the reason if there was one. Beside
    it stands only the hint that a run gets which failed."""
    (said,) = re.findall(r"^sandlock: (\d+) denials were not written to the log(?:: (.+))?$", result.stderr, re.M)
    assert re.fullmatch(r"sandlock: .*\nhint: .*\n", result.stderr)
    return int(said[0]), said[1]


class Reader(threading.Thread):
    """Reads what arrives at the descriptor, after it has slept."""

    def __init__(self, fd, sleep):
        super().__init__(daemon=True)
        self.fd, self.sleep, self.text = fd, sleep, ""

    def run(self):
        time.sleep(self.sleep)
        with open(self.fd, encoding="utf-8", errors="replace") as stream:
            self.text = stream.read()


def numbers(text):
    """Of the files that the lines of the log are about."""
    objects = [json.loads(line)["object"] for line in text.splitlines()]
    return [int(name.rsplit("-", 1)[1]) for name in objects if "/denied-" in name]


def to_reader(sandlock, area, *options, sleep, flags=0, script=SCRIPT):
    """The run's result and its reader, on a pipe of their own."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETFL, fcntl.fcntl(write_end, fcntl.F_GETFL) | flags)
    reader = Reader(read_end, sleep)
    reader.start()
    streams = {"stderr": write_end} if "-" in options else {"pass_fds": [write_end]}
    words = [str(option).replace("PIPE", f"fd:{write_end}") for option in options]
    try:
        result = sandlock.run(*words, "--", *PYTHON, script, area, **streams)
        assert fcntl.fcntl(write_end, fcntl.F_GETFL) & os.O_NONBLOCK == flags
    finally:
        os.close(write_end)
    reader.join(60)
    return result, reader


@pytest.mark.parametrize("sleep, flags", [(0, 0), (4, 0), (1, os.O_NONBLOCK)], ids=["fast", "slow", "nonblocking"])
def test_a_slow_reader_of_the_log_gets_every_line(sandlock, area, sleep, flags):
    result, reader = to_reader(sandlock, area, "--log-denials", "PIPE", sleep=sleep, flags=flags)
    assert (result.code, result.stdout) == (7, "done\n")
    assert re.fullmatch("hint: .*\n", result.stderr)
    assert numbers(reader.text) == list(range(MANY))


@pytest.mark.parametrize("dest", ["PIPE", "-"])
def test_no_member_waits_for_the_reader_of_the_log(sandlock, area, dest):
    """Nothing is read before the command is done."""
    read_end, write_end = os.pipe()
    streams = {"stderr": write_end} if dest == "-" else {"pass_fds": [write_end]}
    process = sandlock.start("--log-denials", dest.replace("PIPE", f"fd:{write_end}"), "--", *PYTHON, SCRIPT, area, **streams)
    os.close(write_end)
    try:
        assert process.stdout.readline() == "done\n"
        reader = Reader(read_end, 0)
        reader.start()
        process.communicate(timeout=60)
        reader.join(60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 7
    log = "".join(line for line in reader.text.splitlines(True) if line.startswith("{"))
    assert numbers(log) == list(range(MANY))


def test_members_that_fill_the_pipe_of_the_log_do_not_stop_the_supervisor(sandlock, area):
    """With --log-denials - it is their standard error as well."""
    script = """
import os, sys, threading, time
os.set_blocking(2, False)
end = time.monotonic() + 3
number = 0
def goes_on():
    return time.monotonic() < end or number <= 10 and time.monotonic() < end + 20 # a busy machine
def fill():
    while goes_on():
        try:
            os.write(2, b"#" * 4095 + b"\\n")
        except BlockingIOError:
            time.sleep(0.0005)
thread = threading.Thread(target=fill)
thread.start()
while goes_on():
    try:
        open("%s/denied-%d" % (sys.argv[1], number), "w")
    except OSError:
        number += 1
    time.sleep(0.01)
thread.join()
os.set_blocking(2, True)
print(number > 10)
"""
    result, reader = to_reader(sandlock, area, "--log-denials", "-", sleep=4, script=script)
    assert (result.code, result.stdout) == (0, "True\n")
    assert "####" in reader.text and '/area/denied-10","want":"write"' in reader.text


def test_a_reader_that_never_reads_costs_a_bounded_time_and_what_it_misses_is_counted(sandlock, area):
    read_end, write_end = os.pipe()
    start = time.monotonic()
    result = sandlock.run("--log-denials", f"fd:{write_end}", "--", *PYTHON, SCRIPT, area, pass_fds=[write_end])
    took = time.monotonic() - start
    os.close(write_end)
    with open(read_end, encoding="utf-8") as stream:
        there = numbers(stream.read())
    assert (result.code, result.stdout) == (7, "done\n")
    assert 4 < took < 60
    number, reason = lost(result)
    assert reason == ""
    assert there == list(range(len(there))) and 0 < len(there) < MANY
    assert MANY - len(there) <= number <= MANY - len(there) + 2  # Python's own start may be denied something


def test_a_denial_beyond_the_bound_is_counted(sandlock, area):
    log = area / "log"
    script = SCRIPT.replace(str(MANY), "4200")
    result = sandlock.run("--log-denials", log, "--", *PYTHON, script, area)
    assert result.code == 7
    lines = log.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4096
    assert 4200 - 4096 <= lost(result)[0] <= 4200 - 4096 + 2


def test_a_log_that_cannot_be_written_is_said_once(sandlock, area):
    with open("/dev/full", "wb") as full:
        result = sandlock.run("--log-denials", f"fd:{full.fileno()}", "--", *PYTHON, SCRIPT, area,
                              pass_fds=[full.fileno()])
    assert (result.code, result.stdout) == (7, "done\n")
    assert lost(result)[1] == "No space left on device"


def test_a_reader_that_has_gone_is_said_once(sandlock, area):
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        result = sandlock.run("--log-denials", f"fd:{write_end}", "--", *PYTHON, SCRIPT, area, pass_fds=[write_end])
    finally:
        os.close(write_end)
    assert (result.code, result.stdout) == (7, "done\n")
    assert lost(result)[1] == "Broken pipe"


def test_a_log_as_large_as_a_file_may_be_does_not_end_the_run(sandlock, area):
    log = area / "log"

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    result, record = sandlock.status("--log-denials", log, "--", *PYTHON, SCRIPT, area, preexec_fn=limit)
    assert (result.code, result.stdout) == (7, "done\n")
    assert lost(result)[1] == "File too large"
    assert log.stat().st_size == 1024
    assert json.loads(record)["status"] == 7


def test_no_reader_of_a_report_is_cut_short(sandlock, area):
    """Also where somebody has made standard error non-blocking."""
    whole = sandlock.run("--explain", "--", *PYTHON, SCRIPT, area)
    for flags in (0, os.O_NONBLOCK):
        read_end, write_end = os.pipe()
        fcntl.fcntl(write_end, fcntl.F_SETFL, fcntl.fcntl(write_end, fcntl.F_GETFL) | flags)
        reader = Reader(read_end, 1)
        reader.start()
        result = sandlock.run("--explain", "--", *PYTHON, SCRIPT, area, stderr=write_end)
        os.close(write_end)
        reader.join(60)
        assert result.code == 7
        assert reader.text == whole.stderr and len(whole.stderr) > 100_000


def told(text):
    """Sums of the counts by object, and the processes that the lines name."""
    sums, names = {}, {}
    for line in map(json.loads, text.splitlines()):
        sums[line["object"]] = sums.get(line["object"], 0) + line["count"]
        names.setdefault(line["object"], []).append(line["comm"])
    return sums, names


def test_the_counts_of_the_lines_add_up_to_the_denials(sandlock, area, secret):
    log = area / "log"
    script = f"for i in 1 2 3 4 5; do true <{secret}; done; cat {secret}; head -1 {secret}"
    result, record = sandlock.status("--log-denials", log, "--", "sh", "-c", script)
    sums, names = told(log.read_text(encoding="utf-8"))
    assert sums[str(secret)] == 7, (sums, result)
    assert sum(sums.values()) == json.loads(record)["denials"]
    assert names[str(secret)][-1] == "head"
    assert "not written" not in result.stderr
    explained = sandlock.run("--explain", "--", "sh", "-c", script)
    assert f"7x openat {secret}" in explained.stderr


def test_a_denial_that_goes_on_is_told_while_it_does(sandlock, area, secret):
    read_end, write_end = os.pipe()
    script = f"trap 'exit 0' TERM; while :; do true <{secret}; done"
    process = sandlock.start("--log-denials", f"fd:{write_end}", "--", "sh", "-c", script, pass_fds=[write_end],
                             stderr=subprocess.DEVNULL)
    os.close(write_end)
    try:
        with open(read_end, encoding="utf-8") as stream:
            lines = []
            while len(lines) < 3:
                line = json.loads(stream.readline())
                if line["object"] == str(secret):
                    lines.append(line)
            process.send_signal(signal.SIGTERM)
            rest = stream.read().splitlines()
    finally:
        process.kill()
        process.communicate(timeout=30)
    assert [line["seq"] for line in lines] == [lines[0]["seq"]] * 3
    assert lines[0]["count"] >= 1 and lines[2]["count"] > 1 and lines[2]["ts"] > lines[1]["ts"] > lines[0]["ts"]
    assert lines[2]["ts"] - lines[0]["ts"] > 0.9  # of thousands
    assert len(rest) <= 10


def test_equal_denials_of_many_objects_make_no_storm_of_lines(sandlock, area):
    log = area / "log"
    script = """
import sys, time
begin = time.monotonic()
count = 0
while time.monotonic() < begin + 2.5 or count <= 900 and time.monotonic() < begin + 30: # a busy machine
    try:
        open("%s/denied-%d" % (sys.argv[1], count % 300), "w")
    except OSError:
        count += 1
print(count, time.monotonic() - begin)
"""
    result = sandlock.run("--log-denials", log, "--", *PYTHON, script, area, timeout=60)
    count, took = map(float, result.stdout.split())
    sums, names = told(log.read_text(encoding="utf-8"))
    made = [name for name in sums if "/denied-" in name]
    assert sum(sums[name] for name in made) == count > 900
    assert sum(len(names[name]) for name in made) <= 2 * 300 + (took + 1.5) * 64
