"""What a responder to routing netlink requests has to bear.

    net_netlink.py garbage SEED ROUNDS    random and mangled requests by every call that sends
    net_netlink.py exhaust                sockets until there are no more, and one after they are closed
    net_netlink.py cycles ROUNDS          open, ask, close; says "half" in the middle and waits for a line
    net_netlink.py odd                    empty datagrams, unread replies, shutdown, closing under way
    net_netlink.py descriptors ROUNDS     sends descriptors to the responder; says "half" and waits for a line
    net_netlink.py change                 requests that would change the host
    net_netlink.py aliases PORT           other sockets under the number of a netlink socket
    net_netlink.py protocols              other netlink protocols, by socket and socketpair
"""

import array
import ctypes
import fcntl
import os
import random
import select
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.dirname(__file__))
from net_raw import *

GETLINK, GETADDR, GETROUTE = 18, 22, 26
REQUEST, DUMP, ACK = 1, 0x300, 4


def request(kind, flags=REQUEST | DUMP, body=bytes(4), sequence=7, length=None):
    return struct.pack("=IHHII", 16 + len(body) if length is None else length, kind, flags, sequence, 0) + body


def netlink(kind=RAW):
    return socket.socket(socket.AF_NETLINK, kind, 0)


def answer(sock, data, seconds=20.0):
    """Message types of the reply up to DONE or an error: (types, error)."""
    sock.settimeout(seconds)
    sock.send(data)
    types = []
    while True:
        reply = sock.recv(65536)
        if not reply:
            return types, -104
        at = 0
        while at + 16 <= len(reply):
            length, kind = struct.unpack_from("=IH", reply, at)
            types.append(kind)
            if kind == 2:
                return types, struct.unpack_from("=i", reply, at + 16)[0]
            if kind == 3 or not struct.unpack_from("=H", reply, at + 6)[0] & 2:
                return types, 0
            at += (max(length, 16) + 3) & ~3


def alive(name):
    """Whether a fresh socket is answered: a link and an end."""
    try:
        with netlink() as sock:
            types, error = answer(sock, request(GETLINK))
    except OSError as failure:
        report(name, -failure.errno if failure.errno else -110)
        return
    report(name, error if error else (0 if 16 in types and types[-1] == 3 else -71))


def mangled(rng):
    kind = rng.choice([GETLINK, GETADDR, GETROUTE, 16, 20, 24, 30, 34, 38, 0, 1, 2, 3, 17, 255, 65535])
    data = bytearray(request(kind, rng.choice([1, 0x301, 5, 0, 0xffff]), rng.randbytes(rng.choice([0, 1, 4, 16, 16, 32, 200]))))
    for _ in range(rng.randrange(4)):
        data[rng.randrange(len(data))] = rng.choice([0, 1, 3, 4, 15, 16, 17, 255, rng.randrange(256)])
    if rng.random() < 0.3:
        data *= rng.randrange(1, 9)
    if rng.random() < 0.2:
        data = data[:rng.randrange(len(data) + 1)]
    if rng.random() < 0.05:
        data = bytearray(rng.randbytes(rng.choice([0, 1, 8192, 8193, 60000])))
    return bytes(data)


def garbage(seed, rounds):
    rng = random.Random(seed)
    sockets = [netlink(rng.choice([RAW, DGRAM])) for _ in range(4)]
    sockets.append(socket.socket(fileno=fcntl.fcntl(netlink().detach(), fcntl.F_DUPFD_CLOEXEC, 200)))
    peer = struct.pack("=HHII", AF_NETLINK, 0, 0, 0)
    for _ in range(rounds):
        sock = rng.choice(sockets)
        fd, data = sock.fileno(), mangled(rng)
        rng.choice([
            lambda: sendto(fd, None, data, DONTWAIT), lambda: sendto(fd, peer, data, DONTWAIT),
            lambda: sendto(fd, rng.randbytes(rng.randrange(129)), data, DONTWAIT),
            lambda: sendmsg(fd, message(data, peer), DONTWAIT), lambda: sendmmsg(fd, [message(data), message(data, peer)], DONTWAIT),
            lambda: call(1, fd, pointer(data)[0], len(data)) if rng.random() < 0.5 else 0,
            lambda: bind(fd, rng.randbytes(12)), lambda: connect(fd, rng.randbytes(12)),
            lambda: call(54, fd, 270, rng.randrange(16), pointer(rng.randbytes(4))[0], 4),
            lambda: call(55, fd, rng.choice([1, 270]), rng.randrange(60), pointer(bytes(8))[0], pointer(struct.pack("=i", 8))[0]),
            lambda: call(51, fd, pointer(bytes(16))[0], pointer(struct.pack("=i", rng.choice([0, 1, 12, 16])))[0]),
        ])()
        waiting = select.poll()  # numbers of the window may be beyond what select() can name
        waiting.register(sock, select.POLLIN)
        while waiting.poll(0):
            call(45, fd, pointer(bytes(64))[0], rng.randrange(65), DONTWAIT | rng.choice([0, 2, 0x20, 0x22]), 0, 0)
            if rng.random() < 0.9:
                try:
                    sock.recv(65536, socket.MSG_DONTWAIT)
                except OSError:
                    break
            else:
                break
    alive("alive")


