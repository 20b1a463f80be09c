"""The command line: usage, exit statuses, validation, environment, status record, profiles."""

import json
import os
import pathlib
import re
import resource
import signal
import shutil
import subprocess
import time

import pytest

ROOT = pathlib.Path(os.environ.get("SANDLOCK_TOP", pathlib.Path(__file__).resolve().parents[2]))

# ---- Help and usage ---------------------------------------------------------------------------

OPTIONS = """fs-read fs-write fs-read-try fs-write-try net-allow-bind max-processes max-open-files gpu
    cpu-cores timeout kill-after env cwd user clean-env exec-shell interactive no-coredump no-huge-pages
    no-randomize-memory extra-deny-syscall extra-allow-syscall allow-degraded disable without with
    no-supervisor require profile profile-file name explain log-denials stats posture print-policy
    status-fd""".split()
COMMANDS = ["run", "check", "profile", "help"]


def test_without_arguments_usage_is_on_stderr(sandlock):
    result = sandlock()
    assert result.code == 2
    assert result.stdout == ""
    assert "Usage" in result.stderr


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_top_help_lists_the_commands(sandlock, words):
    result = sandlock(*words)
    assert (result.code, result.stderr) == (0, "")
    for command in COMMANDS:
        assert re.search(rf"^  {command}\b", result.stdout, re.M)
    assert not re.search(r"^  list\b", result.stdout, re.M)


def help_examples(sandlock):
    text = sandlock("run", "--help").stdout
    return re.findall(r"^      (sandlock run .*)$", text[text.index("\nExamples:\n"):], re.M)


def test_the_examples_of_the_help_work_as_pasted(sandlock, tmp_path):
    examples = help_examples(sandlock)
    assert len(examples) == 4
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sandlock").symlink_to(sandlock.binary)
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.c").write_text("int main(void) { return 0; }\n")
    (project / "Makefile").write_text("main: main.c\n\tgcc -o main main.c 2>/dev/null\n")
    for example in examples:
        program = example.split(" -- ")[1].split()[0]
        if shutil.which(program, path="/usr/bin") is None or shutil.which("gcc") is None:
            pytest.skip(f"{program} or gcc is not installed")
        done = subprocess.run(
            ["/bin/bash", "-c", example], cwd=project,
            env=sandlock.environment({"PATH": f"{tools}:/usr/bin:/bin"}),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=60, check=False)
        assert done.returncode == (1 if "--explain" in example else 0), (example, done.stdout)
        assert ("allow with: " in done.stdout) == ("--explain" in example), done.stdout
    assert (project / "main").exists()


@pytest.mark.parametrize("word", ["-V", "--version"])
def test_version(sandlock, word):
    result = sandlock(word)
    assert result.code == 0
    assert re.fullmatch(r"sandlock \S+\n", result.stdout)


@pytest.mark.parametrize("words", [["run", "--help"], ["run", "-h"], ["help", "run"]])
def test_run_help_mentions_every_option(sandlock, words):
    result = sandlock(*words)
    assert (result.code, result.stderr) == (0, "")
    missing = [name for name in OPTIONS if not re.search(rf"--{name}(?![\w-])", result.stdout)]
    assert missing == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(sandlock, command):
    result = sandlock(command, "--help")
    assert (result.code, result.stderr) == (0, "")
    assert f"Usage: sandlock {command}" in result.stdout


@pytest.mark.parametrize("word", ["list", "ps", "learn", "config", "network", "--frobnicate", ""])
def test_unknown_commands_and_options_are_usage_errors(sandlock, word):
    result = sandlock(word)
    assert (result.code, result.stdout) == (2, "")
    assert "unknown" in result.stderr


def test_a_mistyped_word_gets_a_suggestion(sandlock):
    assert "'run'" in sandlock("rnu").stderr
    assert "--fs-read" in sandlock("run", "--fs-raed", "/usr", "--", "true").stderr


@pytest.mark.parametrize("words, expected", [
    (["-r", "/usr", "--", "true"], "sandlock run -r"),
    (["ls"], "sandlock run ... -- ls"),
    (["kill"], "this release has no such feature"),
    (["--version", "x"], "unexpected argument 'x'"),
    (["help", "run", "x"], "unexpected argument 'x'"),
    (["run", "--net-deny-bind", "*", "--", "true"], "only supported for --net-allow-bind"),
    (["run", "-P", "-1", "--", "true"], "'-1' is negative"),
    (["run", "-P", "0", "--", "true"], "--max-processes: must be at least 1"),
    (["run", "-rw", "--", "true"], "-rw is -r with the value w"),
    (["run", "-r", "missing", "--", "true"], "/missing): No such file or directory; if it may be missing"),
    (["run", "-r", "~/x", "--", "true"], "the shell expands ~ only unquoted"),
    (["run", "--cwd", "/nowhere", "-r", "/usr", "--", "true"], "--cwd /nowhere: No such file"),
    (["run", "-r", "/usr", "--require", "signal-scop", "--", "true"], 'did you mean "signal-scope"?'),
])
def test_a_usage_error_says_what_to_write_instead(sandlock, words, expected):
    result = sandlock(*words)
    assert result.code == 2
    assert result.stderr.count("sandlock: ") == 1
    assert expected in result.stderr


def test_an_unknown_profile_points_at_the_list(sandlock):
    assert "profile list" in sandlock("profile", "show", "nope").stderr


def test_profile_without_an_action_is_a_usage_error(sandlock):
    result = sandlock("profile")
    assert (result.code, result.stdout) == (2, "")
    assert "Usage" in result.stderr


def test_a_reader_that_has_gone_ends_the_output_quietly(sandlock):
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "wb") as pipe:
        result = sandlock("run", "--help", stdout=pipe)
    assert result.stderr == ""
    assert result.code in (0, -signal.SIGPIPE)


def test_what_cannot_be_printed_on_a_closed_stdout_is_a_failure(sandlock):
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" check >&-', sandlock.binary], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, b"sandlock: writing standard output: Bad file descriptor\n")


COMPLETIONS = [
    (["run", "--fs-r"], ["--fs-read", "--fs-read-try"]),
    (["run", "-r", "/usr", "--clean"], ["--clean-env"]),
    (["run", "--clean-env", "--clean"], ["--clean-env"]),
    (["run", "--fs-read", "=", "/usr", "--clean"], ["--clean-env"]),
    (["run", "--without", "unix"], ["unix-gate"]),
    (["run", "--with", "proc-"], ["proc-view"]),
    (["run", "-r", "/usr", "--", "tru"], ["true"]),
    (["run", "-r", "/usr", "tru"], ["true"]),
    # Behind the command nothing is ours, with and without --.
    (["run", "-r", "/usr", "--", "cat", "--fs-r"], []),
    (["run", "-r", "/usr", "cat", "--fs-r"], []),
    (["run", "--clean-env", "cat", "-r", "--fs-r"], []),
    (["help", "chec"], ["check"]),
]


