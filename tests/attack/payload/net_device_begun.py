"""Datagrams that are begun for one address and ended after a connect to another: the kernel sends them there, or by
the way that the first had.

net_device_begun.py PORT: begins b"<way>" in every way it knows, for port PORT of 10.8.8.8 or fd99::1."""
import ctypes
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import attempt

port = int(sys.argv[1])
FAR, FAR6, FAR_MAPPED, HERE = "10.8.8.8", "fd99::1", "::ffff:10.8.8.8", "127.0.0.1"
MORE, CORK = 0x8000, (socket.IPPROTO_UDP, 1)
libc = ctypes.CDLL(None, use_errno=True)


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def way(begun, *peer, corked=False, dissolved=False):
    def go(text):
        with socket.socket(family_of(begun), socket.SOCK_DGRAM) as sender:
            if corked:
                sender.setsockopt(*CORK, 1)
            sender.sendto(text, 0 if corked else MORE, (begun, port))
            if dissolved:
                libc.connect(sender.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16)
            try:
                sender.connect(peer)
            finally:
                end(sender)
    return go


def end(sender):
    for act in (lambda: sender.send(b"+"), lambda: sender.setsockopt(*CORK, 0)):
        try:
            act()
        except OSError:
            pass


WAYS = {
    "connected": way(FAR, HERE, port),
    "corked": way(FAR, HERE, port, corked=True),
    "failed": way(FAR, "127.255.255.255", port),
    "mapped": way(FAR_MAPPED, "::ffff:127.0.0.1", port),
    "mixed": way(FAR6, "::ffff:127.0.0.1", port),
    "asked": way(FAR, "10.7.7.7", 65535, dissolved=True),
    "asked at no port": way(FAR, "10.7.7.7", 0, dissolved=True),
    "asked of loopback": way(FAR, HERE, 65535, dissolved=True),
    "refused": way(FAR, "10.7.7.7", 443, dissolved=True),
}
for name, begin in WAYS.items():
    attempt(name, lambda: begin(name.encode()))
