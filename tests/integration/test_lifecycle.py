"""The life of a sandbox as its user sees it: streams, terminal, signals, limits, protections, names,
nesting, and what supervision costs."""

import json
import os
import pathlib
import pty
import re
import resource
import select
import signal
import stat
import subprocess
import time

import pytest

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B"]


@pytest.fixture(params=["supervised", "unsupervised"])
def mode(request):
    return [] if request.param == "supervised" else ["--no-supervisor"]


def python(sandlock, script, *options, **kwargs):
    return sandlock.run(*options, "--", *PYTHON, "-c", script, **kwargs)


# ---- Streams and dispositions -------------------------------------------------------------------------


def test_large_output_arrives_whole_on_both_streams(sandlock, mode):
    script = ("import os, threading\n"
              "def fill(fd, byte):\n  for _ in range(256): os.write(fd, byte * 4096)\n"
              "threads = [threading.Thread(target=fill, args=a) for a in ((1, b'o'), (2, b'e'))]\n"
              "[t.start() for t in threads]; [t.join() for t in threads]")
    result = python(sandlock, script, *mode)
    assert (result.stdout, result.stderr) == ("o" * 2**20, "e" * 2**20)


def test_a_member_that_writes_to_a_closed_pipe_dies_by_sigpipe(sandlock, mode):
    """Although this Python, like many hosts, ignores that signal and hands the disposition on."""
    result = sandlock.run(*mode, "--", "sh", "-c", "(yes; echo $? >&2) | head -1; true", restore_signals=False)
    assert result.stdout == "y\n"
    assert result.stderr == "141\n"


def test_other_ignored_signals_and_the_mask_are_inherited(sandlock, mode):
    script = ("import signal; print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, "
              "signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, []))")

    def prepare():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])

    assert python(sandlock, script, *mode, preexec_fn=prepare).stdout == "True True\n"
    assert python(sandlock, script, *mode).stdout == "False False\n"


# ---- Terminal -------------------------------------------------------------------------------------------


