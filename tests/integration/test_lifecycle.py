"""The life of a sandbox as its user sees it: streams, terminal, signals, limits, protections, names,
nesting, and what supervision costs."""

import ctypes
import errno
import json
import os
import pathlib
import pty
import re
import resource
import select
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import time

import pytest

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B"]
RUNTIME = pathlib.Path(f"/dev/shm/sandlock-{os.getuid()}")


@pytest.fixture(params=["supervised", "unsupervised"])
def mode(request):
    return [] if request.param == "supervised" else ["--no-supervisor"]


@pytest.fixture(scope="session")
def helpers():
    build = pathlib.Path(os.environ.get("SANDLOCK_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
    return build.resolve() / "tests/helpers"


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


def test_the_whole_mask_is_inherited(sandlock, mode):
    """Also the signals that libcs use for themselves and do not show."""
    libc = ctypes.CDLL(None)

    def block_all():
        mask = ctypes.c_uint64(2**64 - 1)
        libc.syscall(14 if os.uname().machine == "x86_64" else 135, 0, ctypes.byref(mask), None, 8)

    show = ["grep", "SigBlk", "/proc/self/status"]
    native = subprocess.run(show, preexec_fn=block_all, capture_output=True, text=True, check=True).stdout
    assert sandlock.run(*mode, "-r", "/proc", "--", *show, preexec_fn=block_all).stdout == native


@pytest.mark.parametrize("disposition", ["SIG_DFL", "SIG_IGN"])
def test_the_signal_of_the_file_size_limit_is_for_the_command_to_feel(sandlock, mode, disposition):
    """sandlock itself ignores it; the command gets what the caller had."""
    prepare = lambda: signal.signal(signal.SIGXFSZ, getattr(signal, disposition))
    status = sandlock.run(*mode, "-r", "/proc", "--", "grep", "SigIgn", "/proc/self/status", preexec_fn=prepare)
    ignored = int(status.stdout.split()[1], 16) >> (signal.SIGXFSZ - 1) & 1
    assert ignored == (disposition == "SIG_IGN")


def test_the_signal_of_refused_calls_is_inherited_and_can_be_sent(sandlock, mode):
    """sandlock has a handler for its own refused calls."""
    show = ["-r", "/proc", "--", "grep", "SigIgn", "/proc/self/status"]
    for prepare, expected in (ignore(signal.SIGSYS), 1), (None, 0):
        status = sandlock.run(*mode, *show, preexec_fn=prepare)
        assert int(status.stdout.split()[1], 16) >> (signal.SIGSYS - 1) & 1 == expected
    process = sandlock.start(*mode, "--", "sh", "-c", "echo up; exec sleep 60", preexec_fn=ignore(signal.SIGSYS))
    shown(process, "up")
    process.send_signal(signal.SIGSYS)
    time.sleep(0.1)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=30)
    process = sandlock.start(*mode, "--", "sh", "-c", "echo up; exec sleep 60")
    shown(process, "up")
    process.send_signal(signal.SIGSYS)
    errors = process.communicate(timeout=30)[1]
    assert (process.returncode, errors) == (-signal.SIGSYS, "")


ENDING = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM]


def ignore(*numbers):
    """For preexec_fn."""

    def prepare():
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    return prepare


def shown(process, line):
    assert process.stdout.readline() == line + "\n"


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_the_caller_ignores_does_not_end_the_run(sandlock, mode, number):
    process = sandlock.start(*mode, "--", "sh", "-c", "echo up; read -r line; exit 3", stdin=subprocess.PIPE,
                             preexec_fn=ignore(number))
    shown(process, "up")
    for _ in range(2):
        process.send_signal(number)
        time.sleep(0.1)
    assert process.poll() is None
    process.communicate("go\n", timeout=30)
    assert process.returncode == 3


def test_other_signals_still_end_it_then(sandlock, mode):
    process = sandlock.start(*mode, "--", "sh", "-c", "echo up; exec sleep 60",
                             preexec_fn=ignore(*(number for number in ENDING if number != signal.SIGTERM)))
    shown(process, "up")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM


EVERY_SIGNAL = [*ENDING, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGALRM, signal.SIGCHLD,
                signal.SIGCONT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGPIPE]


def test_a_run_ends_as_ever_where_its_caller_ignores_all_signals(sandlock, mode):
    prepare = ignore(*EVERY_SIGNAL)
    assert sandlock.run(*mode, "--", "sh", "-c", "exit 3", preexec_fn=prepare).code == 3
    assert sandlock.run(*mode, "--", "sh", "-c", "kill -KILL $$", preexec_fn=prepare).code == 137
    assert sandlock.run(*mode, "-t", "1", "--", "sleep", "60", preexec_fn=prepare).code == 124
    assert sandlock.run(*mode, "--", "sh", "-c", "sleep 60 & echo left", preexec_fn=prepare).stdout == "left\n"


def test_nohup_keeps_a_run_alive(sandlock, mode):
    words = ["/usr/bin/nohup", sandlock.binary, "run", *sandlock.base, *mode, "--",
             "sh", "-c", "echo up; read -r line; echo still here"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          encoding="utf-8", env=sandlock.environment()) as process:
        shown(process, "up")
        process.send_signal(signal.SIGHUP)
        assert process.communicate("go\n", timeout=30)[0] == "still here\n"
        assert process.returncode == 0


def test_an_interrupt_does_not_end_what_a_script_runs_in_the_background(sandlock, mode):
    """A shell without job control has its background jobs ignore what the keyboard sends to its group."""
    run = " ".join([sandlock.binary, "run", *sandlock.base, *mode])
    script = f"{run} -- sh -c 'echo up; sleep 1; echo still here; exit 5' & trap : INT QUIT; wait $!; wait $!; echo $?"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                          encoding="utf-8", env=sandlock.environment(), start_new_session=True) as process:
        shown(process, "up")
        os.killpg(process.pid, signal.SIGINT)
        shown(process, "still here")
        shown(process, "5")


# ---- Signals to sandlock --------------------------------------------------------------------------------


# In namespaces of its own, with a name server that does not answer: how its run ends when it gets a signal.
RESOLVING = """
import fcntl, socket, struct, subprocess, sys, time
subprocess.run(["mount", "--bind", sys.argv[2], "/etc/resolv.conf"], check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(server, 0x8914, struct.pack("16sH14x", b"lo", 1))
server.bind(("127.0.0.1", 53))
run = subprocess.Popen(sys.argv[3:])
server.recv(1000)
run.send_signal(int(sys.argv[1]))
started = time.monotonic()
print(run.wait(), time.monotonic() - started < 15)
"""


