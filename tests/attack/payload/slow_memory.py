"""slow_memory.py DIRECTORY: a process whose memory is slow to look at, in calls by many threads, and another one that
also calls. A look at memory waits behind a thread that wants to change the address space, and that one behind a thread
that populates it (mmap_lock in the kernel, which is fair to writers)."""

import ctypes
import mmap
import os
import sys
import threading
import time

CALLERS = 60
SECONDS = 8       # of the other one
POPULATE = 0.2    # seconds that each populating is to take
MADV_DONTNEED, MADV_NOHUGEPAGE, MADV_POPULATE_READ = 4, 15, 22
MAP_NORESERVE = 0x4000

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def mapping(size):
    """Of the page of zeros: it costs only page tables."""
    place = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    libc.madvise(place, size, MADV_NOHUGEPAGE)
    return place


def populate(place, size):
    if libc.madvise(place, size, MADV_POPULATE_READ) != 0:
        os._exit(77)
    libc.madvise(place, size, MADV_DONTNEED)


def forever(function, *arguments):
    def run():
        while True:
            function(*arguments)
    threading.Thread(target=run, daemon=True).start()


def attack(path):
    part = 256 << 20
    began = time.monotonic()
    populate(mapping(part), part)
    size = min(int(POPULATE / (time.monotonic() - began)) + 1, 64) * part
    page = mapping(4096)
    for _ in range(CALLERS):
        forever(os.chmod, path, 0o600)
    for _ in range(2):
        forever(populate, mapping(size), size)
        time.sleep(POPULATE / 2)
    forever(libc.mprotect, page, 4096, mmap.PROT_READ)
    forever(libc.mprotect, page, 4096, mmap.PROT_READ | mmap.PROT_WRITE)
    time.sleep(60)


def longest(path, seconds):
    """Of the calls that begin within the time."""
    end = time.monotonic() + seconds
    worst, calls = 0, 0
    while time.monotonic() < end:
        began = time.monotonic()
        os.chmod(path, 0o600)
        worst = max(worst, time.monotonic() - began)
        calls += 1
        time.sleep(0.001)
    return worst if calls > 10 else seconds


paths = [os.path.join(sys.argv[1], name) for name in ("slow", "other")]
for name in paths:
    open(name, "w", encoding="ascii").close()
print(f"before: {longest(paths[1], 0.2)}", flush=True)
attacker = os.fork()
if attacker == 0:
    attack(paths[0])
print(f"beside: {longest(paths[1], SECONDS)}", flush=True)
os.kill(attacker, 9)
print(f"attacker: {os.waitstatus_to_exitcode(os.waitpid(attacker, 0)[1])}", flush=True)
