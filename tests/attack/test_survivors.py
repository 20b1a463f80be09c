"""Processes that try to outlive their sandbox, and signals that must not go astray when they are killed."""

import contextlib
import ctypes
import json
import os
import pathlib
import platform
import resource
import shutil
import signal
import struct
import subprocess
import time

import pytest

from witnesses import short_directory

pytestmark = pytest.mark.root

KINDS = {
    "daemon": ["daemon"],
    "groups": ["groups", "200"],
    "threads": ["threads"],
    "stopped": ["stopped"],
    "holder": ["holder"],
    "storm": ["storm"],
    "chain": ["chain"],
}

MODES = {
    "supervised": [],
    "unsupervised": ["--no-supervisor"],
    "without signal scope": ["--disable", "signal-scope"],
}


# Every kind under a supervisor, the fiercest also in the other modes.
MATRIX = [(kind, "supervised") for kind in KINDS] + [
    (kind, mode) for kind in ("daemon", "groups", "storm") for mode in MODES if mode != "supervised"]


@pytest.fixture(params=MATRIX, ids=lambda pair: "-".join(pair))
def case(request):
    return request.param


@pytest.fixture
def kind(case):
    return KINDS[case[0]]


@pytest.fixture
def options(case):
    return MODES[case[1]]


def begin(attack, look, mark, kind, options, *more):
    """A running sandbox with its would-be survivors in place."""
    process = attack.start("survivor", *kind, mark, *more, options=options)
    assert process.stdout.readline() == "up\n", process.communicate()
    assert len(look.processes_with(mark)) >= 2
    return process


def finish(process):
    process.communicate(timeout=20)
    return process.returncode


def test_a_survivor_survives_unconfined(attack, look, mark):
    """Control: nothing but the sandbox ends these."""
    process = subprocess.Popen(attack.words("survivor", "daemon", mark, "exit"), stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    assert process.wait() == 7
    process.stdout.close()
    time.sleep(0.3)
    assert len(look.processes_with(mark)) == 1


def test_the_end_of_the_command_ends_all(attack, look, mark, witness, kind, options):
    process = attack.start("survivor", *kind, mark, "exit", options=options)
    assert finish(process) == 7
    assert look.processes_with(mark) == []
    assert witness.signals() == {}


def test_a_timeout_ends_all(attack, look, mark, witness, kind, options):
    result = attack.inside("survivor", *kind, mark, options=[*options, "-t", "2s"]).result
    assert (result.code, result.stdout) == (124, "up\n")
    assert look.processes_with(mark) == []
    assert witness.signals() == {}


def test_a_signal_to_sandlock_ends_all(attack, look, mark, witness, kind, options):
    process = begin(attack, look, mark, kind, options)
    process.send_signal(signal.SIGTERM)
    assert finish(process) == -signal.SIGTERM
    assert look.processes_with(mark) == []
    assert witness.signals() == {}


def test_sigkill_of_sandlock_ends_all(attack, look, mark, witness, kind, options):
    process = begin(attack, look, mark, kind, options)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    assert look.eventually(lambda: look.processes_with(mark) == []), look.processes_with(mark)
    process.communicate(timeout=30)
    assert witness.signals() == {}


def test_sigkill_of_the_guardian_ends_all(attack, look, mark, witness, kind, options):
    process = begin(attack, look, mark, kind, options)
    os.kill(look.children_of(process.pid)[0], signal.SIGKILL)
    assert finish(process) == 125
    assert look.eventually(lambda: look.processes_with(mark) == []), look.processes_with(mark)
    assert witness.signals() == {}


@pytest.mark.costly
def test_sigkill_of_the_guardian_ends_all_of_a_crowd(attack, look, mark):
    """More of them than is patience for any that do not end."""
    process = begin(attack, look, mark, ["groups", "2000"], [])
    assert len(look.processes_with(mark)) > 2000
    os.kill(look.children_of(process.pid)[0], signal.SIGKILL)
    assert finish(process) == 125
    assert look.processes_with(mark) == []


def test_sigkill_of_the_guardian_ends_no_job_of_the_shell_that_became_sandlock(attack, sandlock, look, mark, mode):
    words = ["run", *sandlock.base, *attack.grants("survivor"), *mode, "--", *attack.words("survivor", "groups", "10", mark)]
    process = subprocess.Popen(["sh", "-c", 'sleep 60 >/dev/null & echo $!; exec "$@"', "sh", sandlock.binary, *words],
                               stdout=subprocess.PIPE, text=True, env=sandlock.environment())
    job = int(process.stdout.readline())
    try:
        assert process.stdout.readline() == "up\n"
        os.kill(next(child for child in look.children_of(process.pid) if child != job), signal.SIGKILL)
        assert finish(process) == 125
        assert look.processes_with(mark) == []
        os.kill(job, 0)
    finally:
        os.kill(job, signal.SIGKILL)


@contextlib.contextmanager
def unreadable_survivor(attack):
    """A copy that may be executed and not read: no process that runs it can be looked at (ptrace(2)), but by root."""
    with short_directory() as directory:
        directory.chmod(0o755)
        program = directory / "survivor"
        shutil.copy(attack.words("survivor")[0], program)
        program.chmod(0o111)
        yield program


def parent_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])


