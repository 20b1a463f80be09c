"""Fixtures of the attack tests: one file per way out of the sandbox.

Every attempt is a payload that runs twice as the same user: unconfined, where it must succeed (else
the refusal would prove nothing), and inside the sandbox. Tests also look at the attacked object: a
file's bytes, a listener's queue, another process's limits.

A payload is a Python program in payload/ or a C program in tests/helpers/. It prints one line
"name: result" per attempt, where the result is OK or the name of an errno.
"""

import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
_spec = importlib.util.spec_from_file_location("integration_conftest", HERE.parent / "integration/conftest.py")
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)

pytest_configure = _shared.pytest_configure
pytest_runtest_setup = _shared.pytest_runtest_setup
binary, sandlock, area, secret = _shared.binary, _shared.sandlock, _shared.area, _shared.secret
needs_met = _shared.needs_met_fixture

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B"]


class Attempts(dict):
    """Results by name, and how the process ended."""

    def __init__(self, result):
        super().__init__()
        self.result = result
        for line in result.stdout.splitlines():
            name, separator, value = line.partition(": ")
            if separator:
                self[name] = value

    def __missing__(self, name):
        raise AssertionError(f"the payload did not get to {name!r}: {self.result}")


class Attack:
    """Runs a payload unconfined and confined."""

    def __init__(self, sandlock, helpers):
        self.sandlock = sandlock
        self.helpers = helpers

    def words(self, payload, *arguments):
        """The command of NAME.py (in payload/) or of a helper program."""
        if payload.endswith(".py"):
            return [*PYTHON, str(HERE / "payload" / payload), *map(str, arguments)]
        return [str(self.helpers / payload), *map(str, arguments)]

    def grants(self, payload):
        directory = HERE / "payload" if payload.endswith(".py") else self.helpers
        return ["-r", str(directory)]

    def outside(self, payload, *arguments, timeout=60, **kwargs):
        done = subprocess.run(self.words(payload, *arguments), capture_output=True, timeout=timeout,
                              encoding="utf-8", errors="surrogateescape", check=False,
                              stdin=kwargs.pop("stdin", subprocess.DEVNULL), **kwargs)
        return Attempts(_shared.Result(done.returncode, done.stdout, done.stderr))

    def inside(self, payload, *arguments, options=(), timeout=60, **kwargs):
        return Attempts(self.sandlock.run(*self.grants(payload), *options, "--",
                                          *self.words(payload, *arguments), timeout=timeout, **kwargs))

    def start(self, payload, *arguments, options=(), **kwargs):
        """The confined payload in the background."""
        return self.sandlock.start(*self.grants(payload), *options, "--",
                                   *self.words(payload, *arguments), **kwargs)


@pytest.fixture(scope="session")
def helpers():
    build = pathlib.Path(os.environ.get("SANDLOCK_BUILD", _shared.ROOT / "build")).resolve()
    directory = build / "tests/helpers"
    if not (directory / "metadata_probe").exists():
        pytest.exit(f"no test helpers in {directory}: build with -Dtests=true", returncode=2)
    return directory


@pytest.fixture
def attack(sandlock, helpers):
    return Attack(sandlock, helpers)


@pytest.fixture(params=["supervised", "unsupervised"])
def mode(request):
    """The options of either way to run."""
    return [] if request.param == "supervised" else ["--no-supervisor"]


# ---- Other processes of the same user -----------------------------------------------------------

WITNESS = """
import os, signal, sys, time
counts = {}
def note(number, frame):
    counts[number] = counts.get(number, 0) + 1
for number in range(1, signal.NSIG):
    if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD):
        try:
            signal.signal(number, note)
        except (OSError, ValueError):
            pass
print("ready", flush=True)
sys.stdin.readline()
print(dict(counts), flush=True)
"""


class Witness:
    """A process outside the sandbox that counts the signals that reach it."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", WITNESS], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self.process.stdout.readline() == "ready\n"

    @property
    def pid(self):
        return self.process.pid

    def state(self):
        return process_state(self.pid)

    def signals(self):
        """Ends the witness and returns what it has seen; fails if it was killed or is stopped."""
        assert self.process.poll() is None, f"the witness was killed: {self.process.returncode}"
        out, _ = self.process.communicate("report\n", timeout=20)
        assert self.process.returncode == 0
        return eval(out)  # pylint: disable=eval-used  # our own program's dictionary

    def close(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def witness():
    process = Witness()
    yield process
    process.close()


def process_state(pid):
    """The state letter, or None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[0]
    except OSError:
        return None


def processes_with(mark):
    """Pids whose command line contains the mark, without zombies and this process."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as stream:
                if mark.encode() in stream.read() and process_state(entry) not in (None, "Z"):
                    found.append(int(entry))
        except OSError:
            pass
    return found


def children_of(pid):
    """Direct children, by /proc."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as stream:
            found += map(int, stream.read().split())
    return found


def eventually(condition, seconds=30.0):
    """The first true value of condition() within that time, else its last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.02)


class Look:
    """What tests need to see of the process table."""

    state = staticmethod(process_state)
    processes_with = staticmethod(processes_with)
    children_of = staticmethod(children_of)
    eventually = staticmethod(eventually)


@pytest.fixture
def look():
    return Look


@pytest.fixture
def mark(request):
    """A word for command lines that no other test uses. What still carries it at the end is killed."""
    word = f"mark-{os.getpid()}-{time.monotonic_ns()}"
    yield word
    for pid in processes_with(word):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
