"""The name of a sandbox is taken as long as anything of it is there."""

import fcntl
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from witnesses import port_below

HOLD = """
import mmap, os, socket, sys
memory = mmap.mmap(-1, 300 << 20)
for page in range(0, len(memory), 4096):
    memory[page] = 1
held = socket.socket()
held.bind(("127.0.0.1", int(sys.argv[1])))
held.listen()
print("held", flush=True)
sys.stdin.read()
os._exit(0)
"""
PYTHON = ["/usr/bin/python3", "-I", "-S", "-c"]


def lock_owners(path):
    """The processes with a record lock of this file."""
    file = os.stat(path)
    name = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    with open("/proc/locks", encoding="ascii") as lines:
        fields = [line.split() for line in lines]
    return {int(lock[4]) for lock in fields if lock[1] == "POSIX" and lock[5] == name}  # who waits has "->" there


def test_the_guardian_holds_the_name_too_and_leaves_no_core(sandlock, look):
    """Whatever the host does to its own lock. In a library's host the guardian's memory is the host's."""
    name = f"held-{os.getpid()}"
    run = sandlock.start("--name", name, "--", "/bin/sh", "-c", "echo runs; sleep 20")
    try:
        assert run.stdout.readline() == "runs\n"
        path = f"/dev/shm/sandlock-{os.getuid()}/{name}/pid"
        guardian, = look.children_of(run.pid)
        assert look.eventually(lambda: os.path.exists(path) and lock_owners(path) == {run.pid, guardian})
        with open(f"/proc/{guardian}/limits", encoding="ascii") as limits:
            core, = [line.split()[4:6] for line in limits if line.startswith("Max core file size")]
        assert core == ["0", "0"]
    finally:
        run.terminate()
        run.communicate(timeout=20)


