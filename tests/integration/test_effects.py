"""What single options do to the command, and when a sandbox ends: each with the control that shows the
difference."""

import contextlib
import json
import os
import pathlib
import pty
import resource
import signal
import subprocess
import time

import pytest

from test_lifecycle import PYTHON, RUNTIME, python, user_namespaces_work


@pytest.fixture(params=["supervised", "unsupervised"])
def mode(request):
    return [] if request.param == "supervised" else ["--no-supervisor"]


def eventually(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def processes_with(mark):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in pathlib.Path(f"/proc/{entry}/cmdline").read_bytes():
                found.append(int(entry))
        except OSError:
            pass
    return found


# ---- Files and devices --------------------------------------------------------------------------


def test_a_write_grant_of_a_try_option_allows_writing(sandlock, area, mode):
    missing = area / "missing"
    words = ["--", "sh", "-c", f"echo text >{area}/file"]
    refused = sandlock.run(*mode, "--fs-read-try", area, *words)
    assert refused.code != 0 and not (area / "file").exists()
    done = sandlock.run(*mode, "--fs-write-try", missing, "--fs-write-try", area, *words)
    assert (done.code, done.stderr) == (0, "")
    assert (area / "file").read_text() == "text\n"
    assert not missing.exists()


TERMINAL_REQUEST = """
import os, sys, termios
for name, fd in (("inherited", 0), ("opened", os.open(sys.argv[1], os.O_RDONLY | os.O_NOCTTY))):
    try: termios.tcgetattr(fd); print(name, "works")
    except termios.error as error: print(name, os.strerror(error.args[0]))
"""


def test_requests_to_devices_need_a_write_grant_or_no_protection(sandlock, mode):
    """TCGETS is none of the few requests that the kernel leaves to every open device."""
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    words = ["--", *PYTHON, "-c", TERMINAL_REQUEST, name]
    try:
        for options, opened in ((["-r", name], "Permission denied"), (["-w", name], "works"),
                                (["-r", name, "--disable", "fs-ioctl-dev"], "works")):
            done = sandlock.run(*mode, "-i", *options, *words, stdin=theirs)
            assert done.stdout.splitlines() == ["inherited works", f"opened {opened}"], (options, done)
    finally:
        os.close(ours)
        os.close(theirs)


# ---- Limits and identity ------------------------------------------------------------------------


@pytest.mark.root
def test_the_limit_of_open_files_is_raised_again_only_by_whom_the_kernel_lets(sandlock, mode):
    """Nobody without CAP_SYS_RESOURCE, which root keeps inside if it has it."""
    script = ("import resource\ntry: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"
              "except (OSError, ValueError): print('refused')\n"
              "print(*resource.getrlimit(resource.RLIMIT_NOFILE))")
    outside = subprocess.run([*PYTHON, "-c", script], capture_output=True, text=True, check=True,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))).stdout
    capabilities = pathlib.Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0]
    may_raise = bool(int(capabilities, 16) >> 24 & 1)
    assert outside == ("100 100\n" if may_raise else "refused\n30 30\n")
    assert python(sandlock, script, *mode, "--max-open-files", "30").stdout == outside


def test_the_limit_of_cpu_time_is_the_commands_and_its_soft_one_not_sandlocks(sandlock, mode):
    def limited():
        resource.setrlimit(resource.RLIMIT_CPU, (77, 99))

    process = sandlock.start(*mode, "--", "sh", "-c", "ulimit -St; ulimit -Ht; read word", stdin=subprocess.PIPE,
                             preexec_fn=limited)
    assert [process.stdout.readline() for _ in range(2)] == ["77\n", "99\n"]
    end = time.monotonic() + 30  # once the command is on its way
    while resource.prlimit(process.pid, resource.RLIMIT_CPU) != (99, 99):
        assert time.monotonic() < end
        time.sleep(0.01)
    process.communicate("\n", timeout=30)


@pytest.mark.skipif(not user_namespaces_work(), reason="this user cannot create user namespaces")
def test_uid_is_short_for_a_user_and_a_group_of_that_number(sandlock, mode):
    """As older releases spell it."""
    done = sandlock.run(*mode, "--uid", 4321, "--", "sh", "-c", "id -u; id -g")
    control = sandlock.run(*mode, "--", "sh", "-c", "id -u; id -g")
    assert control.stdout.split() == [str(os.getuid()), str(os.getgid())]
    assert done.stdout.split() == ["4321", "4321"], done
    both = sandlock.run(*mode, "--uid", 4321, "--user", "1:1", "--", "true")
    assert both.code == 2 and "--uid" in both.stderr, both
    assert "--uid" not in sandlock("run", "--help").stdout