def net_namespaces_work():
    return subprocess.run(["unshare", "-Urmn", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not net_namespaces_work(), reason="this user cannot create namespaces")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_whose_names_are_being_resolved(sandlock, area, number):
    (area / "resolv").write_text("nameserver 127.0.0.1\noptions timeout:30\n")
    done = subprocess.run(["unshare", "-Urmn", *PYTHON, "-c", RESOLVING, f"{number:d}", area / "resolv", sandlock.binary, "run",
                           *sandlock.base, "--net-allow", "nothing.example:80", "--", "true"],
                          capture_output=True, encoding="utf-8", env=sandlock.environment(), timeout=30, check=False)
    assert done.stdout == f"{-number} True\n", done

SHUTDOWN = """
import os, signal, sys, time
def end(number, frame):
    time.sleep(float(sys.argv[1]))
    os.write(1, b"saved\\n") # not print(): it comes twice here, too
    os._exit(7)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(30)
"""


@pytest.mark.parametrize("pause, code", [(0, 143), (0.6, 137)], ids=["at-once", "impatient"])
def test_one_request_that_comes_twice_is_no_second_one(sandlock, pause, code):
    """As of timeout(1), which signals its child and then its group. A second one kills."""
    run = sandlock.start("--", "/usr/bin/python3", "-I", "-S", "-c", SHUTDOWN, 1 if code == 143 else 15)
    assert run.stdout.readline() == "up\n"
    for _ in range(2):
        run.send_signal(signal.SIGTERM)
        time.sleep(pause)
    out, _ = run.communicate(timeout=20)
    assert ("saved" in out) == (code == 143)
    assert run.returncode == -signal.SIGTERM, "it dies by the signal in either case"


# ---- Terminal -------------------------------------------------------------------------------------------


class Program:
    """The first program of a session with a terminal, as `ssh -t` and `docker run -it` start it: no shell is above
    that would let go on what stops."""

    def __init__(self, sandlock, words):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(words[0], [str(word) for word in words],
                      {**sandlock.environment(), "PS1": "", "PS2": "", "HISTFILE": "/dev/null"})
        self.text = ""

    def say(self, line):
        self.type(line + "\n")

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, seconds=30):
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
                assert self.read(), f"it ended before {pattern!r}: {self.text!r}"

    def ended(self, seconds=30):
        """Its exit code, or the negative number of the signal that ended it."""
        end = time.monotonic() + seconds
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            assert time.monotonic() < end, f"it did not end: {self.text!r}"
            if select.select([self.fd], [], [], 0.05)[0]:
                self.read()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def read(self):
        try:
            self.text += os.read(self.fd, 65536).decode(errors="replace")
        except OSError:
            return False
        return True

    def hang_up(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def close(self):
        self.hang_up()
        deadline = time.monotonic() + 5
        try:
            os.kill(self.pid, signal.SIGHUP)
            while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                if time.monotonic() > deadline:
                    os.kill(self.pid, signal.SIGKILL)
                time.sleep(0.02)
        except (ProcessLookupError, ChildProcessError):
            pass


class Terminal(Program):
    """An interactive bash on a terminal of its own."""

    def __init__(self, sandlock):
        super().__init__(sandlock, ["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"])
        self.say(f"stty -echo; alias run='{sandlock.binary} run {' '.join(sandlock.base)}'")
        self.say("echo prompt-$((1+1))")
        self.expect("prompt-2")


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
    terminal.say("run -- sh -c 'echo up; exec sleep 60'")
    terminal.expect("up")
    terminal.type("\x03")
    terminal.say("echo code-$?")
    terminal.expect("code-130")


@pytest.mark.parametrize("shell", ["typed", "bash", "dash"])
def test_interrupting_from_the_keyboard_ends_a_loop_as_without_sandlock(sandlock, terminal, area, shell):
    run = shlex.join([str(word) for word in [sandlock.binary, "run", *sandlock.base]])
    loop = f"for i in 1 2 3; do echo round-$i; {run} -- sh -c 'echo up; exec sleep 60'; done"
    (area / "loop").write_text(f"{loop}\necho went-on\n")
    terminal.say(loop if shell == "typed" else f"{shell} {area}/loop")
    terminal.expect("up")
    terminal.type("\x03")
    terminal.say("echo after-$?")
    terminal.expect("after-130")
    assert "went-on" not in terminal.text and "round-2" not in terminal.text


def test_a_command_that_kills_itself_as_the_key_does_interrupts_no_program_that_collects_its_output(program, words):
    collect = "import subprocess, sys; print('code', subprocess.run(sys.argv[1:], stdout=-1).returncode)"
    run = program([*PYTHON, "-c", collect, *words(["/bin/sh", "-c", "stty sane; kill -INT $$"])])
    run.expect("code 130" if words.confined else f"code -{signal.SIGINT:d}")
    assert run.ended() == 0


def test_a_foreground_run_has_the_terminal_where_its_caller_ignores_signals(terminal):
    terminal.say("(trap '' INT HUP QUIT TERM TTOU; run -- sh -c 'stty eof ^D && echo set; "
                 "read -r x; echo \"inside $x\"'); echo code-$?")
    terminal.expect("set")
    terminal.type("\x03")
    terminal.say("a word")
    terminal.expect("inside a word")
    terminal.expect("code-0")


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
    terminal.say("fg")
    terminal.say("another")
    terminal.expect("said another")
    terminal.type("\x03")
    terminal.say("\necho code-$?")  # bash loses the next character after an interrupted fg
    terminal.expect("code-130")


# A member in a session of its own whom timers continue, and who reads what is typed.
GOES_ON = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None)
child = os.fork()
if child == 0:
    os.setsid()
    signal.signal(signal.SIGCONT, lambda *_: None)
    event = (ctypes.c_int * 16)(0, 0, signal.SIGCONT)
    for ms in range(20, 90, 7) if sys.argv[1] == "timer" else ():  # one whose signal a stop has withdrawn is over
        timer, often = ctypes.c_void_p(), (ctypes.c_long * 4)(0, ms * 1000000, 0, ms * 1000000)
        assert libc.timer_create(1, event, ctypes.byref(timer)) == 0
        assert libc.timer_settime(timer, 0, often, None) == 0
    print("member", os.getpid(), "up", flush=True)
    while True: signal.pause() if sys.argv[1] != "timer" else os.read(0, 100)
