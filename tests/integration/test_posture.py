"""The posture against what is enforced: each statement is made beside the act that it is about."""

import errno
import json
import os
import pathlib
import platform
import shutil
import socket
import subprocess

import pytest

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B"]

BIND = """
import socket, sys
for port in map(int, sys.argv[1:]):
    try: socket.socket().bind(("127.0.0.1", port))
    except OSError as error: print(error.errno)
    else: print("bound")
"""


class Posture:
    """One record, and the run that it is of."""

    def __init__(self, text, result):
        record = json.loads(text)
        self.entries = {entry["name"]: entry for entry in record["entries"]}
        self.exceptions = record["exceptions"]
        self.result = result

    def state(self, name):
        return self.entries[name]["state"]

    def left_open(self, words):
        """True if an exception has these words."""
        return any(words in text for text in self.exceptions)


@pytest.fixture
def posture(sandlock):
    """Runs a command with options and returns its posture."""
    def run(*options, command=("true",)):
        path = sandlock.home / "posture.json"
        result = sandlock.run(*options, "--posture", path, "--", *command)
        assert path.exists(), result
        text = path.read_text()
        path.unlink()
        return Posture(text, result)
    return run


# ---- Protections that are left out ------------------------------------------------------------------

def test_without_fs_truncate_the_posture_says_what_is_open(posture, sandlock, secret):
    act = ["sh", "-c", f"{' '.join(PYTHON)} -c 'import os; os.truncate(\"{secret}\", 0)'"]
    words = "truncate()"
    control = posture(command=act)
    assert control.result.code != 0 and secret.read_text() != ""
    assert not control.left_open(words)
    opened = posture("--disable", "fs-truncate", command=act)
    assert opened.result.code == 0 and secret.read_text() == ""
    assert opened.state("fs-truncate") == "disabled" and opened.left_open(words)


def test_without_fs_ioctl_dev_the_posture_says_what_is_open(posture):
    """Access mode 3 opens what is not granted, and then only this protection is in the way."""
    act = [*PYTHON, "-c", "import fcntl, os; fcntl.ioctl(os.open('/dev/ptmx', 3), 0x80045430, bytes(4))"]
    words = "requests to devices (ioctl)"
    control = posture(command=act)
    assert control.result.code != 0 and not control.left_open(words)
    opened = posture("--disable", "fs-ioctl-dev", command=act)
    assert opened.result.code == 0, opened.result
    assert opened.state("fs-ioctl-dev") == "disabled" and opened.left_open(words)


def test_each_protection_that_is_left_out_has_an_exception(posture):
    for name, words in (("signal-scope", "signal other processes"), ("net-tcp", "TCP connect and bind"),
                        ("abstract-unix-socket-scope", "abstract unix sockets")):
        seen = posture("--disable", name)
        assert seen.state(name) == "disabled" and seen.left_open(words), name
        assert not posture().left_open(words), name


# ---- Ports ------------------------------------------------------------------------------------------

def bound(posture, *options):
    seen = posture(*options, command=[*PYTHON, "-c", BIND, "0"])
    return seen, seen.result.stdout == "bound\n"


@pytest.mark.parametrize("options", [["--net-allow", "tcp://127.0.0.1", "--net-allow-bind", "*"],
                                     ["--net-allow", "tcp://*", "--disable", "net-tcp"]])
def test_where_every_port_can_be_bound_no_rule_is_claimed(posture, sandlock, options):
    seen, works = bound(posture, *options)
    assert works
    assert seen.state("bind-rules") == seen.state("bind") == "off"
    assert "remap" not in (seen.entries["bind"]["why"] or "")
    refused = sandlock.run(*options, "--require", "bind-rules", "--", "true")
    assert refused.code == 125 and "every TCP port is allowed" in refused.stderr


def test_a_bind_list_is_claimed_where_it_holds(posture):
    for options in (["--net-allow-bind", "80"], ["--net-allow", "tcp://127.0.0.1", "--net-allow-bind", "80"]):
        seen, works = bound(posture, *options)
        assert not works
        assert seen.state("bind-rules") == seen.state("bind") == "active"


def test_a_deny_list_holds_without_net_tcp_and_the_posture_says_so(posture):
    seen = posture("--net-deny-bind", "80", "--disable", "net-tcp", command=[*PYTHON, "-c", BIND, "80", "0"])
    assert seen.result.stdout == "13\nbound\n"
    assert seen.state("bind") == "active"
    assert seen.left_open("TCP connect is not restricted") and not seen.left_open("TCP connect and bind")


