"""The terminal that the sandbox shares with its user."""

import fcntl
import os
import platform
import pty
import subprocess
import termios

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the payloads use x86-64 numbers"),
]


def run_on_terminal(words, env, typed=b""):
    """Runs the words in a session whose terminal is a new pty, where something was typed already. Their
    output (a pipe), and what is in the terminal's input queue afterwards."""
    master, slave = pty.openpty()
    os.write(master, typed)

    def take_terminal():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    try:
        done = subprocess.run(words, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                              preexec_fn=take_terminal, timeout=100, text=True, check=False)
        os.set_blocking(slave, False)
        try:
            typed = os.read(slave, 100)
        except BlockingIOError:
            typed = b""
    finally:
        os.close(master)
        os.close(slave)
    return dict(line.split(": ") for line in done.stdout.splitlines() if ": " in line), typed


def confined(attack, payload, options=()):
    """What stands before the words to run them in a sandbox."""
    return [str(attack.sandlock.binary), "run", *attack.sandlock.base, *attack.grants(payload), *options, "--"]


def test_nothing_can_be_typed_into_the_terminal(attack, mode):
    words = attack.words("terminal.py")
    env = attack.sandlock.environment()
    outside, typed = run_on_terminal(words, env)
    if outside["TIOCSTI"] != "OK":
        pytest.skip("this kernel does not let this user type into a terminal anyway")
    assert typed == b"id\n"
    inside, typed = run_on_terminal([*confined(attack, "terminal.py", mode), *words], env)
    assert typed == b""
    for name in ("TIOCSTI", "TIOCSTI_high", "TIOCSETD", "TIOCLINUX"):
        assert inside[name] == "EPERM", name
    assert outside["TIOCSETD"] == "OK"
    assert inside["TCGETS"] == "OK", "ordinary terminal calls work"


def test_the_output_of_the_terminal_cannot_be_stopped(attack, mode):
    """Whoever writes to it next waits, sandlock with its last message among them."""
    words = attack.words("terminal.py")
    env = attack.sandlock.environment()
    outside, _ = run_on_terminal(words, env)
    assert (outside["TCOOFF"], outside["TCOON"]) == ("OK", "OK")
    inside, _ = run_on_terminal([*confined(attack, "terminal.py", mode), *words], env)
    assert (inside["TCOOFF"], inside["TCOON"]) == ("EPERM", "OK")
    assert inside["TCOOFF_high"] in ("EPERM", "EINVAL")


# ---- Who is in front ------------------------------------------------------------------------------


# A shell with its job in the background, which reads from the terminal as the shell does.
SHELL = """
import fcntl, os, signal, subprocess, sys, termios, time
resized = []
signal.signal(signal.SIGWINCH, lambda *_: resized.append(True))
def look():
    return termios.tcgetattr(0), fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
before = look()
outsider = subprocess.Popen(["/bin/sleep", "60"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=lambda: os.setpgid(0, 0))
words = [word.replace("{tty}", os.ttyname(0)).replace("{outsider}", str(outsider.pid)) for word in sys.argv[2:]]
prepare = {"background": lambda: os.setpgid(0, 0), "session": os.setsid, "front": lambda: None}[sys.argv[1]]
job = subprocess.Popen(words, preexec_fn=prepare)
flags = 0
end = time.monotonic() + 20
while job.poll() is None and time.monotonic() < end:
    flags |= fcntl.fcntl(0, fcntl.F_GETFL)
    time.sleep(0.01)
code = job.wait(timeout=1)
print(f"flags_set: {flags & os.O_NONBLOCK != 0}")
outsider.kill()
print(f"shell_is_in_front: {os.tcgetpgrp(0) == os.getpgrp()}")
print(f"code: {code}")
print(f"changed: {look() != before}")
print(f"resized: {bool(resized)}")
"""