# A job of the shell that becomes sandlock, with a child of its own. Whose the numbers are is in the words before.
JOB = '(sleep 60 >/dev/null & echo "child $!"; exec sleep 60 >/dev/null) & echo "job $!"; exec "$@"'


def test_nor_a_process_that_such_a_job_leaves_behind_to_sandlock(attack, sandlock, look, mark, mode):
    with unreadable_survivor(attack) as program:
        words = ["run", *sandlock.base, "-r", program.parent, *mode, "--", program, "groups", "10", mark]
        process = subprocess.Popen(["sh", "-c", JOB, "sh", sandlock.binary, *words],
                                   stdout=subprocess.PIPE, text=True, env=sandlock.environment())
        lines = [process.stdout.readline().split() for _ in range(3)]  # in any order
        assert ["up"] in lines
        started = dict(line for line in lines if line != ["up"])
        job, child = int(started["job"]), int(started["child"])
        try:
            os.kill(job, signal.SIGKILL)
            assert look.eventually(lambda: parent_of(child) == process.pid), "the control: it is sandlock's by now"
            guardian, = (one for one in look.children_of(process.pid) if one not in (job, child))
            os.kill(guardian, signal.SIGKILL)
            assert finish(process) == 125
            assert look.processes_with(mark) == []
            assert look.state(child) == "S"
        finally:
            os.kill(child, signal.SIGKILL)


def test_who_kills_all_by_the_name_of_sandlock_spares_the_guardian(attack, look, mark, mode):
    """What pkill(1) does, but among the processes of this run alone."""
    process = begin(attack, look, mark, ["groups", "10"], mode)
    named = [pid for pid in sorted(look.processes_with(mark))
             if "sandlock" in pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="ascii")]
    for pid in named:
        os.kill(pid, signal.SIGKILL)
    process.wait(timeout=30)
    assert look.eventually(lambda: look.processes_with(mark) == []), look.processes_with(mark)
    process.communicate(timeout=30)
    assert named == [process.pid]


def test_sigkill_of_the_guardian_ends_all_where_signals_by_descriptor_are_refused(attack, sandlock, look, mark, mode):
    supervised = [] if mode else ["-P", "20"]  # which has put up its own walls, too
    words = ["run", *sandlock.base, *attack.grants("survivor"), *supervised, *mode, "--",
             *attack.words("survivor", "groups", "10", mark)]
    process = subprocess.Popen([attack.helpers / "container_filter", "pidfd-signal", "--", sandlock.binary, *words],
                               stdout=subprocess.PIPE, text=True, env=sandlock.environment())
    assert process.stdout.readline() == "up\n"
    assert len(look.processes_with(mark)) > 10
    os.kill(look.children_of(process.pid)[0], signal.SIGKILL)
    assert finish(process) == 125
    assert look.processes_with(mark) == []


# Who gives guardian or supervisor so much to do that they use up the CPU time that the caller allows a process.
CPU = {"guardian": (["litters", "6"], []), "guardian-unsupervised": (["litters", "6"], ["--no-supervisor"]),
       "supervisor": (["asking", "3"], ["-w", "/dev/null"])}


@pytest.mark.costly
@pytest.mark.parametrize("who", CPU)
def test_the_callers_limit_of_cpu_time_ends_the_run_and_not_its_warden(attack, look, mark, who):
    kind, options = CPU[who]
    process = attack.start("survivor", *kind, mark, options=[*options, "-t", "110s"], stderr=subprocess.PIPE,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (1, 1)))
    assert process.stdout.readline() == "up\n"
    _, said = process.communicate(timeout=100)
    assert process.returncode == 125 and said.startswith(f"sandlock: the {who.partition('-')[0]} ")
    assert said.endswith(" has used up the CPU time of a process (ulimit -t)\n")
    assert look.processes_with(mark) == []