# ---- Limits -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("options, by", [([], "supervisor"), (["--without", "process-gate"], "supervisor"),
                                         (["--no-supervisor"], "filter")])
def test_pinned_processors_are_claimed_with_who_keeps_them(posture, options, by):
    core = min(os.sched_getaffinity(0))
    act = [*PYTHON, "-c", "import os\nprint(*os.sched_getaffinity(0))\n"
           "try: os.sched_setaffinity(0, range(64))\nexcept PermissionError: print('refused')\n"
           "print(*os.sched_getaffinity(0))"]
    seen = posture(*options, "--cpu-cores", core, "--require", "cpu-affinity", command=act)
    lines = seen.result.stdout.splitlines()
    assert lines[0] == lines[-1] == str(core)
    assert ("refused" in lines) == (by == "filter")
    assert (seen.state("cpu-affinity"), seen.entries["cpu-affinity"]["by"]) == ("active", by)
    assert posture(*options).state("cpu-affinity") == "off"


@pytest.mark.personality
def test_each_limit_has_an_entry(posture):
    for option in ("no-huge-pages", "no-randomize-memory"):
        assert posture(f"--{option}", "--require", option).state(option) == "active"
        assert posture().state(option) == "off"
    assert posture("--no-randomize-memory").left_open("addresses of members' memory")


def test_what_listening_without_a_bind_opens_is_said(posture):
    ways = {"chosen by the kernel": [["--net-allow-bind", "80"], ["--net-deny-bind", "40000"]], "that is denied": [["--net-deny-bind", "40000"]]}
    for words, policies in ways.items():
        for policy in policies:
            assert posture(*policy, "--without", "listen-gate").left_open(words)
            assert not posture(*policy).left_open(words) and posture(*policy).state("listen-gate") == "active"
    assert posture("--net-allow-bind", "0").state("listen-gate") == "off"


# ---- Grants and switches ----------------------------------------------------------------------------

def test_what_can_be_written_is_said_of_what_was_granted(posture, area):
    file = area / "file"
    file.write_text("")
    seen = posture("-w", area, "-w", file, "-w", "/dev/null", "--fs-write-try", area / "missing")
    assert [text for text in seen.exceptions if "written and executed" in text] == [
        f"what lies below {area} can be written and executed", f"{file} can be written and executed"]


def test_shown_names_are_those_of_the_grant(posture):
    for grant, proc, sys in (("/proc/self", True, False), ("/sys/class", False, True), ("/", True, True)):
        seen = posture("-r", grant)
        assert (seen.left_open("grant on /proc"), seen.left_open("grant on /sys")) == (proc, sys), grant


def test_allowed_shared_objects_are_an_exception(posture):
    assert posture("--extra-allow-syscall", "sysv_ipc").left_open("shared memory")
    assert not posture().left_open("shared memory")


def test_what_is_absent_or_switched_off_has_an_exception(posture):
    rule = ["--net-allow", "tcp://127.0.0.1:80"]
    seen = posture(*rule)
    assert seen.state("hostname-view") == "absent" and seen.left_open("the host's name is visible")
    assert not seen.left_open("/etc/hosts")
    assert posture(*rule, "--without", "hosts-view").left_open("/etc/hosts is the host's")
    assert not posture("--without", "hosts-view").left_open("/etc/hosts")


# ---- Reports and members ----------------------------------------------------------------------------

@pytest.mark.parametrize("grant", ["directory", "above", "file"])
def test_a_posture_that_members_can_change_is_named(sandlock, area, grant):
    """It would be read as sandlock's word."""
    below = area / "below"
    below.mkdir()
    path = below / "posture.json"
    path.write_text("older")
    granted = {"directory": below, "above": area, "file": path}[grant]
    for option, grants in (("-w", granted), ("-w", "/"), ("-r", granted)):
        run = sandlock.run(option, grants, "--posture", path, "--", "cat", path)
        assert run.code == 0 and json.loads(run.stdout)["v"] == 1, run
        warned = f"the posture record lies below --fs-write '{grants}'" in run.stderr
        assert warned == (option == "-w"), run