def below_shell(words, env, place="background"):
    """Runs the words on a terminal where a line was typed: as a background job, in front, or in a session of their own."""
    return run_on_terminal(["/usr/bin/python3", "-I", "-S", "-c", SHELL, place, *words], env, typed=b"a secret\n")


def in_background(words, env):
    return below_shell(words, env)


def aside(words, error=False):
    """Their standard input is not the terminal, but their standard error is if wanted, opened for reading, too."""
    return ["/bin/sh", "-c", f"exec \"$@\" </dev/null {'2<>{tty}' if error else ''}", "sh", *words]


def test_a_background_sandbox_does_not_take_the_terminal(attack):
    words = attack.words("front.py", "take")
    env = attack.sandlock.environment()
    outside, typed = in_background(words, env)
    assert (outside["TIOCSPGRP"], outside["read"], outside["code"]) == ("OK", "a secret", "0")
    assert outside["shell_is_in_front"] == "False" and typed == b""
    inside, typed = in_background([*confined(attack, "front.py"), *words], env)
    assert (inside["TIOCSPGRP"], inside["read"], inside["code"]) == ("EPERM", "EIO", "0")
    assert inside["shell_is_in_front"] == "True" and typed == b"a secret\n"


@pytest.mark.parametrize("number", ["0", "2"], ids=["input", "error"])
@pytest.mark.parametrize("how", ["setsid", "notty"])
def test_a_background_sandbox_reads_nothing_from_a_session_of_its_own(attack, mode, how, number):
    """The kernel asks only processes whose controlling terminal it is."""
    words = attack.words("terminal_read.py", how, number)
    env = attack.sandlock.environment()
    place = (lambda words: aside(words, error=True)) if number == "2" else list
    outside, typed = in_background(place(words), env)
    assert (outside["leave"], outside["read"], typed) == ("OK", "a secret", b"")
    inside, typed = in_background(place([*confined(attack, "terminal_read.py", mode), *words]), env)
    if number == "0":
        assert (inside["leave"], inside["read"]) == ("EPERM", "Input/output error")
    else:
        assert inside["read"] == "Bad file descriptor"
    assert typed == b"a secret\n"


def test_nor_through_a_grant_of_the_terminal(attack, mode):
    words = attack.words("terminal_read.py", "setsid", "0")
    env = attack.sandlock.environment()
    box = [*confined(attack, "terminal_read.py", [*mode, "-w", "/dev/tty"]), "/bin/sh", "-c", "exec \"$@\" <>/dev/tty", "sh"]
    inside, typed = in_background(aside([*box, *words]), env)
    assert (inside["leave"], inside["read"], typed) == ("EPERM", "Input/output error", b"a secret\n")


def test_a_sandbox_without_a_terminal_to_read_leaves_the_session(attack, mode):
    words = attack.words("terminal_read.py", "setsid", "0")
    inside, typed = in_background(aside([*confined(attack, "terminal_read.py", mode), *words]), attack.sandlock.environment())
    assert (inside["leave"], inside["read"], typed) == ("OK", "nothing", b"a secret\n")


@pytest.mark.parametrize("number", ["0", "2"], ids=["input", "error"])
def test_nothing_is_read_from_the_terminal_of_another_session(attack, mode, number):
    """As agents start their tools, with their own standard input."""
    words = attack.words("terminal_read.py", "stay", number)
    env = attack.sandlock.environment()
    place = (lambda words: aside(words, error=True)) if number == "2" else list
    outside, typed = below_shell(place(words), env, "session")
    assert (outside["read"], typed) == ("a secret", b"")
    inside, typed = below_shell(place([*confined(attack, "terminal_read.py", mode), *words]), env, "session")
    assert inside["read"] == ("nothing" if number == "0" else "Bad file descriptor")
    assert typed == b"a secret\n"


