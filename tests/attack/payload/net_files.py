"""Opens that are changed while the supervisor looks at them: NAME: OK if the host's text was read."""

import ctypes
import errno
import os
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
OPENAT = {"x86_64": 257, "aarch64": 56, "riscv64": 56}[os.uname().machine]
SECONDS = float(sys.argv[2])
area = sys.argv[1]
secret = sys.argv[3].encode()  # a word of the host's file
target = sys.argv[4]           # the host's file
decoy = sys.argv[5]            # a file that may be read


def race(name, change, attempt):
    stop = False

    def changer():
        while not stop:
            change()

    thread = threading.Thread(target=changer)
    thread.start()
    end = time.monotonic() + SECONDS
    seen, last, tries = False, 0, 0
    while time.monotonic() < end and not seen:
        tries += 1
        fd = attempt()
        if fd < 0:
            last = ctypes.get_errno()
            continue
        try:
            seen = secret in os.read(fd, 65536)
        finally:
            os.close(fd)
    stop = True
    thread.join()
    print(f"{name}: {'OK' if seen else errno.errorcode.get(last, 'NEVER')}", flush=True)
    print(f"{name} tries: {tries}", flush=True)


# The path in memory.
size = max(len(target), len(decoy)) + 1
buffer = ctypes.create_string_buffer(size)
spellings = [path.encode().ljust(size, b"\0") for path in (target, decoy)]


def rewrite():
    for text in spellings:
        ctypes.memmove(buffer, text, size)


race("path", rewrite, lambda: libc.syscall(OPENAT, -100, buffer, os.O_RDONLY))

# A symbolic link.
link = area + "/race-link"


def relink():
    for path in (target, decoy):
        temporary = link + ".new"
        os.symlink(path, temporary)
        os.rename(temporary, link)


relink()
race("link", relink, lambda: libc.syscall(OPENAT, -100, link.encode(), os.O_RDONLY))

# The directory descriptor: the names are the same, the directories are not.
os.makedirs(area + "/other", exist_ok=True)
base = os.path.basename(target)
with open(area + "/other/" + base, "w") as stream:
    stream.write("harmless\n")
places = [os.path.dirname(target), area + "/other"]
try:
    directories = [os.open(place, os.O_PATH) for place in places]
except OSError as error:  # not even a handle of the directory
    directories = []
    print(f"descriptor: {errno.errorcode[error.errno]}", flush=True)
if directories:
    slot = os.dup(directories[0])

    def swap():
        for fd in directories:
            os.dup2(fd, slot)

    race("descriptor", swap, lambda: libc.syscall(OPENAT, slot, base.encode(), os.O_RDONLY))


def wander():
    for place in places:
        os.chdir(place)


race("directory", wander, lambda: libc.syscall(OPENAT, -100, base.encode(), os.O_RDONLY))