os.waitpid(child, 0)
"""


def state_of(pid):
    """None when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def become(pid, state, seconds=20):
    end = time.monotonic() + seconds
    while state_of(pid) != state:
        assert time.monotonic() < end, f"{pid} is {state_of(pid)}"
        time.sleep(0.01)


def test_a_job_of_which_a_process_goes_on_by_itself_ends(sandlock, terminal, mode, area):
    script = area / "goes_on.py"
    script.write_text(GOES_ON)
    terminal.say(f"run {' '.join(mode)} -r {area} -- {' '.join(PYTHON)} {script} timer")
    pid = terminal.expect(r"member (\d+) up").group(1)
    terminal.type("\x1a")
    become(int(pid), None)
    terminal.say("fg; echo code-$?")
    terminal.expect("did not stay stopped")
    terminal.expect("code-125")


def test_one_that_somebody_continues_is_stopped_again_and_goes_on_with_its_job(sandlock, terminal, mode, area):
    script = area / "goes_on.py"
    script.write_text(GOES_ON)
    terminal.say(f"run {' '.join(mode)} -r {area} -- {' '.join(PYTHON)} {script} waits")
    pid = int(terminal.expect(r"member (\d+) up").group(1))
    terminal.type("\x1a")
    become(pid, "T")
    for _ in range(2):
        os.kill(pid, signal.SIGCONT)
        become(pid, "T")
    terminal.expect("Stopped")
    terminal.say("fg; echo code-$?")
    become(pid, "S")
    os.kill(pid, signal.SIGTERM)
    terminal.expect("code-0")


LEAVE = ("python3 -I -S -c 'import os; os.fork() or (os.setsid(), print(\"has\", \"left\", flush=True), os._exit(0)); "
         "os._exit(os.wait()[1] >> 8)'")


def test_a_command_leaves_the_session_once_it_is_in_front(terminal, mode):
    terminal.say(f"run {' '.join(mode)} -- sh -c {shlex.quote(LEAVE + ' || echo kept; read -r x; ' + LEAVE)} & ")
    assert terminal.expect("kept|has left").group() == "kept"
    terminal.say("while jobs | grep -q Running; do sleep 0.05; done; jobs")
    terminal.expect("Stopped")
    terminal.say("fg; echo over-$((1+1))")
    terminal.say("a word")
    assert terminal.expect("has left|over-2").group() == ("over-2" if mode else "has left")


def test_a_command_of_a_pipeline_that_is_in_front_leaves_the_session(terminal, mode):
    """It gets the terminal as soon as it reads, so nothing is kept from it. Not so behind a pipe, where another program may ask."""
    command = f"{' '.join(mode)} -- sh -c {shlex.quote(LEAVE)} 2>&1"
    terminal.say(f"run {command} | cat; echo over-$((1+1))")
    assert terminal.expect("has left|over-2").group() == "has left"
    terminal.say(f"true | run -w /dev/tty {command} | cat; echo over-$((1+2))")
    assert terminal.expect("has left|over-3").group() == "over-3"


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


def test_a_background_run_that_changes_the_terminal_is_stopped_until_it_is_in_front(terminal):
    terminal.say("run -- sh -c 'stty eof ^G && stty -a' &")
    terminal.say("until jobs | grep Stopped; do sleep 0.05; done; stty -a")
    terminal.expect("Stopped")
    terminal.expect(r"eof = \^D")
    terminal.say("fg")
    terminal.expect(r"eof = \^G")


def test_bg_continues_a_stopped_run(terminal, area):
    # No shell, which is in vfork() just then: it cannot stop before its child, stopped itself, has gone on.
    code = f'import os, time; print("up", flush=True)\nwhile not os.path.exists("{area}/go"): time.sleep(0.02)\nprint("ended")'
    terminal.say(f"run -r {area} -- /usr/bin/python3 -I -S -c '{code}'")
    terminal.expect("up")
    terminal.type("\x1a")
    terminal.expect("Stopped")
    (area / "go").touch()
    terminal.say("bg")
    terminal.expect("ended")


@pytest.mark.parametrize("ending", ["-t 3s", "kill %1"], ids=["timeout", "kill"])
def test_a_job_in_the_background_ends_when_its_command_is_killed(terminal, ending):
    """It was in front, so it could put the terminal's settings back; now they are somebody else's."""
    option = ending if ending.startswith("-") else ""
    terminal.say(f"run {option} -- sh -c 'echo up; exec sleep 60'")
    terminal.expect("up")
    terminal.type("\x1a")
    terminal.expect("Stopped")
    terminal.say("stty -echoctl; stty -a | grep -o -- -echoctl")
    terminal.expect("-echoctl")
    terminal.say("bg")
    if not option:
        terminal.say(ending)
    terminal.say("wait %1; echo waited")
    terminal.expect("Exit 124" if option else "Terminated")
    terminal.expect("waited")
    terminal.say("stty -a | grep -o -- -echoctl; echo looked")
    terminal.expect("-echoctl")


def test_a_background_run_that_ends_does_not_take_the_terminal_from_who_is_in_front(terminal, area, mode):
    """A pipeline whose first process, which leads its group, has ended."""
    name = f"stopped-{os.getpid()}"
    os.mkfifo(area / "go")
    terminal.say(f"run {' '.join(mode)} --name {name} -r {area} -- sh -c 'echo up; read -r x <{area}/go'")
    terminal.expect("up")
    terminal.type("\x1a")
    terminal.expect("Stopped")
    terminal.say("bg")
    terminal.say("true | sh -c 'for i in 1 2; do read -r x </dev/tty; echo \"got $x\"; done'; echo over-$((1+1))")
    terminal.say("a word")
    terminal.expect("got a word")
    (area / "go").write_text("go\n")
    gone(name)
    time.sleep(0.3)
    terminal.say("another")
    terminal.expect("got another")
    terminal.expect("over-2")


def test_a_job_in_the_background_stops_with_all_its_processes_when_one_of_them_reads(terminal, mode, area):
    """Not the command alone goes on, without a time limit."""
    grows = area / "grows"
    run = f"run {' '.join(mode)} -w {area} -- sh -c 'while :; do echo >>{grows}; sleep 0.02; done'"
    terminal.say(f"{run} | (until [ -e {grows} ]; do sleep 0.02; done; read -r x </dev/tty) &")
    terminal.say("until jobs | grep Stopped; do sleep 0.05; done")
    terminal.expect("Stopped")
    size = grows.stat().st_size
    time.sleep(0.2)
    assert grows.stat().st_size == size
    terminal.say("kill %1; while kill -0 %1 2>/dev/null; do sleep 0.05; done; echo over-$((1+1))")
    terminal.expect("over-2")


