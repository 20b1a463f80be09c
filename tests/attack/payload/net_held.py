"""Making the supervisor wait, run out of descriptors, burn time, or lend its name, with calls that it
performs for us. Arguments: what to do and its own."""

import array
import ctypes
import errno
import os
import socket
import struct
import sys
import threading
import time

OTHER = 65534


def attempt(name, act, *args):
    try:
        act(*args)
        print(f"{name}: OK", flush=True)
    except OSError as error:
        print(f"{name}: {errno.errorcode[error.errno]}", flush=True)


def full(stream):
    try:
        while True:
            stream.send(bytes(65536), socket.MSG_DONTWAIT)
    except BlockingIOError:
        return stream


def linger(port):
    """The peer does not read: closing waits, where lingering exists."""
    stream = socket.create_connection(("127.0.0.1", int(port)))
    full(stream)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3))
    begin = time.monotonic()
    stream.close()
    print("close:", "waits" if time.monotonic() - begin > 1 else "at once", flush=True)
    reset = socket.create_connection(("127.0.0.1", int(port)))
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    print("reset:", struct.unpack("ii", reset.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)), flush=True)
    attempt("short", reset.setsockopt, socket.SOL_SOCKET, socket.SO_LINGER, b"1234")
    libc = ctypes.CDLL(None, use_errno=True)
    file = os.pipe()[0]
    libc.setsockopt(file, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0), 8)
    print("file:", errno.errorcode[ctypes.get_errno()], flush=True)


def crowd(threads):
    """So many calls that wait at once."""
    refused, begun = [], []

    def wait():
        near, far = socket.socketpair()
        try:
            full(near)
            begun.append(near)
            near.sendmsg([b"x"])
        except OSError as error:
            refused.append(errno.errorcode[error.errno])
            time.sleep(60)
        far.close()

    for _ in range(int(threads)):
        threading.Thread(target=wait, daemon=True).start()
    seen, end = None, time.monotonic() + 60
    while (len(begun) < int(threads) or len(refused) != seen) and time.monotonic() < end:
        seen = len(refused)
        time.sleep(1)
    time.sleep(1)
    print("refused:", len(refused), flush=True)
    print("errors:", " ".join(sorted(set(refused))), flush=True)
    time.sleep(3)
    os._exit(0)


def queue(path, threads):
    """Datagrams for a receiver that is full already."""
    for _ in range(int(threads)):
        threading.Thread(target=lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(bytes(50000), path),
                         daemon=True).start()
    print("ready: OK", flush=True)
    time.sleep(60)


def user(directory):
    """Peers are to see who we are now."""
    os.setgroups([])
    os.setresgid(OTHER, OTHER, OTHER)
    os.setresuid(OTHER, OTHER, OTHER)
    named = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    attempt("named", named.sendto, b"named", directory + "/datagrams")
    attempt("named_sendmsg", named.sendmsg, [b"named_sendmsg"], [], 0, directory + "/datagrams")
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [os.pipe()[0]]))]
    attempt("named_rights", named.sendmsg, [b"named_rights"], rights, 0, directory + "/datagrams")
    connected = socket.socket(fileno=0)
    attempt("connected", connected.sendmsg, [b"connected"])
    attempt("connected_rights", connected.sendmsg, [b"connected_rights"], rights)
    attempt("connect", socket.socket(socket.AF_UNIX).connect, directory + "/stream")
    attempt("private", named.sendto, b"private", directory + "/private")
    attempt("private_connect", named.connect, directory + "/private")


def listens(path):
    """Until a line comes, for whoever wants to know who made it listen."""
    os.setgroups([])
    os.setresgid(OTHER, OTHER, OTHER)
    os.setresuid(OTHER, OTHER, OTHER)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    attempt("listen", server.listen, 4)
    sys.stdin.readline()


def binds(who, path):
    """With less than root has."""
    if who == "user":
        os.setgroups([])
        os.setresgid(OTHER, OTHER, OTHER)
        os.setresuid(OTHER, OTHER, OTHER)
    else:  # capset of none, version 3
        header, sets = struct.pack("Ii", 0x20080522, 0), bytes(24)
        if ctypes.CDLL(None, use_errno=True).capset(header, sets) != 0:
            raise OSError(ctypes.get_errno(), "capset")
    attempt("bind", socket.socket(socket.AF_UNIX).bind, path)


def abstract(name):
    """Who is seen to connect."""
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0" + name)
    server.listen(1)
    server.setblocking(False)
    child = os.fork()
    if child == 0:
        os.setresgid(OTHER, OTHER, OTHER)
        os.setresuid(OTHER, OTHER, OTHER)
        attempt("connect", socket.socket(socket.AF_UNIX).connect, "\0" + name)
        os._exit(0)
    os.waitpid(child, 0)
    try:
        credentials = server.accept()[0].getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        print(f"peer: {struct.unpack('iii', credentials)[1]}")
    except BlockingIOError:
        print("peer: nobody")


{"linger": linger, "crowd": crowd, "queue": queue, "user": user, "listens": listens, "binds": binds,
 "abstract": abstract}[sys.argv[1]](*sys.argv[2:])
