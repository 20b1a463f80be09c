"""What acts on the host without a path, a connection or a signal: multicast joins, message queues,
leases."""

import ctypes
import errno
import fcntl
import os
import socket
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
MCAST_JOIN_GROUP = 42


def attempt(name, act):
    try:
        act()
        print(f"{name}: OK")
    except OSError as error:
        print(f"{name}: {errno.errorcode[error.errno]}")


def call(number, *arguments):
    if LIBC.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")


def join(level, address):
    with socket.socket(socket.AF_INET if level == 0 else socket.AF_INET6, socket.SOCK_STREAM) as sock:
        sock.setsockopt(level, MCAST_JOIN_GROUP, struct.pack("I4x128s", 1, address))


def join4():
    join(0, struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton("239.115.101.99")))


def join6():
    join(41, struct.pack("HHI16s", socket.AF_INET6, 0, 0, socket.inet_pton(socket.AF_INET6, "ff05::dead:beef")))


def queue_remove():
    call(241, sys.argv[1].encode())  # mq_unlink


def queue_make():
    call(240, sys.argv[2].encode(), os.O_CREAT | os.O_RDWR, 0o600, None)  # mq_open


def lease():
    with open(sys.argv[3], "rb") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)


attempt("join4", join4)
attempt("join6", join6)
attempt("queue_remove", queue_remove)
attempt("queue_make", queue_make)
attempt("lease", lease)