def test_the_command_dies_with_its_guardian_even_while_sandlock_cannot_act(attack, look, mark):
    process = begin(attack, look, mark, KINDS["holder"], [])
    guardian = look.children_of(process.pid)[0]
    command, = look.children_of(guardian)
    process.send_signal(signal.SIGSTOP)
    os.kill(guardian, signal.SIGKILL)
    assert look.eventually(lambda: look.state(command) in (None, "Z"))
    process.send_signal(signal.SIGCONT)
    assert finish(process) == 125
    assert look.eventually(lambda: look.processes_with(mark) == [])


# ---- Promptness ---------------------------------------------------------------------------------------


def test_a_background_job_that_holds_the_output_does_not_delay_the_end(attack, look, mark, mode):
    started = time.monotonic()
    result = attack.inside("survivor", "holder", mark, "exit", options=mode).result
    assert (result.code, result.stdout) == (7, "up\n")
    assert time.monotonic() - started < 30
    assert look.processes_with(mark) == []


def test_a_shell_job_in_the_background_does_not_delay_the_end(sandlock, look, mark, mode):
    started = time.monotonic()
    result = sandlock.run(*mode, "--", "sh", "-c", f"sh -c 'sleep 60; : {mark}' & echo done")
    assert (result.code, result.stdout) == (0, "done\n")
    assert time.monotonic() - started < 30
    assert look.processes_with(mark) == []


# What keeps whoever reaps and lets go busy, and where it can.
BUSY = {"storm": (["storm"], []), "litters": (["litters", "5"], []),
        "litters-unsupervised": (["litters", "5"], ["--no-supervisor"]),
        "traced-unsupervised": (["traced", "100"], ["--no-supervisor"])}


@pytest.fixture(params=BUSY)
def busy(request):
    return BUSY[request.param]


@pytest.mark.costly
def test_a_storm_is_over_soon_after_its_timeout(attack, look, mark, busy):
    kind, options = busy
    started = time.monotonic()
    result = attack.inside("survivor", *kind, mark, options=[*options, "-t", "1s"]).result
    assert result.code == 124
    assert time.monotonic() - started < 20
    assert look.processes_with(mark) == []


def test_a_storm_does_not_outlive_sandlock(attack, look, mark, busy):
    process = begin(attack, look, mark, *busy)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    assert look.eventually(lambda: look.processes_with(mark) == []), look.processes_with(mark)
    process.communicate(timeout=30)


# ---- Members of another user --------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root: who may change users")

PR_CAPBSET_DROP, CAP_KILL, CAP_SETUID, CAP_SETPCAP, CAP_SYS_PTRACE = 24, 5, 7, 8, 19
libc = ctypes.CDLL(None)


def drop(*capabilities):
    """For the child: a root without these, as in a container; those the kernel does not know do not matter."""
    for capability in capabilities:
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


# Who cannot signal other users. The second one cannot take anything out of its bounding set.
CALLERS = {
    "root without CAP_KILL": lambda: drop(CAP_KILL),
    "root with CAP_SETUID alone": lambda: drop(*set(range(64)) - {CAP_SETUID, CAP_SETPCAP}, CAP_SETPCAP),
}


def as_nobody(*capabilities):
    """The words before a command that an ordinary user with these capabilities runs."""
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if capabilities:
        names = ",".join(["-all", *("+" + name for name in capabilities)])
        words += [f"--bounding-set={names}", f"--inh-caps={names}", f"--ambient-caps={names}"]
    return words


def assert_its_members_cannot_leave(process, look, mark):
    assert process.stdout.readline() == "user: EPERM\n"
    assert finish(process) in (7, 124)
    assert look.processes_with(mark) == []


@needs_root
@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_such_callers_may_change_users_unconfined(attack, mark, caller):
    assert attack.outside("survivor", "user", mark, "exit", preexec_fn=caller)["user"] == "OK"


@needs_root
def test_a_member_of_root_may_become_another_user_and_ends_with_the_run(attack, look, mark, mode):
    process = attack.start("survivor", "user", mark, options=[*mode, "-t", "2s"])
    assert [process.stdout.readline() for _ in range(2)] == ["user: OK\n", "up\n"]
    assert finish(process) == 124
    assert look.processes_with(mark) == []