def test_a_log_that_members_can_change_is_named(posture, sandlock, area):
    log = area / "denials"
    words = "the denial log lies below --fs-write"
    warned = sandlock.run("-w", area, "--log-denials", log, "--", "cat", "/nonexistent/x")
    assert warned.code == 1 and words in warned.stderr
    assert log.exists()
    quiet = sandlock.run("-r", area, "--log-denials", log, "--", "true")
    assert quiet.code == 0 and quiet.stderr == ""


# ---- Where descriptors cannot be fetched ------------------------------------------------------------

HELPERS = pathlib.Path(os.environ.get("SANDLOCK_BUILD", pathlib.Path(__file__).parents[2] / "build")).resolve() / "tests/helpers"
UNFETCHED = "descriptors of members cannot be fetched here"


@pytest.fixture
def poor(sandlock):
    """A container that refuses pidfd_getfd and ptrace."""
    def run(*words, refused=("ptrace",)):
        return subprocess.run([HELPERS / "container_filter", *refused, "--", sandlock.binary, *map(str, words)],
                              capture_output=True, text=True, env=sandlock.environment(), timeout=30, check=False,
                              stdin=subprocess.DEVNULL)
    return run


def records(area, poor, *words):
    log = area / "log"
    done = poor("run", "-r", "/", "--log-denials", log, *words)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.unlink()
    return done, [line for line in lines if UNFETCHED in line["rule"]]