@pytest.mark.parametrize("words, offered", COMPLETIONS, ids=lambda value: " ".join(value))
def test_bash_completes_options_values_and_the_command(words, offered):
    script = pathlib.Path(os.environ.get("SANDLOCK_BUILD", "build")) / "src/cli/sandlock"
    if not script.is_file():
        pytest.skip("no completions were built")
    ask = ('source "$0"; compopt() { :; }; COMP_WORDS=(sandlock "$@"); COMP_CWORD=$#; COMPREPLY=(); '
           '_sandlock; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["/bin/bash", "-c", ask, str(script), *words], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin"}, timeout=20, check=False)
    found = [line for line in done.stdout.splitlines() if line]
    assert set(offered) <= set(found) and (offered or not found), (done, found)


# ---- Running ----------------------------------------------------------------------------------


def test_output_and_code_pass_through(sandlock):
    result = sandlock.run("--", "sh", "-c", "printf 'a\\0b'; printf err >&2; exit 7")
    assert (result.code, result.stdout, result.stderr) == (7, "a\0b", "err")


def test_the_first_word_starts_the_command(sandlock):
    result = sandlock.run("echo", "-n", "--", "x")
    assert (result.code, result.stdout) == (0, "-- x")


def test_stdin_is_inherited(sandlock):
    read_end, write_end = os.pipe()
    os.write(write_end, b"hello")
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        assert sandlock.run("--", "cat", stdin=pipe).stdout == "hello"


def test_the_callers_streams_are_as_they_were_when_a_run_has_ended(sandlock):
    """Their file status flags belong to the caller as well, whose next read would fail."""
    read_end, write_end = os.pipe()
    done = sandlock.run("--", "/usr/bin/python3", "-I", "-S", "-c", "import os; os.set_blocking(0, False); print(os.get_blocking(0))",
                        stdin=read_end)
    assert (done.stdout, os.get_blocking(read_end)) == ("False\n", True)
    os.close(read_end)
    os.close(write_end)


def test_a_path_outside_the_grants_is_unreadable(sandlock, secret):
    result = sandlock.run("--", "cat", secret)
    assert result.code == 1
    assert "the secret" not in result.stdout
    assert "Permission denied" in result.stderr
    granted = sandlock.run("-r", secret, "--", "cat", secret)
    assert (granted.code, granted.stdout) == (0, "the secret\n")


def test_a_read_grant_does_not_allow_writing(sandlock, area):
    target = area / "file"
    command = ["--", "sh", "-c", 'echo text >"$0"', target]
    assert sandlock.run("-r", area, *command).code != 0
    assert not target.exists()
    assert sandlock.run("-w", area, *command).code == 0
    assert target.read_text() == "text\n"


def test_exec_shell_takes_further_words_as_parameters(sandlock):
    result = sandlock.run("-e", 'echo "$0" "$1"', "--", "name", "a b")
    assert (result.code, result.stdout) == (0, "name a b\n")


def test_only_the_standard_descriptors_are_inherited(sandlock):
    read_end, write_end = os.pipe()
    try:
        result = sandlock.run("--", "sh", "-c", f"echo leak >&{write_end}", pass_fds=[write_end])
    finally:
        os.close(write_end)
    assert result.code != 0
    assert os.read(read_end, 1) == b""
    os.close(read_end)


LIST_OPEN = """
import os, sys
def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
text = "".join(str(fd) for fd in (0, 1, 2) if is_open(fd))
with open(sys.argv[1], "w") as stream:
    stream.write(text)
"""


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_descriptors_stay_closed(sandlock, area, closed):
    out = area / "out"
    command = [sandlock.binary, "run", *sandlock.base, "-w", str(area), "--"]
    command += ["/usr/bin/python3", "-S", "-c", LIST_OPEN, str(out)]
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" "$@" {closed}', *command],
        env=sandlock.environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
        check=False,
    )
    assert done.returncode == 0, done
    gone = re.findall(r"(\d)[<>]&-", closed)
    assert out.read_text() == "".join(fd for fd in "012" if fd not in gone)


# ---- Exit statuses ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGHUP])
def test_death_by_a_signal_gives_128_plus_its_number(sandlock, number):
    assert sandlock.run("--", "sh", "-c", f"kill -{int(number)} $$").code == 128 + number


def test_a_timeout_ends_everything_with_124(sandlock):
    started = time.monotonic()
    result = sandlock.run("-t", "1", "--", "sh", "-c", "sleep 60 & sleep 60")
    assert result.code == 124
    assert "sandlock: timeout after 1s\n" in result.stderr
    assert 0.9 < time.monotonic() - started < 25


def test_a_fraction_of_a_second_is_printed_sensibly(sandlock):
    result = sandlock.run("-t", "150ms", "--", "sleep", "60")
    assert result.code == 124
    assert "sandlock: timeout after 0.15s\n" in result.stderr


@pytest.mark.parametrize("options", [[], ["--no-supervisor"], ["--posture", "posture"]], ids=" ".join)
def test_a_time_limit_that_has_come_before_the_command_runs_ends_it_as_well(sandlock, area, options):
    """It counts from before the set-up. What is left of it then is no "no limit"."""
    assert sandlock.run("-t", "1ms", *options, "--", "sleep", "60", cwd=area).code == 124


def test_a_command_that_has_ended_in_time_is_not_late(sandlock):
    """The limit comes before the guardian, which is stopped here, has seen the end."""
    for limit in (1, 4, 16, 64):  # a machine so slow that the command itself is late
        begun = time.monotonic()
        run = sandlock.start("-t", limit, "--", "sh", "-c", "echo up; read -r x; exit 7", stdin=subprocess.PIPE)
        assert run.stdout.readline() == "up\n"
        up = time.monotonic()
        guardian, command = children_of(run.pid, 2)
        os.kill(guardian, signal.SIGSTOP)
        run.stdin.write("go\n")
        run.stdin.flush()
        while is_running(command) and time.monotonic() < begun + limit:
            time.sleep(0.005)
        in_time = time.monotonic() < begun + limit
        time.sleep(max(0, up + limit + 0.2 - time.monotonic()))
        os.kill(guardian, signal.SIGCONT)
        run.communicate(timeout=60)
        if in_time:
            break
    assert in_time and run.returncode == 7


def children_of(pid, generations):
    """The first child, its first child, and so on."""
    found = [pid]
    for _ in range(generations):
        found.append(int(pathlib.Path(f"/proc/{found[-1]}/task/{found[-1]}/children").read_text().split()[0]))
    return found[1:]