def test_the_terminal_of_another_session_is_not_changed(attack):
    words = aside(attack.words("terminal_change.py", "ignoring", "2"), error=True)
    env = attack.sandlock.environment()
    outside, typed = below_shell(words, env, "session")
    assert {name: outside[name] for name in CHANGES} == dict.fromkeys(CHANGES, "OK")
    assert (outside["changed"], typed) == ("True", b"")
    box = confined(attack, "terminal_change.py")
    inside, typed = below_shell([*words[:4], *box, *words[4:]], env, "session")
    assert {name: inside[name] for name in CHANGES} == dict.fromkeys(CHANGES, "EPERM")
    assert (inside["changed"], inside["resized"], typed) == ("False", "False", b"a secret\n")


@pytest.mark.parametrize("place", ["background", "front"])
def test_flags_of_the_callers_descriptors_stay(attack, mode, place):
    words = attack.words("terminal_read.py", "flags", "0")
    env = attack.sandlock.environment()
    outside, _ = below_shell(words, env, place)
    assert (outside["flags"], outside["flags_set"]) == ("OK", "True")
    inside, _ = below_shell([*confined(attack, "terminal_read.py", mode), *words], env, place)
    assert (inside["flags"], inside["flags_set"]) == ("OK", "False")


def test_nobody_outside_is_put_in_front(attack):
    words = attack.words("front.py", "outsider", "{outsider}")
    env = attack.sandlock.environment()
    outside, _ = below_shell(words, env, "front")
    assert (outside["TIOCSPGRP"], outside["TIOCSPGRP_last"], outside["shell_is_in_front"]) == ("OK", "OK", "False")
    box = [*confined(attack, "front.py", ["-i"])]
    inside, typed = below_shell([*box, *words], env, "front")
    assert {name: inside[name] for name in ("TIOCSPGRP", "own", "nobody", "TIOCSPGRP_last")} == {
        "TIOCSPGRP": "EPERM", "own": "OK", "nobody": "EPERM", "TIOCSPGRP_last": "EPERM"}
    assert (inside["shell_is_in_front"], typed) == ("True", b"a secret\n")


def test_a_group_that_died_in_front_leaves_the_terminal_to_its_shell(attack):
    """The moment between the end of a job in front and the shell's own return to it."""
    words = attack.words("front.py", "wait-and-take")
    env = attack.sandlock.environment()
    outside, _ = run_on_terminal(shell_with_a_dying_job(words), env)
    assert outside["TIOCSPGRP"] == "OK"
    inside, _ = run_on_terminal(shell_with_a_dying_job([*confined(attack, "front.py"), *words]), env)
    assert inside["TIOCSPGRP"] == "EPERM"


