"""Acts that reach the host without a path, a connection or a signal."""

import ctypes
import errno
import fcntl
import os
import platform
import struct
import subprocess
import time

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the payload uses x86-64 numbers"),
]

LIBC = ctypes.CDLL(None, use_errno=True)
MQ_OPEN, MQ_UNLINK, MQ_TIMEDSEND = 240, 241, 242


def queue_make(name):
    number = LIBC.syscall(MQ_OPEN, name.encode(), os.O_CREAT | os.O_RDWR, 0o600, None)
    if number < 0:
        pytest.skip(f"this kernel or user has no message queues: errno {ctypes.get_errno()}")
    os.close(number)


def queue_exists(name):
    number = LIBC.syscall(MQ_OPEN, name.encode(), os.O_RDONLY, 0, None)
    if number >= 0:
        os.close(number)
    return number >= 0


@pytest.fixture
def queues():
    names = [f"sandlock-outside-{os.getpid()}", f"sandlock-new-{os.getpid()}"]
    yield names
    for name in names:
        LIBC.syscall(MQ_UNLINK, name.encode())


def test_groups_queues_and_leases_are_out_of_reach(attack, mode, queues, tmp_path):
    file = tmp_path / "leased"
    file.write_text("x")
    queue_make(queues[0])
    outside = attack.outside("side_effects.py", queues[0], queues[1], file)
    for name in ("join4", "join6", "queue_remove", "queue_make", "lease"):
        assert outside[name] == "OK", f"{name} works unconfined"
    LIBC.syscall(MQ_UNLINK, queues[1].encode())

    queue_make(queues[0])
    inside = attack.inside("side_effects.py", queues[0], queues[1], file, options=[*mode, "-r", str(tmp_path)])
    assert dict(inside) == dict.fromkeys(["join4", "join6", "queue_remove", "queue_make", "lease"], "EPERM")
    assert queue_exists(queues[0])
    assert not queue_exists(queues[1])


@pytest.fixture
def queue():
    """A queue of this user with one message, open for reading and writing."""
    name = f"sandlock-mail-{os.getpid()}"
    number = LIBC.syscall(MQ_OPEN, name.encode(), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600, None)
    if number < 0:
        pytest.skip(f"this kernel or user has no message queues: errno {ctypes.get_errno()}")
    yield number
    os.close(number)
    LIBC.syscall(MQ_UNLINK, name.encode())


def messages(queue):
    os.lseek(queue, 0, os.SEEK_SET)
    return os.read(queue, 100).split()[0]


def test_messages_of_the_user_are_not_taken(attack, mode, queue):
    """Below /dev/mqueue a queue can be opened like a file, which a read grant of everything allows."""
    names = ["send", "receive", "notify", "attributes"]
    LIBC.syscall(MQ_TIMEDSEND, queue, b"mail", 4, 1, None)
    assert dict(attack.outside("queue.py", stdin=queue)) == dict.fromkeys(names, "OK")
    before = messages(queue)
    inside = attack.inside("queue.py", options=mode, stdin=queue)
    assert dict(inside) == dict.fromkeys(names, "EPERM")
    assert messages(queue) == before != b"QSIZE:0"


# ---- The runtime directory --------------------------------------------------------------------------------

RUNTIME = f"/dev/shm/sandlock-{os.getuid()}"
F_OFD_SETLKW = 38


def named_run(sandlock, name):
    start = time.monotonic()
    result = sandlock.run("--name", name, "--", "true")
    return result, time.monotonic() - start


@pytest.mark.skipif(os.getuid() == 0, reason="root reads files of every mode")
def test_a_reading_member_does_not_hold_up_other_sandboxes(attack, sandlock, mode):
    """It locks whatever it can open of what the launches of this user share."""
    name = f"waiting-{os.getpid()}"
    stale = os.path.join(RUNTIME, name)
    assert named_run(sandlock, name)[0].code == 0
    os.mkdir(stale, 0o700)  # left by a sandbox that was killed
    with open(os.path.join(stale, "pid"), "w", encoding="ascii"):
        pass
    locker = attack.start("locks.py", RUNTIME, stale, options=[*mode, "-r", "/"], stdin=subprocess.PIPE)
    try:
        assert locker.stdout.readline() == "ready: OK\n"
        result, seconds = named_run(sandlock, name)
        assert (result.code, result.stderr) == (0, "")
        assert seconds < 4
    finally:
        locker.communicate("\n", timeout=20)
    assert not os.path.exists(stale)


