"""Inside an unmodified container: under a filter that refuses what default profiles of container runtimes
refuse, without capabilities."""

import contextlib
import json
import os
import pathlib
import platform
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

pytestmark = pytest.mark.root

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = ["/usr/bin/python3", "-I", "-S", "-B"]


@pytest.fixture(scope="session")
def helpers():
    build = pathlib.Path(os.environ.get("SANDLOCK_BUILD", ROOT / "build")).resolve()
    return build / "tests/helpers"


class Container:
    """Calls of sandlock under the container's filter."""

    def __init__(self, sandlock, helpers, refused):
        self.sandlock = sandlock
        self.prefix = [str(helpers / "container_filter"), *refused, "--"]

    def __call__(self, *words, **kwargs):
        return subprocess.run([*self.prefix, str(self.sandlock.binary), *map(str, words)], capture_output=True, text=True,
                              env=self.sandlock.environment(), timeout=60, check=False, stdin=subprocess.DEVNULL, **kwargs)

    def run(self, *words, **kwargs):
        return self("run", *self.sandlock.base, *words, **kwargs)


@pytest.fixture(params=[[], ["process-vm"], ["ptrace", "process-vm"]],
                ids=["default profile", "no process-vm", "no ptrace either"])
def container(request, sandlock, helpers):
    return Container(sandlock, helpers, request.param)


@pytest.fixture(params=["supervised", "unsupervised"])
def mode(request):
    return [] if request.param == "supervised" else ["--no-supervisor"]


def test_the_filter_refuses_what_containers_refuse(helpers):
    """Control of the imitation."""
    seen = subprocess.run([helpers / "container_filter", "process-vm", "--", "check"], capture_output=True, text=True,
                          check=True).stdout
    results = dict(line.split(": ") for line in seen.splitlines())
    for name in ("pidfd_getfd", "kcmp", "unshare", "mount", "clone", "personality", "process_vm_readv"):
        assert results[name] == "EPERM", name
    assert results["clone3"] == "ENOSYS"
    assert results["personality_query"] == results["landlock"] == "OK"


def test_a_run_works_as_outside(container, area, secret, mode):
    result = container.run(*mode, "-w", area, "--", "sh", "-c",
                           f"echo text >{area}/file; cat {area}/file; cat {secret}; exit 3")
    assert (result.returncode, result.stdout) == (3, "text\n")
    assert "Permission denied" in result.stderr