def test_a_name_is_given_up_after_the_last_socket_of_its_sandbox(sandlock):
    """What a member holds goes with its memory, which can take long after its last instruction."""
    port, name = port_below(), ["--name", "held"]
    first = sandlock.start(*name, "--net-allow-bind", str(port), "--", *PYTHON, HOLD, str(port), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert first.stdout.readline() == "held\n"
        assert "already running" in sandlock.run(*name, "--", "/bin/true").stderr, "the control: its name is taken"
        first.stdin.close()
        deadline, taken = time.monotonic() + 20, True
        while taken and time.monotonic() < deadline:
            second = sandlock.run(*name, "--", "/bin/true")
            taken = "already running" in second.stderr
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
        assert second.code == 0, second
    finally:
        first.kill()
        first.wait()


@pytest.mark.parametrize("options", [[], ["--explain", "-r", "/proc"], ["--explain", "-r", "/proc", "--net-allow", "127.0.0.1:80"]],
                         ids=["plain", "explained", "rules"])
def test_a_killed_sandlock_leaves_no_name_behind(sandlock, options):
    """Its threads die one after the other, and the guardian hears of the first."""
    directory = pathlib.Path(f"/dev/shm/sandlock-{os.geteuid()}")

    def becomes(path, present):
        deadline = time.monotonic() + 30
        while path.exists() != present and time.monotonic() < deadline:
            time.sleep(0.01)
        return path.exists() == present

    for attempt in range(8):
        name = f"killed-{os.getpid()}-{len(options)}-{attempt}"
        run = sandlock.start("--name", name, *options, "--", "/bin/sh", "-c", "echo up; exec sleep 60")
        try:
            assert run.stdout.readline() == "up\n", run.communicate()
            assert becomes(directory / name / "pid", True), "the control: it has the name"
        finally:
            run.kill()
            run.communicate()
        assert becomes(directory / name, False)


def test_a_sandlock_that_is_killed_after_its_command_has_ended_leaves_no_name_behind(sandlock):
    """Between the end of the last member and its own it has no time: it is stopped."""
    directory = pathlib.Path(f"/dev/shm/sandlock-{os.geteuid()}")
    name = f"ended-{os.getpid()}"
    run = sandlock.start("--name", name, "--", "/bin/sh", "-c", "echo up; read line", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert run.stdout.readline() == "up\n", run.communicate()
        guardian, = pathlib.Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        deadline = time.monotonic() + 30
        while not (directory / name / "pid").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (directory / name / "pid").exists(), "the control: it has the name"
        run.send_signal(signal.SIGSTOP)
        run.stdin.close()
        while "State:\tZ" not in pathlib.Path(f"/proc/{guardian}/status").read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "State:\tZ" in pathlib.Path(f"/proc/{guardian}/status").read_text(), "the guardian has ended"
    finally:
        run.kill()
        run.wait()
    assert not (directory / name).exists()


def test_a_host_that_executes_something_else_leaves_no_name_behind(attack, helpers):
    """The process lives on, with its number: only the thread that supervised is gone."""
    directory = pathlib.Path(f"/dev/shm/sandlock-{os.geteuid()}")
    grants = [path for path in ("/usr", "/bin", "/lib", "/lib64") if os.path.exists(path)]
    host = subprocess.Popen([*attack.words("library_host.py"), str(helpers.parent.parent / "libsandlock_ffi.so"), "exec", *grants, "--",
                             "/bin/sleep", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def names():
        return list(directory.glob(f"sandbox-{host.pid}-*"))

    try:
        assert host.stdout.readline().startswith("handle ")
        assert len(names()) == 1, "the control"
        print(file=host.stdin, flush=True)
        deadline = time.monotonic() + 30
        while names() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert host.poll() is None and names() == []
    finally:
        host.kill()
        host.communicate()


def test_an_automatic_name_that_is_taken_is_replaced_by_the_next(sandlock):
    """Its number may be another process's in another pid namespace."""
    root = pathlib.Path(f"/dev/shm/sandlock-{os.geteuid()}")
    sandlock.run("--", "/bin/true")  # makes the root
    names = []

    def take_name():
        """In the process that becomes sandlock; its parent holds the lock."""
        os.write(ready[1], b"%d" % os.getpid())
        os.read(go[0], 1)

    ready, go = os.pipe(), os.pipe()

    def lock():
        directory = root / f"sandbox-{os.read(ready[0], 20).decode()}-1"
        directory.mkdir(mode=0o700)
        names.append(directory)
        taken = open(directory / "pid", "w", encoding="ascii")
        fcntl.lockf(taken, fcntl.LOCK_EX)
        os.write(go[1], b"x")
        return taken

    held = []
    locker = threading.Thread(target=lambda: held.append(lock()))
    locker.start()
    run = sandlock.start("--", "/bin/sh", "-c", "echo up; read line", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, preexec_fn=take_name)
    try:
        assert run.stdout.readline() == "up\n", run.communicate()
        locker.join()
        deadline = time.monotonic() + 30
        second = pathlib.Path(str(names[0])[:-1] + "2")
        while not second.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert second.exists() and names[0].exists()
        output = run.communicate("\n")
        assert run.returncode == 0 and output[1] == ""
    finally:
        run.kill()
        run.wait()
        held[0].close()
        (names[0] / "pid").unlink()
        names[0].rmdir()


def test_a_name_is_taken_while_members_live_although_their_sandlock_is_gone(sandlock, look):
    """The guardian holds it, which is kept from ending them for now."""
    name = ["--name", f"orphaned-{os.getpid()}"]
    first = sandlock.start(*name, "--", "/bin/sh", "-c", "echo up; exec sleep 60")
    assert first.stdout.readline() == "up\n", first.communicate()
    guardian, = look.children_of(first.pid)
    member, = look.children_of(guardian)
    # The kernel would continue it as a stopped group that nobody in the session answers for any more.
    answered_for = subprocess.Popen(["sleep", "60"], preexec_fn=lambda: os.setpgid(0, guardian))
    os.kill(guardian, signal.SIGSTOP)
    try:
        assert look.eventually(lambda: look.state(guardian) == "T")
        first.kill()
        first.wait()
        second = sandlock.run(*name, "--", "/bin/true")
        assert look.state(member) == "S", "the control: it lives"
        assert second.code == 125 and "already running" in second.stderr, second
    finally:
        os.kill(guardian, signal.SIGCONT)
        answered_for.kill()
        answered_for.wait()
        first.communicate()
    assert look.eventually(lambda: sandlock.run(*name, "--", "/bin/true").code == 0)
