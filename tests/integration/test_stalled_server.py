"""Files of a server that does not answer: who asks for them waits, and nobody else does."""

import os
import pathlib
import subprocess
import threading
import time

import pytest

from stalling import StallingServer

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B", "-c"]
PATIENCE = 2.5  # longer than the supervisor's own with a thread of its that hangs

# Every call that looks at a path or a descriptor, by every way to spell one, each on a thread of its own.
# Beside them a trapped call is made that no server is asked for.
MEMBER = """
import ctypes, os, socket, struct, sys, threading, time
where, other = sys.argv[1:3]
libc = ctypes.CDLL(None, use_errno=True)
os.chdir(where)
directory, pinned = os.open(".", os.O_RDONLY), os.open(".", os.O_PATH)
file = os.open("file", os.O_RDONLY)

def openat2(base, path, resolve):
    if libc.syscall(437, base, path.encode(), struct.pack("QQQ", 0, 0, resolve), 24) < 0:
        raise OSError(ctypes.get_errno(), path)
def unix(action, path):
    getattr(socket.socket(socket.AF_UNIX), action)(path)
calls = {
    "chmod, working directory": lambda: os.chmod("file", 0o640),
    "chmod, directory descriptor": lambda: os.chmod("file", 0o640, dir_fd=directory),
    "chmod, O_PATH descriptor": lambda: os.chmod("file", 0o640, dir_fd=pinned),
    "chmod, magic link": lambda: os.chmod(f"/proc/self/fd/{directory}/file", 0o640),
    "chmod, link of the working directory": lambda: os.chmod("/proc/self/cwd/file", 0o640),
    "chmod, the directory": lambda: os.chmod(".", 0o750),
    "chmod, absolute": lambda: os.chmod(where + "/file", 0o640),
    "fchmod": lambda: os.fchmod(file, 0o640),
    "fchownat, no path": lambda: libc.fchownat(pinned, b"", 0, 0, 0x1000),
    "setxattr": lambda: os.setxattr("file", "user.x", b"1"),
    "open, working directory": lambda: os.open("file", os.O_RDONLY),
    "open, directory descriptor": lambda: os.open("file", os.O_RDONLY, dir_fd=pinned),
    "open, the directory": lambda: os.open(".", os.O_RDONLY),
    "open, absolute": lambda: os.open(where + "/file", os.O_RDONLY),
    "openat2 beneath": lambda: openat2(pinned, "file", 8),
    "openat2 in root": lambda: openat2(pinned, "/file", 16),
    "list": lambda: os.listdir(directory),
    "connect, relative": lambda: unix("connect", "file"),
    "connect, absolute": lambda: unix("connect", where + "/file"),
    "bind, relative": lambda: unix("bind", "socket"),
}
answered = set()
def run(name):
    try:
        calls[name]()
    except OSError:
        pass
    answered.add(name)
print("ready", flush=True)
sys.stdin.readline()
worst = 0
for name in calls:
    threading.Thread(target=run, args=(name,), daemon=True).start()
    end = time.monotonic() + float(sys.argv[3]) / len(calls)
    while time.monotonic() < end:
        start = time.monotonic()
        os.chmod(other, 0o600)
        worst = max(worst, time.monotonic() - start)
        time.sleep(0.005)
print("waiting", len(set(calls) - answered), "of", len(calls), "worst", worst, flush=True)
sys.stdin.readline()
os._exit(0)
"""


@pytest.fixture(params=["names that are asked for", "names that are remembered"])
def server(request, area):
    mounted = area / "server"
    mounted.mkdir()
    try:
        server = StallingServer(mounted, remembered="remembered" in request.param)
    except OSError as error:
        pytest.skip(f"no FUSE: {error}")
    yield server
    server.close()


EVERY_LOOK = ["-r", "/", "--net-allow", "tcp://127.0.0.1:1", "--net-allow-bind", "1-99", "--net-deny-bind", "9", "--port-remap"]