class Terminal:
    """An interactive bash on a terminal of its own."""

    def __init__(self, sandlock):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"],
                      {**sandlock.environment(), "PS1": "", "PS2": "", "HISTFILE": "/dev/null"})
        self.text = ""
        self.say(f"stty -echo; alias run='{sandlock.binary} run {' '.join(sandlock.base)}'")
        self.say("echo prompt-$((1+1))")
        self.expect("prompt-2")

    def say(self, line):
        self.type(line + "\n")

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, seconds=10):
        """Reads until the pattern appears and returns the match; what was read before it is dropped."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found
            left = end - time.monotonic()
            assert left > 0, f"{pattern!r} did not appear: {self.text!r}"
            if select.select([self.fd], [], [], left)[0]:
                try:
                    self.text += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"the shell ended before {pattern!r}: {self.text!r}") from None

    def close(self):
        os.kill(self.pid, signal.SIGHUP)
        os.close(self.fd)
        deadline = time.monotonic() + 5
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.02)


@pytest.fixture
def terminal(sandlock):
    shell = Terminal(sandlock)
    yield shell
    shell.close()


FOREGROUND = "/usr/bin/python3 -I -S -c 'import os; print(\"foreground\", os.tcgetpgrp(0) == os.getpgrp())'"


def test_a_foreground_run_has_the_terminal_and_gives_it_back(terminal):
    terminal.say(f"run -- {FOREGROUND}; echo back-$?")
    terminal.expect("foreground True")
    terminal.expect("back-0")
    terminal.say("read -r line; echo \"got $line\"")
    terminal.say("a word")
    terminal.expect("got a word")


@pytest.mark.parametrize("ending", ["-t 300ms", ""], ids=["timeout", "kill"])
def test_the_terminal_comes_back_after_a_violent_end(terminal, ending):
    command = "sleep 60" if ending else "sh -c 'kill -9 $$'"
    terminal.say(f"run {ending} -- {command}; echo code-$?")
    terminal.expect("code-124" if ending else "code-137")
    terminal.say("read -r line; echo \"got $line\"")
    terminal.say("a word")
    terminal.expect("got a word")


def test_input_from_the_terminal_reaches_the_command(terminal):
    terminal.say("run -- sh -c 'read -r x; echo \"inside $x\"'; echo back")
    terminal.say("a word")
    terminal.expect("inside a word")
    terminal.expect("back")


def test_interrupting_from_the_keyboard_ends_the_command(terminal):
    terminal.say("run -- sh -c 'echo up; exec sleep 60'; echo code-$?")
    terminal.expect("up")
    terminal.type("\x03")
    terminal.expect("code-130")


def test_stopping_from_the_keyboard_stops_sandlock_and_fg_continues(terminal):
    # Not Python: a signal that arrives when its input() is about to wait is not noticed before the next line.
    terminal.say("run -- sh -c 'echo up; while read -r line; do echo \"said $line\"; done'")
    terminal.expect("up")
    terminal.type("\x1a")
    terminal.expect(r"Stopped")
    terminal.say("echo shell-$((2+2))")
    terminal.expect("shell-4")
    terminal.say("fg")
    terminal.say("a word")
    terminal.expect("said a word")
    terminal.type("\x1a")
    terminal.expect(r"Stopped")
    terminal.say("fg; echo code-$?")
    terminal.say("another")
    terminal.expect("said another")
    terminal.type("\x03")
    terminal.expect("code-130")


def test_a_background_run_does_not_take_the_terminal(terminal):
    terminal.say(f"run -- sh -c '{FOREGROUND.replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}; sleep 1; echo ended' &")
    terminal.expect("foreground False")
    terminal.say("read -r line; echo \"got $line\"")
    terminal.say("a word")
    terminal.expect("got a word")
    terminal.expect("ended")


def test_a_background_run_that_reads_is_stopped_until_it_is_in_front(terminal):
    terminal.say("run -- sh -c 'read -r x; echo \"inside $x\"' &")
    terminal.say("until jobs | grep Stopped; do sleep 0.05; done")
    terminal.expect("Stopped")
    terminal.say("fg")
    terminal.say("a word")
    terminal.expect("inside a word")


def test_bg_continues_a_stopped_run(terminal):
    # No shell, which is in vfork() just then: it cannot stop before its child, stopped itself, has gone on.
    code = 'import time; print("up", flush=True); time.sleep(2); print("ended")'
    terminal.say(f"run -- /usr/bin/python3 -I -S -c '{code}'")
    terminal.expect("up")
    terminal.type("\x1a")
    terminal.expect("Stopped")
    terminal.say("bg")
    terminal.expect("ended")


def test_an_interactive_shell_has_job_control_inside(terminal):
    terminal.say("run -w /dev/tty -- bash --norc --noprofile --noediting -i; echo back-$?")
    terminal.say("PS1=; sleep 60 & jobs; echo inside-$((3+3))")
    terminal.expect("Running")
    terminal.expect("inside-6")
    terminal.say("kill %1; wait; true | true; echo pipe-$?")
    terminal.expect("pipe-0")
    terminal.say("exit 5")
    terminal.expect("back-5")


# ---- Pipelines ------------------------------------------------------------------------------------------

PIPELINES = "i=0; while [ $i -lt COUNT ]; do echo $i | cat | cat >/dev/null || exit 1; i=$((i+1)); done; echo $i"


def run_pipelines(sandlock, shell, count, *options):
    script = PIPELINES.replace("COUNT", str(count))
    result = sandlock.run("-w", "/dev/null", *options, "--", shell, "-c", script, timeout=120)
    assert (result.code, result.stdout, result.stderr) == (0, f"{count}\n", "")


def test_a_thousand_pipelines_never_hang_nor_fail_to_fork(sandlock, mode):
    run_pipelines(sandlock, "dash", 1000, *mode)


def test_pipelines_under_a_process_limit_never_hang_nor_fail_to_fork(sandlock):
    run_pipelines(sandlock, "bash", 300, "-P", "20")


def test_pipelines_of_dash_under_a_process_limit_are_never_refused_by_it(sandlock):
    """Counted forks are trapped. A signal that arrives before the supervisor has received the call makes it
    fail with EINTR in a shell like dash, whose handler does not restart calls (README, "Limits"). What must
    not happen is a hang, another failure, or a refusal by the limit itself."""
    script = PIPELINES.replace("COUNT", "300")
    result = sandlock.run("-w", "/dev/null", "-P", "20", "--stats", "--", "dash", "-c", script, timeout=120)
    assert ", 0 refused" in result.stderr, result
    lost = [line for line in result.stderr.splitlines() if line.startswith("dash")]
    assert all(line.endswith("Cannot fork") for line in lost), result
    assert (result.code == 0 and result.stdout == "300\n") or lost, result


# ---- Names ------------------------------------------------------------------------------------------------

RUNTIME = pathlib.Path(f"/dev/shm/sandlock-{os.getuid()}")


def test_a_finished_run_leaves_no_runtime_files(sandlock, mode):
    name = f"tidy-{os.getpid()}"
    process = sandlock.start(*mode, "--name", name, "--", "sh", "-c", "echo up; read x", stdin=subprocess.PIPE)
    assert process.stdout.readline() == "up\n"
    assert (RUNTIME / name).is_dir()
    process.communicate("\n", timeout=10)
    assert not (RUNTIME / name).exists()


def test_a_name_is_free_at_once_when_its_owner_was_killed(sandlock, mode):
    name = f"free-{os.getpid()}"
    for _ in range(3):
        process = sandlock.start(*mode, "--name", name, "--", "sh", "-c", "echo up; exec sleep 60")
        assert process.stdout.readline() == "up\n"
        assert sandlock.run(*mode, "--name", name, "--", "true").code == 125
        process.kill()
        process.wait()
        after = sandlock.run(*mode, "--name", name, "--", "echo", "mine")
        assert (after.code, after.stdout) == (0, "mine\n"), after
        process.communicate(timeout=10)
    assert not (RUNTIME / name).exists()


def test_a_name_in_use_is_refused_before_anything_is_started(sandlock, area, mode):
    name = f"live-{os.getpid()}"
    process = sandlock.start(*mode, "--name", name, "--", "sh", "-c", "echo up; exec sleep 60")
    assert process.stdout.readline() == "up\n"
    try:
        second = sandlock.run(*mode, "--name", name, "-w", area, "--", "touch", area / "started")
        assert second.code == 125 and name in second.stderr
        assert not (area / "started").exists()
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_many_runs_at_once_do_not_disturb_each_other(sandlock):
    processes = [sandlock.start("--", "sh", "-c", f"sleep 0.3; echo {i}; exit {i}") for i in range(40)]
    for i, process in enumerate(processes):
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (i, f"{i}\n", "")


# ---- Identity ---------------------------------------------------------------------------------------------


def user_namespaces_work():
    return subprocess.run(["unshare", "-U", "true"], capture_output=True, check=False).returncode == 0


def identity(sandlock, *options):
    return sandlock.run(*options, "-r", "/proc", "--", "sh", "-c", "id -u; id -g; readlink /proc/self/ns/user")


@pytest.mark.skipif(not user_namespaces_work(), reason="this user cannot create user namespaces")
@pytest.mark.parametrize("wanted", ["0:0", "1000:1001", "65534:65534"])
def test_a_mapped_user_is_seen_inside(sandlock, area, mode, wanted):
    if wanted == f"{os.getuid()}:{os.getgid()}":
        pytest.skip("that is this user")
    result = identity(sandlock, *mode, "--user", wanted)
    uid, gid, namespace = result.stdout.split()
    assert f"{uid}:{gid}" == wanted
    assert namespace != os.readlink("/proc/self/ns/user")
    made = sandlock.run(*mode, "--user", wanted, "-w", area, "--", "touch", area / "file")
    assert made.code == 0
    assert (area / "file").stat().st_uid == os.getuid()


def test_the_own_identity_needs_no_namespace(sandlock, mode):
    result = identity(sandlock, *mode, "--user", f"{os.getuid()}:{os.getgid()}")
    assert result.stdout.split()[2] == os.readlink("/proc/self/ns/user")


def test_a_mapped_root_has_no_way_out(sandlock, secret, area):
    if not user_namespaces_work():
        pytest.skip("this user cannot create user namespaces")
    script = ("import os\nfor call in (lambda: os.chroot('/usr'), lambda: open(%r), lambda: os.mknod(%r, 0o20600, 259)):\n"
              "  try: call(); print('done')\n  except OSError as e: print(e.strerror)") % (str(secret), str(area / "node"))
    result = python(sandlock, script, "--user", "0:0", "-w", area)
    assert result.stdout.splitlines() == ["Operation not permitted", "Permission denied", "Operation not permitted"]


# ---- Files and protections -----------------------------------------------------------------------------------


def test_grants_on_single_files_devices_and_fifos(sandlock, area, mode):
    (area / "file").write_text("text\n")
    (area / "other").write_text("other\n")
    os.mkfifo(area / "fifo")
    options = [*mode, "-w", area / "file", "-r", area / "fifo", "-w", "/dev/null", "-r", "/dev/zero"]
    started = time.monotonic()
    result = sandlock.run(*options, "--", "sh", "-c",
                          f"cat {area}/file; echo more >>{area}/file; head -c 3 /dev/zero | od -An -tx1 >/dev/null; "
                          f"cat {area}/other")
    assert time.monotonic() - started < 5, "the FIFO without a writer was not opened"
    assert result.stdout == "text\n"
    assert "other: Permission denied" in result.stderr
    assert (area / "file").read_text() == "text\nmore\n"


def test_execution_needs_a_grant(sandlock, area, mode):
    program = area / "program"
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    assert sandlock.run(*mode, "--", "sh", "-c", str(program)).code == 126
    assert sandlock.run(*mode, "-r", area, "--", "sh", "-c", str(program)).stdout == "ran\n"


def test_moving_between_directories_of_one_grant_works(sandlock, area, mode):
    (area / "a").mkdir()
    (area / "b").mkdir()
    (area / "a/file").write_text("text")
    result = python(sandlock, f"import os; os.rename('{area}/a/file', '{area}/b/file'); os.link('{area}/b/file', '{area}/a/again')",
                    *mode, "-w", area)
    assert result.code == 0, result
    assert (area / "b/file").read_text() == (area / "a/again").read_text() == "text"


@pytest.mark.parametrize("protection", ["fs-truncate", "net-tcp", "fs-ioctl-dev", "signal-scope",
                                        "abstract-unix-socket-scope"])
def test_a_disabled_protection_is_not_enforced_and_the_rest_is(sandlock, area, secret, mode, protection):
    path = area / "posture"
    result = sandlock.run(*mode, "--disable", protection, "--posture", path, "-w", area, "-w", "/dev/null", "--",
                          "sh", "-c", f"echo text >{area}/out; cat {secret}")
    assert (area / "out").read_text() == "text\n"
    assert "Permission denied" in result.stderr
    entries = {entry["name"]: entry for entry in json.loads(path.read_text())["entries"]}
    assert entries[protection]["state"] == "disabled"
    others = {"fs-refer", "fs-truncate", "net-tcp", "fs-ioctl-dev", "signal-scope", "abstract-unix-socket-scope"} - {protection}
    assert {entries[name]["state"] for name in others} == {"active"}


def test_truncation_follows_its_protection(sandlock, area, mode):
    target = area / "file"
    target.write_text("text")
    script = f"import os; os.truncate('{target}', 0)"
    assert python(sandlock, script, *mode, "-r", area).code != 0
    assert target.read_text() == "text"
    assert python(sandlock, script, *mode, "-r", area, "--disable", "fs-truncate").code == 0
    assert target.read_text() == ""


def test_the_start_directory_may_lie_outside_the_grants(sandlock, area, mode):
    (area / "file").write_text("text")
    result = sandlock.run(*mode, "--cwd", area, "--", "sh", "-c", "pwd; cat file")
    assert result.stdout == f"{area}\n"
    assert "Permission denied" in result.stderr


# ---- Limits -----------------------------------------------------------------------------------------------------


def test_open_files_are_limited(sandlock, mode):
    script = ("import os, resource\nprint(*resource.getrlimit(resource.RLIMIT_NOFILE))\nn = 0\n"
              "try:\n  while True: os.dup(0); n += 1\nexcept OSError as e: print(n, e.errno)")
    lines = python(sandlock, script, *mode, "--max-open-files", "30").stdout.splitlines()
    assert lines == ["30 30", "27 24"]
    assert sandlock.run(*mode, "--max-open-files", "12", "--", "true").code == 0


def test_a_limit_never_grants_more_than_the_caller_has(sandlock, mode):
    script = "import resource; print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    result = python(sandlock, script, *mode, "--max-open-files", "100000",
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300)))
    assert result.stdout == "200 200\n"


def test_no_core_dumps(sandlock, mode):
    script = ("import resource; print(*resource.getrlimit(resource.RLIMIT_CORE)); "
              "print(int(open('/proc/self/coredump_filter').read(), 16))")
    assert python(sandlock, script, *mode, "--no-coredump", "-r", "/proc").stdout == "0 0\n0\n"
    with open("/proc/self/coredump_filter", encoding="ascii") as stream:
        assert int(stream.read(), 16) != 0, "the caller's own is untouched"
    assert python(sandlock, script, *mode, "-r", "/proc").stdout.splitlines()[1] != "0"


def test_processors_are_pinned_and_stay_so(sandlock, mode):
    available = sorted(os.sched_getaffinity(0))
    script = ("import os; print(*os.sched_getaffinity(0))\n"
              "try: os.sched_setaffinity(0, {%s})\nexcept OSError as e: print(e.strerror)\n"
              "print(*os.sched_getaffinity(0))") % ",".join(map(str, available))
    result = python(sandlock, script, *mode, "--cpu-cores", str(available[-1]))
    assert result.stdout.splitlines()[0] == str(available[-1])
    assert python(sandlock, script, *mode).stdout.splitlines()[0] == " ".join(map(str, available))
    if not mode:
        assert result.stdout.splitlines()[-1] == str(available[-1]), "a member cannot widen it"


def test_no_huge_pages_and_fixed_addresses(sandlock, mode):
    script = ("import ctypes; print(ctypes.CDLL(None).prctl(42, 0, 0, 0, 0), "
              "bool(ctypes.CDLL(None).personality(0xffffffff) & 0x40000))")
    assert python(sandlock, script, *mode, "--no-huge-pages", "--no-randomize-memory").stdout == "1 True\n"
    assert python(sandlock, script, *mode).stdout == "0 False\n"


def test_a_run_without_a_gpu_still_runs_with_gpu_options(sandlock, mode):
    for value in ("all", "0", "0,1"):
        result = sandlock.run(*mode, "--gpu", value, "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES")
        assert (result.code, result.stdout) == (0, "\n" if value == "all" else value + "\n")


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_the_process_limit_counts_live_processes(sandlock, limit):
    script = ("import os, time\nn = 1\ntry:\n  while n < 20:\n"
              "    if os.fork() == 0: time.sleep(30)\n    n += 1\nexcept OSError as e: print(n, e.errno)")
    assert python(sandlock, script, "-P", limit).stdout == f"{limit} 11\n"


# ---- As the first process of a container ------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs a process namespace")
def test_sandlock_works_as_pid_1(sandlock, area, mode):
    words = [str(sandlock.binary), "run", *sandlock.base, *mode, "-w", str(area), "--", "sh", "-c",
             "setsid sleep 60 & echo up; exit 3"]
    done = subprocess.run(["unshare", "-pf", "--mount-proc", *words], capture_output=True, text=True, timeout=30,
                          env=sandlock.environment(), check=False)
    assert (done.returncode, done.stdout) == (3, "up\n"), done


# ---- Nesting ------------------------------------------------------------------------------------------------------


def test_a_supervised_run_inside_a_supervised_one_gets_a_hint(sandlock):
    inner = [sandlock.binary, "run", *sandlock.base, "--", "echo", "inside"]
    result = sandlock("run", "-r", "/", "--", *inner)
    assert result.code == 125 and result.stdout == ""
    assert "--no-supervisor" in result.stderr


def nested(sandlock, depth, innermost):
    words = list(innermost)
    for _ in range(depth):
        words = [sandlock.binary, "run", "--no-supervisor", "-r", "/", "--", *words]
    return sandlock(*words[1:])


def test_unsupervised_runs_nest_until_the_kernels_limit_is_named(sandlock):
    assert nested(sandlock, 4, ["echo", "inside"]).stdout == "inside\n"
    too_deep = nested(sandlock, 20, ["echo", "inside"])
    assert too_deep.stdout == "" and too_deep.code == 125
    assert "nested" in too_deep.stderr


def test_nesting_only_narrows(sandlock, area, secret):
    (area / "file").write_text("text\n")
    inner = [sandlock.binary, "run", "-r", "/", "--", "cat", area / "file", secret]
    result = sandlock("run", "--no-supervisor", *sandlock.base, "-r", os.path.dirname(sandlock.binary),
                      "-r", area, "-r", "/proc", "--", *inner)
    assert result.stdout == "text\n"
    assert "Permission denied" in result.stderr


# ---- What is reported -----------------------------------------------------------------------------------------------


def posture_of(sandlock, area, *options):
    path = area / "posture"
    result = sandlock.run(*options, "--posture", path, "--", "true")
    assert result.code == 0, result
    posture = json.loads(path.read_text())
    path.unlink()
    return posture, {entry["name"]: entry for entry in posture["entries"]}


def test_the_posture_tells_the_mode_and_who_enforces(sandlock, area):
    posture, entries = posture_of(sandlock, area)
    assert posture["mode"] == "supervised"
    for name in ("supervisor", "supervisor-landlock", "supervisor-filter", "guardian", "deny-list", "argument-rules",
                 "metadata-gate", "process-gate"):
        assert entries[name]["state"] == "active", name
    posture, entries = posture_of(sandlock, area, "--no-supervisor")
    assert posture["mode"] == "no-supervisor"
    for name in ("supervisor", "metadata-gate", "process-gate"):
        assert entries[name]["state"] in ("off", "disabled"), name
    assert entries["fs-refer"]["state"] == entries["deny-list"]["state"] == "active"


def test_what_is_not_guarded_is_said(sandlock, area):
    posture, entries = posture_of(sandlock, area)
    for name in ("unix-gate", "listen-gate"):
        if entries[name]["state"] != "active":
            assert posture["exceptions"], "an absent gate is an exception in plain words"
    text = " ".join(posture["exceptions"])
    assert entries["listen-gate"]["state"] == "active" or "listen" in text
    assert entries["unix-gate"]["state"] == "active" or "unix" in text


@pytest.mark.parametrize("feature", ["metadata-gate", "process-gate"])
def test_a_switched_off_feature_is_off_and_an_exception(sandlock, area, feature):
    posture, entries = posture_of(sandlock, area, "--without", feature)
    assert entries[feature]["state"] == "disabled"
    assert any(feature in line for line in posture["exceptions"]), posture["exceptions"]


def test_without_any_feature_nothing_is_supervised(sandlock, area):
    features = ("metadata-gate", "process-gate", "unix-gate", "listen-gate", "netlink-view", "hosts-view",
                "proc-view")
    posture, entries = posture_of(sandlock, area, *(f"--without={feature}" for feature in features))
    assert all(entries[feature]["state"] == "disabled" for feature in features)
    assert entries["supervisor"]["state"] == "off"
    assert posture["mode"] == "kernel-only"
    assert posture["methods"]["listener"] == "none"


def test_required_protections_are_required(sandlock, area):
    mark = area / "ran"
    for options, code in ((["--require", "fs-refer,metadata-gate"], 0),
                          (["--require", "supervisor-filter", "--require", "guardian"], 0),
                          (["--require", "signal-scope", "--disable", "signal-scope"], 125),
                          (["--require", "metadata-gate", "--without", "metadata-gate"], 125),
                          (["--require", "hostname-view"], 125)):
        mark.unlink(missing_ok=True)
        result = sandlock.run(*options, "-w", area, "--", "touch", mark)
        assert (result.code == 0) == (code == 0), (options, result)
        assert mark.exists() == (code == 0)
        if code != 0:
            assert options[1] in result.stderr


def test_explained_runs_name_gate_refusals(sandlock, area, secret):
    log = area / "log"
    result = sandlock.run("--explain", "--log-denials", log, "--", "chmod", "600", secret)
    assert result.code == 1
    assert str(secret) in result.stderr and "--fs-write" in result.stderr
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(line["object"] == str(secret) and "metadata" in json.dumps(line) for line in lines), lines
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


BUSY = """
import os, subprocess, threading, mmap, socket
for _ in range(50):
    fd = os.open("/usr/bin/env", os.O_RDONLY)
    os.fstat(fd); os.lseek(fd, 0, 0); os.read(fd, 10); os.stat("/usr/bin/env"); os.access("/usr", os.R_OK)
    os.close(fd)
    os.listdir("/usr/share/doc/python3")
    r, w = os.pipe(); os.write(w, b"x"); os.read(r, 1); os.close(r); os.close(w)
    memory = mmap.mmap(-1, 1 << 20); memory.close()
    left, right = socket.socketpair(); left.send(b"x"); right.recv(1); left.close(); right.close()
    socket.socket().close(); socket.socket(socket.AF_UNIX).close()
    thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0))
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    if os.fork() == 0:
        os.setpgid(0, 0)
        os._exit(0)
    os.wait()
subprocess.run(["/bin/true"], check=True)
"""


def test_ordinary_work_causes_no_notification(sandlock, area):
    result = python(sandlock, BUSY, "--stats", "-w", area)
    assert result.code == 0, result
    assert "no notifications" in result.stderr


def test_a_guarded_call_is_counted(sandlock, area):
    """Control: the counter counts."""
    target = area / "file"
    target.write_text("")
    result = sandlock.run("--stats", "-w", area, "--", "chmod", "600", target)
    assert re.search(r"^ +1 .* f?chmod(at2?)?$", result.stderr, re.M), result.stderr
    without = sandlock.run("--stats", "-w", area, "--without", "metadata-gate", "--", "chmod", "600", target)
    assert "chmod" not in without.stderr


def test_a_limited_run_traps_process_creation_and_no_thread(sandlock):
    script = "import threading\nfor _ in range(20):\n  t = threading.Thread(target=print); t.start(); t.join()\n"
    assert "no notifications" in python(sandlock, script, "--stats", "-P", "10").stderr
    forks = sandlock.run("--stats", "-P", "10", "--", "sh", "-c", "true | true")
    assert re.search(r"clone|fork", forks.stderr), forks
