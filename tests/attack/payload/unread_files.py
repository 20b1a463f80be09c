"""Requests to files of procfs that were opened for neither reading nor writing: python unread_files.py PID MODE BASE

MODE "set" leaves a memory type behind in the page at BASE, where no memory is, until "unset"."""

import ctypes
import fcntl
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import attempt, call, report  # noqa: E402

NEITHER = 3  # what Landlock has no right for
MTRRIOC_SET_ENTRY, MTRRIOC_KILL_ENTRY = 0x40104D01, 0x40104D04
REQUESTS = {number: 0x40104D00 | number for number in (0, 1, 2, 4, 5, 6, 7, 9)}
PROCMAP_QUERY, PAGEMAP_SCAN = 0xC0686611, 0xC0606610
AT_FDCWD = -100

pid, mode, base = sys.argv[1], sys.argv[2], int(sys.argv[3])
RANGE = struct.pack("QII", base, 0x1000, 0)  # base, size, type: uncachable


def open_by(spelling, path):
    path = path.encode()
    if spelling == "openat2":
        how = struct.pack("QQQ", NEITHER | os.O_CLOEXEC, 0, 0)
        return call("openat2", AT_FDCWD, ctypes.c_char_p(path), how, len(how))
    return os.open(path, NEITHER | os.O_CLOEXEC)


def ask(name, fd, request, argument):
    attempt(name, lambda: fcntl.ioctl(fd, request, argument))


if mode == "unset":
    ask("unset", open_by("openat", "/proc/mtrr"), MTRRIOC_KILL_ENTRY, RANGE)
    sys.exit()
for spelling in ("openat", "openat2"):
    if os.path.exists("/proc/mtrr"):
        ranges = open_by(spelling, "/proc/mtrr")
        report(f"{spelling} mtrr", ranges)
        if mode == "set":
            ask(f"{spelling} set", ranges, MTRRIOC_SET_ENTRY, RANGE)
        for number, request in REQUESTS.items():  # without an argument: EFAULT where it is read
            report(f"{spelling} mtrr {number}", call("ioctl", ranges, request, ctypes.c_void_p(0)))
    maps, pages = (open_by(spelling, f"/proc/{pid}/{name}") for name in ("maps", "pagemap"))
    report(f"{spelling} maps", maps)
    # The first area, whichever (PROCMAP_QUERY_COVERING_OR_NEXT_VMA).
    query = bytearray(struct.pack("QQQ", 104, 0x10, 0) + bytes(80))
    ask(f"{spelling} query", maps, PROCMAP_QUERY, query)
    found = (ctypes.c_uint64 * 64)()
    walk = bytearray(struct.pack("12Q", 96, 0, 0, 1 << 46, 0, ctypes.addressof(found), 20, 0, 0, 2, 0, 2))
    ask(f"{spelling} scan", pages, PAGEMAP_SCAN, walk)