def test_a_refused_namespace_names_the_settings_that_refuse_it(sandlock, mode):
    helper = pathlib.Path(os.environ.get("SANDLOCK_BUILD", pathlib.Path(__file__).parents[2] / "build"))
    done = subprocess.run([helper.resolve() / "tests/helpers/container_filter", "--", sandlock.binary, "run",
                           *sandlock.base, *mode, "--user", "4321:4321", "--", "echo", "ran"],
                          capture_output=True, text=True, env=sandlock.environment(), timeout=30,
                          stdin=subprocess.DEVNULL, check=False)
    assert (done.returncode, done.stdout) == (125, "")
    for name in ("kernel.apparmor_restrict_unprivileged_userns", "user.max_user_namespaces"):
        assert name in done.stderr, done.stderr


# ---- Protections and features -------------------------------------------------------------------


def entries_of(sandlock, area, *options):
    path = area / "posture"
    done = sandlock.run("--posture", path, *options, "--", "echo", "ran")
    assert (done.code, done.stdout) == (0, "ran\n"), done
    return {entry["name"]: entry["state"] for entry in json.loads(path.read_text())["entries"]}


@pytest.mark.parametrize("feature", ["metadata-gate", "process-gate"])
def test_with_switches_on_what_a_profile_switched_off(sandlock, area, feature):
    sandlock.profile("weak", f'[features]\nwithout = ["{feature}"]\n')
    assert entries_of(sandlock, area, "-p", "weak")[feature] == "disabled"
    assert entries_of(sandlock, area, "-p", "weak", "--with", feature)[feature] == "active"


def test_a_gate_that_was_switched_on_again_refuses(sandlock, area, secret):
    """The effect, not only the posture: the mode of a file outside the grants."""
    sandlock.profile("weak", '[features]\nwithout = ["metadata-gate"]\n')
    words = ["--", "chmod", "604", str(secret)]
    secret.chmod(0o644)
    assert sandlock.run("-p", "weak", "--with", "metadata-gate", *words).code != 0
    assert secret.stat().st_mode & 0o777 == 0o644
    assert sandlock.run("-p", "weak", *words).code == 0
    assert secret.stat().st_mode & 0o777 == 0o604


@pytest.mark.parametrize("protection", ["fs-refer", "fs-truncate", "net-tcp", "fs-ioctl-dev", "signal-scope",
                                        "abstract-unix-socket-scope"])
def test_a_protection_that_may_be_missing_is_enforced_where_it_is_there(sandlock, area, protection):
    assert entries_of(sandlock, area, "--allow-degraded", protection)[protection] == "active"
    assert entries_of(sandlock, area)[protection] == "active"


def test_a_truncation_is_refused_where_it_might_have_been_missing(sandlock, area, mode):
    target = area / "file"
    target.write_text("text")
    script = f"import os; os.truncate('{target}', 0)"
    assert python(sandlock, script, *mode, "-r", area, "--allow-degraded", "fs-truncate").code != 0
    assert target.read_text() == "text"
    assert python(sandlock, script, *mode, "-w", area, "--allow-degraded", "fs-truncate").code == 0
    assert target.read_text() == ""


# ---- Terminal -----------------------------------------------------------------------------------


def on_a_terminal(sandlock, *words):
    """What a run says whose process leads the session of a terminal, but reads from elsewhere."""
    pid, fd = pty.fork()
    if pid == 0:
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        command = [str(sandlock.binary), "run", *sandlock.base, *map(str, words)]
        os.execve(command[0], command, sandlock.environment())
    text = b""
    try:
        while piece := os.read(fd, 4096):
            text += piece
    except OSError:
        pass  # the other side is closed
    status = os.waitpid(pid, 0)[1]
    os.close(fd)
    return os.waitstatus_to_exitcode(status), text.decode().split()


def test_interactive_takes_the_terminal_when_the_input_is_something_else(sandlock, mode):
    look = "import os; t = os.open('/dev/tty', 0); print('front' if os.tcgetpgrp(t) == os.getpgrp() else 'back')"
    for option, place in (([], "back"), (["-i"], "front")):
        seen = on_a_terminal(sandlock, *mode, *option, "-w", "/dev/tty", "--", *PYTHON, "-c", look)
        assert seen == (0, [place])


# ---- Ends ---------------------------------------------------------------------------------------


def test_a_deaf_program_dies_when_both_times_are_over(sandlock, mode):
    mark = f"3600.{os.getpid():07d}1"
    script = f"trap '' TERM; setsid sleep {mark} & echo up; while :; do sleep {mark}; done"
    started = time.monotonic()
    done = sandlock.run(*mode, "-t", "1500ms", "--kill-after", "700ms", "--", "sh", "-c", script)
    took = time.monotonic() - started
    assert (done.code, done.stdout) == (124, "up\n"), done
    assert 2.15 <= took < 20, took
    assert processes_with(mark) == []