@pytest.mark.parametrize("walls", [False, True], ids=["at once", "behind the supervisor's own walls"])
def test_commands_reach_the_guardian_where_signals_by_descriptor_are_refused(sandlock, helpers, area, walls):
    container = Container(sandlock, helpers, ["pidfd-signal"])
    check = subprocess.run([*container.prefix, "check"], capture_output=True, text=True, check=True)
    assert "pidfd_send_signal: EPERM\n" in check.stdout, "the control"
    supervised = ["chmod", "600", area] if walls else ["true"]
    script = f"""{' '.join(map(str, supervised))}; trap '' TERM; echo up; while :; do sleep 60; done"""
    started = time.monotonic()
    done = container.run("-w", area, "-t", "1500ms", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (124, "up\n"), done
    process = subprocess.Popen([*container.prefix, sandlock.binary, "run", *sandlock.base, "-w", area, "--", "sh", "-c", script],
                               stdout=subprocess.PIPE, env=sandlock.environment())
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
    assert time.monotonic() - started < 40


def test_the_metadata_gate_works_there(container, area, secret, helpers):
    mine = area / "file"
    mine.write_text("")
    before = secret.stat()
    for path, answer in ((mine, "OK"), (secret, "EACCES")):
        for call in ("chmod", "fchmodat", "utimensat", "setxattr"):
            result = container.run("-r", helpers, "-w", area, "--", helpers / "metadata_probe", call, path)
            if call == "setxattr" and answer == "OK":
                continue  # not every file system has them
            assert result.stdout == f"{call}: {answer}\n", result
    assert secret.stat().st_ctime_ns == before.st_ctime_ns
    assert mine.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("libc", ["", "_musl"])
def test_interfaces_are_shown_there(container, helpers, libc):
    probe = helpers / f"interfaces_probe{libc}"
    if not probe.exists():
        pytest.skip("not built")
    lines = container.run("-r", helpers, "--", probe).stdout.splitlines()
    assert lines[:8] == ["link lo up", "address lo inet 127.0.0.1", "address lo inet6 ::1", "interface 1 lo", "lo is 1",
                         "eth0 is 0 error 19", "1 is lo", "2 is nothing error 6"]


def test_answers_of_a_routing_socket_come_from_the_kernel_there(container):
    script = """
import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.bind((0, 0))
s.sendto(struct.pack("=IHHIIB3x", 20, 22, 0x301, 1, 0, 0), (0, 0))
print(s.recvfrom(8192)[1])
s.sendto(struct.pack("=IHHIIB3x", 20, 22, 0x301, 2, 0, 0), (0, 0))
print(s.recvmsg(8192)[3])
"""
    result = container.run("--", *PYTHON, "-c", script)
    if "ptrace" in container.prefix:  # the name of our end, laid out like the kernel's address
        assert result.stdout.count("\\x00\\x00\\x00\\x00") == 2, result
    else:
        assert result.stdout == "(0, 0)\n(0, 0)\n", result


def test_the_process_gate_works_there(container, helpers):
    result = container.run("-r", helpers, "--", helpers / "process_probe", "prlimit", os.getpid())
    assert result.stdout == "prlimit: EPERM\n", result
    result = container.run("-r", helpers, "--", helpers / "process_probe", "own")
    assert result.returncode == 0, result


def test_the_process_limit_works_there(container):
    script = ("import os, time\nn = 1\ntry:\n  while n < 20:\n"
              "    if os.fork() == 0: time.sleep(30)\n    n += 1\nexcept OSError as e: print(n, e.errno)")
    result = container.run("-P", "5", "--", *PYTHON, "-c", script)
    assert result.stdout == "5 11\n", result


def test_threads_and_spawning_work_there(container, mode):
    script = ("import subprocess, threading\nt = threading.Thread(target=lambda: print('thread', flush=True))\n"
              "t.start(); t.join()\n"
              "subprocess.run(['/bin/echo', 'spawned'])")
    assert container.run(*mode, "--", *PYTHON, "-c", script).stdout == "thread\nspawned\n"


def test_everything_dies_at_the_end_there(container, helpers, mode):
    mark = f"container-{os.getpid()}"
    result = container.run(*mode, "-r", helpers, "-t", "1s", "--", helpers / "survivor", "groups", "30", mark)
    assert (result.returncode, result.stdout) == (124, "up\n")
    found = subprocess.run(["pgrep", "-f", f"survivor.*{mark}"], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_explanations_work_there(container, secret):
    result = container.run("--explain", "--", "cat", secret)
    assert result.returncode == 1
    assert str(secret) in result.stderr


def test_what_needs_a_refused_call_is_refused_with_the_reason(container, mode):
    """Never run without it."""
    mapped = container.run(*mode, "--user", "4321:4321", "--", "echo", "ran")
    assert mapped.returncode == 125 and mapped.stdout == ""
    assert "namespace" in mapped.stderr
    fixed = container.run(*mode, "--no-randomize-memory", "--", "echo", "ran")
    assert fixed.returncode == 125 and fixed.stdout == ""
    assert "personality" in fixed.stderr


def test_check_and_posture_name_the_methods(container, area):
    report = json.loads(container("check", "--json").stdout)
    text = json.dumps(report)
    assert "pidfd_getfd" in text
    path = area / "posture"
    assert container.run("--posture", path, "--", "true").returncode == 0
    methods = json.loads(path.read_text())["methods"]
    assert methods["listener"] == "shared-table"
    assert methods["child-descriptors"] == report["methods"]["fetch"] == fetch_method(container)
    if "process-vm" in container.prefix:
        assert methods["child-memory"] != "process_vm_readv"


# ---- Network ---------------------------------------------------------------------------------------
#
# Calls that are performed on behalf need a duplicate of the caller's socket, and pidfd_getfd is refused.

def fetch_method(container):
    traced = platform.machine() == "x86_64" and "ptrace" not in container.prefix
    return "tracer" if traced else "none"


@pytest.fixture(params=[[], ["process-vm"]], ids=["default profile", "no process-vm"])
def tracing(request, sandlock, helpers):
    """A container where descriptors are fetched by tracing."""
    if platform.machine() != "x86_64":
        pytest.skip("tracing is written for x86-64")
    return Container(sandlock, helpers, request.param)


PRELUDE = """
import errno, os, socket, struct, sys, threading
def attempt(call, *args):
    try:
        call(*args)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "OK"
"""


def member(container, options, code, *arguments):
    """The lines that a program prints inside."""
    done = container.run(*options, "--", *PYTHON, "-c", PRELUDE + code, *arguments)
    assert done.returncode == 0, done
    return done.stdout.splitlines()


class Listener:
    """Accepts for as long as it lives, and counts."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.socket.getsockname()[1]
        self.accepted = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while not self.over.is_set():
            if select.select([self.socket], [], [], 0.05)[0]:
                self.socket.accept()[0].close()
                self.accepted += 1

    def count(self):
        """The number accepted when nobody else is waiting."""
        while select.select([self.socket], [], [], 0.1)[0]:
            time.sleep(0.01)
        return self.accepted

    def close(self):
        self.over.set()
        self.thread.join()
        self.socket.close()


@pytest.fixture
def listen():
    with contextlib.ExitStack() as stack:
        def make():
            listener = Listener()
            stack.callback(listener.close)
            return listener
        yield make


def test_host_rules_hold_there(tracing, listen):
    allowed, denied = listen(), listen()
    code = """
for port in sys.argv[1:]:
    with socket.socket() as s: print(attempt(s.connect, ("127.0.0.1", int(port))))
"""
    assert member(tracing, ["--net-allow", f"127.0.0.1:{allowed.port}"], code, str(allowed.port),
                  str(denied.port)) == ["OK", "ECONNREFUSED"]
    assert member(tracing, [], code, str(allowed.port)) == ["EACCES"]
    assert (allowed.count(), denied.count()) == (1, 0)


def test_a_thread_connects_there(tracing, listen):
    allowed = listen()
    assert member(tracing, ["--net-allow", f"127.0.0.1:{allowed.port}"], f"""
def work():
    with socket.socket() as s: print(attempt(s.connect, ("127.0.0.1", {allowed.port})))
thread = threading.Thread(target=work); thread.start(); thread.join()
""") == ["OK"]
    assert allowed.count() == 1


def test_messages_with_an_address_there(tracing):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as allowed, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as denied:
        ports = []
        for receiver in (allowed, denied):
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(0.2)
            ports.append(receiver.getsockname()[1])
        assert member(tracing, ["--net-allow", f"udp://127.0.0.1:{ports[0]}"], """
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in sys.argv[1:]:
    print(attempt(s.sendto, b"sendto", ("127.0.0.1", int(port))))
    print(attempt(s.sendmsg, [b"send", b"msg"], [], 0, ("127.0.0.1", int(port))))
""", *map(str, ports)) == ["OK", "OK", "ECONNREFUSED", "ECONNREFUSED"]
        assert [allowed.recv(99), allowed.recv(99)] == [b"sendto", b"sendmsg"]
        with pytest.raises(TimeoutError):
            denied.recv(99)


def test_descriptors_in_messages_there(tracing):
    """Each of them is fetched, one after the other."""
    assert member(tracing, [], """
a, b = socket.socketpair()
pipes = [os.pipe() for _ in range(5)]
socket.send_fds(a, [b"five"], [pipe[0] for pipe in pipes])
text, fds, _, _ = socket.recv_fds(b, 99, 9)
for number, pipe in enumerate(pipes): os.write(pipe[1], str(number).encode())
print(text, [os.read(fd, 9) for fd in fds])
print(attempt(socket.send_fds, a, [b"bad"], [777]))
""") == ["b'five' [b'0', b'1', b'2', b'3', b'4']", "EBADF"]


def test_named_unix_sockets_there(tracing, area, tmp_path):
    outside = tmp_path / "outside"
    with socket.socket(socket.AF_UNIX) as granted, socket.socket(socket.AF_UNIX) as other:
        for server, path in ((granted, area / "granted"), (other, outside)):
            server.bind(str(path))
            os.chmod(path, 0o777)
            server.listen()
            server.settimeout(0.2)
        code = """
for path in sys.argv[1:]:
    with socket.socket(socket.AF_UNIX) as s: print(attempt(s.connect, path))
"""
        assert member(tracing, ["-w", area], code, str(area / "granted"), str(outside)) == ["OK", "EACCES"]
        granted.accept()[0].close()
        with pytest.raises(TimeoutError):
            other.accept()


def test_own_listeners_there(tracing):
    assert member(tracing, ["--net-allow-bind", "0"], """
s = socket.socket()
print(attempt(s.bind, ("127.0.0.1", 0)), attempt(s.listen, 5), s.getsockname()[1] > 0)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
print(struct.unpack("ii", s.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)))
""") == ["OK OK True", "(1, 0)"]
    assert member(tracing, [], """
print(attempt(socket.socket().bind, ("127.0.0.1", 0)), attempt(socket.socket().listen, 5))
""") == ["EACCES EACCES"]


def test_bad_descriptors_there(tracing):
    """They get their own answer, and no endless fetching."""
    assert member(tracing, [], """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
address = struct.pack("=HH4s8x", 2, 0, bytes((127, 0, 0, 1)))
for fd in (-1, 555, os.open("/usr", os.O_RDONLY)):
    print(libc.connect(fd, address, 16), errno.errorcode[ctypes.get_errno()])
""") == ["-1 EBADF", "-1 EBADF", "-1 ENOTSOCK"]


@pytest.mark.parametrize("threads, count, interval", [(8, 50, 0), (8, 25, 2000), (0, 200, 2000)])
def test_threads_and_signals_meanwhile(tracing, helpers, listen, threads, count, interval):
    """Signals arrive as natively: each is handled, and no call of the program hears of it."""
    allowed = listen()
    done = tracing.run("-r", helpers, "--net-allow", f"127.0.0.1:{allowed.port}", "--", helpers / "fetch_probe",
                       "connects", allowed.port, threads, count, interval)
    lines = done.stdout.splitlines()
    assert lines[:1] == ["failed: 0"], done
    handled, connected = (int(line.split()[1]) for line in lines[1:])
    assert interval == 0 or handled > 5
    assert allowed.count() == connected >= max(threads, 1) * count


@pytest.mark.parametrize("threads", [0, 3])
def test_kills_in_the_middle(tracing, helpers, listen, threads):
    allowed = listen()
    done = tracing.run("-r", helpers, "--net-allow", f"127.0.0.1:{allowed.port}", "--", helpers / "fetch_probe",
                       "killed", allowed.port, 100, threads)
    assert (done.returncode, done.stdout) == (0, "killed: 100\n"), done
    assert allowed.count() > 0


def test_programs_are_executed_in_the_middle(tracing, helpers, listen):
    """execve() waits for the other threads to end, and these for their tracer."""
    allowed = listen()
    done = tracing.run("-r", helpers, "--net-allow", f"127.0.0.1:{allowed.port}", "--", helpers / "fetch_probe",
                       "executed", allowed.port, 20)
    assert (done.returncode, done.stdout) == (0, "executed: OK\n"), done


def test_runs_that_end_in_the_middle_leave_nothing(tracing, helpers, listen):
    allowed = listen()
    mark = f"0{allowed.port}"  # the same number, but nobody else's spelling
    for tenth in range(1, 6):
        done = tracing.run("-r", helpers, "--net-allow", f"127.0.0.1:{allowed.port}", "-t", f"{tenth}00ms", "--",
                           helpers / "fetch_probe", "killed", mark, 100000, 3)
        assert done.returncode == 124, done
    found = subprocess.run(["pgrep", "-f", f"fetch_probe killed {mark}"], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_a_stopped_program_goes_on(tracing, helpers, listen):
    """SIGSTOP and SIGCONT of one member to another in the middle of its fetches."""
    allowed = listen()
    lines = member(tracing, ["-r", helpers, "--net-allow", f"127.0.0.1:{allowed.port}"], f"""
import signal, subprocess, time
child = subprocess.Popen(["{helpers}/fetch_probe", "connects", "{allowed.port}", "3", "200"], stdout=subprocess.PIPE)
stops = 0
while child.poll() is None and stops < 2000:
    child.send_signal(signal.SIGSTOP)
    time.sleep(0.002)
    child.send_signal(signal.SIGCONT)
    time.sleep(0.004)
    stops += 1
print(child.stdout.readline().decode().strip(), child.wait(), stops > 3)
""")
    assert lines == ["failed: 0 0 True"]
    assert allowed.count() == 600


def test_a_waiting_thread_does_not_notice(tracing, listen):
    """epoll_wait() without a time limit would end with EINTR by itself."""
    allowed = listen()
    assert member(tracing, ["--net-allow", f"127.0.0.1:{allowed.port}"], f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
fd, (r, w) = libc.epoll_create1(0), os.pipe()
event = (ctypes.c_uint32 * 3)(1, 7, 0)
libc.epoll_ctl(fd, 1, r, event)
answers = []
thread = threading.Thread(target=lambda: answers.append(libc.epoll_wait(fd, event, 1, -1)))
thread.start()
for _ in range(20):
    with socket.socket() as s: s.connect(("127.0.0.1", {allowed.port}))
os.write(w, b"x")
thread.join()
print(answers)
""") == ["[1]"]


