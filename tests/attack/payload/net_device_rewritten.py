"""A connected UDP socket, and datagrams that are begun for a name: afterwards the kernel sends what is for the peer to
that name, by the peer's way.

net_device_rewritten.py PORT: connected to port PORT of 10.8.8.8, begins for the same port of 127.0.0.1, and writes b"<way>"."""
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import attempt

port = int(sys.argv[1])
FAR, HERE, MORE, CORK = "10.8.8.8", "127.0.0.1", 0x8000, (socket.IPPROTO_UDP, 1)


def way(family=socket.AF_INET, named=HERE, corked=False):
    def go(text):
        prefix = "::ffff:" if family == socket.AF_INET6 else ""
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.connect((prefix + FAR, port))
            if corked:
                sender.setsockopt(*CORK, 1)
            sender.sendto(b"begun ", 0 if corked else MORE, (prefix + named, port))
            if corked:
                sender.setsockopt(*CORK, 0)
            else:
                sender.send(b"")
            sender.send(text)
    return go


def named(text):
    """By the name of its peer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((FAR, port))
        sender.sendto(text, (FAR, port))


WAYS = {
    "more": way(),
    "corked": way(corked=True),
    "mapped": way(socket.AF_INET6),
    "other": way(named="10.7.7.7"),
    "named": named,
}
for name, send in WAYS.items():
    attempt(name, lambda: send(name.encode()))
