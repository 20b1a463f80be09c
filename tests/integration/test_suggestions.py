"""What --explain suggests is what makes the same act succeed."""

import contextlib
import json
import os
import pathlib
import pty
import shlex
import socket
import stat
import subprocess
import time

import pytest

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B", "-c"]

# Name of the act: what it does to `t`, the options it is first tried with.
ACTS = {
    "open to read": ("open(t + '/file').read()", []),
    "open to write": ("open(t + '/file', 'r+').write('x')", []),
    "create": ("open(t + '/new', 'x')", []),
    "mkdir": ("os.mkdir(t + '/new')", []),
    "symlink": ("os.symlink('x', t + '/new')", []),
    "rename": ("os.rename(t + '/file', t + '/new')", []),
    "unlink": ("os.unlink(t + '/file')", []),
    "rmdir": ("os.rmdir(t + '/empty')", []),
    "truncate": ("os.truncate(t + '/file', 0)", []),
    "chmod": ("os.chmod(t + '/file', 0o600)", []),
    "bind": ("import socket; socket.socket().bind(('127.0.0.1', %d))" % (20000 + os.getpid() % 10000), []),
    "shmget": ("import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
               "i = libc.shmget(0, 4096, 0o600)\n"
               "if i < 0: raise OSError(ctypes.get_errno(), 'shmget')\n"
               "libc.shmctl(i, 0, None)", []),
    "processes": ("pids = []\n"
                  "for _ in range(3):\n"
                  "    pid = os.fork()\n"
                  "    if pid == 0:\n        time.sleep(5); os._exit(0)\n"
                  "    pids.append(pid)\n"
                  "for pid in pids: os.kill(pid, 9)", ["-P", "3"]),
}


def attempt(sandlock, target, log, code, *options):
    script = "import os, time; t = %r\n%s" % (str(target), code)
    return sandlock.run("--explain", "--log-denials", log, *options, "--", *PYTHON, script)


def suggestions(log):
    found = []
    for line in pathlib.Path(log).read_text().splitlines():
        suggest = json.loads(line).get("suggest")
        if suggest and suggest not in found:
            found.append(suggest)
    return found


@pytest.mark.parametrize("act", ACTS)
def test_what_is_suggested_makes_the_same_act_succeed(sandlock, area, tmp_path, act):
    code, options = ACTS[act]
    target = tmp_path / "target"
    (target / "empty").mkdir(parents=True)
    (target / "file").write_text("content")
    log = area / "log"

    assert attempt(sandlock, target, log, code, *options).code == 1
    advice = suggestions(log)
    assert advice, log.read_text()
    words = [word for line in advice for word in shlex.split(line)]
    result = attempt(sandlock, target, area / "again", code, *words)
    assert result.code == 0, (advice, result)


