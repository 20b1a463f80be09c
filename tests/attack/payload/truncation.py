"""Opens files with O_TRUNC and without asking to write: truncation.py DIRECTORY, where each way finds a file of its
own. Prints what it answered."""

import ctypes
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import call, report

MODES = {"reading": os.O_RDONLY, "nothing": 3}


def by_open(path, flags):
    return call(2, path, flags, 0)


def by_openat(path, flags):
    return call(257, -100, path, flags, 0)


def by_openat2(path, flags):
    return call("openat2", -100, path, (ctypes.c_uint64 * 3)(flags, 0, 0), 24)


WAYS = {
    f"{way.__name__}_for_{mode}": (way, flags)
    for way in (by_open, by_openat, by_openat2)
    for mode, flags in MODES.items()
}


def main():
    ways = {"by_open_for_writing": (by_open, os.O_WRONLY), **WAYS}
    for name, (way, flags) in ways.items():
        fd = way(ctypes.c_char_p(os.fsencode(os.path.join(sys.argv[1], name))), flags | os.O_TRUNC)
        report(name, fd)
        if fd >= 0:
            os.close(fd)


if __name__ == "__main__":
    main()