@needs_root
@pytest.mark.parametrize("more", [["exit"], []], ids=["at the end of the command", "at a timeout"])
@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_where_the_guardian_could_not_end_another_user_no_member_becomes_one(attack, look, mark, mode,
                                                                             caller, more):
    process = attack.start("survivor", "user", mark, *more, options=[*mode, "-t", "2s"],
                           preexec_fn=caller)
    assert_its_members_cannot_leave(process, look, mark)


@needs_root
def test_there_sigkill_of_sandlock_ends_all_as_well(attack, look, mark, mode):
    process = attack.start("survivor", "user", mark, options=mode,
                           preexec_fn=CALLERS["root without CAP_KILL"])
    assert [process.stdout.readline() for _ in range(2)] == ["user: EPERM\n", "up\n"]
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    assert look.eventually(lambda: look.processes_with(mark) == [])
    process.communicate(timeout=30)


@needs_root
def test_an_ordinary_user_with_the_capability_gives_it_up_as_well(attack, sandlock, look, mark, mode):
    words = ["run", *sandlock.base, *attack.grants("survivor"), *mode, "-t", "2s", "--",
             *attack.words("survivor", "user", mark, "exit")]
    for capabilities, result in ((["setuid"], "EPERM"), (["setuid", "kill"], "OK")):
        done = subprocess.run([*as_nobody(*capabilities), sandlock.binary, *words], text=True, timeout=20,
                              env=sandlock.environment(), capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (7, f"user: {result}\nup\n"), done
        assert look.processes_with(mark) == []


def give_capability(program):
    os.setxattr(program, "security.capability",
                struct.pack("<5I", 0x02000001, 1 << CAP_SETUID, 0, 0, 0))  # permitted and effective


def make_set_uid(program):
    program.chmod(0o4755)


@needs_root
@pytest.mark.parametrize("arm", [give_capability, make_set_uid])
@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_no_program_gives_the_capability_back(attack, sandlock, look, mark, caller, arm):
    with short_directory() as directory:
        directory.chmod(0o755)
        program = directory / "survivor"
        shutil.copy(attack.words("survivor")[0], program)
        program.chmod(0o755)
        arm(program)
        words = [program, "user", mark, "exit"]
        outside = subprocess.run([*as_nobody(), *words], text=True, capture_output=True, timeout=20,
                                 check=False)
        assert outside.stdout == "user: OK\nup\n"
        left, deadline = look.processes_with(mark), time.monotonic() + 10
        assert left, "the control"
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        while look.processes_with(mark) and time.monotonic() < deadline:
            time.sleep(0.01)
        result = sandlock.run("-r", directory, "--", *words, preexec_fn=caller)
        # The kernel executes no file whose capability is not in the bounding set.
        assert (result.code, result.stdout) in ((7, "user: EPERM\nup\n"), (126, "")), result
        assert look.processes_with(mark) == []


@needs_root
@pytest.mark.user_namespaces
def test_in_a_user_mapping_there_is_no_other_user(attack, look, mark, mode):
    process = attack.start("survivor", "user", mark, "exit", options=[*mode, "--user", "1000:1000"],
                           preexec_fn=CALLERS["root without CAP_KILL"])
    assert process.stdout.readline() == "user: EINVAL\n"
    assert finish(process) == 7
    assert look.processes_with(mark) == []


@needs_root
def test_the_posture_says_who_cannot_change_users(sandlock, area):
    sentence = "no member can change its user"
    told = []
    for caller in (CALLERS["root without CAP_KILL"], None):
        posture = area / "posture"
        posture.unlink(missing_ok=True)
        assert sandlock.run("--posture", posture, "--", "true", preexec_fn=caller).code == 0
        told.append([line for line in json.loads(posture.read_text())["exceptions"] if sentence in line])
    assert len(told[0]) == 1 and "CAP_KILL" in told[0][0]
    assert told[1] == []


# ---- The process limit --------------------------------------------------------------------------------


def test_a_storm_stays_within_the_process_limit(attack, look):
    inside = attack.inside("process_probe", "storm", "16", "2", options=["-P", "2", "-t", "50s"])
    words = inside["storm"].split()
    forked, most = int(words[1]), int(words[5])
    assert forked > 50  # on a busy machine most forks wait for one of the two places
    assert most <= 2


@pytest.mark.costly
@pytest.mark.parametrize("idle, many, limit, who", [(50, 10, 63, "process"), (60, 60, 123, "process"),
                                                    (40, 10, 52, "thread")])
def test_who_changes_its_parent_during_the_count_is_counted(sandlock, helpers, idle, many, limit, who):
    """A process or thread forks many and ends while the tree is walked: they go where was looked already."""
    rounds = 30
    result = sandlock.run("-r", helpers, "-P", limit, "--", helpers / "fork_race", idle, many, rounds, who, timeout=120)
    assert result.code == 0, result
    most, reached = map(int, result.stdout.split())
    assert reached > rounds / 2, "the control: the limit lets nobody through for good"
    assert limit - 2 <= most <= limit


def test_a_storm_of_sessions_stays_within_the_process_limit(attack, look, mark):
    process = attack.start("survivor", "storm", mark, options=["-P", "20"])
    assert process.stdout.readline() == "up\n"
    most = 0
    end = time.monotonic() + 2
    while time.monotonic() < end or most <= 2 and time.monotonic() < end + 20:  # a busy machine
        most = max(most, len(look.processes_with(mark)) - 2)  # sandlock and its guardian carry it too
    process.send_signal(signal.SIGTERM)
    assert finish(process) == -signal.SIGTERM
    assert 2 < most <= 20
    assert look.processes_with(mark) == []


# ---- Hosts of the library -----------------------------------------------------------------------------


@pytest.fixture
def host(attack, helpers, sandlock):
    """Starts a host of the library whose sandbox runs a survivor."""
    library = helpers.parent.parent / "libsandlock_ffi.so"
    hosts = []

    def start(how, *words, program=None, **more):
        program = program or helpers / "survivor"
        grants = [*sandlock.base[1::2], str(program.parent)]
        process = subprocess.Popen([*attack.words("library_host.py"), str(library), how, *grants, "--",
                                    str(program), *words], stdout=subprocess.PIPE, text=True, **more)
        hosts.append(process)
        word, pid = process.stdout.readline().split()
        assert word == "handle"
        return process, int(pid)

    yield start
    for process in hosts:
        process.kill()
        process.communicate()


def test_sigkill_of_a_host_ends_its_parked_sandbox(host, look, mark):
    process, pid = host("create", "daemon", mark)
    assert look.state(pid) == "S"
    assert pathlib.Path(f"/proc/{pid}/exe").resolve() == pathlib.Path(f"/proc/{process.pid}/exe").resolve()
    process.kill()
    process.wait()
    assert look.eventually(lambda: look.processes_with(mark) == [])
    assert look.eventually(lambda: look.state(pid) is None)


@pytest.mark.parametrize("words", [["daemon"], ["groups", "100"], ["storm"]], ids=lambda words: words[0])
def test_sigkill_of_a_host_ends_its_running_sandbox(host, look, mark, witness, words):
    process, pid = host("start", *words, mark)
    assert look.eventually(lambda: len(look.processes_with(mark)) >= 4)
    process.kill()
    process.wait()
    assert look.eventually(lambda: look.processes_with(mark) == [])
    assert look.eventually(lambda: look.state(pid) is None)
    assert witness.signals() == {}


@pytest.mark.parametrize("how", ["start", "start-unscoped"])
@pytest.mark.parametrize("kind", ["daemon", "chain"])
def test_sigkill_of_a_hosts_guardian_ends_its_sandbox(host, look, mark, witness, kind, how):
    process, pid = host(how, kind, mark)
    assert look.eventually(lambda: len(look.processes_with(mark)) >= (4 if kind == "daemon" else 3))
    guardian = parent_of(pid)
    os.kill(guardian, signal.SIGKILL)
    # The host, whose command line carries the mark too, lives on.
    assert look.eventually(lambda: look.processes_with(mark) == [process.pid]), look.processes_with(mark)
    assert look.eventually(lambda: look.state(guardian) is None)
    assert process.poll() is None
    assert witness.signals() == {}
    # A chain holds the output open. It is over already: nothing is left that would end it now.
    process.kill()
    process.communicate(timeout=30)


def assert_they_end_with_the_guardian(look, process, pid, mark):
    os.kill(parent_of(pid), signal.SIGKILL)
    assert look.eventually(lambda: look.processes_with(mark) == [process.pid]), look.processes_with(mark)
    assert process.poll() is None


@pytest.mark.skipif(os.getuid() == 0, reason="root can read every program")
def test_so_do_members_that_nobody_can_look_at(host, attack, look, mark, witness):
    with unreadable_survivor(attack) as program:
        process, pid = host("start", "groups", "4", mark, program=program)
        assert look.eventually(lambda: len(look.children_of(pid)) == 4)
        for member in look.children_of(pid):
            with pytest.raises(PermissionError):
                os.readlink(f"/proc/{member}/cwd")
        assert_they_end_with_the_guardian(look, process, pid, mark)
    assert witness.signals() == {}


@needs_root
def test_and_those_of_another_user(host, look, mark):
    process, pid = host("start", "user", mark, preexec_fn=lambda: drop(CAP_SYS_PTRACE))
    assert look.eventually(lambda: [os.stat(f"/proc/{child}").st_uid for child in look.children_of(pid)] == [54321])
    assert_they_end_with_the_guardian(look, process, pid, mark)


TRACED = """
import ctypes, os, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: print("handled", flush=True))
if ctypes.CDLL(None).ptrace(0, 0, None, None) != 0:
    sys.exit(3)
os.kill(os.getpid(), signal.SIGUSR1)
if sys.argv[1] == "exec":
    os.execv("/bin/echo", ["echo", "executed"])
print("done", flush=True)
"""


@pytest.mark.parametrize("kind, output", [("plain", "handled\ndone\n"), ("exec", "handled\nexecuted\n")])
def test_a_member_that_makes_the_guardian_its_tracer_is_not_waited_for(sandlock, kind, output):
    """Without a supervisor a command may ask its parent to trace it, and then stops at every signal."""
    native = subprocess.run(["/usr/bin/python3", "-I", "-S", "-c", TRACED.replace("ptrace(0, 0", "getpid(0, 0").replace("!= 0", "< 0"), kind],
                            capture_output=True, text=True, timeout=20, check=False)
    assert native.stdout == output, "the control: nobody traces it"
    began = time.monotonic()
    done = sandlock.run("--no-supervisor", "-r", "/", "-t", "60", "--", "/usr/bin/python3", "-I", "-S", "-c", TRACED, kind)
    assert (done.code, done.stdout) == (0, output), done
    assert time.monotonic() - began < 30


# ---- Groups that are killed, and hosts that execute something else ---------------------------------------


def test_sigkill_of_the_whole_group_of_sandlock_ends_all(attack, look, mark, mode):
    """timeout -s KILL, CI runners and service managers kill groups: the guardian must not be in the host's."""
    process = attack.start("survivor", "daemon", mark, options=mode, start_new_session=True)
    assert process.stdout.readline() == "up\n", process.communicate()
    assert len(look.processes_with(mark)) >= 4
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert look.eventually(lambda: look.processes_with(mark) == []), look.processes_with(mark)


def test_sigkill_of_the_whole_group_of_a_host_ends_its_sandbox(host, look, mark):
    process, _ = host("start", "daemon", mark, start_new_session=True)
    assert look.eventually(lambda: len(look.processes_with(mark)) >= 4)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert look.eventually(lambda: look.processes_with(mark) == []), look.processes_with(mark)


# Who tells the guardian of a host that executes another program: without a supervisor the end of the lifeline alone,
# of which forks close their copies; and where a copy of the host holds that, the end of the supervising thread alone.
@pytest.mark.parametrize("how", ["exec-unsupervised", "exec-unsupervised-copied",
                                 pytest.param("exec-copied-barely", marks=pytest.mark.skipif(
                                     platform.machine() != "x86_64", reason="fork by its number"))])
def test_a_host_that_executes_another_program_ends_its_sandbox(host, look, mark, how):
    process, _ = host(how, "daemon", mark, stdin=subprocess.PIPE, start_new_session=True)
    assert look.eventually(lambda: len(look.processes_with(mark)) >= 4)
    try:
        print(file=process.stdin, flush=True)
        left = [int(process.stdout.readline())] if "copied" in how else []
        assert look.eventually(lambda: look.processes_with(mark) == left), look.processes_with(mark)
        program = pathlib.Path(f"/proc/{process.pid}/comm")
        assert look.eventually(lambda: program.read_text(encoding="ascii") == "sleep\n"), "the control: it lives on"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