# What a member does to the peers outside: TCP and UDP ports of 127.0.0.1, a TCP port of ::1, unix sockets.
SENDMMSG = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
name = ctypes.create_string_buffer(struct.pack("=H", 2) + struct.pack("!H", udp) + bytes([127, 0, 0, 1]) + bytes(8))
data = ctypes.create_string_buffer(b"x")
vector = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(data), 1))
one = struct.pack("=QIxxxxQQQQixxxxIxxxx", ctypes.addressof(name), 16, ctypes.addressof(vector), 1, 0, 0, 0, 0)
message = ctypes.create_string_buffer(one)
if libc.sendmmsg(s.fileno(), message, 1, 0) != 1: raise OSError(ctypes.get_errno(), "sendmmsg")
"""
DATAGRAM = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
CONNECTIONS = {
    "connect": "socket.socket().connect(('127.0.0.1', tcp))",
    "connect IPv6": "socket.socket(socket.AF_INET6).connect(('::1', tcp6))",
    "connect mapped": "socket.socket(socket.AF_INET6).connect(('::ffff:127.0.0.1', tcp))",
    "connect unix": "socket.socket(socket.AF_UNIX).connect(t + '/stream')",
    "sendto unix": "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', t + '/datagram')",
    "sendmsg unix": "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, t + '/datagram')",
}
SENDS = {
    "connect UDP": DATAGRAM + "s.connect(('127.0.0.1', udp)); s.send(b'x')",
    "sendto": DATAGRAM + "s.sendto(b'x', ('127.0.0.1', udp))",
    "sendmsg": DATAGRAM + "s.sendmsg([b'x'], [], 0, ('127.0.0.1', udp))",
    "sendmmsg": SENDMMSG,
}
BINDS = {
    "listen": ("socket.socket().listen()", []),
    "listen with rules": ("socket.socket().listen()", ["--net-allow", "tcp://127.0.0.1:9"]),
    "listen beside a port": ("socket.socket().listen()", ["--net-allow-bind", "9"]),
    "bind UDP": (DATAGRAM + "s.bind(('127.0.0.1', 20000 + os.getppid() % 10000))", ["--net-allow", "tcp://127.0.0.1:9"]),
    "bind UDP to any port": (DATAGRAM + "s.bind(('127.0.0.1', 0))", ["--net-allow", "tcp://127.0.0.1:9"]),
    "bind UDP to any address": (DATAGRAM + "s.bind(('', 0))", ["--net-allow", "tcp://127.0.0.1:9"]),
}
RULES = {"": [], " with a TCP rule": ["--net-allow", "tcp://127.0.0.1:9"],
         " with a UDP rule": ["--net-allow", "udp://127.0.0.1:9"]}
NETWORK_ACTS = {
    **BINDS,
    **{name + rule: (code, RULES[rule]) for name, code in CONNECTIONS.items() for rule in RULES},
    **{name + rule: (code, RULES[rule]) for name, code in SENDS.items() for rule in RULES if rule},
}


@pytest.fixture
def peers(tmp_path):
    """Lines of Python that name what there is to reach."""
    with contextlib.ExitStack() as stack:
        def make(family, kind, address):
            made = stack.enter_context(socket.socket(family, kind))
            made.bind(address)
            if kind == socket.SOCK_STREAM:
                made.listen()
            return made

        (tmp_path / "target").mkdir()
        for kind, name in ((socket.SOCK_STREAM, "stream"), (socket.SOCK_DGRAM, "datagram")):
            make(socket.AF_UNIX, kind, str(tmp_path / "target" / name))
        tcp = make(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)).getsockname()[1]
        udp = make(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)).getsockname()[1]
        try:
            tcp6 = make(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)).getsockname()[1]
        except OSError:
            tcp6 = 0
        yield f"import os, socket; tcp, tcp6, udp = {tcp}, {tcp6}, {udp}\n"


@pytest.mark.parametrize("act", NETWORK_ACTS)
def test_what_is_suggested_makes_the_same_act_on_the_network_succeed(sandlock, area, tmp_path, peers, act):
    code, options = NETWORK_ACTS[act]
    if "IPv6" in act and ", 0, " in peers:
        pytest.skip("no IPv6 loopback here")
    target, log = tmp_path / "target", area / "log"

    assert attempt(sandlock, target, log, peers + code, *options).code == 1
    advice = suggestions(log)
    assert advice, log.read_text()
    words = [word for line in advice for word in shlex.split(line)]
    result = attempt(sandlock, target, area / "again", peers + code, *options, *words)
    assert result.code == 0, (advice, result)


@pytest.mark.parametrize("code, options, rule", [
    ("socket.socket().listen()", ["--net-deny-bind", "0"], "--net-deny-bind"),
    ("socket.socket().listen()", ["--net-deny-bind", "0", "--net-allow-bind", "9"], "--net-deny-bind"),
    (DATAGRAM + "s.bind(('127.0.0.1', 0))", ["--net-allow", "tcp://127.0.0.1:9", "--net-deny", "127.0.0.0/8"],
     "no rule for UDP"),
    (DATAGRAM + "s.bind(('127.0.0.1', 0))", ["--net-allow", "udp://127.0.0.1:9", "--net-deny", "udp://127.0.0.1"],
     "the rules leave no UDP destination"),
])
def test_where_no_option_would_help_none_is_suggested(sandlock, area, tmp_path, peers, code, options, rule):
    log = area / "log"
    assert attempt(sandlock, tmp_path / "target", log, peers + code, *options).code == 1
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(record["rule"], record.get("suggest")) for record in records
            if record["call"] in ("bind", "listen")] == [(rule, None)], records


# iputils' ping asks by a UDP socket which way leads to the host, before it sends by the other.
@pytest.mark.parametrize("rules, wanted", [
    (["--net-allow", "icmp://127.0.0.1"], "--net-allow icmp://127.0.0.2"),
    (["--net-allow", "icmp://127.0.0.1", "--net-allow", "udp://127.0.0.1:9"],
     "--net-allow icmp://127.0.0.2 --net-allow udp://127.0.0.2:1025"),
    (["--net-allow", "icmp://*", "--net-allow", "udp://127.0.0.1:9"], "--net-allow udp://127.0.0.2:1025"),
    (["--net-allow", "icmp://*", "--net-deny", "icmp://127.0.0.2"], None),
    (["--net-allow", "udp://127.0.0.1:9"], "--net-allow udp://127.0.0.2:1025"),  # no ping without ping sockets
])
def test_a_refused_ping_is_told_the_rule_that_ping_needs(sandlock, area, rules, wanted):
    log, code = area / "log", "import socket; socket.socket(2, 2).connect(('127.0.0.2', 1025))"
    assert attempt(sandlock, area, log, code, *rules).code == 1
    assert suggestions(log) == ([wanted] if wanted else [])
    assert wanted is None or attempt(sandlock, area, area / "again", code, *rules, *wanted.split()).code == 0


@pytest.mark.parametrize("family,kind,protocol,error,told", [
    ("AF_INET6", "SOCK_RAW", 58, "EPERM", ""),
    ("AF_INET", "SOCK_STREAM", 262, "EPROTONOSUPPORT", " MPTCP"),
    ("AF_INET6", "SOCK_DGRAM", 136, "EPROTONOSUPPORT", " UDP-Lite"),
    ("AF_NETLINK", "SOCK_RAW", 4, "EAFNOSUPPORT", " protocol 4"),
])
def test_a_refused_socket_is_recorded_and_nothing_is_suggested(sandlock, area, family, kind, protocol, error, told):
    code = ("import errno, socket\n"
            "try: socket.socket(socket.%s, socket.%s, %d)\n"
            "except OSError as e: print(errno.errorcode[e.errno])" % (family, kind, protocol))
    log = area / "log"
    result = attempt(sandlock, area, log, code)
    assert result.stdout == error + "\n", result
    assert sandlock.run("--", *PYTHON, code).stdout == error + "\n"  # without --explain the same
    records = [record for record in map(json.loads, log.read_text().splitlines())
               if record["call"] == "socket"]
    assert [(record["object"], record["errno"], record["layer"], record.get("suggest"))
            for record in records] == [(family + " " + kind + told, error, "filter", None)], records


@pytest.mark.parametrize("kind,protocol,rule,suggest", [
    ("SOCK_DGRAM", "IPPROTO_UDP", "no rule for UDP", "udp://ADDRESS:PORT"),
    ("SOCK_DGRAM", "IPPROTO_ICMP", "no rule for ping sockets", "icmp://ADDRESS"),
    ("SOCK_RAW", "IPPROTO_ICMP", "raw sockets never exist", None),
])
def test_a_refused_socket_names_the_rule_it_lacks(sandlock, area, kind, protocol, rule, suggest):
    code = f"import socket; socket.socket(socket.AF_INET, socket.{kind}, socket.{protocol})"
    log = area / "log"
    assert attempt(sandlock, area, log, code).code == 1
    (record,) = [record for record in map(json.loads, log.read_text().splitlines())
                 if record["call"] == "socket"]
    assert (record["errno"], record["layer"], record["rule"]) == ("EPERM", "filter", rule)
    assert (record["suggest"] is None) == (suggest is None)
    assert suggest is None or suggest in record["suggest"]


def test_explained_runs_make_the_sockets_that_are_allowed(sandlock, area):
    code = "import socket; socket.socket(); socket.socket(socket.AF_UNIX); socket.socketpair(); socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"
    assert attempt(sandlock, area, area / "log", code).code == 0
    assert not [line for line in (area / "log").read_text().splitlines() if "socket" in line]


@pytest.mark.parametrize("grant,shown", [
    ("/usr", False), ("/proc", True), ("/proc/self", True), ("/proc/", True), ("/", True),
])
@pytest.mark.parametrize("option", ["-r", "-w"])
def test_the_posture_names_proc_only_where_it_is_granted(sandlock, area, option, grant, shown):
    if option == "-w" and grant == "/usr":
        grant = area
    exceptions = exceptions_of(sandlock, option, grant)
    assert any("/proc shows other processes" in text for text in exceptions) == shown, exceptions


# ---- What belongs to one run alone ---------------------------------------------------------------

NODE = ["-r", "/proc/cpuinfo"]  # switches the view of /proc and /sys on, as the profile node does

# The act, the options it is first tried with, and what is suggested. `pid` is another member.
KERNEL_ACTS = {
    "a file of /proc": ("open('/proc/uptime').read()", [], ["--fs-read /proc/uptime"]),
    "a file of /sys": ("open('/sys/devices/system/cpu/online').read()", [], ["--fs-read /sys/devices/system/cpu/online"]),
    "an own entry": ("open('/proc/self/status').read()", [], ["--fs-read /proc/self/status"]),
    "an own entry by number": ("open(f'/proc/{os.getpid()}/status').read()", [], ["--fs-read /proc/self/status"]),
    "an own thread's": ("open('/proc/thread-self/comm').read()", [], ["--fs-read /proc/self/comm"]),
    "the own sockets": ("open('/proc/net/tcp').read()", [], ["--fs-read /proc/self/net/tcp"]),
    "an own entry to write": ("os.write(os.open('/proc/self/comm', os.O_WRONLY), b'x')", [], ["--fs-write /proc/self/comm"]),
    "an own entry to write, of those to read": (
        "os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'500')", ["-r", "/proc"],
        ["--fs-write /proc/self/oom_score_adj"]),
    "another member's": ("open(f'/proc/{pid}/stat').read()", [], ["--fs-read /proc"]),
    "another member's list": ("os.listdir(f'/proc/{pid}/task')", ["-r", "/proc/self"], ["--fs-read /proc"]),
}
MEMBER = """import signal
pid = os.fork()
if pid == 0:
    signal.pause()