def test_what_hears_ends_at_the_first_time(sandlock, mode):
    started = time.monotonic()
    done = sandlock.run(*mode, "-t", "300ms", "--kill-after", "20s", "--", "sleep", "60")
    assert done.code == 124 and time.monotonic() - started < 15


@pytest.mark.parametrize("settled", [False, True], ids=["at once", "later"])
def test_a_killed_sandlock_leaves_neither_processes_nor_a_runtime_directory(sandlock, mode, settled):
    name = f"gone-{os.getpid()}"
    mark = f"3600.{os.getpid():07d}2"
    process = sandlock.start(*mode, "--name", name, "--", "sh", "-c",
                             f"setsid sleep {mark} & echo up; exec sleep {mark}")
    try:
        assert process.stdout.readline() == "up\n"
        assert (RUNTIME / name).is_dir() and len(processes_with(mark)) >= 1
        assert not settled or eventually((RUNTIME / name / "pid").exists, 20)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert eventually(lambda: not (RUNTIME / name).exists(), 20), list((RUNTIME / name).iterdir())
        assert eventually(lambda: not processes_with(mark), 20)
    finally:
        process.kill()
        process.communicate(timeout=30)


# ---- Reports that nobody reads ------------------------------------------------------------------


@pytest.fixture
def full_pipe():
    """The write end of a pipe that takes nothing more. Nobody reads it, but somebody could."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write_end, b"x" * 4096)
    os.set_blocking(write_end, True)
    yield write_end
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize("end", ["time limit", "signal"])
def test_a_posture_that_nobody_reads_keeps_no_run_from_ending(sandlock, area, full_pipe, mode, end):
    name = f"unread-{os.getpid()}"
    process = sandlock.start(*mode, *(["-t", "400ms"] if end == "time limit" else []), "--name", name, "--posture",
                             f"fd:{full_pipe}", "-w", area, "--", "touch", area / "started", pass_fds=[full_pipe])
    try:
        if end == "signal":
            assert eventually((RUNTIME / name / "pid").exists, 20)
            time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == (124 if end == "time limit" else -signal.SIGTERM)
    assert not (area / "started").exists() and not (RUNTIME / name).exists()


def test_a_posture_that_is_read_late_is_whole_and_the_command_runs(sandlock, area, mode):
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write_end, b" " * 4096)
    os.set_blocking(write_end, True)
    process = sandlock.start(*mode, "--posture", f"fd:{write_end}", "-w", area, "--", "touch", area / "started",
                             pass_fds=[write_end])
    os.close(write_end)
    time.sleep(0.3)
    assert not (area / "started").exists()
    with open(read_end, encoding="ascii") as stream:
        assert json.loads(stream.read())["v"] == 1
    assert process.communicate(timeout=30) and process.returncode == 0
    assert (area / "started").exists()


@pytest.mark.costly
def test_what_nobody_reads_keeps_a_run_from_ending_for_seconds_only(sandlock, area, full_pipe):
    """All at once, since each takes these seconds. The control: somebody reads the first one."""
    told = area / "told"
    endless = ["-t", "400ms", "--", "sleep", "60"]
    common = {"pass_fds": [full_pipe]}
    with open(told, "w", encoding="utf-8") as file:
        started = time.monotonic()
        runs = {
            "read": sandlock.start(*endless, stderr=file),
            "messages": sandlock.start(*endless, stderr=full_pipe),
            "messages without supervisor": sandlock.start("--no-supervisor", *endless, stderr=full_pipe),
            "status": sandlock.start("--status-fd", full_pipe, *endless, **common),
            "posture": sandlock.start("--posture", f"fd:{full_pipe}", "--", "touch", "/never", **common),
        }
        took = {}
        while len(took) < len(runs) and time.monotonic() - started < 60:
            took |= {name: time.monotonic() - started for name, run in runs.items()
                     if name not in took and run.poll() is not None}
            time.sleep(0.02)
    said = {}
    for name, run in runs.items():
        run.kill()
        said[name] = run.communicate()[1]
    assert {name: run.returncode for name, run in runs.items()} == {name: 125 if name == "posture" else 124
                                                                   for name in runs}
    assert told.read_text() == "sandlock: timeout after 0.4s\n"
    others = [took[name] for name in runs if name != "read"]
    assert all(4 < other < 60 for other in others) and took["read"] < min(others) - 2, took
    assert said["status"] == "sandlock: timeout after 0.4s\nsandlock: --status-fd: nobody reads it\n"
    assert said["posture"] == "sandlock: writing --posture: nobody reads it\n"