class Run:
    """A sandboxed command that speaks in lines and goes on when it is told to."""

    def __init__(self, process, server):
        self.process, self.server = process, server
        self.too_long = threading.Timer(60, server.close)
        self.too_long.start()

    def line(self):
        return self.process.stdout.readline()

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        """The status and the error output."""
        self.too_long.cancel()
        self.server.close()
        _, errors = self.process.communicate("\n", timeout=20)
        return self.process.returncode, errors

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end()


def started(sandlock, server, code, *arguments):
    command = [*EVERY_LOOK, "-w", os.path.dirname(os.fsdecode(server.where)), "--", *PYTHON, code, *arguments]
    run = Run(sandlock.start(*command, stdin=subprocess.PIPE), server)
    assert run.line() == "ready\n"
    server.stop_answering()
    run.go_on()
    return run


ROOT_MOUNTS = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")


@pytest.mark.root
@ROOT_MOUNTS
def test_who_does_not_ask_it_does_not_wait(sandlock, area, server):
    other = area / "own"
    other.write_text("")
    with started(sandlock, server, MEMBER, area / "server", other, PATIENCE) as run:
        words = run.line().split()
        code, errors = run.end()
    assert code == 0 and words, errors
    waiting, calls, worst = int(words[1]), int(words[3]), float(words[5])
    assert waiting == calls  # the server was asked
    assert worst < 1


WORKERS = 256
FEW, MANY = 400, 1600  # more than can be under way at once; and so many that each one's cost shows

# Threads that all wait, in the calls that hold most while they do.
CROWD = """
import os, sys, threading
where, few, many = sys.argv[1], *map(int, sys.argv[2:4])
os.chdir(where)
directory = os.open(".", os.O_PATH)
file = os.open("file", os.O_RDONLY)
listed = os.open(".", os.O_RDONLY)
long = "./" * 2040 + "file"
calls = [lambda: os.fchmod(file, 0o640), lambda: os.chmod(long, 0o640, dir_fd=directory),
         lambda: os.open(long, os.O_RDONLY, dir_fd=directory), lambda: os.setxattr("file", "user.x", bytes(60000)),
         lambda: os.listdir(listed)]
answers = []
def run(call):
    try:
        call()
        answers.append("OK")
    except OSError as error:
        answers.append(error.strerror)
print("ready", flush=True)
sys.stdin.readline()
threading.stack_size(65536)
for number in range(many):
    threading.Thread(target=run, args=(calls[number % len(calls)],), daemon=True).start()
    if number + 1 in (few, many):
        print("waiting", number + 1 - len(answers), sorted(set(answers)), flush=True)
        sys.stdin.readline()
os._exit(0)
"""


def cost(process):
    """Private memory in KiB, open descriptors, threads."""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]), len(os.listdir(f"/proc/{process.pid}/fd")), int(status["Threads"])


def settled_cost(process):
    """When all calls have arrived and all workers are made."""
    seen, same = None, 0
    for _ in range(80):
        now = cost(process)
        same = same + 1 if now == seen else 0
        if same == 2 and now[2] > WORKERS:
            break
        seen = now
        time.sleep(0.3)
    return now[:2]


@pytest.mark.root
@ROOT_MOUNTS
@pytest.mark.parametrize("server", ["names that are asked for"], indirect=True)
def test_thousands_that_wait_cost_little(sandlock, area, server):
    with started(sandlock, server, CROWD, area / "server", FEW, MANY) as run:
        few = run.line()
        memory, descriptors = settled_cost(run.process)
        run.go_on()
        many = run.line()
        more_memory, more_descriptors = settled_cost(run.process)
        code, errors = run.end()
    assert code == 0, errors
    assert int(many.split()[1]) - int(few.split()[1]) > (MANY - FEW) * 3 // 4, (few, many)
    assert many.split(None, 2)[2] in ("[]\n", "['Cannot allocate memory']\n")  # values that are too much together
    assert more_memory - memory < 1024
    assert more_descriptors - descriptors < 64