try:
    exec(%r)
finally:
    os.kill(pid, signal.SIGKILL)
"""


@pytest.mark.parametrize("view", [[], NODE], ids=["without the view", "with it"])
@pytest.mark.parametrize("act", KERNEL_ACTS)
def test_what_is_suggested_for_proc_and_sys_works_in_the_next_run(sandlock, area, act, view):
    code, options, wanted = KERNEL_ACTS[act]
    log, code = area / "log", MEMBER % code
    assert attempt(sandlock, area, log, code, *view, *options).code == 1
    assert suggestions(log) == wanted, log.read_text()
    words = [word for line in wanted for word in shlex.split(line)]
    result = attempt(sandlock, area, area / "again", code, *view, *options, *words)
    assert result.code == 0, result


def test_a_write_grant_of_proc_self_is_one_of_each_process_own(sandlock, area):
    code = """
def write(pid):
    try:
        return os.write(os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY | os.O_TRUNC), b"500")
    except OSError as error:
        return error.errno
parent = os.getpid()
if os.fork() == 0:
    print(write(os.getpid()), write(parent), write(%d))
else:
    os.wait()
    print(write(parent))
"""
    outside = subprocess.Popen(["sleep", "60"])
    try:
        for grant, others in ("/proc/self", "13 13"), ("/proc", "3 13"):
            result = attempt(sandlock, area, area / "log", code % outside.pid, "-w", grant)
            assert result.stdout == f"3 {others}\n3\n", (grant, result)
        score = pathlib.Path(f"/proc/{outside.pid}/oom_score_adj")
        assert score.read_text() != "500\n"
        score.write_text("500")  # the positive control
    finally:
        outside.kill()
        outside.wait()


@pytest.mark.parametrize("grant, shown, hidden", [
    ("/proc/thread-self", ["comm", "stat"], ["/proc/self/comm"]),
    ("/proc/thread-self/comm", ["comm"], ["/proc/thread-self/stat", "/proc/self/comm"]),
    ("/proc/thread-self/net", ["net/dev"], ["/proc/thread-self/comm", "/proc/self/net/dev"]),
    ("/proc/self/task", ["comm"], ["/proc/self/comm", "/proc/thread-self/net/dev"]),
    ("/proc/self", ["comm"], ["/proc/thread-self/net/dev", "/proc/1/comm"]),
])
def test_a_grant_of_a_thread_is_one_of_each_thread(sandlock, area, grant, shown, hidden):
    code = """
