"""Acts that reach the host without a path, a connection or a signal."""

import ctypes
import os
import platform

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the payload uses x86-64 numbers"),
]

LIBC = ctypes.CDLL(None, use_errno=True)
MQ_OPEN, MQ_UNLINK = 240, 241


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