def is_running(pid):
    """Not a zombie, nor gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_kill_after_lets_the_command_end_itself(sandlock, area):
    script = 'trap "echo ended >$0; exit 0" TERM; echo ready; while :; do sleep 0.05; done'
    mark = area / "mark"
    result = sandlock.run("-w", area, "-t", "1500ms", "--kill-after", "20s", "--", "sh", "-c", script, mark)
    assert result.code == 124
    assert mark.read_text() == "ended\n"
    deaf = sandlock.run("-t", "200ms", "--kill-after", "300ms", "--", "sh", "-c",
                        'trap "" TERM; sleep 60 & while :; do sleep 1; done')
    assert deaf.code == 124


def test_kill_after_zero_is_the_default(sandlock, area):
    mark = area / "mark"
    script = 'trap "echo ended >$0; exit 0" TERM; while :; do sleep 0.05; done'
    profile = sandlock.profile("zero", "[limits]\ntimeout = \"300ms\"\nkill_after = 0\n")
    for options in (["-t", "300ms", "--kill-after", "0"], ["--profile-file", profile]):
        result = sandlock.run("-w", area, *options, "--", "sh", "-c", script, mark)
        assert result.code == 124, result
        assert not mark.exists()
    assert sandlock.run("-t", "300ms", "--kill-after=x", "--", "true").code == 2


def test_kill_after_without_a_timeout_is_refused(sandlock):
    result = sandlock.run("--kill-after", "1s", "--", "true")
    assert result.code == 2
    assert "--kill-after" in result.stderr and "--timeout" in result.stderr


@pytest.mark.parametrize("value", ["0", "0s", "-1", "x", "1d", "", "99999999999999999999"])
def test_bad_timeouts_are_usage_errors(sandlock, value):
    result = sandlock.run(f"--timeout={value}", "--", "true")
    assert result.code == 2
    assert "--timeout" in result.stderr


def test_a_missing_program_gives_127(sandlock, area):
    assert sandlock.run("--", "no-such-program").code == 127
    assert sandlock.run("-r", area, "--", area / "missing").code == 127


def test_a_program_that_cannot_be_executed_gives_126(sandlock, area):
    plain = area / "plain"
    plain.write_text("#!/bin/sh\n")
    plain.chmod(0o644)
    result = sandlock.run("-r", area, "--", plain)
    assert result.code == 126
    assert str(plain) in result.stderr
    plain.chmod(0o755)
    assert sandlock.run("-r", area, "--", plain).code == 0


def test_without_grants_the_failure_says_what_to_grant(sandlock):
    result = sandlock("run", "--", "/usr/bin/true")
    assert result.code == 126
    assert "nothing is accessible without -r or -w" in result.stderr
    assert "-r /usr" in result.stderr


def test_an_ungranted_program_is_named_with_the_grant_it_needs(sandlock, area):
    program = area / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    result = sandlock.run("--", program)
    assert result.code == 126
    assert f"-r {program}" in result.stderr
    assert sandlock.run("-r", program, "--", program).code == 0


def test_why_a_program_cannot_be_executed_is_named(sandlock, area):
    def file(name, text, mode):
        path = area / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def advice(*words, **options):
        result = sandlock("run", *words, **options)
        assert result.code in (126, 127)
        return result.stderr

    script = file("script", "#!/bin/sh\n", 0o755)
    assert f"no grant covers '{script}'; add -r {script}" in advice(
        "-r", "/usr", "--", "./script", cwd=area)
    assert "chmod +x ./plain" in (file("plain", "#!/bin/sh\n", 0o644) and advice(
        "-r", "/usr", "-r", area, "--", "./plain", cwd=area))
    orphan = file("orphan", "#!/nowhere/interpreter\n", 0o755)
    assert "its interpreter '/nowhere/interpreter' does not exist" in advice("-r", area, "--", orphan)
    assert "no grant covers its interpreter '/bin/sh'; add -r /" in advice("-r", area, "--", script)
    assert "command not found in PATH='/nowhere'" in advice(
        "-r", "/usr", "--env", "PATH=/nowhere", "--", "true")
    assert f"no grant covers '{script}'" in advice(
        "-r", "/usr", "--env", f"PATH=/nowhere:{area}", "--", "script")


def wait_for_output(process, text):
    assert process.stdout.readline() == text


def test_a_name_in_use_gives_125(sandlock):
    name = f"taken-{os.getpid()}"
    first = sandlock.start("--name", name, "--", "sh", "-c", "echo up; exec sleep 60")
    try:
        wait_for_output(first, "up\n")
        second = sandlock.run("--name", name, "--", "true")
        assert second.code == 125
        assert "already running" in second.stderr
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=30)
    assert sandlock.run("--name", name, "--", "true").code == 0


def test_every_valid_name_is_protected(sandlock):
    """Whatever lies beside the names on disk has none that a sandbox could have."""
    leftover = pathlib.Path(f"/dev/shm/sandlock-{os.getuid()}/.lock")  # of an earlier version
    if leftover.is_file():
        leftover.unlink()
    for name in (".lock", "lock", ".pid.tmp", "pid", "...", "mode"):
        first = sandlock.start("--name", name, "--", "sh", "-c", "echo up; exec sleep 60")
        try:
            wait_for_output(first, "up\n")
            second = sandlock.run("--name", name, "--", "true")
            assert (second.code, "already running" in second.stderr) == (125, True), (name, second)
        finally:
            first.send_signal(signal.SIGTERM)
            errors = first.communicate(timeout=30)[1]
        assert errors == "", name
        again = sandlock.run("--name", name, "--", "true")
        assert (again.code, again.stderr) == (0, ""), name


# ---- Signals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_fatal_signal_is_forwarded_and_then_ends_sandlock(sandlock, area, number):
    mark = area / "mark"
    script = f'trap "echo got >$0; exit 3" {number.name[3:]}; echo up; while :; do sleep 0.05; done'
    process = sandlock.start("-w", area, "--", "sh", "-c", script, mark)
    wait_for_output(process, "up\n")
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == -number
    assert mark.read_text() == "got\n"


# ---- Validation: nothing is started -------------------------------------------------------------

REFUSED = [
    (["--env", "NOVALUE"], ["--env", "KEY=VALUE", "NOVALUE"]),
    (["--env", "=x"], ["--env"]),
    (["--extra-deny-syscall", "frobnicate"], ["unknown syscall or group", "frobnicate"]),
    (["--extra-allow-syscall", "frobs"], ["unknown syscall group", "frobs", "sysv_ipc"]),
    (["--extra-allow-syscall", "ptrace"], ["unknown syscall group", "ptrace", "sysv_ipc"]),
    (["--extra-allow-syscall", "sysv_ipc", "--extra-deny-syscall", "sysv_ipc"],
     ["both allowed and denied"]),
    (["--extra-allow-syscall", "sysv_ipc", "--extra-deny-syscall", "shmget"],
     ["belongs to allowed group"]),
    (["--max-open-files", "0"], ["--max-open-files", "omit"]),
    (["--max-processes", "0"], ["--max-processes"]),
    (["-P", "x"], ["--max-processes", "x"]),
    (["--disable", "fs-refer"], ["fs-refer", "kernel denies", "allow_degraded"]),
    (["--disable", "frob"], ["frob", "fs-refer", "abstract-unix-socket-scope"]),
    (["--allow-degraded", "frob"], ["frob", "net-tcp"]),
    (["--without", "frob"], ["--without", "frob", "metadata-gate"]),
    (["--user", "1000"], ["--user"]),
    (["--user", "1000:"], ["--user"]),
    (["--cpu-cores", "99999"], ["--cpu-cores"]),
    (["--cpu-cores", "0,,1"], ["--cpu-cores"]),
    (["--gpu", "x"], ["--gpu"]),
    (["--name="], ["--name", "must not be empty"]),
    (["--name", "n" * 65], ["--name", "at most 64 bytes"]),
    (["--name", "a/b"], ["--name", "must not contain", "'/'"]),
    (["--name", "a b"], ["--name", "whitespace or control characters"]),
    (["--name", "a\nb"], ["--name", "whitespace or control characters"]),
    (["--name", ".."], ["--name", "must not be '.' or '..'"]),
    (["-r", "/nonexistent/sub"], ["/nonexistent/sub"]),
    (["-w", "/nonexistent/sub"], ["/nonexistent/sub"]),
    (["--status-fd", "99"], ["--status-fd", "99", "not open"]),
    (["--status-fd", "0"], ["--status-fd"]),
    (["--status-fd", "x"], ["--status-fd", "x"]),
    (["--posture", "/nonexistent/sub"], ["--posture", "/nonexistent/sub"]),
    (["--log-denials", "fd:99"], ["--log-denials", "99"]),
    (["--net-allow-bind", "80-70"], ["--net-allow-bind", "80-70"]),
    (["--net-allow-bind", "1,,2"], ["--net-allow-bind", "empty"]),
    (["--net-allow-bind", "65536"], ["--net-allow-bind", "65536"]),
    (["--net-allow-bind", "*,80"], ["--net-allow-bind", "*"]),
    (["--net-allow-bind", "x"], ["--net-allow-bind", "x"]),
    (["-p", "p", "--profile-file", "p.toml"], ["--profile", "--profile-file"]),
    (["-p", "no-such-profile"], ["no-such-profile"]),
    (["--profile-file", "/nonexistent.toml"], ["/nonexistent.toml"]),
    (["--profile-file="], ["profile", "empty"]),
    (["-r", "/" + "a" * 3000], ["grant --fs-read /aaa", "aaa...aaa", "ame too long"]),
    (["--fs-read-try", "/" + "a" * 300], ["grant --fs-read-try /aaa", "ame too long"]),
    (["--clean-env", "--clean-env"], ["--clean-env", "twice"]),
    (["-t", "5", "-t", "6"], ["--timeout", "twice"]),
    (["--frobnicate"], ["--frobnicate"]),
    (["-Z"], ["-Z"]),
    (["--fs-rea", "/usr"], ["--fs-rea"]),
    (["--clean-env=yes"], ["--clean-env", "no value"]),
    (["--net-allow", "example.org:0"], ["--net-allow", "port 0"]),
    (["--max-memory", "1G"], ["--max-memory"]),
    (["--require", "frobnicate"], ["frobnicate"]),
]


@pytest.mark.parametrize("options,words", REFUSED, ids=lambda value: " ".join(value)[:60])
def test_wrong_options_end_with_2_before_anything_is_started(sandlock, area, options, words):
    result = sandlock.run("-w", area, *options, "--", "touch", area / "started")
    assert result.code == 2, result
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr
    assert list(area.iterdir()) == []


def test_control_for_the_refusals(sandlock, area):
    """The same run without the wrong option does start the command."""
    assert sandlock.run("-w", area, "--", "touch", area / "started").code == 0
    assert (area / "started").exists()


def test_a_missing_path_of_a_try_option_is_skipped(sandlock):
    assert sandlock.run("--fs-read-try", "/nonexistent/sub", "--", "true").code == 0


def test_no_command_is_named(sandlock):
    result = sandlock.run()
    assert result.code == 2
    assert "no command" in result.stderr


# What is refused by the options, by the profile, by the system and by the launch itself.
REFUSED_LATE = [
    ["--frobnicate"], ["-t", "0"], ["--name", "a b"], ["--user", "5:5:5"], ["--profile-file", "/nonexistent.toml"],
    ["-r", "/nonexistent"], ["--cwd", "/nonexistent"], ["--require", "frobnicate"],
    ["--cpu-cores", "99999"], ["--no-supervisor", "-P", "3"], ["--net-allow", "example.invalid:80"],
    ["--status-fd", "99"],
]


@pytest.mark.parametrize("options", REFUSED_LATE, ids=" ".join)
def test_a_refused_request_leaves_the_files_of_its_reports_alone(sandlock, area, options):
    kept, new = area / "kept", area / "new"
    kept.write_text("precious\n")
    for reports in (["--posture", kept, "--log-denials", new], ["--posture", new, "--log-denials", kept]):
        if "--no-supervisor" in options:
            reports = reports[:2]
        result = sandlock.run(*reports, *options, "--", "true")
        assert result.code in (2, 125), result
        assert kept.read_text() == "precious\n"
        assert not new.exists()


def test_a_launch_that_fails_keeps_older_reports(sandlock, area):
    kept, new = area / "kept", area / "new"
    failures = set()
    for few in range(8, 40):
        kept.write_text("precious\n")
        for reports in (["--posture", kept, "--log-denials", new], ["--posture", new, "--log-denials", kept]):
            result = sandlock.run(*reports, "--net-allow", "127.0.0.1", "--", "true",
                                  preexec_fn=lambda few=few: resource.setrlimit(resource.RLIMIT_NOFILE, (few, few)))
            if result.code == 0:
                break
            failures.add(result.stderr)
            assert kept.read_text() == "precious\n", result
        else:
            continue
        break
    assert result.code == 0 and new.exists()
    assert any("guardian" in failure for failure in failures), failures


def test_a_report_that_cannot_be_written_leaves_the_other_alone(sandlock, area):
    kept, new = area / "kept", area / "new"
    for path, text in ((kept, "precious\n"), (new, None)):
        if text is not None:
            path.write_text(text)
        for reports in (["--posture", path, "--log-denials", "/nonexistent/log"],
                        ["--log-denials", path, "--posture", "/nonexistent/posture"]):
            result = sandlock.run(*reports, "--", "touch", area / "started")
            assert result.code == 2 and "/nonexistent/" in result.stderr, result
            assert (path.read_text() if path.exists() else None) == text
    assert not (area / "started").exists()
    good = sandlock.run("--posture", kept, "--log-denials", new, "--", "true")
    assert good.code == 0
    assert json.loads(kept.read_text())["v"] == 1
    assert new.exists()


# ---- Messages -----------------------------------------------------------------------------------

# An escape sequence, a line that looks like ours, a bell, CSI as one character, and text that is turned around.
HOSTILE = "x\x1b[31m\nsandlock: forged\r\x07\x7f\u009b\u202e"


def hostile_requests(area):
    """What a request can quote, by where it stands in it."""
    path = f"/nonexistent/{HOSTILE}"
    (area / "grant.toml").write_text('[filesystem]\nread = ["/tmp/\\u001b[31m\\n\\u202e"]\n')
    (area / "exec.toml").write_text('[program]\nexec = "/tmp/\\u001b[31m\\n\\u202e"\n')
    (area / "variable.toml").write_text('[program]\ncwd = "${\\u001b[31m}"\n')
    (area / "key.toml").write_text('[program]\n"\\u001b[31m\\n\\u202e" = 1\n')
    (area / "section.toml").write_text('["\\u001b[31m\\n\\u202e"]\n')
    (area / "value.toml").write_text('[network]\nallow = ["\\u001b[31m\\n\\u202e:80"]\n')
    (area / f"{HOSTILE}.toml").write_text("frob = 1\n")
    for option in ("-r", "-w", "--cwd", "--profile-file", "-p", "--posture", "--log-denials"):
        yield option, ["run", "-r", "/usr", option, path, "--", "true"]
    for option in ("--name", "--env", "--net-allow", "--net-deny", "--net-allow-bind", "--user", "--require", "-t",
                   "-P", "--gpu", "--cpu-cores", "--status-fd", "--extra-deny-syscall", "--extra-allow-syscall",
                   "--disable", "--without", "-p", f"--{HOSTILE}", f"-{HOSTILE}"):
        yield option, ["run", "-r", "/usr", option, HOSTILE, "--", "true"]
    yield "twice", ["run", "--cwd", path, "--cwd", path, "--", "true"]
    for name in ("grant", "exec", "variable", "key", "section", "value", HOSTILE):
        command = [] if name == "exec" else ["--", "true"]
        yield name, ["run", "-r", "/usr", "--profile-file", area / f"{name}.toml", *command]
    yield "missing program", ["run", "-r", "/usr", "--", path]
    yield "missing name", ["run", "-r", "/usr", "--", HOSTILE]
    yield "PATH", ["run", "-r", "/usr", "--env", f"PATH=/{HOSTILE}", "--", "frob"]
    yield "script", ["run", "-r", area, "--", area / "script"]
    yield "command", [HOSTILE]
    yield "help", ["help", HOSTILE]
    yield "check", ["check", "-p", f"/{HOSTILE}"]
    yield "check word", ["check", HOSTILE]
    for action in ("show", "delete"):
        yield action, ["profile", action, HOSTILE]
        yield f"{action} missing", ["profile", action, "a\u202eb\u009bc"]
    yield "action", ["profile", HOSTILE]


def is_harmless(text):
    return all(c == "\n" or c.isprintable() for c in text)


def test_what_a_message_quotes_drives_no_terminal_and_forges_no_line(sandlock, area):
    script = area / "script"
    script.write_text("#!/tmp/\x1b[31m\u202e\n")
    script.chmod(0o755)
    requests = list(hostile_requests(area))
    assert len(requests) > 40
    for place, words in requests:
        result = sandlock(*words)
        assert result.code != 0, place
        assert is_harmless(result.stderr) and is_harmless(result.stdout), (place, result)
        assert "\\x1b" in result.stderr or "\\xe2\\x80\\xae" in result.stderr or place == "-t", (place, result)
        for line in result.stderr.splitlines():
            assert line.startswith("sandlock") and not line.startswith("sandlock: forged"), (place, result)


def test_directories_are_listed_harmlessly_and_plain_names_unchanged(sandlock, tmp_path):
    home = tmp_path / HOSTILE
    directory = home / ".config/sandlock/profiles"
    directory.mkdir(parents=True)
    env = {"HOME": str(home)}
    listed = sandlock("profile", "list", env=env)
    assert listed.code == 0 and is_harmless(listed.stdout) and listed.stdout.count("\n") == 1
    assert is_harmless(sandlock("run", "-p", "frob", "--", "true", env=env).stderr)
    # What is no control character stays as it is: blanks, other scripts, backslashes.
    plain = sandlock("run", "-r", "/tmp/no such \\ d\u00e9p\u00f4t \u4e2d", "--", "true")
    assert "/tmp/no such \\ d\u00e9p\u00f4t \u4e2d: No such file" in plain.stderr


# ---- --print-policy -----------------------------------------------------------------------------


def policy_of(sandlock, *options, **kwargs):
    result = sandlock("run", "--print-policy", *options, **kwargs)
    assert result.code == 0, result
    return result.stdout


def bound_ports(text):
    ports = re.search(r"allow_bind = \[(.*?)\]", text, re.S).group(1)
    return [word.strip().strip('"') for word in ports.split(",") if word.strip()]


def expand(ports):
    numbers = []
    for part in ports:
        low, _, high = part.partition("-")
        numbers += range(int(low), int(high or low) + 1)
    return numbers


def test_ports_are_expanded_sorted_and_unique(sandlock):
    text = policy_of(sandlock, "--net-allow-bind", "90,80-82", "--net-allow-bind", "81-83, 80")
    assert expand(bound_ports(text)) == [80, 81, 82, 83, 90]


def test_a_repeated_star_means_any_port(sandlock):
    text = policy_of(sandlock, "--net-allow-bind", "*", "--net-allow-bind", "*")
    assert bound_ports(text) == ["*"]


def test_a_printed_policy_loads_to_the_same_policy(sandlock, area):
    options = [
        "-r", "/usr", "-w", str(area), "--fs-read-try", "/nonexistent", "--net-allow-bind", "8080-8090",
        "-P", "50", "--max-open-files", "64", "--cpu-cores", "0", "--gpu", "all", "--env", "A=b \"c\"\n",
        "--cwd", "/usr", "--clean-env", "--no-coredump", "--no-huge-pages", "--no-randomize-memory",
        "--extra-deny-syscall", "ptrace", "--extra-allow-syscall", "sysv_ipc", "--allow-degraded",
        "net-tcp", "--disable", "signal-scope", "--without", "metadata-gate", "-t", "5m",
        "--kill-after", "2s",
    ]
    text = policy_of(sandlock, *options)
    for key in ("read", "write", "read_try", "allow_bind", "processes", "open_files", "cpu_cores",
                "gpu_devices", "cwd", "clean_env", "no_coredump", "no_huge_pages",
                "no_randomize_memory", "extra_deny", "extra_allow", "degraded", "disabled", "without",
                "timeout", "kill_after"):
        assert re.search(rf"^{key} = ", text, re.M), key
    profile = area / "printed.toml"
    profile.write_text(text)
    assert policy_of(sandlock, "--profile-file", profile) == text


def test_a_command_of_the_command_line_is_not_printed_and_displaces_that_of_the_profile(sandlock):
    sandlock.profile("program", '[program]\nexec = "/bin/old"\nargs = ["x"]\n[limits]\ntimeout = 5\n')
    assert "/bin/old" in policy_of(sandlock, "-p", "program")
    for words in (["--", "echo"], ["-e", "echo"]):
        text = policy_of(sandlock, "-p", "program", *words)
        assert "exec" not in text and "args" not in text and "timeout" in text, text


# ---- Without supervisor -------------------------------------------------------------------------


def test_everything_that_needs_the_supervisor_is_refused_in_one_message(sandlock):
    result = sandlock.run("--no-supervisor", "-P", "5", "--explain", "--log-denials", "-", "--", "true")
    assert result.code == 2
    assert "--no-supervisor is incompatible with" in result.stderr
    for name in ("--max-processes", "--explain", "--log-denials"):
        assert name in result.stderr


def test_that_is_told_before_a_command_that_is_missing(sandlock):
    done = sandlock.run("--no-supervisor", "--explain")
    assert done.code == 2 and "--explain" in done.stderr and "--no-supervisor" in done.stderr


def test_options_and_profile_keys_are_named_together(sandlock):
    path = sandlock.profile("keys", '[network]\nallow = ["1.1.1.1"]\n[limits]\nprocesses = 4\n'
                                    '[features]\nwith = ["unix-gate"]\n')
    result = sandlock.run("--no-supervisor", "--explain", "--net-allow", "tcp://*:81", "-p", "keys", "--", "true")
    assert result.code == 2
    for name in ("--explain", "[network].allow", "[limits].processes", "[features].with", str(path)):
        assert name in result.stderr, result
    assert "--net-allow," not in result.stderr, result  # the kernel can judge that one


@pytest.mark.parametrize("feature", ["metadata-gate", "unix-gate", "proc-view", "supervisor-confinement"])
def test_no_feature_can_be_asked_for_that_needs_the_supervisor(sandlock, feature):
    assert sandlock.run("--with", feature, "--", "true").code == 0
    result = sandlock.run("--no-supervisor", "--with", feature, "--", "true")
    assert result.code == 2 and "--no-supervisor is incompatible with: --with;" in result.stderr, result


def test_profile_keys_that_need_the_supervisor_are_listed(sandlock):
    path = sandlock.profile("keys", "[limits]\nprocesses = 5\n")
    result = sandlock.run("--no-supervisor", "-p", "keys", "--", "true")
    assert result.code == 2
    assert "--no-supervisor" in result.stderr
    assert "[limits].processes" in result.stderr
    assert str(path) in result.stderr


def test_what_the_child_does_by_itself_works_without_supervisor(sandlock, area, secret):
    sandlock.profile("plain", f'[filesystem]\nread = ["{area}"]\n[program]\nclean_env = true\n')
    result = sandlock.run(
        "--no-supervisor", "-p", "plain", "--cwd", area, "--max-open-files", "50", "--env", "A=b",
        "--", "sh", "-c", 'pwd; ulimit -n; echo "$A"; exit 9',
    )
    assert (result.code, result.stdout) == (9, f"{area}\n50\nb\n")
    denied = sandlock.run("--no-supervisor", "--", "cat", secret)
    assert denied.code == 1
    assert "the secret" not in denied.stdout


def test_a_supervised_run_works_inside_an_unsupervised_one(sandlock, secret):
    inner = [sandlock.binary, "run", *sandlock.base, "--"]
    both = sandlock("run", "--no-supervisor", "-r", "/", "--", *inner, "echo", "inside")
    assert (both.code, both.stdout) == (0, "inside\n")
    denied = sandlock("run", "--no-supervisor", "-r", "/", "--", *inner, "cat", secret)
    assert denied.code == 1
    assert "the secret" not in denied.stdout


# ---- Environment --------------------------------------------------------------------------------


def environment_of(sandlock, *options, env=None):
    text = sandlock.run(*options, "--", "env", env=env).stdout
    return dict(line.split("=", 1) for line in text.splitlines())


def test_very_many_variables_take_no_time(sandlock):
    """Four times as many take four times as long, not sixteen times."""
    took = []
    for count in (10000, 40000):
        sandlock.profile("many", "[program.env]\n" + "".join(f'V{i} = "x"\n' for i in range(count)))
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        result = sandlock.run("-p", "many", "--env", f"V{count - 1}=y", "--", "sh", "-c", f"echo $V0 $V{count - 1}", timeout=60)
        assert result.stdout == "x y\n"
        took.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    assert took[1] < 9 * took[0] + 0.5, took


def test_env_wins_over_inherited_and_profile_values(sandlock):
    sandlock.profile("env", '[program]\nenv = { A = "profile", B = "profile" }\n')
    seen = environment_of(sandlock, "-p", "env", "--env", "A=option", env={"A": "own", "B": "own", "C": "own"})
    assert (seen["A"], seen["B"], seen["C"]) == ("option", "profile", "own")


def test_clean_env_keeps_five_variables(sandlock):
    own = {"USER": "u", "TERM": "t", "LANG": "l", "SECRET": "s", "LD_LIBRARY_PATH": "/x"}
    seen = environment_of(sandlock, "--clean-env", "--env", "EXTRA=1", env=own)
    assert set(seen) == {"PATH", "HOME", "USER", "TERM", "LANG", "EXTRA"}


# ---- Status record ------------------------------------------------------------------------------


def record_of(text):
    assert text.count("\n") == 1 and text.endswith("\n")
    return json.loads(text)


def test_the_record_of_an_exit(sandlock):
    result, text = sandlock.status("--name", f"rec-{os.getpid()}", "--", "sh", "-c", "exit 4")
    record = record_of(text)
    assert result.code == 4
    assert record["exit_code"] == 4 and record["reason"] == "exited" and record["v"] == 1
    assert record["name"] == f"rec-{os.getpid()}"
    assert record["pid"] > 0 and record["wall_ms"] >= 0 and record["max_memory_bytes"] > 0
    assert "signal" not in record


@pytest.mark.parametrize("number,reason", [(9, "killed"), (15, "signaled")])
def test_the_record_of_a_signal(sandlock, number, reason):
    result, text = sandlock.status("--", "sh", "-c", f"kill -{number} $$")
    record = record_of(text)
    assert result.code == 128 + number
    assert (record["exit_code"], record["signal"], record["reason"]) == (-1, number, reason)


def test_the_record_of_a_timeout(sandlock):
    result, text = sandlock.status("-t", "100ms", "--", "sleep", "60")
    assert result.code == 124
    assert record_of(text)["reason"] == "timeout"


@pytest.mark.parametrize("options,code", [
    (["-r", "/nonexistent", "--", "true"], 2),
    (["--env", "X", "--", "true"], 2),
    (["--", "no-such-program"], 127),
])
def test_the_record_of_a_run_that_failed_to_start(sandlock, options, code):
    result, text = sandlock.status(*options)
    record = record_of(text)
    assert result.code == code
    assert (record["reason"], record["status"]) == ("error", code)


def test_the_status_descriptor_is_not_open_in_the_child(sandlock):
    read_end, write_end = os.pipe()
    try:
        result = sandlock.run(f"--status-fd={write_end}", "--", "sh", "-c", f"echo forged >&{write_end}",
                              pass_fds=[write_end])
    finally:
        os.close(write_end)
    with open(read_end, encoding="utf-8") as stream:
        text = stream.read()
    assert result.code != 0
    assert record_of(text)["exit_code"] == result.code


def test_a_read_only_status_descriptor_is_refused(sandlock):
    with open("/dev/null", "rb") as readable:
        result = sandlock.run(f"--status-fd={readable.fileno()}", "--", "true", pass_fds=[readable.fileno()])
    assert result.code == 2
    assert "--status-fd" in result.stderr


# ---- Reports ------------------------------------------------------------------------------------


def test_a_posture_is_written_before_the_run(sandlock, area):
    path = area / "posture.json"
    assert sandlock.run("--posture", path, "--", "true").code == 0
    posture = json.loads(path.read_text())
    states = {entry["name"]: entry["state"] for entry in posture["entries"]}
    assert posture["v"] == 1
    assert states["fs-refer"] == "active"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_posture_is_not_written_through_a_symbolic_link(sandlock, area):
    victim = area / "victim"
    victim.write_text("before")
    (area / "link").symlink_to(victim)
    result = sandlock.run("--posture", area / "link", "--", "true")
    assert result.code == 2
    assert victim.read_text() == "before"


def test_explain_names_what_was_denied_and_what_would_allow_it(sandlock, secret):
    result = sandlock.run("--explain", "--", "cat", secret)
    assert result.code == 1
    assert str(secret) in result.stderr
    assert re.search(r"(--fs-read|-r) ", result.stderr)


def test_denials_are_logged_as_json_lines(sandlock, area, secret):
    log = area / "denials"
    assert sandlock.run("--log-denials", log, "--", "cat", secret).code == 1
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(line["object"] == str(secret) for line in lines)


def test_stats_are_printed_on_stderr(sandlock):
    result = sandlock.run("--stats", "--", "echo", "out")
    assert (result.code, result.stdout) == (0, "out\n")
    assert "sandlock: stats:" in result.stderr


def test_open_file_limit_of_the_caller_is_kept(sandlock):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    result = sandlock.run("--", "sh", "-c", "ulimit -Sn; ulimit -Hn")
    shown = ["unlimited" if value == resource.RLIM_INFINITY else str(value) for value in (soft, hard)]
    assert result.stdout.split() == shown


@pytest.mark.root
def test_too_few_descriptors_are_named_as_the_reason(sandlock):
    failures = 0
    for limit in range(3, 64):
        result = sandlock.run("--", "true", preexec_fn=lambda limit=limit: resource.setrlimit(
            resource.RLIMIT_NOFILE, (limit, limit)))
        if result.code == 0:
            break
        if "shared libraries" in result.stderr:
            continue  # of a build that is not static, before it is us
        failures += 1
        named = any(text in result.stderr for text in ("No file descriptors available", "Too many open files"))
        assert result.code == 125 and named, (limit, result)
    assert result.code == 0 and failures > 5, (failures, result)


# ---- Profiles -----------------------------------------------------------------------------------


def test_more_grants_than_descriptors_are_no_matter_where_only_the_kernel_judges(sandlock, area):
    for number in range(150):
        (area / str(number)).mkdir()
    (area / "149" / "file").write_text("last")
    grants = [word for number in range(150) for word in ("-r", area / str(number))]
    result = sandlock.run("--no-supervisor", *grants, "--", "/bin/cat", area / "149" / "file",
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)))
    assert (result.code, result.stdout) == (0, "last"), result


def test_a_profile_supplies_command_and_arguments(sandlock):
    sandlock.profile("prog", '[program]\nexec = "/bin/echo"\nargs = ["from", "$HOME"]\n')
    assert sandlock.run("-p", "prog").stdout == "from $HOME\n"
    assert sandlock.run("-p", "prog", "--", "echo", "other").stdout == "other\n"


@pytest.mark.parametrize("text,words", [
    ("[frob]\nx = 1\n", ["unknown field", "frob"]),
    ("[filesystem]\nreed = []\n", ["unknown field", "reed", "read"]),
    ('fs_readable = ["/usr"]\n', ["unknown field", "fs_readable"]),
    ("[limits]\nprocesses = \"x\"\n", ["[limits].processes"]),
    ("[program]\nuid = 5\n", ["uid", "gid"]),
    ("[filesystem]\nread = [\"~/x\"]\n", ["[filesystem].read", "tilde is not expanded", "${HOME}"]),
    ("[filesystem]\nread = [\"${HOMER}\"]\n", ["unknown variable ${HOMER}"]),
    ("[filesystem\n", ["bad.toml:1"]),
    ("[limits]\ntimeout = 0\n", ["[limits].timeout"]),
    ('[program]\nexec = ""\n', ["[program].exec", "empty"]),
])
def test_wrong_profiles_are_refused_by_place_and_reason(sandlock, text, words):
    path = sandlock.profile("bad", text)
    command = [] if "exec" in text else ["--", "true"]
    result = sandlock.run("-p", "bad", *command)
    assert result.code == 2
    for word in [*words, str(path)]:
        assert word in result.stderr


def test_home_in_a_path_grants_real_access(sandlock):
    (sandlock.home / "file").write_text("at home\n")
    sandlock.profile("home", '[filesystem]\nread = ["${HOME}/file"]\n')
    assert sandlock.run("-p", "home", "--", "cat", sandlock.home / "file").stdout == "at home\n"


def test_profiles_are_found_below_home_and_then_below_a_private_xdg_directory(sandlock, area):
    sandlock.profile("both", '[program]\nenv = { FROM = "home" }\n')
    config = area / "config/sandlock/profiles"
    config.mkdir(parents=True)
    config.chmod(0o700)
    for name in ("both", "xdg"):
        (config / f"{name}.toml").write_text('[program]\nenv = { FROM = "xdg" }\n')
    env = {"XDG_CONFIG_HOME": str(area / "config")}
    show = ["--", "sh", "-c", "echo $FROM"]
    assert sandlock.run("-p", "both", *show, env=env).stdout == "home\n"
    assert sandlock.run("-p", "xdg", *show, env=env).stdout == "xdg\n"
    config.chmod(0o777)
    assert sandlock.run("-p", "xdg", *show, env=env).code == 2


def test_a_profile_directory_that_every_user_can_write_is_refused(sandlock, area):
    sandlock.profile("mine", '[program.env]\nFROM = "mine"\n')
    directory = sandlock.home / ".config/sandlock/profiles"
    words = ["-p", "mine", "--", "sh", "-c", "echo $FROM"]
    directory.chmod(0o777)
    refused = sandlock.run(*words)
    assert (refused.code, refused.stdout) == (2, "") and f"{directory}: chmod o-w" in refused.stderr, refused
    directory.chmod(0o775)  # groups of one user are usual
    assert sandlock.run(*words).stdout == "mine\n"


def test_a_profile_may_come_through_a_pipe_but_is_not_waited_for(sandlock, area):
    fifo = area / "fifo.toml"
    os.mkfifo(fifo)
    refused = sandlock.run("-p", fifo, "--", "true")
    assert refused.code == 2 and "FIFO that nobody writes" in refused.stderr, refused
    ours, theirs = os.pipe()
    os.write(theirs, b'[program.env]\nFROM = "pipe"\n')
    os.close(theirs)
    done = sandlock.run("--profile-file", "/dev/stdin", "--", "sh", "-c", "echo $FROM", stdin=ours)
    os.close(ours)
    assert done.stdout == "pipe\n", done


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="gives a directory away")
def test_an_xdg_directory_of_somebody_else_is_not_used(sandlock, area):
    config = area / "config/sandlock/profiles"
    config.mkdir(parents=True)
    config.chmod(0o755)
    (config / "xdg.toml").write_text("[program]\n")
    run = ["-p", "xdg", "--", "true"]
    env = {"XDG_CONFIG_HOME": str(area / "config")}
    assert sandlock.run(*run, env=env).code == 0
    os.chown(config, 4321, -1)
    refused = sandlock.run(*run, env=env)
    assert refused.code == 2 and "no profile named 'xdg'" in refused.stderr


MACHINE = "/usr/share/sandlock/profiles"


def with_machine_profiles(sandlock, script):
    """Runs it in a mount namespace, in the directory of the machine's profiles, which is its own there and has
    `shared`; $0 is the program."""
    script = f"""umask 022; mount -t tmpfs -o mode=755 none /usr/share && mkdir -p {MACHINE} && cd {MACHINE} || exit 9