import threading
def look():
    for path in %r:
        try:
            print(len(open(path).read()) > 0, flush=True)
        except OSError as error:
            print(error.errno, flush=True)
look()
thread = threading.Thread(target=look)
thread.start()
thread.join()
if os.fork() == 0:
    look()
    os._exit(0)
os.wait()
"""
    paths = [f"/proc/thread-self/{name}" for name in shown] + hidden
    result = attempt(sandlock, area, area / "log", code % paths, "-r", grant)
    assert result.stdout.split() == (["True"] * len(shown) + ["13"] * len(hidden)) * 3, result


@pytest.mark.parametrize("view", [[], NODE], ids=["without the view", "with it"])
@pytest.mark.parametrize("path", [
    "/proc/1/limits", "/proc/interrupts", "/proc/self/stack", "/proc/sys/net/ipv4/conf", "/sys/class/net",
])
def test_what_no_grant_shows_is_recorded_and_nothing_is_suggested(sandlock, area, path, view):
    log = area / "log"
    code = f"import os; os.close(os.open({path!r}, os.O_RDONLY))"
    if not os.access(path, os.R_OK) or stat.S_ISCHR(os.stat(path).st_mode):  # containers put /dev/null over some
        pytest.skip(f"{path} cannot be read here")
    assert attempt(sandlock, area, log, code, *view).code == 1
    assert log.read_text().count("EACCES") > 0 and suggestions(log) == [], log.read_text()
    for grant in path, "/proc", "/sys":  # that is so
        assert attempt(sandlock, area, area / "again", code, "-r", grant).code == 1


def test_where_the_view_is_off_the_kernel_needs_another_grant(sandlock, area):
    log, code = area / "log", "open('/proc/self/status').read()"
    assert attempt(sandlock, area, log, code, "--without=proc-view").code == 1
    assert suggestions(log) == ["--fs-read /proc"]
    assert attempt(sandlock, area, log, code, "--without=proc-view", "--fs-read", "/proc").code == 0


def on_a_terminal(sandlock, code, *options):
    """Status and output of a run whose standard streams are its terminal."""
    pid, fd = pty.fork()
    if pid == 0:
        words = [sandlock.binary, "run", *sandlock.base, *map(str, options), "--", *PYTHON, code]
        os.execve(words[0], words, sandlock.environment())
    text = b""
    with contextlib.suppress(OSError):  # the other side is closed
        while piece := os.read(fd, 4096):
            text += piece
    status = os.waitpid(pid, 0)[1]
    os.close(fd)
    return os.waitstatus_to_exitcode(status), text.decode()


@pytest.mark.parametrize("code", [
    "open('/dev/stderr', 'w').write('said')",
    "open('/dev/stdout', 'w').write('said')",
    "open('/dev/fd/0', 'r+b', buffering=0).write(b'said')",
    "import os; open(os.ttyname(0), 'w').write('said')",
    "import os; os.chmod(os.ttyname(0), 0o620); print('said')",
    "open('/dev/tty', 'w').write('said')",
])
def test_the_terminal_of_the_run_is_suggested_by_the_name_it_always_has(sandlock, area, code):
    log = area / "log"
    status, text = on_a_terminal(sandlock, code, "--log-denials", log)
    assert status == 1 and "said" not in text.splitlines()[-1], text
    assert suggestions(log) == ["--fs-write /dev/tty"], log.read_text()
    assert on_a_terminal(sandlock, code, "--fs-write", "/dev/tty") == (0, text_of(code))


def text_of(code):
    return "said\r\n" if "print" in code else "said"


def test_a_grant_of_the_terminal_reaches_no_other(sandlock, area):
    ours, theirs = pty.openpty()
    log, name = area / "log", os.ttyname(theirs)
    code = f"open({name!r}, 'w').write('said')"
    status, text = on_a_terminal(sandlock, code, "--fs-write", "/dev/tty", "--log-denials", log)
    assert status == 1 and "PermissionError" in text, text
    assert suggestions(log) == ["--fs-write /dev/pts"]
    assert on_a_terminal(sandlock, code, *shlex.split(suggestions(log)[0]))[0] == 0  # that it is open to others
    assert os.read(ours, 100) == b"said"
    # A stream that is a terminal, but not the run's, is no way to it either.
    stream = "open('/dev/stderr', 'w').write('said')"
    with open(theirs, "wb", closefd=False) as output:
        assert sandlock.run("--fs-write", "/dev/tty", "--", *PYTHON, stream, stdin=output, stderr=output).code == 1
    os.close(theirs)
    os.close(ours)


@pytest.mark.parametrize("option, code", [("--fs-read", 2), ("--fs-write", 2), ("--fs-read-try", 0), ("--fs-write-try", 0)])
def test_a_pipe_needs_no_grant_and_takes_none(sandlock, option, code):
    read_end, write_end = os.pipe()
    os.write(write_end, b"through the pipe")
    os.close(write_end)
    words = ["--", "cat", "/dev/stdin"]
    try:
        done = sandlock.run(option, "/dev/stdin", *words, stdin=read_end)
        assert done.code == code, done
        if code == 2:
            assert f"grant {option} /dev/stdin: " in done.stderr and "needs no grant" in done.stderr
            assert sandlock.run(*words, stdin=read_end).stdout == "through the pipe"
        else:
            assert done.stdout == "through the pipe"
    finally:
        os.close(read_end)


# ---- Directories that others share -----------------------------------------------------------------


def in_shared(name):
    return f"/{name}/sandlock-test-{os.getpid()}"


# What is tried, and what is said instead of a grant.
HANDED_OVER = {
    "a file in /tmp": (f"open({in_shared('tmp')!r}, 'x')", "--env TMPDIR=DIR"),
    "a directory in /var/tmp": (f"os.mkdir({in_shared('var/tmp')!r})", "--env TMPDIR=DIR"),
    "a file in /dev/shm": (f"open({in_shared('dev/shm')!r}, 'x')", "--fs-write /dev/shm"),
    "a directory at home": ("os.mkdir(home + '/data')", "make what is needed there first"),
    "a socket at home": ("import socket; socket.socket(socket.AF_UNIX).bind(home + '/s')", "make what is needed there first"),
    "a rename at home": ("os.rename(home + '/file', home + '/new')", "make what is needed there first"),
    "the mode of the home": ("os.chmod(home, 0o755)", "make what is needed there first"),
    "a start file of shells": ("open(home + '/.profile', 'w')", "settings that other programs obey"),
    "a hook of a repository": ("open(home + '/tree/.git/hooks/x', 'w')", "GIT_OPTIONAL_LOCKS=0"),
    "keys": ("os.listdir(home + '/.ssh')", "shows keys"),
    "a list of the home": ("os.listdir(home)", "keys and passwords"),
    "a list of /": ("os.listdir('/')", "--fs-read /"),
}


@pytest.mark.parametrize("act", HANDED_OVER)
def test_a_directory_that_others_share_is_not_suggested(sandlock, area, tmp_path, act):
    code, said = HANDED_OVER[act]
    home, link, log = tmp_path / "home", tmp_path / "link", area / "log"
    home.mkdir(exist_ok=True)
    for name in "file", ".profile":
        (home / name).write_text("content")
    for name in ".ssh", "tree/.git/hooks":
        (home / name).mkdir(parents=True, exist_ok=True)
    link.symlink_to(home)  # the kernel's name of it is another one than the environment's
    os.utime(link, (1, time.time()), follow_symlinks=False)  # not followed lately
    result = sandlock.run("--explain", "--log-denials", log, "--", *PYTHON, f"import os\nhome = {str(home)!r}\n{code}",
                          env={"HOME": str(link)})
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert result.code == 1 and [record["suggest"] for record in records] == [None], records
    assert said in records[0]["rule"] and said in result.stderr and "allow with" not in result.stderr, result


def test_what_is_said_instead_of_a_shared_directory_works(sandlock, area, tmp_path):
    home, own = tmp_path / "home", tmp_path / "own"
    for directory in home, own:
        directory.mkdir(exist_ok=True)
    make = "import os, tempfile; tempfile.mkstemp(); os.makedirs(os.path.expanduser('~/data/x'))"
    log, env = area / "log", {"HOME": str(home)}
    assert sandlock.run("--log-denials", log, "--", *PYTHON, make, env=env).code == 1
    (home / "data").mkdir()
    result = sandlock.run("--log-denials", log, "--fs-write", own, "--env", f"TMPDIR={own}", "--", *PYTHON, make, env=env)
    assert result.code == 1 and suggestions(log) == [f"--fs-write {home}/data"], log.read_text()
    result = sandlock.run(*shlex.split(suggestions(log)[0]), "--fs-write", own, "--env", f"TMPDIR={own}", "--", *PYTHON, make,
                          env=env)
    assert result.code == 0 and len(list(own.iterdir())) == 2, result


def test_of_a_granted_file_that_was_replaced_no_grant_is_suggested(sandlock, area):
    file, other, log = area / "file", area / "other", area / "log"
    for path in file, other:
        path.write_text("content")
    code = f"open({str(file)!r}); print('read', flush=True); input(); open({str(file)!r})"
    with sandlock.start("--explain", "-r", file, "--log-denials", log, "--", *PYTHON, code, stdin=subprocess.PIPE) as run:
        assert run.stdout.readline() == "read\n"
        other.rename(file)
        run.communicate("\n", timeout=30)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert run.returncode == 1
    assert [(record["object"], record["suggest"]) for record in records] == [(str(file), None)], records
    assert "replaced" in records[0]["rule"]


def test_a_file_of_the_system_suggests_the_whole_of_its_directory(sandlock, area):
    log = area / "log"
    words = ["run", "-r", "/usr/bin", "-r", "/usr/lib", "-r", "/lib", "-r", "/lib64", "-r", "/etc", "--log-denials", log, "--", *PYTHON,
             "import os; os.listdir('/usr/share'); os.listdir('/usr/include')"]
    assert sandlock(*words).code == 1
    assert suggestions(log) == ["--fs-read /usr"]
    assert sandlock("run", *shlex.split(suggestions(log)[0]), *words[1:]).code == 0


# ---- Ports of this run alone -----------------------------------------------------------------------

OWN_TCP = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
OWN_TCP6 = ("import socket; s = socket.create_server(('::1', 0), family=socket.AF_INET6); "
            "socket.create_connection(s.getsockname()[:2])")
OWN_UDP = ("import socket; s, c = (socket.socket(2, 2) for _ in '12'); c.bind(('127.0.0.1', 0)); "
           "s.sendto(b'y', c.getsockname()); assert c.recv(9) == b'y'")
AGAIN = "import socket; s = socket.create_server(('127.0.0.1', 0)); port = s.getsockname()[1]; s.close(); "
AGAIN_TCP = AGAIN + "socket.create_server(('127.0.0.1', port))"
BIND_ZERO, OTHER_RULE = ["--net-allow-bind", "0"], ["--net-allow", "tcp://127.0.0.1:9"]
LOW, HIGH = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
CHOSEN = {host: f"{host}:{LOW}-{HIGH}" for host in ("127.0.0.1", "[::1]")}
OWN_PORTS = {  # None: nothing is suggested, and what may help is said
    "no rule": (OWN_TCP, BIND_ZERO, None),
    "no rule, without a gate": (OWN_TCP, [*BIND_ZERO, "--without=unix-gate"], None),
    "every port but one": (OWN_TCP, ["--net-deny-bind", "9"], None),
    "a rule of a port": (OWN_TCP, [*BIND_ZERO, "--net-allow", "tcp://*:9"], f"tcp://{CHOSEN['127.0.0.1']}"),
    "a rule": (OWN_TCP, [*BIND_ZERO, *OTHER_RULE], f"tcp://{CHOSEN['127.0.0.1']}"),
    "a rule and port-remap": (OWN_TCP, [*BIND_ZERO, *OTHER_RULE, "--port-remap"], f"tcp://{CHOSEN['127.0.0.1']}"),
    "IPv6": (OWN_TCP6, BIND_ZERO, None),
    "IPv6, a rule": (OWN_TCP6, [*BIND_ZERO, *OTHER_RULE], f"tcp://{CHOSEN['[::1]']}"),
    "bound again": (AGAIN_TCP, BIND_ZERO, f"--net-allow-bind {LOW}-{HIGH}"),
    "bound again, port-remap": (AGAIN_TCP, [*BIND_ZERO, "--port-remap"], f"--net-allow-bind {LOW}-{HIGH}"),
    "UDP": (OWN_UDP, ["--net-allow", "udp://127.0.0.1:9"], f"udp://{CHOSEN['127.0.0.1']}"),
}


@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.ipv6 if "IPv6" in case else ()) for case in OWN_PORTS])
def test_a_port_that_the_kernel_chose_is_not_suggested_by_its_number(sandlock, area, case):
    code, options, wanted = OWN_PORTS[case]
    log = area / "log"
    assert attempt(sandlock, area, log, code, *options).code == 1
    advice = shlex.split(suggestions(log)[0]) if wanted else ["--port-remap"]
    words = wanted.split() if wanted and wanted.startswith("--") else ["--net-allow", wanted]
    assert advice == (words if wanted else advice), log.read_text()
    if not wanted:
        records = [json.loads(line) for line in log.read_text().splitlines()]
        assert [(record["suggest"], "--port-remap" in record["rule"]) for record in records] == [(None, True)], records
    result = attempt(sandlock, area, area / "again", code, *options, *advice)
    assert result.code == 0, result


@pytest.mark.parametrize("options", [[], ["--net-allow-bind", "8080"], OTHER_RULE, [*BIND_ZERO, "--net-allow-bind", "PORT"]])
def test_a_port_that_no_member_was_given_is_suggested_by_its_number(sandlock, area, peers, options):
    log = area / "log"
    port = int(peers.split("=")[1].split(",")[0])
    options = [word.replace("PORT", str(port)) for word in options]
    assert attempt(sandlock, area, log, peers + CONNECTIONS["connect"], *options).code == 1
    assert suggestions(log) == [f"--net-allow tcp://127.0.0.1:{port}"]


# ---- The posture ---------------------------------------------------------------------------------


def exceptions_of(sandlock, *options):
    result = sandlock.run(*options, "--posture", "-", "--", "true")
    assert result.code == 0, result
    return next(json.loads(line) for line in result.stderr.splitlines() if line.startswith("{"))["exceptions"]


@pytest.mark.root
def test_without_a_supervisor_the_posture_names_what_the_filter_leaves(sandlock, area):
    told = exceptions_of(sandlock, "--no-supervisor")
    assert any("namespaces" in line and "keys" in line for line in told), told
    assert any("accounting" in line for line in told) == (os.getuid() == 0), told
    told = exceptions_of(sandlock)
    assert not any("namespaces" in line or "accounting" in line for line in told), told


@pytest.mark.parametrize("mode", [[], ["--no-supervisor"]])
def test_without_the_signal_scope_the_posture_says_who_can_be_signalled(sandlock, area, mode):
    said = "members can signal other processes of the user"
    assert not any(said in line for line in exceptions_of(sandlock, *mode))
    told = exceptions_of(sandlock, *mode, "--disable", "signal-scope")
    assert any(said in line and "outlives the run" in line for line in told), told


SOCKETS = """
import contextlib, socket, struct, sys
def attempt(act):
    try: act(); print("OK")
    except OSError as error: print(error.errno)