def test_a_table_of_two_processes_does_not_exist_there(tracing, sandlock, helpers):
    """Its other user could put another socket in the place of the tracer's. Elsewhere nothing is lost by it."""
    probe = ["-r", helpers, "--", helpers / "fetch_probe", "table"]
    assert tracing.run(*probe).stdout == "table: EPERM\n"
    fetched = json.loads(sandlock("check", "--json").stdout)["methods"]["fetch"] == "tracer"  # a container is all around
    assert sandlock.run(*probe).stdout == f"table: {'EPERM' if fetched else 'OK'}\n"


def test_without_a_tracer_calls_on_behalf_are_refused(sandlock, helpers, listen):
    allowed = listen()
    container = Container(sandlock, helpers, ["ptrace"])
    assert member(container, ["--net-allow", f"127.0.0.1:{allowed.port}"], f"""
print(attempt(socket.socket().connect, ("127.0.0.1", {allowed.port})))
""") == ["EPERM"]
    assert allowed.count() == 0


def test_without_landlock_nothing_runs(sandlock, helpers, mode):
    container = Container(sandlock, helpers, ["landlock"])
    result = container.run(*mode, "--", "echo", "ran")
    assert result.returncode == 125 and result.stdout == ""
    assert "Landlock" in result.stderr


def test_threads_that_ask_at_the_same_time_wait_for_each_other(tracing):
    """Each that stands in line is to be stopped for the one in front, and cannot be while it waits for its answer."""
    assert member(tracing, ["-r", "/proc"], """
import collections
def lists(own): os.listdir("/proc/self")
def asks(own):
    own.send(struct.pack("=IHHIIB3x", 20, 18, 0x301, 1, 0, 0))
    own.recv(8192)
def names(own): own.getsockname()
def options(own): own.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
def index(own): socket.if_nametoindex("lo")
seen = collections.Counter()
def work(act):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as own:
        for _ in range(5): seen[act.__name__, attempt(act, own)] += 1
threads = [threading.Thread(target=work, args=(act,)) for act in (lists, asks, names, options, index) * 2]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted(seen.items()))
""") == [str([((act, "OK"), 10) for act in ("asks", "index", "lists", "names", "options")])]


