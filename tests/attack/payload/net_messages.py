"""Calls with addresses, lengths, pointers and control data that are wrong.

    net_messages.py lengths PORT ROUNDS     addresses that say they are longer than any address
    net_messages.py shapes PORT             messages with wrong pointers and lengths; ends with a proper one
    net_messages.py control PORT            control data that is malformed, too long or not for everybody
    net_messages.py forge PATH              credentials of somebody else, to the datagram server PATH
    net_messages.py rights PATH             a descriptor to the stream server PATH, and ones that are none
    net_messages.py zerocopy PORT           a send that asks for the sender's memory to be kept
"""

import array
import ctypes
import mmap
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(__file__))
from net_raw import *

LONG = {"129": 129, "4096": 4096, "page": 65536, "half": 2**31 - 1, "negative": 2**31, "all": 2**32 - 1}


def lengths(port, rounds):
    address = inet("127.0.0.1", port)
    for _ in range(rounds):
        for label, length in LONG.items():
            with_socket(f"tcp_connect_{label}", AF_INET, STREAM, 0, lambda fd: connect(fd, address, length))
            with_socket(f"udp_connect_{label}", AF_INET, DGRAM, 0, lambda fd: connect(fd, address, length))
            with_socket(f"sendto_{label}", AF_INET, DGRAM, 0, lambda fd: sendto(fd, address, length=length))
            for call_name, function in (("sendmsg", sendmsg), ("sendmmsg", lambda fd, one: sendmmsg(fd, [one]))):
                one = message(b"attack", address, name_length=length)
                with_socket(f"{call_name}_{label}", AF_INET, DGRAM, 0, lambda fd: function(fd, one))
            with_socket(f"bind_{label}", AF_INET, STREAM, 0, lambda fd: bind(fd, inet("127.0.0.1", 0), length))
            with_socket(f"unix_{label}", AF_UNIX, STREAM, 0, lambda fd: connect(fd, unix(b"/nothing"), length))
    for label, length in (("0", 0), ("1", 1), ("4", 4), ("15", 15)):
        with_socket(f"short_connect_{label}", AF_INET, DGRAM, 0, lambda fd: connect(fd, address, length))
        with_socket(f"short_sendto_{label}", AF_INET, DGRAM, 0, lambda fd: sendto(fd, address, length=length))


def shapes(port):
    address = inet("127.0.0.1", port)
    edge = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(edge))
    hole = base + mmap.PAGESIZE
    call(10, hole, mmap.PAGESIZE, 0)  # mprotect to nothing
    wrong = {"null": 0, "one": 1, "hole": hole, "kernel": 2**63, "top": 2**64 - 8}
    at = {label: ctypes.c_void_p(value) for label, value in wrong.items()}

    def udp(name, function):
        with_socket(name, AF_INET, DGRAM, 0, function)

    for label, where in at.items():
        value = wrong[label]
        udp(f"header_{label}", lambda fd: call(SENDMSG, fd, where, 0))
        udp(f"headers_{label}", lambda fd: call(SENDMMSG, fd, where, 1, 0))
        udp(f"vectors_{label}", lambda fd: sendmsg(fd, message(b"attack", address, vectors=value, vector_count=2)))
        if label != "null":
            udp(f"connect_{label}", lambda fd: call(CONNECT, fd, where, 16))
            udp(f"sendto_{label}", lambda fd: call(SENDTO, fd, where, 6, 0, where, 16))
            udp(f"name_{label}", lambda fd: sendmsg(fd, message(b"attack", None, name=value, name_length=16)))
            udp(f"control_{label}",
                lambda fd: sendmsg(fd, with_fields(message(b"attack", address), control=value, control_length=32)))
        udp(f"base_{label}", lambda fd: sendmsg(fd, with_vector(message(b"attack", address), value, 6)))
        udp(f"payload_{label}", lambda fd: call(SENDTO, fd, where, 6, 0, pointer_of(address), 16))
    # Addresses that end where memory ends, and that go on behind it.
    for label, start, expected in (("inside", hole - 16, 16), ("across", hole - 8, 16)):
        ctypes.memmove(start, address, hole - start if label == "across" else 16)
        udp(f"edge_{label}", lambda fd: call(CONNECT, fd, ctypes.c_void_p(start), expected))
    for label, count in (("1024", 1024), ("1025", 1025), ("many", 2**31), ("all", 2**64 - 1)):
        vectors = (ctypes.c_size_t * (2 * min(count, 1025)))()
        udp(f"vectors_count_{label}",
            lambda fd: sendmsg(fd, message(b"", address, vectors=ctypes.addressof(vectors), vector_count=count)))
    for label, length in (("70M", 70 << 20), ("half", 2**63 - 1), ("all", 2**64 - 1)):
        udp(f"payload_length_{label}", lambda fd: sendmsg(fd, with_vector(message(b"attack", address), base, length)))
        udp(f"sendto_length_{label}", lambda fd: call(SENDTO, fd, ctypes.c_void_p(base), ctypes.c_size_t(length), 0,
                                                      pointer_of(address), 16))
    one = message(b"attack", address)
    udp("batch_0", lambda fd: call(SENDMMSG, fd, ctypes.byref(one), 0, 0))
    udp("batch_into_hole", lambda fd: call(SENDMMSG, fd, ctypes.c_void_p(hole - 64), 2**31 - 1, 0))
    udp("flags_all", lambda fd: sendmsg(fd, message(b"attack", address), 2**32 - 1))
    for number, name in ((CONNECT, "connect"), (SENDTO, "sendto"), (SENDMSG, "sendmsg"), (SENDMMSG, "sendmmsg"), (BIND, "bind"),
                         (LISTEN, "listen")):
        words = {CONNECT: (pointer_of(address), 16), SENDTO: (pointer_of(address), 6, 0, pointer_of(address), 16),
                 SENDMSG: (ctypes.byref(one), 0), SENDMMSG: (ctypes.byref(one), 1, 0),
                 BIND: (pointer_of(address), 16), LISTEN: (1,)}[number]
        report(f"{name}_no_descriptor", call(number, 999, *words))
        report(f"{name}_negative_descriptor", call(number, -1, *words))
        with open("/etc/passwd", "rb") as file:
            report(f"{name}_file", call(number, file.fileno(), *words))
    with_socket("proper", AF_INET, DGRAM, 0, lambda fd: sendmsg(fd, message(b"proper", address)))