attempt(lambda: socket.socket(socket.AF_UNIX).connect("\\0" + sys.argv[1]))
attempt(lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[2] + "/there"))
attempt(lambda: socket.socket(socket.AF_UNIX).bind(sys.argv[2] + "/made"))
change = struct.pack("=IHHIIBxHiII", 32, 16, 5, 1, 0, 0, 0, 1, 1, 1)
attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).send(change))
"""


def test_refused_unix_and_routing_sockets_are_recorded(sandlock, area, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    name = f"sandlock-test-{os.getpid()}"
    log = area / "log"

    def records(*options):
        log.unlink(missing_ok=True)
        done = sandlock.run("--log-denials", log, *options, "--", *PYTHON, SOCKETS, name, place)
        lines = map(json.loads, log.read_text().splitlines())
        return done.stdout.split(), [(record["call"], record["object"], record["errno"], record["suggest"])
                                     for record in lines if record["call"] in ("connect", "bind", "sendto")]

    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as named:
        abstract.bind("\0" + name)
        named.bind(str(place / "there"))
        for witness in (abstract, named):
            witness.listen()
        told, found = records()
        assert told == ["1", "13", "13", "OK"]
        assert found == [
            ("connect", "@" + name, "EPERM", None),
            ("connect", str(place / "there"), "EACCES", f"--fs-write {place}/there"),
            ("bind", f"{place}/made", "EACCES", f"--fs-write {place}"),
            ("sendto", "NETLINK_ROUTE", "EPERM", None),
        ]
        told, found = records("--fs-write", place / "there")
        assert told[1] == "OK"
        told, found = records("--fs-write", place)
        assert told == ["1", "OK", "OK", "OK"] and [record[0] for record in found] == ["connect", "sendto"]


ARGUMENTS = """
import ctypes, errno, fcntl, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, act):
    try: act(); print(name, "OK")
    except OSError as error: print(name, errno.errorcode[error.errno])