def test_the_only_thread_of_a_process_lists_plain_directories_untraced(tracing):
    """Nobody can exchange its descriptor meanwhile. Listings of others, and those of /proc, are made for them."""
    code = """
if sys.argv[1] == "beside": threading.Thread(target=threading.Event().wait, daemon=True).start()
usr = [sorted(os.listdir("/usr")) for _ in range(40)]
print(usr == [sys.argv[2:]] * 40, "snmp" in os.listdir("/proc/net"))
print([name for name in os.listdir("/proc") if name.isdigit()] == [str(os.getpid())])
"""
    calls = {}
    for kind in ("alone", "beside"):
        done = tracing.run("-r", "/", "--stats", "--", *PYTHON, "-c", PRELUDE + code, kind, *sorted(os.listdir("/usr")))
        assert done.stdout == "True False\nTrue\n", done
        calls[kind] = int(re.search(r"^ +([0-9]+) .* getdents64$", done.stderr, re.M)[1])
    assert calls["alone"] < 3 * 40 and calls["beside"] >= 4 * 40, "a listing is two calls, and one that is traced comes twice"


@pytest.mark.parametrize("outer", [[], ["--no-supervisor"]], ids=["supervised", "unsupervised"])
def test_a_sandbox_without_a_supervisor_starts_inside_another(container, sandlock, area, outer):
    """Where no two processes may share a table of descriptors."""
    grants = ["-r", sandlock.binary, "-w", area, *outer]
    inner = [sandlock.binary, "run", *sandlock.base, "--no-supervisor", "--", "sh", "-c",
             f"sleep 60 & cat /etc/passwd; echo >{area}/f; exit 3"]
    done = container.run(*grants, "--", *inner)
    assert done.returncode == 3 and done.stdout == pathlib.Path("/etc/passwd").read_text() and not (area / "f").exists(), done
    if not outer:
        supervised = container.run(*grants, "--", *[word for word in inner if word != "--no-supervisor"])
        assert supervised.returncode == 125 and "--no-supervisor" in supervised.stderr, supervised


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: members of another user")
def test_what_is_refused_to_members_of_another_user_says_why(sandlock, area):
    """The root of a container can change its user, and has no CAP_SYS_PTRACE to look at those who did."""
    mine, record, log = area / "file", area / "posture", area / "log"
    why = "look at (other users' processes|those of others) \\(CAP_SYS_PTRACE\\)"
    act = f"""
fd = os.open({str(mine)!r}, os.O_RDONLY)
os.setresuid(1234, 1234, 1234)
print(attempt(os.fchmod, fd, 0o600))
"""
    for without, answer in (["--bounding-set=-sys_ptrace"], "EACCES"), ([], "OK"):
        mine.write_text("")
        os.chown(mine, 1234, -1)
        log.unlink(missing_ok=True)
        words = ["-w", area, "--posture", record, "--log-denials", log, "--", *PYTHON, "-c", PRELUDE + act]
        done = subprocess.run(["setpriv", *without, sandlock.binary, "run", *sandlock.base, *map(str, words)], text=True,
                              capture_output=True, env=sandlock.environment(), timeout=60, check=False)
        if "CAP_SYS_PTRACE" in record.read_text() and not without:
            break  # a container is all around
        assert done.stdout == f"{answer}\n", done
        assert oct(mine.stat().st_mode & 0o777) == ("0o600" if answer == "OK" else "0o644")
        assert bool(re.search(why, record.read_text())) == bool(re.search(why, log.read_text())) == bool(without)