def exhaust():
    kept = []
    for _ in range(2000):
        fd = call("socket", AF_NETLINK, RAW, 0)
        if fd < 0:
            report("end", fd)
            break
        kept.append(fd)
    print(f"sockets: {len(kept)}")
    for fd in kept:
        os.close(fd)
    for _ in range(1000):  # the responder needs a moment to see it
        fd = call("socket", AF_NETLINK, RAW, 0)
        if fd >= 0:
            break
        select.select([], [], [], 0.02)
    report("after", fd)
    if fd >= 0:
        os.close(fd)
    alive("alive")


def half_and_wait():
    print("half", flush=True)
    sys.stdin.readline()


def cycles(rounds):
    for number in range(rounds):
        if number == rounds // 2:
            half_and_wait()
        fd = call("socket", AF_NETLINK, RAW, 0)
        if fd < 0:
            report("open", fd)
            return
        if number % 16 == 0:
            sendto(fd, None, request(GETADDR))
        os.close(fd)
    alive("alive")
    half_and_wait()


def odd():
    with netlink() as sock:
        for _ in range(3):
            report("empty", sendto(sock.fileno(), None, b"", DONTWAIT))
        types, error = answer(sock, request(GETLINK))
        report("after_empty", error if error else (0 if 16 in types else -71))
    with netlink() as sock:  # replies that nobody reads
        sock.setblocking(False)
        results = {name_of(sendto(sock.fileno(), None, request(GETLINK), DONTWAIT)) for _ in range(3000)}
        print(f"unread: {' '.join(sorted(results))}")
        alive("beside_unread")
        try:
            while True:
                sock.recv(65536)
        except BlockingIOError:
            pass
        except OSError as error:
            report("drain", -error.errno)
        select.select([], [], [], 0.1)
        try:
            while True:
                sock.recv(65536)
        except OSError:
            pass
        types, error = answer(sock, request(GETLINK, sequence=9))
        report("after_unread", error if error else (0 if 16 in types else -71))
    sock = netlink()
    call(48, sock.fileno(), 2)  # shutdown
    sock.close()
    alive("after_shutdown")
    for _ in range(200):
        sock = netlink()
        sendto(sock.fileno(), None, request(GETLINK) * 20, DONTWAIT)
        sock.close()
    alive("after_closing")
    def ask_and_leave():
        sock = netlink()
        sendto(sock.fileno(), None, request(GETADDR), DONTWAIT)
        os._exit(0)
    for _ in range(30):
        in_child(ask_and_leave)
    alive("after_exits")
    failures = []
    def ask_often():
        for _ in range(200):
            with netlink() as one:
                types, error = answer(one, request(GETADDR))
                if error or types.count(20) < 2:
                    failures.append((types, error))
    threads = [threading.Thread(target=ask_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"threads: {'OK' if not failures else failures[0]}")


def descriptors(rounds):
    with netlink() as sock:
        for number in range(rounds):
            if number == rounds // 2:
                half_and_wait()
            data = control_message(1, 1, struct.pack("=ii", 0, 1))
            sendmsg(sock.fileno(), message(request(GETLINK), None, data), DONTWAIT)
            try:
                sock.recv(65536, socket.MSG_DONTWAIT)
            except OSError:
                pass
    alive("alive")
    half_and_wait()


def change():
    cases = {"newlink": 16, "dellink": 17, "setlink": 19, "newaddr": 20, "deladdr": 21, "newroute": 24, "delroute": 25,
             "newneigh": 28, "newrule": 32, "newqdisc": 36, "newtfilter": 44, "newaction": 48, "newnetconf": 80, "newnsid": 88}
    for name, kind in cases.items():
        with netlink() as sock:
            body = struct.pack("=BxHiII", 0, 0, 1, 0, 1).ljust(32, b"\0")
            try:
                _, error = answer(sock, request(kind, REQUEST | ACK, body))
            except OSError as failure:
                error = -(failure.errno or 110)
            report(name, error)


def aliases(port):
    with netlink() as first, socket.socket() as plain, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
        number = first.fileno()
        os.dup2(plain.fileno(), number)
        report("refused_connect", connect(number, inet("127.0.0.1", port)))
        report("refused_bind", bind(number, inet("127.0.0.1", port)))
        report("family", 0 if first.getsockname()[0] == "0.0.0.0" else -97)
        os.dup2(local.fileno(), number)
        report("unix_sendto", sendto(number, unix(b"/nowhere")))
    with netlink() as first:  # addresses of others on the socket itself
        for name, address in (("inet", inet("127.0.0.1", port)), ("unix", unix(b"/nowhere")), ("abstract", unix(b"\0nobody"))):
            report(f"netlink_connect_{name}", connect(first.fileno(), address))
        sendto(first.fileno(), inet("127.0.0.1", port), request(GETLINK), DONTWAIT)
    alive("alive")


def protocols():
    pair = (ctypes.c_int * 2)()
    for protocol in range(1, 23):
        report(f"protocol_{protocol}", call("socket", AF_NETLINK, RAW, protocol))
    for kind in (STREAM, SEQPACKET, 4, 10):
        report(f"type_{kind}", call("socket", AF_NETLINK, kind, 0))
    report("pair", call(53, AF_NETLINK, RAW, 0, pair))
    report("route", call("socket", AF_NETLINK, RAW, 0))


if __name__ == "__main__":
    main(globals())