DYING = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, preexec_fn=lambda: os.setpgid(0, 0))
os.tcsetpgrp(0, job.pid)
other = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, preexec_fn=lambda: os.setpgid(0, 0))
assert other.stdout.readline() == b"ready\\n"
job.stdin.close()
job.wait()
print(other.communicate(timeout=20)[0].decode(), end="")
"""


def shell_with_a_dying_job(words):
    return ["/usr/bin/python3", "-I", "-S", "-c", DYING, *words]


def test_a_sandbox_in_front_hands_the_terminal_round_among_its_groups(attack, mode):
    """What a shell with job control does, also after its job has died in front."""
    words = attack.words("front.py", "hand-round")
    env = attack.sandlock.environment()
    result, _ = run_on_terminal([*confined(attack, "front.py", mode), *words], env, typed=b"a word\n")
    assert result == {"to_job": "OK", "job_reads": "a word", "back": "OK", "in_front": "True"}


def test_terminals_that_members_make_are_theirs(attack, mode):
    words = attack.words("front.py", "own")
    options = [*mode, "-w", "/dev/ptmx", "-w", "/dev/pts"]
    env = attack.sandlock.environment()
    result, _ = in_background(aside([*confined(attack, "front.py", options), *words]), env)
    assert (result["to_job"], result["back"], result["in_front"]) == ("OK", "OK", "True")


def test_many_terminals_that_members_make_are_theirs_at_once(attack, mode):
    words = attack.words("front.py", "many")
    env = attack.sandlock.environment()
    result, _ = in_background(aside([*confined(attack, "front.py", [*mode, *OPEN_TERMINALS]), *words]), env)
    assert result["all"] == "back=OK in_front=True to_job=OK"


# ---- Changes of it ---------------------------------------------------------------------------------


OPEN_TERMINALS = ["-w", "/dev/ptmx", "-w", "/dev/pts"]

CHANGES = ("TCSETS", "TCSETSW", "TCSETSF", "TCSETA", "TCSETAW", "TCSETAF", "TCSETS2", "TCSETSW2", "TCSETSF2",
           "TCSETS_high", "TCSBRK", "TCOON", "TCION", "TCFLSH", "TIOCNXCL", "TCSBRKP", "TIOCSBRK", "TIOCCBRK",
           "TIOCSSOFTCAR", "TIOCSWINSZ")


@pytest.mark.parametrize("way", ["ignoring", "blocking", "elsewhere"])
def test_a_background_sandbox_does_not_change_the_terminal(attack, way):
    """Whoever ignores or blocks SIGTTOU, or has left the session, is not stopped by the kernel."""
    words = attack.words("terminal_change.py", way, "{tty}")
    env = attack.sandlock.environment()
    outside, typed = in_background(aside(words), env)
    assert {name: outside[name] for name in CHANGES} == dict.fromkeys(CHANGES, "OK")
    assert outside["resized"] == "True" and typed == b""
    inside, typed = in_background(aside([*confined(attack, "terminal_change.py", OPEN_TERMINALS), *words]), env)
    assert {name: inside[name] for name in CHANGES} == dict.fromkeys(CHANGES, "EPERM")
    assert (inside["changed"], inside["resized"], inside["code"]) == ("False", "False", "0")
    assert typed == b"a secret\n"


@pytest.mark.costly
@pytest.mark.parametrize("way", ["switching", "exchanging"])
def test_nothing_that_changes_meanwhile_lets_a_background_sandbox_change_the_terminal(attack, way):
    words = attack.words("terminal_change.py", way)
    env = attack.sandlock.environment()
    for _ in range(10):
        outside, _ = in_background(words, env)
        if (outside["often"], outside["changed"]) == ("True", "True"):
            break
    else:
        pytest.skip("the control: unconfined the race does not show here")
    inside, _ = in_background([*confined(attack, "terminal_change.py", OPEN_TERMINALS), *words], env)
    assert inside["often"] == "True"
    assert (inside["changed"], inside["resized"], inside["code"]) == ("False", "False", "0")


def test_a_sandbox_in_front_changes_the_terminal(attack, mode):
    words = attack.words("terminal_change.py", "ignoring")
    env = attack.sandlock.environment()
    result, _ = run_on_terminal([*confined(attack, "terminal_change.py", mode), *words], env)
    assert {name: result[name] for name in CHANGES} == dict.fromkeys(CHANGES, "OK")


@pytest.mark.parametrize("run", [in_background, run_on_terminal])
def test_terminals_that_members_make_are_theirs_to_change(attack, mode, run):
    """From the background as from the front, with the job control that they have without a sandbox."""
    words = attack.words("terminal_change.py", "own")
    env = attack.sandlock.environment()
    outside, _ = run(aside(words), env)
    inside, _ = run(aside([*confined(attack, "terminal_change.py", [*mode, *OPEN_TERMINALS]), *words]), env)
    assert inside == outside
    assert {name: inside[name] for name in CHANGES} == dict.fromkeys(CHANGES, "OK")
    assert {inside[name] for name in ("size", "echo", "no_echo")} == {"True"}
    assert {inside[name] for name in ("stopped", "unchanged", "went_on", "changed_then")} == {"True"}
    assert (inside["not_a_terminal"], inside["no_descriptor"], inside["no_memory"]) == ("ENOTTY", "EBADF", "EFAULT")


def test_a_group_that_nobody_would_continue_is_not_stopped(attack, mode):
    words = attack.words("terminal_change.py", "orphaned", "{tty}")
    env = attack.sandlock.environment()
    outside, _ = in_background(aside(words), env)
    assert outside["orphaned"] == "EIO"
    inside, _ = in_background(aside([*confined(attack, "terminal_change.py", [*mode, *OPEN_TERMINALS]), *words]), env)
    assert inside["orphaned"] == "EIO"


# A job in the background whose parent, in another group of the session, is gone: nobody would let it go on.
ORPHANING = """
import fcntl, os, sys, termios, time
def look():
    return termios.tcgetattr(0), fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