def test_a_lost_call_says_why_and_what_helps(poor, area):
    """The suggestion is pasted, and the same act succeeds."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    pair = "import socket; a, b = socket.socketpair(); a.sendmsg([b'x'])"
    listen = f"import socket; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen()"
    plain = ["--without", "proc-view"]
    for call, layer, suggest, options, command in (
            ("getdents64", "proc-view", "--without proc-view", [], ["ls", "/usr"]),
            ("sendmsg", "network-rules", "--without unix-gate", plain, [*PYTHON, "-c", pair]),
            ("listen", "listen-gate", "--without listen-gate", [*plain, "--net-allow-bind", port],
             [*PYTHON, "-c", listen])):
        done, lines = records(area, poor, *options, "--", *command)
        assert done.returncode != 0, done
        assert [(line["call"], line["layer"], line["suggest"], line["errno"]) for line in lines] == [
            (call, layer, suggest, "EPERM")]
        done, lines = records(area, poor, *options, *suggest.split(), "--", *command)
        assert (done.returncode, lines) == (0, []), done


def test_lost_features_are_degraded_and_never_required(poor, area):
    path = area / "posture"
    options = ["-r", "/", "--net-allow", "127.0.0.1:80", "--net-allow-bind", "80"]
    assert poor("run", *options, "--posture", path, "--", "true").returncode == 0
    record = json.loads(path.read_text())
    states = {entry["name"]: entry["state"] for entry in record["entries"]}
    lost = ["network-rules", "unix-gate", "proc-view", "listen-gate", "bind-rules", "tcp", "udp", "bind"]
    assert {name: states[name] for name in lost} == dict.fromkeys(lost, "degraded")
    kept = ["metadata-gate", "process-gate", "hosts-view", "netlink-view", "interface-view", "net-tcp"]
    assert {name: states[name] for name in kept} == dict.fromkeys(kept, "active")
    sentence = next(text for text in record["exceptions"] if UNFETCHED in text)
    assert all(name in sentence for name in ("network-rules", "unix-gate", "proc-view", "listen-gate"))
    for name in ("network-rules", "proc-view"):
        refused = poor("run", *options, "--require", name, "--", "echo", "ran")
        assert (refused.returncode, refused.stdout) == (125, "")
        assert name in refused.stderr and UNFETCHED in refused.stderr


def test_check_names_what_is_lost(poor, sandlock):
    text = poor("check").stdout
    assert "Lost here:" in text and UNFETCHED in text
    lost = json.loads(poor("check", "--json").stdout)["lost"]
    assert {"network-rules", "unix-gate", "bind-rules", "listen-gate", "proc-view"} <= set(lost)
    assert all(name in text for name in lost)
    assert "Lost here:" not in sandlock("check").stdout
    assert json.loads(sandlock("check", "--json").stdout)["lost"] == []


@pytest.mark.parametrize("call, lost, kept", [
    ("openat2", ["metadata-gate", "unix-gate", "proc-view", "hosts-view", "explain"], ["process-gate", "network-rules"]),
    ("faccessat2", ["explain"], ["metadata-gate", "unix-gate", "proc-view", "hosts-view"])])
def test_what_needs_a_call_that_is_refused_here_is_degraded_and_never_required(poor, area, call, lost, kept):
    path = area / "posture"
    options = ["-r", "/", "--net-allow", "127.0.0.1:80", "--explain"]
    why = f"{call} is refused here"
    for refused in ((), (call,)):
        done = poor("run", *options, "--posture", path, "--", "true", refused=refused)
        assert done.returncode == 0, done
        entries = {entry["name"]: entry for entry in json.loads(path.read_text())["entries"]}
        degraded = [name for name in [*lost, *kept] if entries[name]["state"] == "degraded"]
        assert degraded == [name for name in lost if refused]
        assert [entries[name]["why"] for name in degraded] == [why] * len(degraded)
        assert {entries[name]["state"] for name in [*lost, *kept]} <= {"active", "degraded"}
    for name in lost:
        done = poor("run", *options, "--require", name, "--", "echo", "ran", refused=refused)
        assert (done.returncode, done.stdout) == (125, "") and name in done.stderr and why in done.stderr
        assert poor("run", *options, "--require", name, "--", "echo", "ran", refused=()).stdout == "ran\n"
    text = poor("check", refused=refused).stdout
    record = json.loads(poor("check", "--json", refused=refused).stdout)
    assert f"{call}:" in text and "Lost here:" in text and f"{call}: Operation not permitted" in text
    assert set(record["lost"]) == set(lost) and record[call]["errno"] == errno.EPERM


def test_a_gate_that_lacks_a_call_does_not_suggest_the_grant_that_is_there(poor, area):
    log, file = area.parent / "log", area / "file"
    file.write_text("")
    for refused, told in ((("openat2",), [("metadata-gate", "openat2 is refused here", None)]), ((), [])):
        done = poor("run", "-r", "/", "-w", area, "--log-denials", log, "--", "touch", file, refused=refused)
        assert (done.returncode != 0) == bool(refused), done
        records = [json.loads(line) for line in log.read_text().splitlines()]
        assert [(each["layer"], each["rule"], each.get("suggest")) for each in records if each["call"] == "utimensat"] == told
        log.unlink()


@pytest.mark.parametrize("call", ["statx", "close_range"])
def test_a_call_that_every_run_needs_is_named_where_it_is_refused(poor, call):
    for mode in ([], ["--no-supervisor"]):
        done = poor("run", "-r", "/", *mode, "--", "true", refused=(call,))
        assert done.returncode == 125 and f"the system call {call} is refused here" in done.stderr, done
        assert poor("run", "-r", "/", *mode, "--", "true", refused=()).returncode == 0


def test_check_ends_where_kill_is_refused(poor):
    done = poor("check", refused=("kill",))
    assert done.returncode == 0 and "unavailable (kill: Operation not permitted)" in done.stdout
    assert poor("check", "--json", refused=("kill",)).returncode == 0


@pytest.mark.skipif(platform.machine() != "x86_64", reason="tracing is written for x86-64")
@pytest.mark.skipif(os.getuid() == 0, reason="root reads every program")
def test_where_tracing_stands_in_it_is_said_and_its_refusals_are_recorded(poor, sandlock, area):
    """A program that may be executed and not read cannot be traced."""
    log, record, program = area / "log", area / "posture", area / "probe"
    shutil.copy(HELPERS / "fetch_probe", program)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for mode, failed in ((0o555, 0), (0o111, 1)):
            program.chmod(mode)
            done = poor("run", *sandlock.base, "-r", area, "--net-allow", f"tcp://127.0.0.1:{port}", "--log-denials", log,
                        "--posture", record, "--", program, "connects", port, 0, 1, refused=())
            assert f"failed: {failed}" in done.stdout, done
            told = [json.loads(line) for line in log.read_text().splitlines()]
            assert any("cannot be stopped or traced" in line["rule"] or "not readable" in line["rule"]
                       for line in told) == bool(failed), told
    assert any("fetched by tracing" in text for text in json.loads(record.read_text())["exceptions"])


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: whose files below /proc are all the machine's")
@pytest.mark.user_namespaces
def test_that_the_supervisor_may_write_below_proc_is_said_where_the_run_needs_it(posture):
    words = "the supervisor may write below /proc"
    for options in (["--no-coredump"], ["--user", "1000:1000"], ["-w", "/proc/self"]):
        assert posture(*options).left_open(words), options
    assert not posture().left_open(words)