def pointer_of(data):
    buffer, where = pointer(data)
    pointer_of.kept.append(buffer)
    return ctypes.c_void_p(where)


pointer_of.kept = []


def with_fields(header, **fields):
    for name, value in fields.items():
        setattr(header, name, value)
    return header


def with_vector(header, base, length):
    header.keep[1][0], header.keep[1][1] = base, length
    return header


RIGHTS, CREDENTIALS = 1, 2


def control(port):
    address = inet("127.0.0.1", port)
    one = struct.pack("=i", 1)
    cases = {
        "short": struct.pack("=Qii", 15, 1, RIGHTS), "zero": struct.pack("=Qii", 0, 1, RIGHTS),
        "beyond": control_message(1, RIGHTS, one, 64), "huge": control_message(1, RIGHTS, one, 2**64 - 1),
        "wrapping": control_message(1, RIGHTS, one, 2**64 - 15),
        "second_beyond": control_message(1, RIGHTS, struct.pack("=i", 1)) + control_message(1, RIGHTS, one, 2**63),
        "bad_descriptor": control_message(1, RIGHTS, struct.pack("=i", 999)),
        "bad_second_descriptor": control_message(1, RIGHTS, struct.pack("=ii", 1, -1)),
        "credentials": control_message(1, CREDENTIALS, struct.pack("=iii", os.getpid(), os.getuid(), os.getgid())),
        "credentials_behind": control_message(1, RIGHTS, one) +
                              control_message(1, CREDENTIALS, struct.pack("=iii", 1, 0, 0)),
        "too_long": control_message(1, RIGHTS, one) + bytes(17 << 10),
        "many_descriptors": control_message(1, RIGHTS, struct.pack("=254i", *[1] * 254)),
        "rights": control_message(1, RIGHTS, one),
    }
    for label, data in cases.items():
        left, right = socket.socketpair()
        report(f"pair_{label}", sendmsg(left.fileno(), message(b"attack", None, data)))
        report(f"batch_{label}", sendmmsg(left.fileno(), [message(b"attack", None, data)]))
        left.close()
        right.close()
    for label in ("short", "beyond", "huge", "too_long"):
        with_socket(f"udp_{label}", AF_INET, DGRAM, 0, lambda fd: sendmsg(fd, message(b"attack", address, cases[label])))
    for label, level, kind, data in (("ttl", 0, 2, struct.pack("=i", 9)), ("tos", 0, 1, struct.pack("=i", 16)),
                                     ("pktinfo", 0, 8, struct.pack("=i4s4s", 1, bytes(4), bytes(4)))):
        with_socket(f"udp_{label}", AF_INET, DGRAM, 0,
                    lambda fd: sendmsg(fd, message(b"proper", address, control_message(level, kind, data))))


    # Options of the packet (IP_RETOPTS), behind a message without any.
    options = message(b"options", address, control_message(0, 7, b"\1\1\1\0"))
    with_socket("second_options", AF_INET, DGRAM, 0, lambda fd: sendmmsg(fd, [message(b"proper", address), options]))


def forge(path):
    for label, pid, uid in (("init", 1, 0), ("parent", os.getppid(), os.getuid()), ("root", os.getpid(), 0)):
        data = control_message(1, CREDENTIALS, struct.pack("=iii", pid, uid, uid))
        with_socket(f"sendmsg_{label}", AF_UNIX, DGRAM, 0,
                    lambda fd: sendmsg(fd, message(label.encode(), unix(path), data)))
        with_socket(f"sendmmsg_{label}", AF_UNIX, DGRAM, 0,
                    lambda fd: sendmmsg(fd, [message(label.encode(), unix(path), data)]))
        with_socket(f"connected_{label}", AF_UNIX, DGRAM, 0,
                    then(lambda fd: connect(fd, unix(path)), lambda fd: sendmsg(fd, message(label.encode(), None, data))))
    with_socket("plain", AF_UNIX, DGRAM, 0, lambda fd: sendmsg(fd, message(b"plain", unix(path))))


def rights(path):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    read_end, write_end = os.pipe()
    os.write(write_end, b"through the pipe")
    os.close(write_end)
    def send(number):
        client.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [number]))])
    attempt("not_open", lambda: send(999))
    attempt("rights", lambda: send(read_end))


def zerocopy(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        attempt("SO_ZEROCOPY", lambda: sock.setsockopt(socket.SOL_SOCKET, 60, 1))
        report("send", sendmsg(sock.fileno(), message(b"proper", inet("127.0.0.1", port)), ZEROCOPY))
        report("sendto", sendto(sock.fileno(), inet("127.0.0.1", port), b"proper", ZEROCOPY))


if __name__ == "__main__":
    main(globals())