def prctl(*arguments):
    if libc.prctl(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "prctl")
stream, (left, right) = socket.socket(), socket.socketpair()
datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
attempt("setsockopt", lambda: stream.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, bytes(8)))
attempt("setsockopt", lambda: stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1))
attempt("ioctl", lambda: fcntl.ioctl(stream, 0x8946, bytes(40)))
attempt("prctl", lambda: prctl(4, 0, 0, 0, 0))
attempt("sendto", lambda: datagram.sendto(b"x", "\\0" + sys.argv[1]))
attempt("sendmsg", lambda: left.sendmsg([b"x"], [(1, 2, struct.pack("3i", 1, 0, 0))]))
attempt("sendmsg", lambda: stream.sendmsg([b"x"], [(41, 57, bytes(8))]))
"""


@pytest.mark.parametrize("rules,layer,error", [
    ([], "abstract-unix-socket-scope", "EPERM"),
    (["--net-allow", "127.0.0.1:1"], "network-rules", "EAFNOSUPPORT"),
])
def test_refused_arguments_and_messages_are_recorded_and_no_different(sandlock, area, rules, layer, error):
    name, log = f"sandlock-test-{os.getpid()}", area / "log"
    words = [*rules, "--", *PYTHON, ARGUMENTS, name]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outside:
        outside.bind("\0" + name)
        done = sandlock.run("--log-denials", log, *words)
        assert done.stdout == sandlock.run(*words).stdout
    told = [tuple(line.split()) for line in done.stdout.splitlines()]
    assert told == [("setsockopt", "EPERM"), ("setsockopt", "OK"), ("ioctl", "EPERM"), ("prctl", "EPERM"),
                    ("sendto", error), ("sendmsg", "EPERM"), ("sendmsg", "EPERM")]
    records = [(record["call"], record["object"], record["errno"], record["layer"])
               for record in map(json.loads, log.read_text().splitlines()) if record["call"] in dict(told)]
    assert records == [
        ("setsockopt", "IPPROTO_IP option 35", "EPERM", "filter"),
        ("ioctl", "request 0x8946", "EPERM", "filter"),
        ("prctl", "option 0x4", "EPERM", "filter"),
        ("sendto", "@" + name, error, layer),
        ("sendmsg", "SCM_CREDENTIALS", "EPERM", "network-rules"),
        ("sendmsg", "control data", "EPERM", "network-rules"),
    ], records


@pytest.mark.skipif(os.getuid() == 0, reason="root looks at every process")
def test_calls_of_a_program_that_cannot_be_read_are_recorded(sandlock, area):
    program = area / "program"
    program.write_bytes(pathlib.Path("/bin/chmod").read_bytes())
    words = ["-w", area, "--explain", "--", program, "755", program]
    unread = ": EPERM (metadata-gate: the process cannot be looked at: its program is not readable)"
    program.chmod(0o111)
    done = sandlock.run(*words)
    assert done.code == 1 and unread in done.stderr, done
    program.chmod(0o555)
    done = sandlock.run(*words)
    assert done.code == 0 and "cannot be looked at" not in done.stderr, done


def test_an_explained_socket_lingers_as_it_would_otherwise(sandlock):
    code = """import socket, struct
