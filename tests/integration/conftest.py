"""Fixtures of the tests that drive the real binary.

The binary is $SANDLOCK_BIN (build/sandlock by default). Everything runs as whoever runs pytest: an
ordinary user and root must give the same results unless a test says otherwise.
"""

import os
import signal
import pathlib
import socket
import subprocess

import pytest

# An ignored signal stays ignored in every command (nohup, some CI runners, what a shell script starts in the
# background); the tests send them.
for _signal in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
    signal.signal(_signal, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What a dynamically linked program of the distribution needs.
BASE_PATHS = [path for path in ("/usr", "/lib", "/lib64", "/bin", "/etc") if os.path.exists(path)]


def pytest_configure(config):
    config.addinivalue_line("markers", "root: behaves differently for root, runs once more as root")
    config.addinivalue_line("markers", "costly: takes long, and is the same for root, who leaves it out")
    config.addinivalue_line("markers", "ipv6: needs its loopback address")
    config.addinivalue_line("markers", "soak: many runs; the long form is make soak")
    config.addinivalue_line("markers", "fault_injection: needs such a build, runs in make faults")


# A test takes at most a few seconds, and a few times that on a busy machine. One that hangs fails by name,
# and where it hangs is told; what it waits for while it cleans up is interrupted as well.
TEST_SECONDS = 120
AGAIN_SECONDS = 10


def fail_test(_signal, _frame):
    pytest.fail(f"the test did not end within {TEST_SECONDS} s")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    del item
    signal.signal(signal.SIGALRM, fail_test)
    signal.setitimer(signal.ITIMER_REAL, TEST_SECONDS, AGAIN_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def pytest_runtest_setup(item):
    if item.get_closest_marker("ipv6") and not has_ipv6():
        pytest.skip("no IPv6 loopback here")
    if item.get_closest_marker("fault_injection") and os.environ.get("SANDLOCK_FAULTS") != "1":
        pytest.skip("needs a build with fault injection: make faults")
    if item.get_closest_marker("costly") and os.getuid() == 0:
        pytest.skip("takes long, and is the same for root")


class Result:
    """Exit code (negative: killed by that signal), standard output and error of one process."""

    def __init__(self, code, stdout, stderr):
        self.code = code
        self.stdout = stdout
        self.stderr = stderr

    def __repr__(self):
        return f"Result(code={self.code}, stdout={self.stdout!r}, stderr={self.stderr!r})"


class Sandlock:
    """Calls of the binary under test, with a home of its own so that no user file matters."""

    def __init__(self, binary, home):
        self.binary = str(binary)
        self.home = home
        self.base = [word for path in BASE_PATHS for word in ("-r", path)]

    def environment(self, extra=None):
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.home), "LC_ALL": "C"}
        env.update(extra or {})
        return {key: value for key, value in env.items() if value is not None}

    def __call__(self, *args, env=None, timeout=30, stdin=subprocess.DEVNULL, **kwargs):
        done = subprocess.run(
            [self.binary, *map(str, args)],
            env=self.environment(env),
            stdin=stdin,
            stdout=kwargs.pop("stdout", subprocess.PIPE),
            stderr=kwargs.pop("stderr", subprocess.PIPE),
            timeout=timeout,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
            **kwargs,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def run(self, *args, **kwargs):
        """`sandlock run` with the grants of a dynamically linked program before the arguments."""
        return self("run", *self.base, *args, **kwargs)

    def start(self, *args, env=None, **kwargs):
        """The same in the background; the caller ends it."""
        return subprocess.Popen(
            [self.binary, "run", *self.base, *map(str, args)],
            env=self.environment(env),
            stdin=kwargs.pop("stdin", subprocess.DEVNULL),
            stdout=kwargs.pop("stdout", subprocess.PIPE),
            stderr=kwargs.pop("stderr", subprocess.PIPE),
            encoding="utf-8",
            **kwargs,
        )

    def status(self, *args, **kwargs):
        """`run` with --status-fd: the result and the bytes that arrived there."""
        read_end, write_end = os.pipe()
        try:
            result = self.run(f"--status-fd={write_end}", *args, pass_fds=[write_end], **kwargs)
        finally:
            os.close(write_end)
        with open(read_end, encoding="utf-8") as stream:
            return result, stream.read()

    def profile(self, name, text):
        """Puts a profile where -p NAME finds it and returns its path."""
        directory = self.home / ".config/sandlock/profiles"
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture(scope="session")
def binary():
    path = pathlib.Path(os.environ.get("SANDLOCK_BIN", ROOT / "build/sandlock"))
    if not path.exists():
        pytest.exit(f"{path} does not exist: build first, or set SANDLOCK_BIN", returncode=2)
    return path.resolve()


@pytest.fixture
def sandlock(binary, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return Sandlock(binary, home)


@pytest.fixture
def area(tmp_path):
    """A directory of the test's own."""
    path = tmp_path / "area"
    path.mkdir()
    return path


@pytest.fixture
def secret(tmp_path):
    """A file that is readable for this user and lies in no grant."""
    path = tmp_path / "secret"
    path.write_text("the secret\n", encoding="utf-8")
    assert subprocess.run(["cat", path], capture_output=True, check=True).stdout == b"the secret\n"
    return path