echo '[program]' >shared.toml && {script}"""
    return subprocess.run(["unshare", "-m", "sh", "-c", script, sandlock.binary], text=True, timeout=30,
                          env=sandlock.environment(), capture_output=True, check=False)


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="mounts")
@pytest.mark.parametrize("change, fault", [
    ("true", ""),
    ("chmod 664 shared.toml", f"profile {MACHINE}/shared.toml can be written by others"),
    ("chmod 646 shared.toml", f"profile {MACHINE}/shared.toml can be written by others"),
    ("chown 4321 shared.toml", f"profile {MACHINE}/shared.toml can be written by others"),
    ("chmod 775 .", "no profile named 'shared'"),
    ("chmod 757 .", "no profile named 'shared'"),
    ("chown 4321 .", "no profile named 'shared'"),
])
@pytest.mark.namespaces
def test_profiles_of_the_machine_that_others_can_write_are_not_used(sandlock, change, fault):
    done = with_machine_profiles(sandlock, f'{change} && exec "$0" profile show shared')
    assert fault in done.stderr, done
    assert (done.returncode, "[program]" in done.stdout) == ((1, False) if fault else (0, True)), done


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="mounts")
@pytest.mark.namespaces
def test_a_profile_of_the_machine_is_not_deleted(sandlock):
    done = with_machine_profiles(sandlock, '"$0" profile delete shared; echo $? *')
    assert done.stdout == "1 shared.toml\n" and MACHINE in done.stderr, done


@pytest.mark.parametrize("action", ["show", "delete"])
@pytest.mark.parametrize("name", ["../escape", "..", "/etc/passwd", ".hidden"])
def test_profile_names_do_not_leave_the_directory(sandlock, action, name):
    directory = sandlock.profile("inside", "").parent
    escape = directory.parent / "escape.toml"
    escape.write_text("outside")
    result = sandlock("profile", action, name)
    assert result.code == 1
    assert "outside" not in result.stdout
    assert escape.exists()


def test_a_profile_by_name_is_a_regular_file(sandlock):
    fifo = sandlock.profile("kept", "").parent / "fifo.toml"
    os.mkfifo(fifo)
    for words in (["run", "-p", "fifo", "--", "true"], ["check", "-p", "fifo"], ["profile", "show", "fifo"]):
        result = sandlock(*words, timeout=30)
        assert result.code in (1, 2), result
        assert str(fifo) in result.stderr and "not a regular file" in result.stderr
    # By path it is whatever the caller says, a pipe of the shell included.
    read_end, write_end = os.pipe()
    os.write(write_end, b'[program]\nexec = "/bin/echo"\nargs = ["piped"]\n')
    os.close(write_end)
    piped = sandlock.run("--profile-file", f"/dev/fd/{read_end}", pass_fds=[read_end])
    os.close(read_end)
    assert (piped.code, piped.stdout) == (0, "piped\n")


def test_options_are_laid_over_a_profile(sandlock, area):
    sandlock.profile("base", '[filesystem]\nread = ["/usr"]\n[network]\nallow_bind = [80, "90-91"]\n'
                             '[limits]\nprocesses = 5\n[program]\nclean_env = true\nenv = { A = "1", B = "1" }\n')
    text = policy_of(sandlock, "-p", "base", "-r", area, "-P", "9", "--net-allow-bind", "70", "--env", "B=2")
    read = re.search(r"^read = \[(.*?)\]", text, re.S | re.M).group(1)
    assert read.index("/usr") < read.index(str(area))
    assert re.search(r"^processes = 9$", text, re.M)
    assert re.search(r"^clean_env = true$", text, re.M)
    assert expand(bound_ports(text)) == [70, 80, 90, 91]
    assert re.search(r'A = "1"', text) and re.search(r'B = "2"', text)


def test_profile_list_show_delete(sandlock):
    directory = sandlock.home / ".config/sandlock/profiles"
    empty = sandlock("profile", "list")
    assert (empty.code, empty.stdout) == (0, f"No profiles found in {directory}\n")
    sandlock.profile("b", "[program]\n")
    sandlock.profile("a", "# a\n")
    sandlock.profile("B", "")
    assert sandlock("profile", "list").stdout == "  B\n  a\n  b\n"
    assert sandlock("profile", "show", "a").stdout == "# a\n\n"
    gone = sandlock("profile", "delete", "a")
    assert (gone.code, gone.stdout) == (0, "Deleted profile 'a'\n")
    assert sandlock("profile", "list").stdout == "  B\n  b\n"
    for action in ("show", "delete"):
        missing = sandlock("profile", action, "a")
        assert (missing.code, missing.stdout) == (1, "")
        assert str(directory / "a.toml") in missing.stderr


def test_a_failure_under_a_profile_with_a_denial_gives_a_hint(sandlock, area):
    mine = area / "mine"
    mine.write_text("")
    sandlock.profile("hint", '[program]\nexec = "/bin/chmod"\n')
    result = sandlock.run("-p", "hint", "--", "chmod", "600", mine)
    assert result.code == 1
    assert "hint: " in result.stderr and "--explain" in result.stderr
    assert "hint: " not in sandlock.run("-p", "hint", "--", "false").stderr
    went_well = sandlock.run("-p", "hint", "--", "sh", "-c", f"chmod 600 {mine}; true")
    assert went_well.code == 0 and "chmod: " in went_well.stderr and "hint: " not in went_well.stderr


def test_the_hint_needs_no_profile_and_names_the_last_denial_of_the_network(sandlock, area):
    first, last = area / "first", area / "last"
    first.write_text("")
    last.write_text("")
    act = ["/usr/bin/python3", "-I", "-S", "-c",
           "import contextlib, os, socket, sys, time\n"
           "for word in sys.argv[2:]:\n"
           "    with contextlib.suppress(OSError):\n"
           "        if word.isdigit(): socket.socket().connect(('127.0.0.1', int(word)))\n"
           "        else: os.chmod(word, 0o600)\n"
           "time.sleep(float(sys.argv[1])); sys.exit(1)"]
    def hint(*words, options=(), pause="0"):
        done = sandlock.run("-r", "/usr", *options, "--", *act, pause, *words)
        return [line for line in done.stderr.splitlines() if line.startswith("hint: ")]

    (line,) = hint(first, last)
    assert str(last) in line and str(first) not in line
    (line,) = hint(first, "1", "2", last, options=["--net-allow", "tcp://192.0.2.1"])
    assert "connect tcp://127.0.0.1:2: ECONNREFUSED" in line
    assert hint(first, options=["-t", "1"], pause="30") == []


def test_port_remap_without_a_port_warns(sandlock):
    text = "--port-remap has no effect"
    assert text in sandlock.run("--port-remap", "--", "true").stderr
    assert text not in sandlock.run("--port-remap", "--net-allow-bind", "8080", "--", "true").stderr
    assert text not in sandlock.run("--port-remap", "--net-deny-bind", "8080", "--", "true").stderr


def test_a_gpu_that_is_not_there_warns(sandlock):
    assert "/dev/nvidia4000 does not exist" in sandlock.run("--gpu", "4000", "--", "true").stderr
    devices = [*pathlib.Path("/dev").glob("nvidia*"), pathlib.Path("/dev/dri"), pathlib.Path("/dev/kfd")]
    missing = not any(device.exists() for device in devices)
    result = sandlock.run("--gpu", "all", "--", "true")
    assert (result.code, "--gpu has no effect" in result.stderr) == (0, missing)
    assert "gpu" not in sandlock.run("--", "true").stderr


# ---- check --------------------------------------------------------------------------------------


def test_check_reports_landlock_and_six_protections(sandlock):
    result = sandlock("check")
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.startswith("Kernel feature support:\n")
    assert "Landlock" in result.stdout
    for name in ("FsRefer", "FsTruncate", "NetTcp", "FsIoctlDev", "SignalScope", "AbstractUnixSocketScope"):
        assert re.search(rf"^  {name} +requires v\d \u2014 (available|unavailable)$", result.stdout, re.M)
    assert re.search(r"^  Platform: (x86_64|aarch64|riscv64)$", result.stdout, re.M)


def test_check_json_agrees_with_the_text(sandlock):
    report = json.loads(sandlock("check", "--json").stdout)
    assert report["v"] == 1
    assert f"ABI v{report['landlock']['abi']}" in sandlock("check").stdout
    assert len(report["protections"]) == 6


def test_the_reference_tells_every_member_of_check_json(sandlock):
    text = (ROOT / "docs" / "reference.md").read_text()
    text = text[text.index("## sandlock check --json"):]
    text = text[:text.index("\n## ", 1)]
    report = json.loads(sandlock("check", "--json").stdout)
    items = [value for value in report.values() if isinstance(value, dict)] + report["protections"]
    members = {name for item in items for name in item} | set(report) - {"v"}
    assert len(members) > 40
    assert [name for name in members if f"`{name}`" not in text] == []
    example = json.loads(text[text.index("```json\n") + 8:text.index("\n```\n")])
    assert set(example) <= set(report)


def test_check_shows_the_posture_of_a_profile(sandlock):
    sandlock.profile("here", '[filesystem]\nread = ["/usr"]\n')
    result = sandlock("check", "--profile", "here")
    assert result.code == 0
    assert re.search(r"^  fs-refer +active +by landlock", result.stdout, re.M)
    posture = json.loads(sandlock("check", "--json", "--profile", "here").stdout)
    assert posture["mode"] == "preview"


@pytest.mark.parametrize("text, reason", [
    ('[limits]\nkill_after = "2s"\n', "here.toml:2:14: [limits].kill_after: without a timeout it has no meaning"),
    ('[filesystem]\nread = ["/usr",\n  "/nonexistent"]\n',
     "here.toml:3:3: [filesystem].read: /nonexistent: No such file or directory; if it may be missing put it into "
     "read_try\n"),
    ('[filesystem]\nwrite = ["nonexistent"]\n', "here.toml:2:10: [filesystem].write: nonexistent (that is /"),
    ('[program]\ncwd = "/nonexistent"\n', "here.toml:2:7: [program].cwd: /nonexistent: No such file or directory"),
])
def test_what_a_profile_asks_in_vain_is_named_by_its_place(sandlock, text, reason):
    sandlock.profile("here", text)
    for words in (["run", "-p", "here", "--", "true"], ["check", "-p", "here"]):
        result = sandlock(*words)
        assert result.code == 2 and reason in result.stderr, result


def test_a_grant_beside_a_profile_is_named_by_its_option(sandlock):
    sandlock.profile("here", '[filesystem]\nread = ["/usr"]\n')
    result = sandlock.run("-p", "here", "-r", "/nonexistent", "--", "true")
    assert (result.code, result.stderr.split(":")[1]) == (2, " grant --fs-read /nonexistent")


@pytest.mark.parametrize("form", [["-p", "here"], ["-phere"], ["-p=here"], ["--profile", "here"], ["--profile=here"]])
def test_check_takes_a_profile_in_every_form_of_an_option(sandlock, form):
    sandlock.profile("here", '[filesystem]\nread = ["/usr"]\n')
    posture = json.loads(sandlock("check", *form, "--json").stdout)
    assert posture["mode"] == "preview"
    assert posture == json.loads(sandlock("check", "--json", *form).stdout)
    assert sandlock("check", *form, *form).code == 2


@pytest.mark.parametrize("words", [["-p"], ["--profile"], ["--profile", "--json"], ["-p", "-h"]])
def test_check_takes_no_option_for_the_name_of_a_profile(sandlock, words):
    result = sandlock("check", *words)
    assert (result.code, result.stdout) == (2, "")
    assert f"option {words[0]} needs a value" in result.stderr


def test_check_tells_when_it_is_confined_already(sandlock):
    inside = sandlock("run", "-r", "/", "--", sandlock.binary, "check")
    assert inside.code == 0
    assert re.search(r"^  Already confined: +yes", inside.stdout, re.M)
    with open("/proc/self/status", encoding="ascii") as status:
        filtered = "Seccomp:\t2\n" in status  # by a container
    assert re.search(rf"^  Already confined: +{'yes, by a seccomp filter' if filtered else 'no'}$", sandlock("check").stdout, re.M)


@pytest.mark.parametrize("option", ["--posture", "--log-denials"])
def test_a_report_on_a_standard_error_that_is_closed_is_refused(sandlock, option):
    words = [sandlock.binary, "run", *sandlock.base, option, "-", "--", "echo", "ran"]
    for redirection, code, output in ("2>&1", 0, "ran"), ("2>&-", 2, ""), ("2</dev/null", 2, ""):
        done = subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", *words], capture_output=True, text=True,
                              timeout=30, check=False, env=sandlock.environment())
        assert done.returncode == code and output in done.stdout and ("ran" in done.stdout) == (code == 0), done


def test_check_tells_unknown_options_and_wrong_profiles_as_run_does(sandlock):
    for words, reason in ((["--nope"], "unknown option '--nope'"), (["--json=1"], "--json takes no value"),
                          (["-jh"], "unknown option '-jh'"), (["word"], "unexpected argument 'word'"),
                          (["-p", "missing"], "missing")):
        result = sandlock("check", *words)
        assert result.code == 2 and reason in result.stderr, result


def test_too_many_grants_for_the_open_files_are_told_so(sandlock):
    words = ["-r", "/usr"] * 200
    few = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))}
    assert sandlock.run(*words, "--", "true").code == 0
    result = sandlock.run(*words, "--", "true", **few)
    assert result.code == 125, result
    assert "grants need more than the 128 open files" in result.stderr and "ulimit -n" in result.stderr, result


def test_a_caller_that_has_used_up_its_open_files_is_told_so(sandlock):
    used = [os.open("/dev/null", os.O_RDONLY) for _ in range(200)]
    few = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (max(used) + 30,) * 2)}
    result = sandlock.run(*["-r", "/usr"] * 60, "--", "true", pass_fds=used, **few)
    for fd in used:
        os.close(fd)
    assert result.code == 125 and "this process has used up its" in result.stderr, result