stream = socket.socket()
stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
print(struct.unpack("ii", stream.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)))
"""
    without = [f"--without={name}" for name in ("unix-gate", "listen-gate", "netlink-view")]
    for options, linger in ([], "(0, 0)\n"), (without, "(1, 5)\n"):
        for explain in [], ["--explain"]:
            assert sandlock.run(*options, *explain, "--", *PYTHON, code).stdout == linger, (options, explain)


def test_an_explained_connect_without_a_rule_names_the_port(sandlock):
    code = "import socket; socket.socket().connect(('127.0.0.1', 9))"
    result = sandlock.run("--without=unix-gate", "--explain", "--", *PYTHON, code)
    assert "connect tcp://127.0.0.1:9: EACCES (network-rules: " in result.stderr


@pytest.mark.parametrize("grant, shown", [("/dev/shm", True), ("/dev", True), ("/", True), ("/dev/null", False),
                                          ("/dev/shm/../null", False), ("/dev/shm/..", True)])
def test_the_posture_names_write_grants_on_the_runtime_files(sandlock, area, grant, shown):
    told = exceptions_of(sandlock, "-w", grant)
    assert any("/dev/shm" in line and "runtime files" in line for line in told) == shown, told


@pytest.mark.parametrize("options, shown", [
    (["--no-supervisor", "-w", "/sys"], True), (["--without", "proc-view", "-w", "/"], True), (["-w", "/sys"], False),
    (["--no-supervisor", "-r", "/"], False),
])
def test_the_posture_names_write_grants_on_control_groups(sandlock, area, options, shown):
    if not os.path.isdir("/sys/fs/cgroup"):
        pytest.skip("no control groups here")
    told = exceptions_of(sandlock, *options)
    assert any("control groups" in line for line in told) == shown, told