def test_launches_wait_for_who_can_write_there(sandlock):
    """Control: that is the lock. Held for a moment only, since other launches of this user wait as well."""
    name = f"waiting-{os.getpid()}"
    assert named_run(sandlock, name)[0].code == 0
    lock = os.open(os.path.join(RUNTIME, ".lock file"), os.O_WRONLY)
    try:
        fcntl.fcntl(lock, F_OFD_SETLKW, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        run = sandlock.start("--name", name, "--", "true")
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(timeout=0.5)
    finally:
        os.close(lock)
    assert run.communicate(timeout=20) == ("", "")
    assert run.returncode == 0


@pytest.fixture
def other():
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


# A page where no machine has memory, of this run alone, and what changes its type: MTRRIOC_*.
PAGE = 0x10000000000 + os.getpid() % 0x10000 * 0x1000
CHANGES = [0, 1, 2, 4, 5, 6, 7, 9]


def page_has_a_type():
    with open("/proc/mtrr", encoding="ascii") as ranges:
        return any(int(line.split("base=")[1].split()[0], 16) == PAGE for line in ranges)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: who may change the memory types of the machine")
@pytest.mark.skipif(not os.path.exists("/proc/mtrr"), reason="this machine has no /proc/mtrr")
@pytest.mark.administrator
def test_memory_types_of_the_machine_are_not_changed(attack, mode, other):
    """The file is no device, and its requests do not ask how it was opened."""
    acts = [f"{spelling} {act}" for spelling in ("openat", "openat2")
            for act in ("set", *(f"mtrr {number}" for number in CHANGES))]
    try:
        outside = attack.outside("unread_files.py", other, "set", PAGE)
        if outside["openat set"] != "OK":
            pytest.skip(f"nobody changes memory types here: {outside['openat set']}")
        assert page_has_a_type()
        # The others have no argument and get as far as to look for it.
        assert {outside[act] for act in acts} == {"OK", "EFAULT"}
        assert attack.outside("unread_files.py", other, "unset", PAGE)["unset"] == "OK"
        assert not page_has_a_type()

        inside = attack.inside("unread_files.py", other, "set", PAGE, options=mode)
        assert inside["openat mtrr"] == inside["openat2 mtrr"] == "OK", "the descriptor is there"
        assert {inside[act] for act in acts} == {"EPERM"}
        assert not page_has_a_type()
    finally:
        if page_has_a_type():
            attack.outside("unread_files.py", other, "unset", PAGE)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: who may open such files for writing")
@pytest.mark.other_users
def test_the_memory_of_others_is_not_told_by_requests(attack, mode, other):
    """/proc/PID/maps and pagemap can be opened for neither reading nor writing, and such a descriptor answers."""
    requests = [f"{spelling} {request}" for spelling in ("openat", "openat2") for request in ("query", "scan")]
    outside = attack.outside("unread_files.py", other, "ask", PAGE)
    if "OK" not in [outside[request] for request in requests]:
        pytest.skip(f"this kernel does not know the requests: {dict(outside)}")
    inside = attack.inside("unread_files.py", other, "ask", PAGE, options=mode)
    assert inside["openat maps"] == inside["openat2 maps"] == "OK", "the descriptor is there"
    assert {inside[request] for request in requests} == {"EPERM"}


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: who may take memory from the machine")
@pytest.mark.parametrize("options", [[], ["-r", "/"], ["--no-supervisor"], ["--explain"]], ids=str)
def test_no_memory_is_taken_from_the_machine(sandlock, options):
    """MADV_HWPOISON and MADV_SOFT_OFFLINE, of no page at all: control, a kernel that knows them says yes."""
    act = ("import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
           "print([libc.madvise(None, 0, advice) and ctypes.get_errno() for advice in (100, 101, 4)])")
    outside = subprocess.run(["/usr/bin/python3", "-c", act], capture_output=True, text=True, check=True).stdout
    assert outside in (f"[{errno.EINVAL}, {errno.EINVAL}, 0]\n", "[0, 0, 0]\n")
    inside = sandlock.run(*options, "--", "/usr/bin/python3", "-c", act)
    assert inside.stdout == f"[{errno.EPERM}, {errno.EPERM}, 0]\n", inside
