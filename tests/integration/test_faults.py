"""Injected faults: a launch whose step fails runs nothing and leaves nothing, and a supervisor that
misbehaves meets the kernel.

These tests need a build with -Dfault_injection=true, see `make faults`. Faults are named in
$SANDLOCK_FAULT (src/util/fault.h).
"""

import ctypes
import errno
import itertools
import json
import os
import pathlib
import pty
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

if os.environ.get("SANDLOCK_FAULTS") != "1":
    pytest.skip("needs a build with fault injection: make faults", allow_module_level=True)

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNTIME = pathlib.Path(f"/dev/shm/sandlock-{os.getuid()}")
BUILD = pathlib.Path(os.environ.get("SANDLOCK_BUILD", ROOT / "build-faults")).resolve()
# The program of this build has the libc of Python and of the library.
IO_ERROR = os.strerror(errno.EIO)
NO_MEMORY = os.strerror(errno.ENOMEM)
numbers = itertools.count(1)


# ---- Helpers ----------------------------------------------------------------------------------


def processes_with(mark):
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            command = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in command:
            found.append(int(entry))
    return found


def children_of(pid):
    try:
        return list(map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []


def eventually(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


class Fault:
    """Runs of one sandbox name whose command lines carry a word that nobody else's have."""

    def __init__(self, sandlock, area):
        self.sandlock = sandlock
        self.area = area
        self.name = f"fault-{os.getpid()}-{next(numbers)}"
        self.mark = f"3600.{os.getpid():07d}{next(numbers):06d}"  # a time for sleep(1)
        self.marker = area / "marker"
        self.touch = f": {self.mark}; : >{self.marker}"

    def words(self, *options):
        return ["--name", self.name, "-w", self.area, "-w", "/dev/null", *options, "--"]

    def run(self, fault, *options, command=None, env=None, **kwargs):
        command = command or ["sh", "-c", self.touch]
        return self.sandlock.run(*self.words(*options), *command,
                                 env={"SANDLOCK_FAULT": fault, **(env or {})}, **kwargs)

    def start(self, fault, command, *options, **kwargs):
        return self.sandlock.start(*self.words(*options), *command, env={"SANDLOCK_FAULT": fault},
                                   **kwargs)

    def assert_nothing_is_left(self, seconds=0.0):
        assert eventually(lambda: not processes_with(self.mark), seconds), processes_with(self.mark)
        assert not (RUNTIME / self.name).exists()

    def assert_the_name_is_free(self):
        done = self.run("", command=["true"])
        assert (done.code, done.stderr) == (0, "")
        assert not (RUNTIME / self.name).exists()


@pytest.fixture
def fault(sandlock, area):
    made = Fault(sandlock, area)
    yield made
    for pid in processes_with(made.mark):
        os.kill(pid, signal.SIGKILL)


# ---- A step fails -----------------------------------------------------------------------------

OTHER_USER = "1000:1000" if os.getuid() == 0 else "0:0"

# Steps of guardian and child: name, and the options that make them part of a launch.
STEPS = [
    ("guardian process group", []),
    ("guardian landlock domain", []),
    ("guardian kill and wait calls", []),
    ("clone", []),
    ("guardian death watch", []),
    ("process group", []),
    ("parent death signal", []),
    ("personality (no address space randomisation)", ["--no-randomize-memory"]),
    ("cpu affinity", ["--cpu-cores", str(min(os.sched_getaffinity(0)))]),
    ("transparent huge pages", ["--no-huge-pages"]),
    ("core limit", ["--no-coredump"]),
    ("core dump filter", ["--no-coredump"]),
    ("user namespace", ["--user", OTHER_USER]),
    ("uid_map", ["--user", OTHER_USER]),
    ("setgroups", ["--user", OTHER_USER]),
    ("gid_map", ["--user", OTHER_USER]),
    ("working directory", ["--cwd", "/usr"]),
    ("landlock rule for the command's own", ["--without", "proc-view", "-r", "/proc/self"]),
    ("no_new_privs", []),
    ("landlock", []),
    ("seccomp filter", []),
    ("descriptors", []),
]

# What is prepared before them: fault, message.
PREPARATIONS = [
    ("network", f"network of the sandbox: {NO_MEMORY}"),
    ("denials", f"denial records: {NO_MEMORY}"),
    ("proc", f"open /proc: {IO_ERROR}"),
    ("wake", f"the supervisor's event descriptor: {IO_ERROR}"),
    ("ruleset-members", f"landlock ruleset: {IO_ERROR}"),
    ("ruleset-supervisor", f"supervisor landlock ruleset: {IO_ERROR}"),
    ("ruleset-guardian", f"guardian landlock ruleset: {IO_ERROR}"),
    ("grant", f"grant --fs-read /usr: {IO_ERROR}"),
    ("rule", f"landlock rule for /usr: {IO_ERROR}"),
    ("supervisor-rule", f"landlock rule for the supervisor's own needs: {IO_ERROR}"),
    ("filter", f"filter of the members: {IO_ERROR}"),
    ("streams", f"descriptors: {NO_MEMORY}"),
    ("memory", f"launch memory: {IO_ERROR}"),
    ("stacks", f"launch stacks: {IO_ERROR}"),
    ("posture", f"posture: {NO_MEMORY}"),
    ("feature", f"start process-gate: {IO_ERROR}"),
    ("supervisor-privileges", f"no_new_privs for the supervisor: {IO_ERROR}"),
    ("supervisor-domain", f"landlock domain of the supervisor: {IO_ERROR}"),
    ("guardian-clone", f"clone of the guardian: {IO_ERROR}"),
]


def assert_refused(fault, done, text, code=125):
    assert done.code == code, done
    assert text in done.stderr, done
    assert not fault.marker.exists()
    fault.assert_nothing_is_left()


@pytest.mark.root
@pytest.mark.parametrize("step, options", STEPS, ids=[step for step, _ in STEPS])
def test_a_failed_step_ends_the_launch(fault, step, options):
    assert fault.run("", *options).code == 0, "the control: without the fault it works"
    fault.marker.unlink()
    # Once as an ordinary run, once with a command that waits for its posture.
    assert_refused(fault, fault.run(f"step:{step}", *options), f"sandlock: {step}")
    posture = fault.area.parent / "posture"  # no member may change it
    done = fault.run(f"step:{step}", "--posture", posture, *options)
    assert_refused(fault, done, f"sandlock: {step}")
    assert IO_ERROR in done.stderr.splitlines()[-1]
    assert posture.read_text() == ""


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs root: who may change users")
def test_a_capability_that_cannot_be_given_up_ends_the_launch(fault):
    """Of a root without CAP_KILL (5): PR_CAPBSET_DROP."""
    def without_kill():
        ctypes.CDLL(None).prctl(24, 5, 0, 0, 0)
    done = fault.run("", preexec_fn=without_kill)
    assert done.code == 0, done
    fault.marker.unlink()
    done = fault.run("step:capability to change users", preexec_fn=without_kill)
    assert_refused(fault, done, f"sandlock: capability to change users: {IO_ERROR}")


OTHER_MEMBERS = """
for member in "setpriv --reuid=1234 --regid=1234 --clear-groups" "setpriv --groups 4321 --inh-caps=-all --bounding-set=-all" ""; do
    $member chmod 600 own 2>&1 && echo changed
done
"""


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs root: members of another user and group")
def test_a_worker_never_keeps_the_identity_of_a_member(fault):
    """It fails in between and is itself again, or ends the process where it cannot be."""
    def run(name):
        (fault.area / "own").write_text("")
        os.chown(fault.area / "own", 1234, 1234)
        return fault.run(name, command=["sh", "-c", OTHER_MEMBERS], cwd=fault.area)
    fault.area.chmod(0o755)
    no = "chmod: changing permissions of 'own': Operation not permitted"
    assert run("").stdout.splitlines() == ["changed", no, "changed"]
    done = run("identity-lower")
    assert done.stdout.splitlines() == [no, no, "changed"], done
    done = run("identity-restore")
    assert done.code == 125 and "changed" not in done.stdout, done
    assert "a thread cannot leave the ids of a member" in done.stderr
    assert eventually(lambda: not processes_with(fault.mark), 20)


@pytest.mark.parametrize("step", ["user namespace", "uid_map", "gid_map"])
def test_a_user_that_cannot_be_mapped_names_the_settings_that_forbid_it(fault, step):
    done = fault.run(f"step:{step}", "--user", OTHER_USER)
    assert_refused(fault, done, f"sandlock: {step}: {IO_ERROR}; ")
    for name in ("kernel.apparmor_restrict_unprivileged_userns", "user.max_user_namespaces"):
        assert name in done.stderr, done


@pytest.mark.parametrize("name, text", PREPARATIONS, ids=[name for name, _ in PREPARATIONS])
def test_a_failed_preparation_ends_the_launch(fault, name, text):
    assert_refused(fault, fault.run(name), text)
    posture = fault.area.parent / "posture"  # no member may change it
    assert_refused(fault, fault.run(name, "--posture", posture), text)
    begun = name in ("supervisor-privileges", "supervisor-domain", "guardian-clone")
    assert posture.exists() == begun, "opened when nothing is left to be refused"
    assert not begun or posture.read_text() == ""


def test_the_working_directory_is_named(fault):
    assert_refused(fault, fault.run("step:working directory", "--cwd", "/usr"),
                   f"working directory /usr: {IO_ERROR}")


def test_a_port_that_cannot_be_granted_ends_the_launch(fault):
    assert_refused(fault, fault.run("port-rule", "--net-allow-bind", "4321"),
                   f"landlock rule for TCP port 4321: {IO_ERROR}")


@pytest.mark.parametrize("step", ["open file limit", "signals"])
def test_a_step_after_confinement_ends_the_launch(fault, step):
    done = fault.run(f"step:{step}", "--max-open-files", "64")
    assert_refused(fault, done, f'sandlock: launch step "{step}" failed: {IO_ERROR}')


def test_a_guardian_that_cannot_confine_itself_obeys_nothing_and_ends_the_run(fault):
    """Its filter goes in before its first command: here the kill at the end of the time."""
    sleep = ["sh", "-c", f"{fault.touch}; sleep {fault.mark}"]
    assert fault.run("", "-t", "1", command=sleep).code == 124
    done = fault.run("step:guardian seccomp filter", "-t", "1", command=sleep)
    assert done.code == 125 and "guardian seccomp filter" in done.stderr, done
    fault.assert_nothing_is_left(1.0)


def test_without_the_names_of_the_grants_nothing_is_judged(fault):
    """They are asked for before the first verdict; without them the run ends."""
    change = ["sh", "-c", f"{fault.touch}; chmod 600 {fault.marker}; sleep {fault.mark}"]
    done = fault.run("grants-resolve", "-t", "20", command=change)
    assert done.code == 125 and "names of the grants" in done.stderr, done
    assert fault.marker.stat().st_mode & 0o777 != 0o600
    fault.assert_nothing_is_left(1.0)


def test_a_failed_exec_is_told_from_a_failed_launch(fault):
    done = fault.run("step:exec")
    assert_refused(fault, done, "sandlock child: exec sh: Input/output error", code=126)


def test_without_a_supervisor_a_failed_step_ends_the_launch_as_well(fault):
    for step in ["guardian death watch", "landlock", "seccomp filter", "descriptors"]:
        assert_refused(fault, fault.run(f"step:{step}", "--no-supervisor"), f"sandlock: {step}")


def in_terminal(words, env):
    """Runs the words as a session leader on a terminal: wait status and what was written there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(words[0], list(map(str, words)), env)
    output = b""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            break
        if not chunk:
            break
        output += chunk
    status = os.waitpid(pid, 0)[1]
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), output.decode()


def test_a_terminal_that_cannot_be_handed_over_ends_the_launch(fault):
    words = [fault.sandlock.binary, "run", *fault.sandlock.base, *fault.words(), "sh", "-c", fault.touch]
    env = fault.sandlock.environment({})
    assert in_terminal(words, env) == (0, "")
    fault.marker.unlink()
    code, output = in_terminal(words, dict(env, SANDLOCK_FAULT="step:terminal foreground"))
    assert code == 125 and f"sandlock: terminal foreground: {IO_ERROR}" in output
    assert not fault.marker.exists()
    fault.assert_nothing_is_left()


def test_a_confined_supervisor_takes_the_terminal_back(fault):
    file = fault.area / "file"
    file.write_text("")
    words = [fault.sandlock.binary, "run", *fault.sandlock.base, *fault.words(), "chmod", "600", file]
    assert in_terminal(words, fault.sandlock.environment({})) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600


# ---- What may fail without ending the launch says so ------------------------------------------


@pytest.mark.parametrize("name", ["claim-root", "claim", "pid-file"])
def test_a_run_without_introspection_is_announced(fault, name):
    """Of a command that has ended already nobody needs the number."""
    done = fault.run(name, command=["sh", "-c", f"{fault.touch}; sleep 0.5"])
    assert done.code == 0 and fault.marker.exists()
    assert done.stderr.startswith("sandlock: warning: ") and IO_ERROR in done.stderr
    fault.assert_nothing_is_left()


def test_a_posture_that_cannot_be_written_ends_the_launch(fault):
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = fault.sandlock.run(*fault.words("--posture", f"fd:{full}"), "sh", "-c", fault.touch,
                                  pass_fds=[full])
    finally:
        os.close(full)
    assert_refused(fault, done, "writing --posture: No space left on device")


# ---- Posture ----------------------------------------------------------------------------------


def test_the_posture_is_written_only_when_the_walls_are_up(fault):
    """The filter of the supervisor is installed late in a plain run; never after a posture."""
    posture = fault.area.parent / "posture"  # no member may change it
    assert_refused(fault, fault.run("supervisor-filter", "--posture", posture),
                   f"install the supervisor's filter: {IO_ERROR}")
    assert posture.read_text() == ""
    assert fault.run("", "--posture", posture).code == 0
    states = {entry["name"]: entry["state"] for entry in json.loads(posture.read_text())["entries"]}
    assert states["supervisor-filter"] == states["supervisor-landlock"] == "active"


def test_a_notification_is_not_received_without_the_filter(fault):
    file = fault.area / "file"
    file.write_text("")
    file.chmod(0o644)
    done = fault.run("supervisor-filter", command=["sh", "-c", f"chmod 600 {file}; {fault.touch}"])
    assert done.code == 125 and f"install the supervisor's filter: {IO_ERROR}" in done.stderr
    assert file.stat().st_mode & 0o777 == 0o644
    fault.assert_nothing_is_left()


def test_a_worker_does_not_work_without_its_filter(fault):
    file = fault.area / "file"
    file.write_text("")
    file.chmod(0o644)
    done = fault.run("use-workers,worker-filter", command=["chmod", "600", str(file)])
    assert done.code == 125 and f"installing the worker filter failed: {IO_ERROR}" in done.stderr
    assert file.stat().st_mode & 0o777 == 0o644
    fault.assert_nothing_is_left()


@pytest.mark.parametrize("refused", [False, True], ids=["by-descriptor", "by-number"])
def test_a_guardian_that_somebody_has_stopped_does_not_outlast_a_failure(fault, refused):
    """`refused`: as if a filter of the caller's let nobody signal through a descriptor."""
    failure = "use-workers,worker-filter" + (",guardian-signal" if refused else "")
    script = f"setsid sleep {fault.mark} & echo up; read go; chmod 700 {fault.area}; wait"
    run = fault.start(failure, ["sh", "-c", script], stdin=subprocess.PIPE)
    guardian = None
    try:
        assert run.stdout.readline() == "up\n"
        guardian = children_of(run.pid)[0]
        os.kill(guardian, signal.SIGSTOP)
        run.stdin.write("\n")
        run.stdin.flush()
        assert run.wait(timeout=30) == 125
        fault.assert_nothing_is_left(20)
    finally:
        if run.poll() is None and guardian is not None:
            os.kill(guardian, signal.SIGCONT)
        run.kill()


@pytest.mark.parametrize("what", ["handler-waits", "handler-burns"])
def test_a_supervisor_that_is_stuck_while_it_handles_a_call_ends_the_run(fault, what):
    """As if the member's memory were a file of a server that does not answer, or the kernel did not come back
    from a search. Time limits and signals are the stuck thread's own business, so another one has to end it all."""
    script = f"sleep {fault.mark} & chmod 700 {fault.area}; wait"
    begin = time.monotonic()
    done = fault.run(what, "--timeout", "1", command=["sh", "-c", script])
    spent = time.monotonic() - begin
    assert done.code == 125 and "the supervisor is stuck: fchmodat" in done.stderr
    assert 1.5 < spent < 60
    assert eventually(lambda: not processes_with(fault.mark), 20)
    fault.assert_the_name_is_free()


def test_a_supervisor_that_each_call_keeps_waiting_for_a_while_is_stuck_too(fault):
    """As if a member could make each look at its memory slow: others would wait for ever, though it always goes on."""
    begin = time.monotonic()
    calls = f"while chmod 700 {fault.area}; do :; done"
    done = fault.run("handler-naps", "--timeout", "20", command=["sh", "-c", f"sleep {fault.mark} & {calls} & {calls}"])
    assert done.code == 125 and "kept it waiting, as others before" in done.stderr
    assert 1.5 < time.monotonic() - begin < 15
    assert eventually(lambda: not processes_with(fault.mark), 20)


def test_a_member_that_keeps_only_itself_waiting_goes_on(fault):
    """As on a slow disk. Twelve calls of 0.3 s each would be more than the supervisor lets others wait."""
    script = f"for i in 1 2 3 4 5 6 7 8 9 10 11 12; do chmod 700 {fault.area} || exit 1; done; echo all"
    done = fault.run("handler-naps", "--timeout", "30", command=["sh", "-c", script])
    assert (done.code, done.stdout) == (0, "all\n"), done.stderr


def test_without_any_thread_supervised_calls_are_refused(fault):
    file = fault.area / "file"
    file.write_text("")
    file.chmod(0o644)
    done = fault.run("use-workers,worker-thread", command=["chmod", "600", str(file)])
    assert done.code == 1 and "Resource temporarily unavailable" in done.stderr
    assert file.stat().st_mode & 0o777 == 0o644


def test_where_no_worker_can_be_made_the_supervisor_performs_the_call(fault):
    file = fault.area / "file"
    file.write_text("")
    file.chmod(0o644)
    script = f"chmod 600 {file} && touch -d 2001-01-01 {file} && ! chmod 600 /etc/passwd"
    done = fault.run("use-workers,job-thread", command=["sh", "-c", script])
    assert done.code == 0, done.stderr
    assert file.stat().st_mode & 0o777 == 0o600 and file.stat().st_mtime < 1e9


READ_AGAIN = """
import errno, os, socket, sys
def answer(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "OK"
area, outside, allowed, denied = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
directory = os.open(area, os.O_RDONLY)
print("chmod", answer(os.chmod, "file", 0o640, dir_fd=directory), answer(os.chmod, outside, 0o640))
print("listing", sorted(os.listdir("/proc/net"))[:2], "cmdline" in os.listdir("/proc/self"), "1" in os.listdir("/proc"))
tcp = socket.socket()
print("bind", answer(tcp.bind, ("127.0.0.1", allowed)), answer(socket.socket().bind, ("127.0.0.1", denied)))
print("listen", answer(tcp.listen), answer(socket.socket().listen))
print("bound", tcp.getsockname()[1] == allowed, len(open("/proc/net/tcp").readlines()))
os.chdir(area)
print("unix", answer(socket.socket(socket.AF_UNIX).bind, "socket"), os.path.exists("socket"))
"""


@pytest.mark.root
@pytest.mark.parametrize("faults", ["", "workers-busy", "use-workers,workers-busy"])
def test_a_call_that_waits_for_a_worker_is_read_again_by_it(fault, secret, faults):
    """What waits holds nothing but the call itself."""
    file = fault.area / "file"
    file.write_text("")
    file.chmod(0o600)
    mode = secret.stat().st_mode
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        free.bind(("127.0.0.1", 0))
        allowed, denied = taken.getsockname()[1], free.getsockname()[1]
        done = fault.run(faults, "-r", "/proc", "--port-remap", "--net-allow-bind", str(allowed),
                         command=["/usr/bin/python3", "-I", "-S", "-B", "-c", READ_AGAIN, fault.area, secret,
                                  str(allowed), str(denied)])
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "chmod OK EACCES", "listing ['arp', 'dev'] True False", "bind OK EACCES", "listen OK EACCES", "bound True 2",
        "unix OK True"]
    assert file.stat().st_mode & 0o777 == 0o640
    assert secret.stat().st_mode == mode


# ---- The walls: Landlock ----------------------------------------------------------------------

VICTIM = """
import ctypes, sys
data = ctypes.create_string_buffer(b"the secret")
print(ctypes.addressof(data), flush=True)
sys.stdin.readline()
"""

IN_LIST = {"open": "EACCES", "write": "EACCES", "list": "EACCES", "create": "EACCES",
           "read-memory": "EPERM", "environ": "EACCES", "mem": "EACCES"}
BEYOND_LIST = {"mkdir": "EACCES", "symlink": "EACCES", "truncate": "EACCES", "connect": "EACCES",
               "abstract": "EPERM", "bind": "EACCES", "trace": "EPERM", "rename": "EACCES"}


class Outside:
    """Objects of the same user that lie in no grant."""

    def __init__(self, directory):
        self.directory = directory / "outside"
        self.directory.mkdir()
        self.file = self.directory / "file"
        self.file.write_text("the secret")
        self.victim = subprocess.Popen([sys.executable, "-c", VICTIM], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        address = self.victim.stdout.readline().strip()
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.abstract = socket.socket(socket.AF_UNIX)
        name = f"fault-{os.getpid()}-{next(numbers)}"
        self.abstract.bind("\0" + name)
        self.abstract.listen()
        self.env = {
            "SANDLOCK_PROBE_FILE": str(self.file),
            "SANDLOCK_PROBE_DIRECTORY": str(self.directory),
            "SANDLOCK_PROBE_PORT": str(self.tcp.getsockname()[1]),
            "SANDLOCK_PROBE_ABSTRACT": name,
            "SANDLOCK_PROBE_PROCESS": str(self.victim.pid),
            "SANDLOCK_PROBE_ADDRESS": address,
        }

    def assert_untouched(self):
        assert self.file.read_text() == "the secret"
        assert os.listdir(self.directory) == ["file"]
        assert self.victim.poll() is None
        for listener in (self.tcp, self.abstract):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()

    def close(self):
        self.victim.kill()
        self.victim.communicate()
        self.tcp.close()
        self.abstract.close()


@pytest.fixture
def outside(tmp_path):
    made = Outside(tmp_path)
    yield made
    made.close()


def answers(text):
    lines = [line.split(": ") for line in text.splitlines() if line.startswith("probe ")]
    return {name.removeprefix("probe "): answer for name, answer in lines}


def assert_answers(text, expected):
    found = answers(text)
    # From Linux 6.16 on CAP_PERFMON, which root has, reads the environment of any process.
    if os.geteuid() == 0 and found.get("environ") == "OK":
        found["environ"] = "EACCES"
    assert found == expected


def provoke(fault, faults, *options, env=None):
    """A run that gives the supervisor one notification to handle."""
    file = fault.area / "file"
    file.write_text("")
    return fault.run(faults, *options, command=["chmod", "600", str(file)], env=env)


@pytest.mark.root
def test_the_supervisor_reaches_nothing_outside_the_grants(fault, outside):
    """Domain S alone: the role's filter, which refuses most of these calls, is left out."""
    done = provoke(fault, "probe-all:1,no-supervisor-filter", env=outside.env)
    assert_answers(done.stderr, IN_LIST | BEYOND_LIST)
    assert done.code == 0
    outside.assert_untouched()


@pytest.mark.root
def test_without_its_walls_the_supervisor_would_reach_all_of_it(fault, outside):
    done = provoke(fault, "probe-all:1", "--without", "supervisor-confinement", env=outside.env)
    assert answers(done.stderr) == dict.fromkeys(IN_LIST | BEYOND_LIST, "OK")
    assert not outside.file.exists() and (outside.directory / "renamed").exists()
    outside.tcp.accept()[0].close()
    outside.abstract.accept()[0].close()


@pytest.mark.root
@pytest.mark.parametrize("faults", ["probe:1", "use-workers,worker-probe:1"])
def test_with_both_walls_supervisor_and_worker_reach_nothing(fault, outside, faults):
    done = provoke(fault, faults, env=outside.env)
    assert_answers(done.stderr, IN_LIST)
    assert done.code == 0
    outside.assert_untouched()


def test_calls_that_only_the_filter_would_miss_meet_the_filter(fault, outside):
    done = provoke(fault, "probe-all:1", env=outside.env)
    assert done.code == 125 and "supervisor called mkdirat (" in done.stderr
    outside.assert_untouched()
    fault.assert_the_name_is_free()


# ---- The walls: a wrong verdict ---------------------------------------------------------------

MEMBER = """
import errno, fcntl, os, socket, struct, sys
directory, port = sys.argv[1], int(sys.argv[2])
file = directory + "/file"
def attempt(name, act):
    try:
        act()
        print(name, "OK", flush=True)
    except OSError as error:
        print(name, errno.errorcode[error.errno], flush=True)
attempt("open", lambda: open(file).close())
attempt("append", lambda: open(file, "a").close())
attempt("create", lambda: open(directory + "/created", "x").close())
attempt("mkdir", lambda: os.mkdir(directory + "/made"))
attempt("rename", lambda: os.rename(file, directory + "/renamed"))
attempt("unlink", lambda: os.unlink(file))
attempt("connect", lambda: socket.create_connection(("127.0.0.1", port)).close())
attempt("flags", lambda: fcntl.ioctl(0, 0x40086602, struct.pack("l", 0x40)))
attempt("chmod", lambda: os.chmod(file, 0o604))
attempt("utime", lambda: os.utime(file, (1, 2)))
"""

ALWAYS_REFUSED = ["open", "append", "create", "mkdir", "rename", "unlink", "connect", "flags"]


def member_attempts(fault, outside, faults, *options):
    with open(outside.file, "rb") as standard_input:
        done = fault.sandlock.run(
            *fault.words(*options), "/usr/bin/python3", "-I", "-S", "-c", MEMBER, outside.directory,
            outside.tcp.getsockname()[1], env={"SANDLOCK_FAULT": faults}, stdin=standard_input)
    assert done.code == 0, done
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.root
def test_a_verdict_that_always_allows_opens_nothing(fault, outside):
    """For modes, owners and times the verdict is the only wall: Landlock has no right for them."""
    results = member_attempts(fault, outside, "verdict-allow")
    assert {results[name] for name in ALWAYS_REFUSED} <= {"EACCES", "EPERM"}, results
    assert results["chmod"] == results["utime"] == "OK"
    outside.assert_untouched()
    status = outside.file.stat()
    assert status.st_mode & 0o777 == 0o604 and status.st_mtime == 2


@pytest.mark.root
def test_the_right_verdict_refuses_the_rest_too(fault, outside):
    mode = outside.file.stat().st_mode
    results = member_attempts(fault, outside, "")
    assert set(results.values()) <= {"EACCES", "EPERM"}, results
    outside.assert_untouched()
    assert outside.file.stat().st_mode == mode and outside.file.stat().st_mtime != 2


def test_where_the_verdict_allows_without_a_wall_inode_flags_change(fault, outside):
    """The control of "flags" above: it was the domain that refused them."""
    results = member_attempts(fault, outside, "verdict-allow", "--without", "supervisor-confinement")
    assert results["flags"] in ("OK", "ENOTTY", "EOPNOTSUPP")


BINDS = """
import errno, socket, sys
for port in map(int, sys.argv[1:]):
    try:
        socket.socket().bind(("127.0.0.1", port))
        print("OK")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


def member_binds(fault, faults, *options):
    """A listed port and another one are bound on behalf; with what was recorded as denied."""
    made = [socket.socket() for _ in range(2)]
    for one in made:
        one.bind(("127.0.0.1", 0))
    listed, other = [one.getsockname()[1] for one in made]
    for one in made:
        one.close()
    log = fault.area / "denials"
    done = fault.sandlock.run(
        *fault.words("--net-allow-bind", listed, "--net-deny-bind", 1, "--log-denials", log, *options),
        "/usr/bin/python3", "-I", "-S", "-c", BINDS, listed, other, env={"SANDLOCK_FAULT": faults})
    assert done.code == 0, done
    return done.stdout.split(), f"tcp://127.0.0.1:{other}" in log.read_text(encoding="utf-8")


@pytest.mark.root
def test_a_verdict_that_always_allows_binds_no_port_outside_the_policy(fault):
    assert member_binds(fault, "verdict-allow") == (["OK", "EACCES"], False)


def test_the_right_verdict_refuses_the_port_and_says_so(fault):
    assert member_binds(fault, "") == (["OK", "EACCES"], True)


CHOSEN = """
import errno, socket, sys

def attempt(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "OK"

bound = socket.socket()
print(attempt(socket.socket().bind, ("127.0.0.1", 0)), attempt(socket.socket().listen),
      attempt(bound.bind, ("127.0.0.1", int(sys.argv[1]))), attempt(bound.listen))
"""


@pytest.mark.root
@pytest.mark.parametrize("faults", ["port-range", "port-range,sock-diag"])
def test_where_the_kernel_cannot_be_told_which_ports_to_choose_it_chooses_none(fault, faults):
    if "sock-diag" in faults and os.geteuid() != 0:
        pytest.skip("kernels that let no ordinary user attach a filter list bound sockets")
    low = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0]
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        own = made.getsockname()[1]
    log = fault.area / "denials"
    for denied, chosen in ((low, "EACCES"), (1, "OK")):
        log.write_text("", encoding="utf-8")
        done = fault.sandlock.run(*fault.words("--net-deny-bind", denied, "--log-denials", log), "/usr/bin/python3", "-I", "-S",
                                  "-c", CHOSEN, own, env={"SANDLOCK_FAULT": faults})
        assert done.stdout.split() == [chosen, chosen, "OK", "OK"], done
        rules = [json.loads(line)["rule"] for line in log.read_text(encoding="utf-8").splitlines()]
        assert len([rule for rule in rules if "Linux 6.3" in rule]) == (2 if chosen == "EACCES" else 0)


def test_where_the_verdict_allows_without_a_wall_the_port_is_bound(fault):
    results = member_binds(fault, "verdict-allow", "--without", "supervisor-confinement")
    assert results == (["OK", "OK"], False)


LISTENS = """
import ctypes, errno, socket, sys
port, live = map(int, sys.argv[1:])
def listen(made):
    try:
        made.listen()
        return "OK"
    except OSError as error:
        return errno.errorcode[error.errno]
bound, undone = socket.socket(), socket.socket()
bound.bind(("127.0.0.1", port))
undone.connect(("127.0.0.1", live))
ctypes.CDLL(None).connect(undone.fileno(), bytes(16), 16)
print(listen(socket.socket()), listen(undone), undone.getsockname()[1] > 0, listen(bound), listen(bound))
client = socket.create_connection(("127.0.0.1", port), timeout=5)
print(bound.accept()[1] == client.getsockname())
"""


def can_attach_filters():
    """Some kernels refuse a filter on a TCP socket to ordinary users."""
    drop = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxQ", 1, ctypes.addressof(drop)))
        except PermissionError:
            return False
    return True


@pytest.mark.parametrize("faults", ["", "sock-diag"])
def test_listen_is_judged_where_the_kernel_lists_no_sockets(fault, faults):
    with socket.socket() as live, socket.socket() as spare:
        for one in (live, spare):
            one.bind(("127.0.0.1", 0))
        live.listen()
        port, target = spare.getsockname()[1], live.getsockname()[1]
        spare.close()
        done = fault.sandlock.run(
            *fault.words("--net-allow-bind", "1-65535", "--net-allow", f"tcp://127.0.0.1:{port},{target}"),
            "/usr/bin/python3", "-I", "-S", "-c", LISTENS, port, target, env={"SANDLOCK_FAULT": faults})
    words = done.stdout.split()
    assert words[:2] == ["EACCES", "EACCES"], done
    if faults and not can_attach_filters():  # nothing is left by which to judge
        assert words[3:] == ["EACCES", "EACCES"], done
        return
    assert done.code == 0 and words[3:] == ["OK", "OK", "True"], done


HOLDS = """
import errno, socket, sys
port = int(sys.argv[1])


def attempt(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "OK"


def made(shares):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shares)
    return sock


first, second, third, fourth = made(1), made(1), made(0), made(0)
here = ("127.0.0.1", port)
print(attempt(first.bind, here), attempt(second.bind, here), attempt(third.bind, here))
print(attempt(first.listen), attempt(second.listen), attempt(socket.create_connection, here, 5))
first.close()
second.close()
print(attempt(third.bind, here), attempt(third.listen), attempt(socket.create_connection, here, 5),
      attempt(fourth.bind, here))
"""


@pytest.mark.parametrize("faults", ["", "diag-bound"])
def test_ports_are_held_where_the_kernel_does_not_list_bound_sockets(fault, faults):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        done = fault.sandlock.run(*fault.words("--net-allow-bind", port, "--port-remap"), "/usr/bin/python3", "-I",
                                  "-S", "-c", HOLDS, port, env={"SANDLOCK_FAULT": faults})
    assert done.code == 0, done
    assert done.stdout.splitlines() == ["OK OK EADDRINUSE", "OK OK OK", "OK OK OK EADDRINUSE"]


def test_no_port_is_own_where_nobody_tells(fault):
    program = HOLDS.partition("first,")[0] + """
sock, here = made(0), ("127.0.0.1", port)
print(attempt(sock.bind, here), attempt(sock.listen), attempt(socket.create_connection, here, 5))
"""
    for faults, expected in (("", "OK OK OK"), ("sock-diag", "OK OK EACCES")):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        done = fault.sandlock.run(*fault.words("--net-allow-bind", port, "--port-remap"), "/usr/bin/python3", "-I",
                                  "-S", "-c", program, port, env={"SANDLOCK_FAULT": faults})
        assert (done.code, done.stdout.strip()) == (0, expected), done


RESTRICTS = """
import ctypes, errno, os, socket, struct, sys
def connects():
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
        return "OK"
    except OSError as error:
        return errno.errorcode[error.errno]
print(connects(), flush=True)
if os.fork() == 0:
    libc = ctypes.CDLL(None)
    ruleset = libc.syscall(444, struct.pack("Q", 1), 8, 0)  # EXECUTE
    libc.prctl(38, 1, 0, 0, 0)
    print(libc.syscall(446, ruleset, 0), connects(), flush=True)
    os._exit(0)
os.wait()
print(connects())
"""


@pytest.mark.parametrize("faults, others", [("", "OK"), ("own-domain-mark", "EACCES")])
def test_where_nobody_can_tell_who_has_confined_itself_nothing_is_done_for_anybody(fault, faults, others):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        done = fault.sandlock.run(*fault.words("--net-allow", f"tcp://127.0.0.1:{port}"), "/usr/bin/python3", "-I",
                                  "-S", "-c", RESTRICTS, port, env={"SANDLOCK_FAULT": faults})
    assert done.stdout.splitlines() == ["OK", "0 EACCES", others], done


# ---- The walls: calls outside the list --------------------------------------------------------

# Member processes that a plain kill of the command's group would miss.
SPREAD = "setsid sleep {0} & (setsid sh -c 'trap \"\" TERM HUP INT; sleep {0}' &) ; sleep 0.1; "

VIOLATIONS = ["execve", "socket", "mmap", "mprotect", "clone", "ptrace", "kill", "mount", "sendmsg"]


@pytest.mark.parametrize("call", VIOLATIONS)
def test_a_call_outside_the_list_ends_the_run(fault, call):
    file = fault.area / "file"
    file.write_text("")
    file.chmod(0o644)
    script = SPREAD.format(fault.mark) + f"chmod 600 {file}; sleep {fault.mark}"
    done = fault.run(f"violate-{call}", command=["sh", "-c", script])
    assert done.code == 125
    assert f"sandlock: internal error: supervisor called {call} (" in done.stderr
    assert f"probe {call}" not in done.stderr, "the call did not return"
    assert file.stat().st_mode & 0o777 == 0o644
    assert eventually(lambda: not processes_with(fault.mark), 20)
    fault.assert_the_name_is_free()


def test_a_worker_has_a_list_of_its_own(fault):
    script = SPREAD.format(fault.mark) + f": >{fault.area}/file; chmod 600 {fault.area}/file; sleep {fault.mark}"
    done = fault.run("use-workers,worker-violate", command=["sh", "-c", script])
    assert done.code == 125
    assert "sandlock: internal error: worker called getsid (" in done.stderr
    assert eventually(lambda: not processes_with(fault.mark), 20)
    fault.assert_the_name_is_free()


def test_without_the_walls_the_same_calls_are_not_stopped(fault):
    done = provoke(fault, "violate-socket,violate-mmap", "--without", "supervisor-confinement")
    assert done.code == 0 and answers(done.stderr) == {"socket": "OK", "mmap": "OK"}


def test_clone3_looks_missing_so_that_libc_falls_back(fault):
    done = provoke(fault, "try-clone3")
    assert done.code == 0 and answers(done.stderr) == {"clone3": "Function not implemented"}


# ---- The guardian -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--no-supervisor"]], ids=["supervised", "unsupervised"])
@pytest.mark.parametrize("name", ["guardian-violation", "guardian-crash"])
def test_a_run_whose_guardian_dies_has_failed(fault, name, options):
    done = fault.run(name, *options, command=["sh", "-c", SPREAD.format(fault.mark) + f"sleep {fault.mark}"])
    assert done.code == 125 and "sandlock: the guardian process died" in done.stderr
    fault.assert_nothing_is_left(1.0)
    fault.assert_the_name_is_free()


def test_a_guardian_that_dies_before_the_command_lets_it_not_start(fault):
    done = fault.run("guardian-crash-early")
    assert_refused(fault, done, "the guardian process died before the command was confined")


# ---- Crashes ----------------------------------------------------------------------------------

FLOOD = """
import os, sys, threading
def change():
    while True:
        os.chmod(sys.argv[1], 0o600)
if os.fork() == 0:
    os.setsid()
for _ in range(4):
    threading.Thread(target=change).start()
"""


def flood(fault):
    file = fault.area / "file"
    file.write_text("")
    return ["/usr/bin/python3", "-I", "-S", "-c", FLOOD, str(file), fault.mark]


def assert_all_gone(fault):
    """One second after the end of its keeper no member lives, and the name can be used again."""
    assert eventually(lambda: not processes_with(fault.mark), 20), processes_with(fault.mark)
    fault.assert_the_name_is_free()


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSEGV], ids=["kill", "segv"])
@pytest.mark.parametrize("point", ["crash-before-clone", "crash-after-clone", "crash-after-attach",
                                   "crash-serving"])
def test_a_supervisor_that_crashes_takes_everything_along(fault, point, by):
    faults = point + (",by-segv" if by == signal.SIGSEGV else "")
    done = fault.run(faults, command=flood(fault))
    assert done.code == -by
    assert_all_gone(fault)


def guardian_of(process):
    """The one child of a running sandlock."""
    assert eventually(lambda: children_of(process.pid), 30.0)
    return children_of(process.pid)[0]


def spread_out(process):
    """The guardian has a child, and that one runs the command."""
    return eventually(lambda: children_of(guardian_of(process)), 30.0)


class Parked:
    """A run whose command waits, because its posture does not fit into the pipe."""

    def __init__(self, fault):
        self.ends = os.pipe()
        os.set_blocking(self.ends[1], False)
        try:
            while True:
                os.write(self.ends[1], b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(self.ends[1], True)
        self.process = fault.start("", ["sh", "-c", fault.touch + f"; sleep {fault.mark}"], "--posture",
                                   f"fd:{self.ends[1]}", pass_fds=[self.ends[1]])
        os.close(self.ends[1])
        assert spread_out(self.process)
        time.sleep(0.1)

    def close(self):
        os.close(self.ends[0])


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSEGV], ids=["kill", "segv"])
def test_a_supervisor_killed_while_the_command_is_parked(fault, by):
    parked = Parked(fault)
    parked.process.send_signal(by)
    assert parked.process.wait(30) == -by
    parked.close()
    assert_all_gone(fault)
    assert not fault.marker.exists()


def test_a_guardian_killed_while_the_command_is_parked(fault):
    parked = Parked(fault)
    os.kill(guardian_of(parked.process), signal.SIGKILL)
    _, errors = parked.process.communicate(timeout=30)
    parked.close()
    assert parked.process.returncode == 125 and "the guardian process died" in errors
    assert not fault.marker.exists()
    fault.assert_nothing_is_left()
    fault.assert_the_name_is_free()


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSEGV], ids=["kill", "segv"])
def test_a_supervisor_killed_during_a_slow_start(fault, by):
    process = fault.start("slow-exec", ["sh", "-c", fault.touch])
    assert spread_out(process)
    time.sleep(0.1)
    process.send_signal(by)
    process.communicate(timeout=30)
    assert process.returncode == -by
    assert_all_gone(fault)
    time.sleep(1.0)
    assert not fault.marker.exists()


def is_running(pid):
    """Not a zombie, nor gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_child_whose_guardian_died_before_it_could_hear_of_it_runs_nothing(fault):
    """Its death signal would never come, and the host, which is stopped, ends nobody."""
    script = f": {fault.mark}; until [ -e {fault.area}/go ]; do sleep 0.02; done; {fault.touch}"
    process = fault.start("slow-child", ["sh", "-c", script], "--no-supervisor")
    assert spread_out(process)
    guardian = guardian_of(process)
    child = children_of(guardian)[0]
    try:
        process.send_signal(signal.SIGSTOP)
        os.kill(guardian, signal.SIGKILL)
        (fault.area / "go").touch()
        assert eventually(lambda: not is_running(child), 30)
        assert not fault.marker.exists()
    finally:
        process.kill()
        process.communicate(timeout=30)
    assert_all_gone(fault)


def test_a_guardian_killed_during_a_slow_start(fault):
    process = fault.start("slow-exec", ["sh", "-c", fault.touch])
    assert spread_out(process)
    time.sleep(0.1)
    os.kill(guardian_of(process), signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 125 and "the guardian process died" in errors
    assert not fault.marker.exists()
    fault.assert_nothing_is_left()
    fault.assert_the_name_is_free()


@pytest.mark.parametrize("victim", ["supervisor", "guardian"])
def test_killed_during_a_flood_of_notifications(fault, victim):
    process = fault.start("", flood(fault))
    assert eventually(lambda: len(processes_with(fault.mark)) == 4, 30.0)  # two ours, two members
    time.sleep(0.2)
    if victim == "supervisor":
        process.kill()
        process.communicate(timeout=30)
        assert process.returncode == -signal.SIGKILL
    else:
        os.kill(guardian_of(process), signal.SIGKILL)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 125 and "the guardian process died" in errors
    assert_all_gone(fault)


# ---- The library ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    path = tmp_path_factory.mktemp("faults") / "faults"
    subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-Werror",
                    "-I", ROOT / "include", ROOT / "tests/integration/c_abi/faults.c", "-o", path,
                    f"-L{BUILD}", f"-Wl,-rpath,{BUILD}", "-lsandlock_ffi", "-lpthread"], check=True)
    return path


def run_host(host, fault, faults, *words, env=None):
    done = subprocess.run(list(map(str, [host, *words])), capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, check=False,
                          env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "AREA": str(fault.area),
                               "SLEEP": fault.mark, "SANDLOCK_FAULT": faults, **(env or {})})
    assert done.returncode == 0, done.stderr
    assert not processes_with(fault.mark)
    return done


LIBRARY_STEPS = ["guardian process group", "guardian landlock domain", "guardian kill and wait calls",
                 "clone", "guardian death watch", "process group", "parent death signal", "no_new_privs",
                 "landlock", "seccomp filter", "descriptors"]


@pytest.mark.parametrize("step", LIBRARY_STEPS)
def test_a_failed_step_gives_no_handle_and_leaks_nothing(host, fault, step):
    run_host(host, fault, f"step:{step}", "refused", f"{step}: Input/output error")


def test_a_failed_change_of_directory_gives_no_handle(host, fault):
    run_host(host, fault, "step:working directory", "refused",
             "working directory /usr: Input/output error", "cwd")


@pytest.mark.parametrize("name, text", PREPARATIONS + [("lifeline", f"lifeline pipe: {IO_ERROR}"),
                                                          ("pipe", f"standard output: {IO_ERROR}")])
def test_a_failed_preparation_gives_no_handle_and_leaks_nothing(host, fault, name, text):
    run_host(host, fault, name, "refused", text)


def test_a_guardian_that_dies_at_once_gives_no_handle(host, fault):
    run_host(host, fault, "guardian-crash-early", "refused",
             "the guardian process died before the command was confined")


def test_a_host_that_may_not_create_threads_supervises_by_itself(host, fault):
    run_host(host, fault, "supervisor-thread", "fallback", "supervisor thread")


@pytest.mark.root
@pytest.mark.parametrize("faults, text", [
    *[(f"violate-{call}:1", f"the supervisor called {call} (") for call in VIOLATIONS],
    ("use-workers,worker-violate:1", "the worker called getsid ("),
    ("guardian-violation:1", "the guardian process died"),
    ("guardian-crash:1", "the guardian process died"),
    ("supervisor-filter:1", "install the supervisor's filter"),
    ("use-workers,worker-filter:1", "installing the worker filter failed"),
])
def test_a_violation_fails_the_run_and_leaves_the_host_alive(host, fault, faults, text):
    done = run_host(host, fault, faults, "failed", text)
    assert "probe" not in done.stderr or "State not recoverable" in done.stderr


@pytest.mark.parametrize("faults, text, how", [
    ("violate-socket:1", "the supervisor called socket (", []),
    ("", "the guardian process died", ["kill"]),
], ids=["violation", "guardian"])
def test_a_run_fails_though_its_command_has_exited_well(host, fault, faults, text, how):
    run_host(host, fault, faults, "after", text, *how)


def test_a_thread_that_is_stuck_ends_its_members_and_not_its_host(host, fault):
    run_host(host, fault, "handler-waits:1", "stuck", "the supervisor is stuck: fchmodat")


def test_output_that_finds_no_memory_is_told_of(host, fault):
    done = run_host(host, fault, "capture-memory", "cut")
    assert "sandlock: the captured output of the command is not complete: Cannot allocate memory\n" in done.stderr


@pytest.mark.root
@pytest.mark.parametrize("faults", ["", "use-workers"])
def test_the_host_may_change_its_ids_during_a_run(host, fault, faults):
    run_host(host, fault, faults, "setuid")


@pytest.mark.parametrize("faults, kind", [
    ("guardian-signal", "unsignalled"),
    ("guardian-signal,guardian-byte", "unreachable"),
])
def test_a_guardian_that_no_signal_reaches(host, fault, faults, kind):
    run_host(host, fault, faults, kind)


@pytest.mark.root
def test_the_walls_are_the_supervising_threads_alone(host, fault, outside):
    done = run_host(host, fault, "probe-all:1,no-supervisor-filter", "probe", outside.file,
                    env=outside.env)
    assert_answers(done.stderr, IN_LIST | BEYOND_LIST)
    outside.assert_untouched()


# ---- Views of files without the supervisor's look ----------------------------------------------


@pytest.mark.parametrize("path,options", [
    ("/etc/hosts", ["-r", "/etc", "--net-allow", "127.0.0.1:1"]),
    ("/etc/hosts", ["-r", "/", "--net-allow", "127.0.0.1:1"]),
    ("/proc/net/tcp", ["-r", "/proc"]),
    ("/proc/self/net/dev", ["-r", "/"]),
    ("/proc/1/status", ["-r", "/proc"]),
    ("/proc/1/comm", ["-w", "/"]),
    ("/sys/class/net/lo/mtu", ["-r", "/sys"]),
    ("/sys/class/net/lo/mtu", ["-r", "/"]),
])
def test_the_members_ruleset_does_not_reach_what_a_view_hides(fault, path, options):
    if not os.path.exists(path):
        pytest.skip(f"no {path}")
    words = ["cat", "/etc/passwd", path]
    done = fault.run("views-continue", *options, command=words)
    assert done.stdout == pathlib.Path("/etc/passwd").read_text(), done
    assert f"{path}: Permission denied" in done.stderr


@pytest.mark.parametrize("faults,options,answer", [
    ("hosts-pin", ["-w", "/etc"], "Too many open files"),
    ("hosts-pin", ["-w", "/"], "Too many open files"),
    ("hosts-pin", ["-w", "/etc", "--explain"], "Too many open files"),
    ("hosts-pin", ["-r", "/etc"], "Permission denied"),
    ("use-workers", ["-w", "/etc", "--explain"], None),
    ("use-workers", ["-r", "/etc", "--explain"], None),
    ("use-workers,workers-busy", ["-r", "/etc", "--explain"], None),
    ("use-workers", ["-w", "/etc"], None),
    ("use-workers,workers-busy", ["-w", "/etc"], None),
])
def test_a_failed_look_does_not_show_the_hosts_file(fault, faults, options, answer):
    words = ["cat", "/etc/passwd", "/etc/../etc/hosts"]  # the plain name needs no look
    done = fault.run(faults, *options, "--net-allow", "127.0.0.1:1", command=words)
    own = "127.0.0.1 localhost\n::1 localhost\n" if answer is None else ""
    assert done.stdout == pathlib.Path("/etc/passwd").read_text() + own, done
    assert (f"/etc/hosts: {answer}" in done.stderr) == (answer is not None)
