"""The command of changing_host.py: what it tries when its host has changed.

    changed.py places TREE OUTSIDE   a file outside the grants, which the host's new root hides
    changed.py rights TREE OUTSIDE   files and a socket of root
"""

import errno
import os
import socket
import sys
import time

WHAT, TREE, OUTSIDE = sys.argv[1:]


def attempt(name, function, *arguments):
    try:
        function(*arguments)
        print(f"{name}: OK", flush=True)
    except OSError as error:
        print(f"{name}: {errno.errorcode[error.errno]}", flush=True)


def wait_for_the_change():
    open(f"{TREE}/ready", "w", encoding="utf-8").close()
    while not os.path.exists(f"{TREE}/go"):
        time.sleep(0.01)


def change_through_false_names(fd):
    """Names of descriptors as a supervisor would see them whose root is TREE."""
    names = f"{TREE}/proc/thread-self/fd"
    os.makedirs(names)

    def put(number, target):
        if os.path.lexists(f"{names}/{number}"):
            os.unlink(f"{names}/{number}")
        os.symlink(target, f"{names}/{number}")

    for number in range(80):
        put(number, f"{TREE}/x (deleted)")
    for grant in range(3, 80):
        put(grant, TREE)
        try:
            os.fchmod(fd, 0o666)
            return
        except OSError as error:
            refused = error
        put(grant, f"{TREE}/x (deleted)")
    raise refused


def read(path):
    with open(path, encoding="utf-8") as file:
        file.read()


def bind_low():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.bind(("127.0.0.1", 83))


def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


own = f"{TREE}/own"
open(own, "w", encoding="utf-8").close()
os.chmod(own, 0o600)  # the first call that is judged
if WHAT == "places":
    victim = os.open(f"{OUTSIDE}/file", os.O_RDONLY)
    wait_for_the_change()
    attempt("own by name", os.chmod, own, 0o640)
    attempt("outside by descriptor", change_through_false_names, victim)
    attempt("outside by name", os.chmod, f"{OUTSIDE}/file", 0o666)
else:
    wait_for_the_change()
    attempt("own mode", os.chmod, own, 0o640)
    attempt("root's mode", os.chmod, f"{TREE}/root", 0o666)
    attempt("read root's", read, f"{OUTSIDE}/secret")
    attempt("read root's of /proc", read, "/proc/tty/driver/serial")
    attempt("connect to root's", connect, f"{TREE}/socket")
    attempt("bind a port of root", bind_low)
    attempt("own to root", os.chown, own, 0, 0)
