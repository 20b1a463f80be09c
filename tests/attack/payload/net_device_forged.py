"""Datagrams and connections that name a source which is not the machine's: the answer goes there, with the bytes that
it answers.

net_device_forged.py PORT: in every way it knows, from [fd99::1]:PORT to a port of this machine where nobody is."""
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import attempt

port = int(sys.argv[1])
FAR, HERE = "fd99::1", ("::1", 9)
FREEBIND, IP_FREEBIND, TRANSPARENT, IP_TRANSPARENT = (41, 78), (0, 15), (41, 75), (0, 19)
PKTINFO = 50


def send(option, act):
    def go(text):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(*option, 1)
            act(sender, text)
    return go


def bound(sender, text):
    sender.bind((FAR, port))
    sender.sendto(text, HERE)


def connected(sender, text):
    sender.bind((FAR, port))
    sender.connect(HERE)
    sender.send(text)


def named(sender, text):
    source = socket.inet_pton(socket.AF_INET6, FAR) + struct.pack("I", 0)
    sender.sendmsg([text], [(socket.IPPROTO_IPV6, PKTINFO, source)], 0, HERE)


def tcp(_text):
    with socket.socket(socket.AF_INET6) as sender:
        sender.setsockopt(*FREEBIND, 1)
        sender.bind((FAR, port))
        sender.settimeout(0.2)
        try:
            sender.connect(HERE)
        except TimeoutError:
            pass


WAYS = {
    "bound": send(FREEBIND, bound),
    "connected": send(FREEBIND, connected),
    "named": send(FREEBIND, named),
    "by the other level": send(IP_FREEBIND, bound),
    "transparent": send(TRANSPARENT, bound),
    "transparent by the other level": send(IP_TRANSPARENT, bound),
    "tcp": tcp,
}
for name, forge in WAYS.items():
    attempt(name, lambda: forge(name.encode()))
