"""Addresses as bytes, and sends with any pointer and any length. x86-64 numbers."""

import ctypes
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import attempt, call, in_child, name_of, report  # noqa: F401

CONNECT, SENDTO, SENDMSG, BIND, LISTEN, SENDMMSG = 42, 44, 46, 49, 50, 307
FASTOPEN, DONTWAIT, ZEROCOPY, MORE = 0x20000000, 0x40, 0x4000000, 0x8000
AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 0, 1, 2, 10, 16
STREAM, DGRAM, RAW, SEQPACKET = 1, 2, 3, 5
MPTCP, SCTP, UDPLITE = 262, 132, 136


def inet(host, port, family=AF_INET):
    """struct sockaddr_in, also with a family that is none of its own."""
    return struct.pack("=H", family) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8)


def inet6(host, port, scope=0):
    return (struct.pack("=H", AF_INET6) + struct.pack(">HI", port, 0) + socket.inet_pton(AF_INET6, host)
            + struct.pack("=I", scope))


def unix(name):
    """struct sockaddr_un with exactly these bytes as the name: no terminating zero is added."""
    return struct.pack("=H", AF_UNIX) + os.fsencode(name)


def loopback_spellings(port):
    """Every address that leads to 127.0.0.1 and this port, with the family of the socket for it."""
    return {
        "plain": (AF_INET, inet("127.0.0.1", port)), "any": (AF_INET, inet("0.0.0.0", port)),
        "mapped": (AF_INET6, inet6("::ffff:127.0.0.1", port)),
        "mapped_any": (AF_INET6, inet6("::ffff:0.0.0.0", port)),
    }


class Header(ctypes.Structure):
    """struct msghdr and the length behind it in struct mmsghdr."""

    _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("vectors", ctypes.c_void_p),
                ("vector_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
                ("flags", ctypes.c_int), ("padding", ctypes.c_int), ("sent", ctypes.c_uint)]


def pointer(data):
    """A buffer that holds the bytes, and its address."""
    buffer = ctypes.create_string_buffer(bytes(data), max(1, len(data)))
    return buffer, ctypes.addressof(buffer)


def message(data=b"attack", address=None, control=None, **fields):
    """A Header with these contents; fields override what it says about them."""
    text, text_at = pointer(data)
    vector = (ctypes.c_size_t * 2)(text_at, len(data))
    header = Header(vectors=ctypes.addressof(vector), vector_count=1, sent=0xffffffff)
    header.keep = [text, vector]
    for value, at, length in ((address, "name", "name_length"), (control, "control", "control_length")):
        if value is not None:
            buffer, where = pointer(value)
            header.keep.append(buffer)
            setattr(header, at, where)
            setattr(header, length, len(value))
    for name, value in fields.items():
        setattr(header, name, value)
    return header


def control_message(level, kind, data, length=None):
    """struct cmsghdr with its data, padded; `length` is what its length field says."""
    said = 16 + len(data) if length is None else length
    return struct.pack("=Qii", said, level, kind) + data + bytes(-len(data) % 8)


def connect(fd, address, length=None):
    buffer, where = pointer(address)
    return call(CONNECT, fd, where, len(address) if length is None else length)


def bind(fd, address, length=None):
    buffer, where = pointer(address)
    return call(BIND, fd, where, len(address) if length is None else length)


def listen(fd):
    return call(LISTEN, fd, 8)


def sendto(fd, address, data=b"attack", flags=0, length=None):
    text, text_at = pointer(data)
    if address is None:
        return call(SENDTO, fd, text_at, len(data), flags, 0, 0)
    buffer, where = pointer(address)
    return call(SENDTO, fd, text_at, len(data), flags, where, len(address) if length is None else length)


def sendmsg(fd, header, flags=0):
    return call(SENDMSG, fd, ctypes.byref(header), flags)


def sendmmsg(fd, headers, flags=0):
    """The result; `sent` of every header is what the call wrote there."""
    array = (Header * len(headers))(*headers)
    result = call(SENDMMSG, fd, ctypes.byref(array), len(headers), flags)
    for header, entry in zip(headers, array):
        header.sent = entry.sent
    return result


def all_sends(address, data=b"attack", flags=0):
    """name -> function(fd): every call that sends these bytes to that address."""
    return {
        "sendto": lambda fd: sendto(fd, address, data, flags),
        "sendmsg": lambda fd: sendmsg(fd, message(data, address), flags),
        "sendmmsg": lambda fd: sendmmsg(fd, [message(data, address)], flags),
    }


def with_socket(name, family, kind, protocol, function):
    """Reports what function(fd) returned, or why there is no socket."""
    fd = call("socket", family, kind, protocol)
    if fd < 0:
        report(name, fd)
        return
    try:
        report(name, function(fd))
    finally:
        os.close(fd)


def then(first, second):
    """function(fd): the second unless the first failed, whose error it is then."""
    def both(fd):
        result = first(fd)
        return result if result < 0 else second(fd)
    return both


def main(namespace):
    """Calls the function that the first argument names with the others; decimal words become numbers."""
    words = [int(word) if word.isdigit() else word for word in sys.argv[2:]]
    namespace[sys.argv[1]](*words)
