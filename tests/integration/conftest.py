"""Fixtures of the tests that drive the real binary.

The binary is $SANDLOCK_BIN (build/sandlock by default). Everything runs as whoever runs pytest: an
ordinary user and root must give the same results unless a test says otherwise.
"""

import ctypes
import errno
import functools
import os
import signal
import pathlib
import socket
import subprocess
import tempfile

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
    for name, (_, reason) in NEEDS.items():
        config.addinivalue_line("markers", f"{name}: skipped where {reason}")
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


# ---- What a container takes from a test ---------------------------------------------------------

def answers(number, *arguments):
    """Whether the system call of that number is there and lets this user in: the same on every architecture here."""
    return ctypes.CDLL(None, use_errno=True).syscall(number, *arguments) >= 0 or \
        ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS)


def has_openat2():
    """Sandboxes that see an overlay or FUSE have none (docs/reference.md)."""
    kinds = subprocess.run(["stat", "-f", "-c", "%T", "/", ".", tempfile.gettempdir()], capture_output=True, text=True,
                           check=False).stdout.split()
    return not {"overlayfs", "fuseblk"} & set(kinds)


def has_namespaces():
    words = ["unshare", "--mount", "--pid", "--fork", *(["--user"] if os.geteuid() != 0 else []), "true"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def has_user_namespaces():
    return subprocess.run(["unshare", "--user", "true"], capture_output=True, check=False).returncode == 0


def has_unshare():
    return ctypes.CDLL(None).unshare(0) == 0


def has_personality():
    return subprocess.run(["setarch", "-R", "true"], capture_output=True, check=False).returncode == 0


def root_has(capability):
    """Of an ordinary user nothing is asked."""
    with open("/proc/self/status", encoding="ascii") as status:
        sets = dict(line.split(":\t") for line in status if line.startswith("Cap"))
    return os.geteuid() != 0 or int(sets["CapEff"], 16) >> capability & 1


def has_other_users():
    """Ids, and root's right to look at their processes."""
    with open("/proc/self/uid_map", encoding="ascii") as uids:
        return root_has(19) and (os.geteuid() != 0 or sum(int(line.split()[2]) for line in uids) > 1234)


# By marker: is it here, and why a test is skipped if not.
NEEDS = {
    "ipv6": (has_ipv6, "there is no IPv6 loopback"),
    "openat2": (has_openat2, "sandboxes see an overlay or FUSE, so that openat2 is ENOSYS"),
    "namespaces": (has_namespaces, "no namespaces can be made"),
    "user_namespaces": (has_user_namespaces, "no user namespaces can be made"),
    "unshare": (has_unshare, "a filter refuses unshare"),
    "clone3": (lambda: answers(435, None, 0), "a filter refuses clone3"),
    "pidfd_getfd": (lambda: answers(438, -1, 0, 0), "a filter refuses pidfd_getfd"),
    "fchmodat2": (lambda: answers(452, -1, b"", 0, 0), "fchmodat2 is refused or unknown"),
    "personality": (has_personality, "a filter refuses personality"),
    "other_users": (has_other_users, "root has no CAP_SYS_PTRACE to look at processes of other users, members too, or no other ids"),
    "administrator": (lambda: root_has(21), "root has no CAP_SYS_ADMIN"),
}
needs_met = functools.cache(lambda name: NEEDS[name][0]())


@pytest.fixture(name="needs_met")
def needs_met_fixture():
    """needs_met("openat2"), for a test that goes on without."""
    return needs_met


def pytest_runtest_setup(item):
    for name, (_, reason) in NEEDS.items():
        if item.get_closest_marker(name) and not needs_met(name):
            pytest.skip(reason)
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
