"""Members that no signal ends, or whose end is kept from whoever waits for it: nobody waits without end."""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import time

import pytest

LIBC = ctypes.CDLL(None, use_errno=True)
SEIZE, DETACH, TRACE_EXIT = 0x4206, 17, 0x40
ALL = 0x40000000  # __WALL


def ptrace(request, pid, data=0):
    if LIBC.ptrace(ctypes.c_long(request), pid, None, ctypes.c_void_p(data)) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


@contextlib.contextmanager
def held_at_its_end(pid):
    """From outside, where nothing refuses it: who is killed then stops once more, for its tracer alone."""
    ptrace(SEIZE, pid, TRACE_EXIT)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ChildProcessError):
            os.waitpid(pid, ALL)
            ptrace(DETACH, pid)


def test_a_member_cannot_ask_to_be_stopped_at_the_end_of_another(attack):
    """Two members that trace each other so would stay until the machine starts again."""
    outside, inside = attack.outside("tracer.py", "exit"), attack.inside("tracer.py", "exit", options=["--no-supervisor"])
    for name in "SEIZE", "SETOPTIONS", "OLDSETOPTIONS":
        assert (outside[f"{name} fork"], inside[f"{name} fork"]) == ("OK", "OK"), name
        assert (outside[f"{name} exit"], inside[f"{name} exit"]) == ("OK", "EPERM"), name


def test_a_member_that_traces_the_command_does_not_outlive_sandlock(attack, area, look, mark):
    """The kernel does not tell the guardian of a dead command before its tracer lets it go."""
    beat = area / "beat"
    process = attack.start("tracer.py", "parent", beat, mark,
                           options=["--no-supervisor", "--disable", "signal-scope", "-w", str(area)])
    assert process.stdout.readline() == "traces\n", process.communicate()
    assert len(look.processes_with(mark)) >= 3
    process.kill()
    process.communicate(timeout=20)
    assert look.eventually(lambda: look.processes_with(mark) == []), look.processes_with(mark)


@pytest.mark.parametrize("options", [["-t", "1"], ["--no-supervisor", "--disable", "signal-scope", "-t", "1"]],
                         ids=["supervised", "without signal scope"])
def test_a_time_limit_holds_where_a_member_cannot_be_ended(attack, look, mark, options):
    process = attack.start("tracer.py", "wait", mark, options=options)
    assert process.stdout.readline() == "up\n", process.communicate()
    guardian, = look.children_of(process.pid)
    member, = look.children_of(guardian)
    began = time.monotonic()
    with held_at_its_end(member):
        told = process.stderr.readline()
        assert told == "sandlock: timeout after 1s\n" and time.monotonic() - began < 5
        assert process.wait(60) == 124
        left = process.stderr.readline()
        assert "do not end" in left and f"{member} (" in left and str(guardian) in left, left
        assert look.state(guardian) in ("S", "R", "D"), "it stays for them"
    assert look.eventually(lambda: look.state(guardian) in (None, "Z") and look.state(member) in (None, "Z"))


def test_a_wait_and_a_free_of_the_library_come_back_then(attack, helpers, sandlock, look):
    library = helpers.parent.parent / "libsandlock_ffi.so"
    process = subprocess.Popen([*attack.words("library_host.py"), str(library), "wait", *sandlock.base[1::2], "--",
                                "/bin/sleep", "1000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        member = int(process.stdout.readline().split()[1])
        program = pathlib.Path(f"/proc/{member}/comm")
        assert look.eventually(lambda: program.read_text(encoding="ascii") == "sleep\n"), "while it executes it cannot be traced"
        with held_at_its_end(member):
            print(file=process.stdin, flush=True)
            reason, error = process.stdout.readline().split(" ", 1)
            assert reason == "3" and "do not end" in error and f"{member} (" in error, (reason, error)
            assert process.stdout.readline() == "freed\n"
        assert look.eventually(lambda: look.state(member) in (None, "Z"))
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