def state(pid):
    """Its letter in /proc, None of a process that is not there."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def child_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def eventually(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


# The command stops as the key does it when another member is in a session of its own, which no key reaches.
ELSEWHERE = """
import os, signal, time
ends = os.pipe()
member = os.fork()
if member == 0:
    os.setsid()
    os.write(ends[1], b"x")
    while True: time.sleep(0.02)
os.read(ends[0], 1)
print("member", member, flush=True)
os.kill(os.getpid(), signal.SIGTSTP)
time.sleep(60)
"""


def test_a_command_that_stops_with_its_job_stops_members_in_other_sessions(terminal, mode, area):
    """They must not run on while nobody watches the clock."""
    (area / "program").write_text(ELSEWHERE)
    terminal.say(f"run {' '.join(mode)} -r {area} -- {shlex.join(PYTHON)} {area}/program")
    member = int(terminal.expect(r"member (\d+)\s")[1])
    terminal.expect("Stopped")
    assert eventually(lambda: state(member) == "T"), state(member)
    terminal.say("kill %1; while kill -0 %1 2>/dev/null; do sleep 0.05; done; echo over-$((1+1))")
    terminal.expect("over-2")


def test_a_run_that_a_signal_has_stopped_leaves_the_terminal_to_its_shell_after_bg(terminal):
    terminal.say("run -- sh -c 'echo up; exec sleep 60'")
    terminal.expect("up")
    run = child_of(terminal.pid)
    command = child_of(child_of(run))
    os.kill(run, signal.SIGTSTP)
    terminal.expect("Stopped")
    assert eventually(lambda: state(command) == "T"), state(command)
    terminal.say("bg")
    assert eventually(lambda: state(command) != "T")
    assert os.tcgetpgrp(terminal.fd) == terminal.pid
    terminal.say("read -r line; echo \"got $line\"")
    terminal.say("a word")
    terminal.expect("got a word")
    terminal.say("kill %1; while kill -0 %1 2>/dev/null; do sleep 0.05; done; echo over-$((1+1))")
    terminal.expect("over-2")


def test_a_run_that_ends_does_not_take_the_terminal_from_who_got_it_while_it_was_stopped(terminal, area):
    """SIGSTOP leaves it no moment to give the terminal back, so that it believes to have it."""
    os.mkfifo(area / "go")
    terminal.say(f"run -r {area} -- sh -c 'echo up; read -r x <{area}/go'")
    terminal.expect("up")
    run = child_of(terminal.pid)
    os.kill(run, signal.SIGSTOP)
    terminal.expect("Stopped")
    terminal.say("sh -c 'echo here; read -r x; echo \"got $x\"'; echo over-$((1+1))")
    terminal.expect("here")
    in_front = os.tcgetpgrp(terminal.fd)
    os.kill(run, signal.SIGCONT)
    (area / "go").write_text("go\n")
    assert eventually(lambda: state(run) in (None, "Z")), state(run)
    assert os.tcgetpgrp(terminal.fd) == in_front
    terminal.say("a word")
    terminal.expect("got a word")
    terminal.expect("over-2")


def test_a_script_in_the_background_whose_run_reads_goes_on_after_fg(sandlock, terminal, mode, area):
    """Without being stopped: that it waits the shell could not see."""
    run = shlex.join([str(word) for word in [sandlock.binary, "run", *sandlock.base, *mode]])
    (area / "script").write_text(f"{run} -- sh -c 'echo up; read -r x; echo \"inside $x\"'\necho code-$?\n")
    terminal.say(f"bash {area}/script &")
    terminal.expect("up")
    terminal.say("read -r line; echo \"got $line\"")
    terminal.say("a word")
    terminal.expect("got a word")
    terminal.say("fg")
    terminal.say("another")
    terminal.expect("inside another")
    terminal.expect("code-0")


# A program with a time limit of its own, whose tool has no terminal, or (`inherits`) is not in front.
LIMITING = """
import subprocess, sys
stdin = None if sys.argv[1] == "inherits" else subprocess.DEVNULL
tool = subprocess.Popen(sys.argv[2:], stdin=stdin, stdout=-1, stderr=-1)
try: print("code", tool.wait(0.6 if stdin is None else 30))
except subprocess.TimeoutExpired: print("limit", flush=True)
tool.kill()
tool.communicate()
print("end")
"""


@pytest.mark.parametrize("number", ["TSTP", "TTIN"])
def test_a_command_without_a_terminal_that_stops_itself_stops_nobody_else(sandlock, terminal, area, mode, number):
    (area / "program").write_text(LIMITING)
    tool = [sandlock.binary, "run", *sandlock.base, *mode, "-t", "200ms", "--", "sh", "-c", f"kill -{number} $$; exec sleep 60"]
    terminal.say(shlex.join([*PYTHON, str(area / "program"), "none", *map(str, tool)]))
    terminal.expect("code 124")
    terminal.expect("end")
    assert "Stopped" not in terminal.text


@pytest.mark.parametrize("number", ["TSTP", "TTIN"])
def test_a_command_in_the_background_that_stops_itself_does_not_stop_its_caller(sandlock, terminal, area, mode, number):
    (area / "program").write_text(LIMITING)
    tool = [sandlock.binary, "run", *sandlock.base, *mode, "--", "sh", "-c", f"kill -{number} $$; exec sleep 60"]
    terminal.say(shlex.join([*PYTHON, str(area / "program"), "inherits", *map(str, tool)]) + " &")
    terminal.expect("limit")
    terminal.expect("end")


def namespaces_with_proc_work():
    return subprocess.run(["unshare", "-Urpf", "--mount-proc", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not namespaces_with_proc_work(), reason="this user cannot create process namespaces")
def test_the_terminal_stays_with_a_caller_in_another_process_namespace(sandlock, terminal, area, mode):
    """Its group has no number there, by which it could be given back: the command is in front only if it is told to."""
    run = shlex.join([str(word) for word in ["unshare", "-Urpf", "--mount-proc", sandlock.binary, "run", *sandlock.base, *mode]])
    (area / "script").write_text(f"{run} -- sh -c 'echo up; cat'\nread -r x\necho \"got $x\"\n"
                                 f"exec {run} -i -- sh -c 'read -r x; echo \"inside $x\"'\n")
    terminal.say(f"bash {area}/script")
    terminal.expect("up")
    terminal.expect("-i gives it")
    terminal.say("a word")
    terminal.expect("got a word")
    time.sleep(0.3)
    terminal.say("another")
    terminal.expect("inside another")
    terminal.say("echo shell-$((2+2))")
    terminal.expect("shell-4")


def test_a_killed_guardian_does_not_leave_raw_mode_behind(sandlock, program, mode):
    run = program(script([sandlock.binary, "run", *sandlock.base, *mode, "-w", "/dev/null", "--", "/bin/sh", "-c",
                          "stty raw -echo; echo up; exec sleep 60"], "; stty -a"))
    run.expect("up")
    guardian = run.pid
    for _ in range(2): # below the shell sandlock, and below that the guardian
        guardian = int(pathlib.Path(f"/proc/{guardian}/task/{guardian}/children").read_text().split()[0])
    os.kill(guardian, signal.SIGKILL)
    run.expect("guardian process died")
    run.expect(r"\sicanon\s")
    run.expect(r"\secho\s")


def test_an_interactive_shell_has_job_control_inside(terminal):
    terminal.say("run -w /dev/tty -- bash --norc --noprofile --noediting -i; echo back-$?")
    terminal.say("PS1=; sleep 60 & jobs; echo inside-$((3+3))")
    terminal.expect("Running")
    terminal.expect("inside-6")
    terminal.say("kill %1; wait; true | true; echo pipe-$?")
    terminal.expect("pipe-0")
    terminal.say("exit 5")
    terminal.expect("back-5")


# ---- Stops without a shell that would let the job go on -------------------------------------------------


ECHOING = ["/bin/sh", "-c", "echo up; while read -r line; do echo \"said $line\"; done; echo end"]
ITSELF = [*PYTHON, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGTSTP); print('went', 'on')"]
READING = [*PYTHON, "-c", "import os\n"
           "try: print('got', os.read(os.open('/dev/tty', os.O_RDWR), 10))\n"
           "except OSError as error: print('errno', error.errno)"]
SETTING = [*PYTHON, "-c", "import os, termios\n"
           "fd = os.open('/dev/tty', os.O_RDWR)\n"
           "try: print('set', termios.tcsetattr(fd, termios.TCSANOW, termios.tcgetattr(fd)))\n"
           "except termios.error as error: print('errno', error.args[0])"]
FAILED_IO = f"errno {errno.EIO}\r"


@pytest.fixture(params=["native", "supervised", "unsupervised"])
def words(request, sandlock):
    """Adds to words what is to run them: nothing, as the comparison, or a sandbox."""
    option = ["--no-supervisor"] if request.param == "unsupervised" else []
    run = [sandlock.binary, "run", *sandlock.base, "-w", "/dev/tty", *option]

    def add(words, *options):
        return list(words) if request.param == "native" else [*run, *options, "--", *words]

    add.confined = request.param != "native"
    return add


@pytest.fixture
def program(sandlock):
    """Starts words as the first program on a terminal."""
    started = []

    def start(words):
        started.append(Program(sandlock, words))
        return started[-1]

    yield start
    for one in started:
        one.close()


def script(words, *rest):
    """A shell without job control runs the words, and is not replaced by them."""
    return ["/bin/bash", "-c", " ".join(["", *(shlex.quote(str(word)) for word in words), *rest]) + "; echo code-$?"]


@pytest.mark.parametrize("above", [list, script], ids=["directly", "script"])
def test_the_stop_key_does_nothing_where_nobody_could_continue(program, words, above):
    run = program(above(words(ECHOING)))
    run.expect("up")
    for word in "one", "two":
        run.type("\x1a")
        time.sleep(0.2)
        run.say(word)
        run.expect(f"said {word}")
    run.type("\x04")
    run.expect("end")


def test_the_interrupt_key_still_ends_the_command_then(program, words):
    run = program(words(["/bin/sh", "-c", "echo up; exec sleep 60"]))
    run.expect("up")
    run.type("\x1a")
    time.sleep(0.2)
    run.type("\x03")
    assert run.ended() == (-signal.SIGINT if not words.confined else 130)


def test_a_command_that_stops_itself_as_the_key_does_goes_on_where_nobody_could_continue_it(program, words):
    run = program(script(words(ITSELF)))
    run.expect("went on")
    run.expect("code-0")


@pytest.mark.parametrize("use", [READING, SETTING], ids=["reading", "setting"])
def test_using_the_terminal_from_the_background_fails_where_nobody_could_continue(program, words, use):
    """A shell above has put another group in front and died."""
    run = program([*PYTHON, "-c", ORPHAN, *words(use)])
    run.expect(FAILED_IO)


# The words become a group of their own, in the background, whose parent is gone.
ORPHAN = """
import os, sys, time
if os.fork() == 0:
    os.setpgid(0, 0)
    if os.fork() != 0: os._exit(0)
    while os.getppid() != 1 and os.getsid(os.getppid()) == os.getsid(0): time.sleep(0.01)
    os.execv(sys.argv[1], sys.argv[1:])