def lives(group):
    try: os.killpg(group, 0)
    except ProcessLookupError: return False
    return True
before = look()
middle = os.fork()
if middle == 0:
    os.setpgid(0, 0)
    if os.fork() != 0: os._exit(0)
    while os.getsid(os.getppid()) == os.getsid(0): time.sleep(0.01)
    os.execv(sys.argv[1], sys.argv[1:])
os.wait()
end = time.monotonic() + 20
while lives(middle) and time.monotonic() < end: time.sleep(0.05)
print(f"changed: {look() != before}")
print(f"shell_is_in_front: {os.tcgetpgrp(0) == os.getpgrp()}")
"""


def orphaned(words, env):
    return run_on_terminal(["/usr/bin/python3", "-I", "-S", "-c", ORPHANING, *words], env, typed=b"a secret\n")


READ_FIRST = ["/bin/sh", "-c", "read -r line || echo 'read: failed'; exec \"$@\"", "sh"]


def test_a_sandbox_that_is_not_stopped_where_nobody_would_continue_it_changes_no_more(attack):
    """Its guardian has left the session then, so that the kernel fails what it would have stopped."""
    words = [*READ_FIRST, *attack.words("terminal_change.py", "ignoring")]
    env = attack.sandlock.environment()
    outside, _ = orphaned(words, env)
    assert outside["read"] == "failed" and outside["changed"] == "True"
    assert {name: outside[name] for name in CHANGES} == dict.fromkeys(CHANGES, "OK")
    inside, typed = orphaned([*confined(attack, "terminal_change.py"), *words], env)
    assert inside["read"] == "failed" and inside["changed"] == "False"
    assert {name: inside[name] for name in CHANGES} == dict.fromkeys(CHANGES, "EPERM")
    assert typed == b"a secret\n"


def test_nor_does_it_take_the_terminal(attack):
    words = [*READ_FIRST, *attack.words("front.py", "take")]
    env = attack.sandlock.environment()
    outside, _ = orphaned(words, env)
    assert (outside["TIOCSPGRP"], outside["shell_is_in_front"]) == ("OK", "False")
    inside, typed = orphaned([*confined(attack, "front.py"), *words], env)
    assert (inside["TIOCSPGRP"], inside["read"], inside["shell_is_in_front"]) == ("EPERM", "EIO", "True")
    assert typed == b"a secret\n"


def test_that_holds_where_a_container_refuses_to_duplicate_descriptors(attack):
    """There the caller's descriptor is sent by the caller itself (kernel/fetch.h)."""
    env = attack.sandlock.environment()
    container = [str(attack.helpers / "container_filter"), "--"]
    box = [*container, *confined(attack, "terminal_change.py", OPEN_TERMINALS)]
    inside, typed = in_background([*box, *attack.words("terminal_change.py", "ignoring")], env)
    assert {name: inside[name] for name in CHANGES} == dict.fromkeys(CHANGES, "EPERM")
    assert (inside["changed"], inside["resized"], typed) == ("False", "False", b"a secret\n")
    inside, _ = in_background(aside([*box, *attack.words("terminal_change.py", "own")]), env)
    assert {name: inside[name] for name in CHANGES} == dict.fromkeys(CHANGES, "OK")
    assert {inside[name] for name in ("size", "stopped", "went_on", "changed_then")} == {"True"}
