"""Processes outside the sandbox: their limits, priorities, memory, signals and groups."""

import ctypes
import os
import platform
import resource
import signal
import subprocess

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the payloads use x86-64 numbers"),
]

LIBC = ctypes.CDLL(None, use_errno=True)


class Control:
    """A running payload/control.py, confined or not, and the processes of its sandbox."""

    def __init__(self, attack, look, options=(), *, confined=True, new_session=False):
        if confined:
            self.process = attack.start("control.py", options=options, stdin=subprocess.PIPE,
                                        start_new_session=new_session)
        else:
            self.process = subprocess.Popen(attack.words("control.py"), stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()
        self.supervisor = self.process.pid
        self.guardian = look.children_of(self.process.pid)[0] if confined else None

    def make(self, names, *pids):
        """Makes the attempts: {name: {pid: result}}."""
        self.process.stdin.write(" ".join([",".join(names), *map(str, pids)]) + "\n")
        self.process.stdin.flush()
        results = {name: {} for name in names}
        while (line := self.process.stdout.readline()) != "done\n":
            assert line != "", self.process.communicate()
            what, result = line.strip().rsplit(": ", 1)
            name, pid = what.split()
            results[name][int(pid)] = result
        return results

    def end(self):
        self.process.communicate(timeout=20)
        assert self.process.returncode == 0


@pytest.fixture
def control(attack, look):
    """Starts payloads and ends them."""
    started = []

    def start(*arguments, **kwargs):
        started.append(Control(attack, look, *arguments, **kwargs))
        return started[-1]

    yield start
    for each in started:
        each.end()


class Settings:
    """What another process can be made to lose, as seen from here."""

    def __init__(self, pid):
        self.values = {
            "limit": resource.prlimit(pid, resource.RLIMIT_NOFILE),
            "nice": os.getpriority(os.PRIO_PROCESS, pid),
            "processors": os.sched_getaffinity(pid),
            "scheduler": os.sched_getscheduler(pid),
            "io": LIBC.syscall(252, 1, pid),
        }

    def __eq__(self, other):
        return self.values == other.values

    def __repr__(self):
        return repr(self.values)


SETTERS = ["prlimit", "setpriority", "setpriority_group", "affinity", "scheduler", "parameters", "attributes",
           "ioprio", "ioprio_group"]
UNCONTROLLED = ["setpriority_user", "ioprio_user"]


def test_settings_of_other_processes_stay_as_they_are(control, mode, witness):
    inside = control(mode)
    pids = (inside.supervisor, inside.guardian, witness.pid, os.getpid())
    before = [Settings(pid) for pid in pids]
    results = inside.make(SETTERS + UNCONTROLLED, *pids)
    for name, by_pid in results.items():
        assert set(by_pid.values()) == {"EPERM"}, name
    assert [Settings(pid) for pid in pids] == before
    # The same calls change the witness when they are made unconfined.
    outside = control(confined=False).make(SETTERS, witness.pid)
    assert {name: outside[name][witness.pid] for name in SETTERS} == {name: "OK" for name in SETTERS}
    changed = Settings(witness.pid).values
    alone = ["processors"] if len(os.sched_getaffinity(0)) == 1 else []
    assert [name for name, value in changed.items() if value == before[2].values[name]] == alone


def test_a_supervised_process_can_still_set_itself_and_its_threads(attack):
    inside = attack.inside("process_probe", "own")
    assert inside.result.code == 0, inside.result


AUTOGROUP = """
import errno, os, sys, time
def write():
    try:
        with open("/proc/self/autogroup", "w") as stream:
            stream.write(sys.argv[1])
        return "OK"
    except OSError as error:
        return errno.errorcode[error.errno]
def attempt(name):
    while (result := write()) == "EAGAIN": # the kernel takes ten in a second, of the whole machine
        time.sleep(0.03)
    print(f"{name}: {result}", flush=True)
attempt("shared session")
if os.fork() == 0:
    os.setsid()
    attempt("own session")
    if os.fork() == 0:
        attempt("member of it")
        os._exit(0)
    os.wait()
    os._exit(0)
os.wait()
"""


# In a session of its own, since that of the tests can be one that has no group.
AROUND = 'cat /proc/self/autogroup; "$@"; cat /proc/self/autogroup'


@pytest.mark.skipif(not os.path.exists("/proc/self/autogroup"), reason="the kernel has no groups by session")
def test_the_callers_session_keeps_its_share(sandlock):
    """The scheduler's group is the session's, and the sandbox is in its caller's."""
    words = ["/usr/bin/python3", "-I", "-S", "-B", "-c", AUTOGROUP]
    # Unconfined, from a session that is as foreign to this one as the other to the sandbox.
    control = subprocess.run([*words, "9"], capture_output=True, text=True, check=True, start_new_session=True)
    assert control.stdout.splitlines() == ["shared session: OK", "own session: OK", "member of it: OK"]
    confined = [sandlock.binary, "run", *sandlock.base, "-w", "/proc", "--explain", "--", *words, "3"]
    result = subprocess.run(["setsid", "-w", "sh", "-c", AROUND, "sh", *confined], capture_output=True, text=True,
                            env=sandlock.environment(None), check=False)
    before, *told, after = result.stdout.splitlines()
    assert told == ["shared session: EACCES", "own session: OK", "member of it: OK"], result
    assert before == after and before.endswith(" nice 0"), result
    assert "autogroup: EACCES" in result.stderr and "--fs-write" not in result.stderr


# ---- Signals ----------------------------------------------------------------------------------------

SIGNALS = ["kill_0", "kill", "kill_group", "tkill", "tgkill", "pidfd_send_signal", "rt_sigqueueinfo", "F_SETOWN",
           "F_SETOWN_EX", "FIOSETOWN", "SIOCSPGRP"]
REFUSED = ["kill_0", "kill", "tkill", "tgkill", "pidfd_send_signal", "rt_sigqueueinfo"]


def test_no_signal_leaves_the_sandbox(control, mode, witness):
    inside = control(mode)
    results = inside.make([*SIGNALS, "kill_everybody"], inside.supervisor, inside.guardian, witness.pid)
    for name in REFUSED:
        assert set(results[name].values()) == {"EPERM"}, name
    assert witness.signals() == {}


def test_signals_arrive_without_the_sandbox_or_its_scope(control, mode, witness):
    """Control: the same attempts reach the witness."""
    start = control(confined=False) if mode else control(["--disable", "signal-scope"])
    results = start.make(SIGNALS, witness.pid)
    assert {name: results[name][witness.pid] for name in SIGNALS} == {name: "OK" for name in SIGNALS}
    assert set(witness.signals()) == {signal.SIGUSR1, signal.SIGIO}


def test_signals_within_the_sandbox_work(control, mode):
    results = control(mode).make(REFUSED, 0)
    assert {name: results[name][0] for name in REFUSED} == {name: "OK" for name in REFUSED}


# ---- Memory and descriptors ---------------------------------------------------------------------------

READS = ["ptrace", "process_vm_readv", "pidfd_getfd", "mem"]


@pytest.mark.pidfd_getfd
@pytest.mark.other_users
def test_memory_and_descriptors_of_others_are_out_of_reach(control, mode, witness):
    inside = control([*mode, "-r", "/proc"])
    results = inside.make(READS, inside.supervisor, inside.guardian, witness.pid)
    for name in READS:
        assert set(results[name].values()) <= {"EPERM", "EACCES"}, (name, results[name])
    outside = control(confined=False).make(READS, witness.pid)
    assert {name: outside[name][witness.pid] for name in READS} == {name: "OK" for name in READS}


@pytest.mark.skipif(os.getuid() == 0, reason="root keeps the capability to look at environments")
def test_the_environment_of_others_is_out_of_reach(control, mode, witness):
    inside = control([*mode, "-r", "/proc"])
    results = inside.make(["environ"], inside.supervisor, inside.guardian, witness.pid)
    assert set(results["environ"].values()) <= {"EPERM", "EACCES"}
    assert control(confined=False).make(["environ"], witness.pid)["environ"][witness.pid] == "OK"


# ---- Process groups -------------------------------------------------------------------------------------


def test_a_member_cannot_join_a_group_outside(control):
    """The session is shared with the caller, so the kernel alone would let it join the foreground group."""
    inside = control([], new_session=True)
    results = inside.make(["setpgid"], inside.supervisor, inside.guardian)
    assert set(results["setpgid"].values()) == {"EPERM"}
    ungated = control(["--without", "process-gate"], new_session=True)
    results = ungated.make(["setpgid"], ungated.supervisor, ungated.guardian)
    assert set(results["setpgid"].values()) == {"OK"}, "it is the gate that refuses"


def test_job_control_inside_works(attack):
    inside = attack.inside("process_probe", "jobs")
    assert inside["jobs"] == "OK", inside.result