os.wait()
time.sleep(10)
"""


def test_a_pipeline_in_a_script_is_told_how_its_command_gets_the_terminal(program, words):
    run = program(["/bin/bash", "-c", "echo x | " + shlex.join(map(str, words(READING))) + "; echo code-$?"])
    if words.confined:
        run.expect("-i gives it")
        run.expect(FAILED_IO)
    else:
        run.say("a word")
        run.expect("got b'a word")
    run.expect("code-0")


# ---- The end of what is stopped ---------------------------------------------------------------------------


STOPPED = ["/bin/sh", "-c", "echo up; kill -STOP $$; exec sleep 60"]


def test_timeout_ends_a_command_that_is_stopped(words):
    result = subprocess.run(["/usr/bin/timeout", "-k", "5", "1", *words(STOPPED)], stdout=subprocess.PIPE, timeout=20)
    assert result.returncode == 124


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_to_sandlock_ends_a_command_that_is_stopped(sandlock, mode, number):
    process = sandlock.start(*mode, "-r", "/proc", "--", *STOPPED)
    shown(process, "up")
    time.sleep(0.2)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == -number


def test_sigcont_to_sandlock_continues_a_command_that_stopped_itself(sandlock, mode):
    process = sandlock.start(*mode, "--", "sh", "-c", "echo up; kill -STOP $$; echo on", preexec_fn=ignore(signal.SIGCONT))
    shown(process, "up")
    time.sleep(0.2)
    assert process.poll() is None
    end = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < end: # the first may come before it has stopped
        process.send_signal(signal.SIGCONT)
        time.sleep(0.1)
    assert process.communicate(timeout=30)[0] == "on\n"
    assert process.returncode == 0


def gone(name, seconds=30):
    end = time.monotonic() + seconds
    while (RUNTIME / name).exists():
        assert time.monotonic() < end, "the run was left behind"
        time.sleep(0.05)


@pytest.mark.parametrize("above", [list, script], ids=["directly", "script"])
@pytest.mark.parametrize("stop", ["\x1a", ""], ids=["stop-key", "running"])
def test_nothing_is_left_when_the_terminal_is_closed(sandlock, program, mode, above, stop):
    name = f"closed-{os.getpid()}"
    run = program(above([sandlock.binary, "run", *sandlock.base, *mode, "--name", name, "--", *ECHOING]))
    run.expect("up")
    run.type(stop)
    time.sleep(0.2)
    assert (RUNTIME / name).exists()
    run.hang_up()
    gone(name)


def test_nothing_is_left_of_a_stopped_command_when_the_terminal_of_its_script_is_closed(sandlock, program, mode):
    name = f"closed-{os.getpid()}"
    run = program(script([sandlock.binary, "run", *sandlock.base, *mode, "--name", name, "--", *STOPPED]))
    run.expect("up")
    time.sleep(0.2)
    assert (RUNTIME / name).exists()
    run.hang_up()
    gone(name)


@pytest.mark.parametrize("command", ["sh -c 'echo up; kill -STOP $$; exec sleep 60'",
                                     "sh -c 'echo up; read -r x </dev/tty'"], ids=["by-itself", "by-reading"])
def test_nothing_is_left_of_a_stopped_pipeline_when_its_terminal_is_closed(terminal, mode, command):
    name = f"closed-{os.getpid()}"
    terminal.say(f"true | run {' '.join(mode)} -w /dev/tty --name {name} -- {command}")
    terminal.expect("up")
    time.sleep(0.3)
    assert (RUNTIME / name).exists()
    terminal.hang_up()
    gone(name)


# ---- A terminal that is not the standard input ------------------------------------------------------------


READ_TERMINAL = "sh -c 'echo up; read -r x </dev/tty; echo \"inside $x\"'"


def test_a_pipeline_that_uses_the_terminal_stops_as_a_job_and_has_it_after_fg(terminal, mode):
    terminal.say(f"seq 3 | run {' '.join(mode)} -w /dev/tty -- {READ_TERMINAL}")
    terminal.expect("up")
    terminal.expect("wants the terminal.*-i gives it")
    terminal.expect("Stopped")
    terminal.say("read -r line; echo \"got $line\"")
    terminal.say("a word")
    terminal.expect("got a word")
    terminal.say("fg; echo code-$?")
    terminal.say("another")
    terminal.expect("inside another")
    terminal.expect("code-0")
    terminal.say("read -r line; echo \"got $line\"")
    terminal.say("a third")
    terminal.expect("got a third")


def test_a_pipeline_has_the_terminal_from_the_start_if_it_is_told_to(terminal, mode):
    terminal.say(f"seq 3 | run {' '.join(mode)} -i -w /dev/tty -- {READ_TERMINAL}; echo code-$?")
    terminal.expect("up")
    terminal.say("a word")
    terminal.expect("inside a word")
    terminal.expect("code-0")
    assert "wants the terminal" not in terminal.text


def test_a_shell_that_is_late_does_not_keep_the_terminal(terminal, mode):
    """It puts the group of a pipeline in front once more for each of its processes."""
    late = "import os, signal, time; signal.signal(signal.SIGTTOU, signal.SIG_IGN); t = os.open('/dev/tty', os.O_RDWR)\n" \
           "for i in range(300): os.tcgetpgrp(t) == os.getpgrp() and time.sleep(0.01)\n" \
           "os.tcsetpgrp(t, os.getpgrp())"
    slow = "sh -c 'sleep 0.5; read -r x </dev/tty; echo \"inside $x\"'"
    terminal.say(f"python3 -I -S -c \"{late}\" | run {' '.join(mode)} -i -w /dev/tty -- {slow}; echo code-$?")
    terminal.say("a word")
    terminal.expect("inside a word")
    terminal.expect("code-0")
    assert "wants the terminal" not in terminal.text


def test_a_pipeline_that_leaves_the_terminal_alone_leaves_it_to_the_others(terminal, mode):
    """Another program of the pipeline asks for a password, say."""
    terminal.say(f"(read -r x </dev/tty; echo \"$x\") | run {' '.join(mode)} -w /dev/tty -- cat; echo code-$?")
    time.sleep(0.3)
    terminal.say("a word")
    terminal.expect("a word")
    terminal.expect("code-0")


def test_the_interrupt_key_ends_a_pipeline_whose_command_is_stopped(terminal):
    terminal.say("true | run -- sh -c 'echo up; kill -STOP $$; exec sleep 60'")
    terminal.expect("up")
    time.sleep(0.2)
    terminal.type("\x03")
    terminal.say("echo code-$?")
    terminal.expect("code-130")


def test_a_job_that_stopped_by_itself_is_ended_by_kill(terminal):
    terminal.say(f"seq 3 | run -w /dev/tty -- {READ_TERMINAL}")
    terminal.expect("Stopped")
    terminal.say("kill %1; while kill -0 %1 2>/dev/null; do sleep 0.05; done; echo over-$((1+1))")
    terminal.expect("over-2")


def test_a_caller_that_ignores_the_stop_key_is_not_stopped_with_the_command(sandlock, terminal):
    """An interactive shell that reads the output of its command, in its own group."""
    terminal.say("x=$(run -- sh -c 'echo up >&2; read -r x; echo \"said $x\"')")
    terminal.expect("up")
    terminal.type("\x1a")
    time.sleep(0.2)
    terminal.say("a word")
    terminal.say("echo \"$x\"")
    terminal.expect("said a word")


# ---- A terminal that others need ---------------------------------------------------------------------------


# A program that asks its user for something while it collects the output of a tool.
ASKING = """
import os, subprocess, sys, threading, time
def run(): print("tool", subprocess.run(sys.argv[2:], stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout)
tool = threading.Thread(target=run)
tool.start()
while not os.path.exists(sys.argv[1]): time.sleep(0.02)
print("input", input("> "))
tool.join()
print("end")
"""


def appeared(path, seconds=30):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} never appeared"
        time.sleep(0.02)


def test_a_tool_whose_output_is_collected_leaves_the_terminal_to_its_caller(program, words, area):
    tool = words(["/bin/sh", "-c", f"cd {area}; echo >up; until [ -e go ]; do sleep 0.02; done; echo out"], "-w", area)
    run = program([*PYTHON, "-c", ASKING, area / "up", *tool])
    run.expect("> ")
    run.say("a word")
    run.expect("input a word")
    (area / "go").touch()
    run.expect(r"tool b'out\\n'")
    run.expect("end")


# As a prompt for a password does: the signal is handled first, and a shell waits for the program.
HANDLING = """
import os, signal
def stop(number, frame):
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.signal(number, stop)
signal.signal(signal.SIGTTIN, stop)
print("inside", os.read(0, 100).decode(), end="", flush=True)
"""
COLLECTING = "import subprocess, sys; print(subprocess.run(sys.argv[1:], stdout=-1, stderr=-2).stdout.decode())"


@pytest.mark.parametrize("use", [["/bin/sh", "-c", "stty sane && read -r x; echo \"inside $x\""],
                                 ["/bin/sh", "-c", f"/usr/bin/python3 -I -S -c {shlex.quote(HANDLING)}; echo"]],
                         ids=["stopped", "handling"])
def test_a_tool_that_uses_the_terminal_of_its_caller_gets_it(program, words, use):
    run = program([*PYTHON, "-c", f"{COLLECTING}; print('said', input())", *words(use)])
    time.sleep(0.3)
    run.say("a word")
    run.expect("inside a word")
    time.sleep(0.1)
    run.say("another")
    run.expect("said another")


@pytest.mark.parametrize("line", ["x=$({} 2>&1); echo \"$x\"", "{} 2>&1 | cat"], ids=["substitution", "pipe"])
def test_one_that_uses_the_terminal_gets_it_and_gives_it_back(terminal, mode, line):
    terminal.say(line.format(f"run {' '.join(mode)} -- sh -c 'stty sane && read -r x; echo \"inside $x\"'"))
    time.sleep(0.3)
    terminal.say("a word")
    terminal.expect("inside a word")
    terminal.say("stty -echo; read -r line; echo \"got $line\"")
    time.sleep(0.2)
    terminal.say("another")
    terminal.expect("got another")
    assert "wants the terminal" not in terminal.text and "Stopped" not in terminal.text


@pytest.mark.parametrize("output", ["", "2>&1 >/dev/null"], ids=["output", "errors"])
def test_who_reads_the_output_of_a_run_uses_the_terminal(terminal, mode, area, output):
    """A pager, say, while the command is at work."""
    run = f"run {' '.join(mode)} -w {area} -- sh -c 'echo >{area}/up; until [ -e {area}/go ]; do sleep 0.02; done'"
    terminal.say(f"{run} {output} | (until [ -e {area}/up ]; do sleep 0.02; done; read -r y </dev/tty; echo \"y=$y\")")
    appeared(area / "up")
    time.sleep(0.2)
    terminal.say("a word")
    terminal.expect("y=a word")
    (area / "go").touch()
    terminal.say("echo code-$?")
    terminal.expect("code-0")
    assert "Stopped" not in terminal.text


# Two tools at a time, of which the first to come does not use the terminal, and the second does.
BESIDE = """
import os, subprocess, sys, time
def run(script): return subprocess.Popen([*sys.argv[2:], "sh", "-c", script])
first = run("echo up; until [ -e %s/go ]; do sleep 0.02; done" % sys.argv[1])
time.sleep(0.5)
second = run("stty sane && echo set")
time.sleep(0.5)
open(sys.argv[1] + "/go", "w").close()
print("codes", second.wait(), first.wait())
"""


def test_two_runs_at_a_time_share_the_terminal_of_their_job(sandlock, terminal, mode, area):
    words = [*PYTHON, "-c", BESIDE, area, sandlock.binary, "run", *sandlock.base, *mode, "-r", area, "--"]
    terminal.say(shlex.join(map(str, words)))
    terminal.expect("set")
    terminal.expect("codes 0 0")
    assert "Stopped" not in terminal.text
    terminal.say("read -r line; echo \"got $line\"")
    terminal.say("a word")
    terminal.expect("got a word")


def test_a_tool_that_got_the_terminal_and_stops_itself_stays_stopped(program, words):
    collect = "import signal, subprocess, sys, time; tool = subprocess.Popen(sys.argv[1:], stdout=-1, stderr=-2); time.sleep(1)\n" \
              "print('running', tool.poll())\n" \
              "while tool.poll() is None: tool.send_signal(signal.SIGCONT); time.sleep(0.1)\n" \
              "print(tool.communicate()[0])"
    run = program([*PYTHON, "-c", collect, *words(["/bin/sh", "-c", "stty sane && kill -STOP $$; echo on"])])
    run.expect("running None")
    run.expect("b'on")


@pytest.mark.parametrize("line", ["true | {}", "{} 2>&1 | cat"], ids=["input", "output"])
def test_the_stop_key_stops_a_command_that_is_not_in_front_with_its_job(terminal, mode, area, line):
    grows = area / "grows"
    command = f"run {' '.join(mode)} -w {area} -- sh -c 'while :; do echo >>{grows}; sleep 0.02; done'"
    terminal.say(line.format(command))
    appeared(grows)
    terminal.type("\x1a")
    terminal.expect("Stopped")
    size = grows.stat().st_size
    time.sleep(0.2)
    assert grows.stat().st_size == size
    terminal.say("bg")
    end = time.monotonic() + 10
    while grows.stat().st_size == size:
        assert time.monotonic() < end, "it did not go on"
        time.sleep(0.02)
    terminal.say("kill %1; while kill -0 %1 2>/dev/null; do sleep 0.05; done; echo over-$((1+1))")
    terminal.expect("over-2")


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


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs root: hides processes in /proc")
@pytest.mark.namespaces
def test_who_is_hidden_in_proc_cannot_fork_under_a_process_limit_and_the_record_says_why(sandlock):
    """A program that may be executed and not read, where /proc shows nobody but what may be looked at."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        os.chmod(place, 0o755)
        script = 'mount -t proc -o "$1" proc /proc && shift && exec setpriv --reuid=1234 --regid=1234 --clear-groups "$@"'
        for mode, option, refused in ((0o711, "hidepid=invisible", True), (0o711, "hidepid=off", False),
                                      (0o755, "hidepid=invisible", False)):
            shell = pathlib.Path(place, f"shell{mode:o}")
            shutil.copy("/bin/dash", shell)
            shell.chmod(mode)
            words = [sandlock.binary, "run", *sandlock.base, "-r", place, "-P", "5", "--explain", "--", shell, "-c", "(echo ran)"]
            done = subprocess.run(["unshare", "-mpf", "sh", "-c", script, "sh", option, *map(str, words)], text=True,
                                  capture_output=True, timeout=30, check=False, env=sandlock.environment())
            assert ("ran\n" in done.stdout) == (not refused), done
            assert ("/proc hides the process (hidepid): its program is not readable" in done.stderr) == refused, done


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


def test_a_finished_run_leaves_no_runtime_files(sandlock, mode):
    name = f"tidy-{os.getpid()}"
    process = sandlock.start(*mode, "--name", name, "--", "sh", "-c", "echo up; read x", stdin=subprocess.PIPE)
    assert process.stdout.readline() == "up\n"
    assert (RUNTIME / name).is_dir()
    process.communicate("\n", timeout=30)
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
        process.communicate(timeout=30)
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
        process.communicate(timeout=30)


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
@pytest.mark.parametrize("wanted", ["0:0", "1000:1001", "65534:65534", f"{os.getuid()}:{os.getgid() + 1}"])
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
    assert time.monotonic() - started < 25, "the FIFO without a writer was not opened"
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
    path = area.parent / "posture"
    result = sandlock.run(*mode, "--disable", protection, "--posture", path, "-w", area, "-w", "/dev/null", "--",
                          "sh", "-c", f"echo text >{area}/out; cat {secret}")
    assert (area / "out").read_text() == "text\n"
    assert "Permission denied" in result.stderr
    entries = {entry["name"]: entry for entry in json.loads(path.read_text())["entries"]}
    assert entries[protection]["state"] == "disabled"
    others = {"fs-refer", "fs-truncate", "net-tcp", "fs-ioctl-dev", "signal-scope", "abstract-unix-socket-scope"} - {protection}
    assert {entries[name]["state"] for name in others} == {"active"}


FLOORS = {"fs-refer": 2, "fs-truncate": 3, "net-tcp": 4, "fs-ioctl-dev": 5, "signal-scope": 6,
          "abstract-unix-socket-scope": 6}


@pytest.mark.parametrize("version", range(1, 6))
def test_a_protection_that_the_host_lacks_refuses_the_launch_unless_it_may_be_missing(sandlock, area, helpers, version):
    """A listener answers for the kernel here, so there is none for a supervisor."""
    if subprocess.run([helpers / "landlock_abi", str(version), "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no filter can have a listener here")
    lacking = [name for name, floor in FLOORS.items() if floor > version]
    posture = area.parent / "posture"

    def run(*options):
        words = [helpers / "landlock_abi", version, sandlock.binary, "run", "--no-supervisor", *sandlock.base, "-w", area,
                 *options, "--", "touch", area / "ran"]
        return subprocess.run(list(map(str, words)), env=sandlock.environment(), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, check=False)

    for missing in ([], *([[name] for name in lacking] if len(lacking) > 1 else [])):
        done = run(*(word for name in missing for word in ("--allow-degraded", name)))
        assert done.returncode == 125 and not (area / "ran").exists(), done
        assert f"this host has ABI {version}." in done.stderr, done
        for name in lacking:
            told = re.search(rf"{name} \(\w+\) needs Landlock ABI {FLOORS[name]}[,;]", done.stderr)
            assert bool(told) == (name not in missing), done
    done = run("--posture", posture, *(word for name in lacking for word in ("--allow-degraded", name)))
    assert done.returncode == 0 and (area / "ran").exists(), done
    states = {entry["name"]: entry["state"] for entry in json.loads(posture.read_text())["entries"]}
    assert [name for name in FLOORS if states[name] != "active"] == lacking
    assert {states[name] for name in lacking} == {"degraded"}


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


@pytest.mark.personality
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
@pytest.mark.namespaces
def test_sandlock_works_as_pid_1(sandlock, area, mode):
    words = [str(sandlock.binary), "run", *sandlock.base, *mode, "-w", str(area), "--", "sh", "-c",
             "setsid sleep 60 & echo up; exit 3"]
    done = subprocess.run(["unshare", "-pf", "--mount-proc", *words], capture_output=True, text=True, timeout=30,
                          env=sandlock.environment(), check=False)
    assert (done.returncode, done.stdout) == (3, "up\n"), done


def test_a_guardian_that_somebody_has_stopped_does_not_outlast_a_time_limit(sandlock, mode):
    words = ["run", *sandlock.base, *mode, "--timeout", "1s", "--", "sh", "-c", "setsid sleep 300 & echo up; sleep 301"]
    run = subprocess.Popen([sandlock.binary, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                           env=sandlock.environment())
    guardian = None
    try:
        assert run.stdout.readline() == "up\n"
        guardian = int(pathlib.Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()[0])
        os.kill(guardian, signal.SIGSTOP)
        assert run.wait(timeout=20) == 125  # the guardian process died
        assert run.stdout.read() == ""  # every member has it
    finally:
        if run.poll() is None and guardian is not None:
            os.kill(guardian, signal.SIGCONT)
        run.kill()


@pytest.mark.skipif(not namespaces_with_proc_work(), reason="this user cannot create process namespaces")
def test_a_caller_that_has_unshared_its_process_namespace_is_told_to_fork(sandlock, mode):
    words = ["run", *sandlock.base, *mode, "--", "true"]
    for fork, code in ([], 125), (["--fork", "--mount-proc"], 0):
        done = subprocess.run(["unshare", "-Urp", *fork, sandlock.binary, *words], capture_output=True, text=True,
                              timeout=30, env=sandlock.environment(), check=False)
        assert (done.returncode, "(unshare --fork)" in done.stderr) == (code, code == 125), done


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
    left, right = socket.socketpair(); left.send(b"x"); right.recvmsg(1); right.getsockname()
    left.send(b"x"); right.recv(1); left.close(); right.close()
    socket.socket().close(); socket.socket(socket.AF_UNIX).close()
    thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0))
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    if os.fork() == 0:
        os.setpgid(0, 0)
        os._exit(0)
    if os.fork() == 0:
        os.setsid()
        os._exit(0)
    os.wait(); os.waitid(os.P_ALL, 0, os.WEXITED)
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
