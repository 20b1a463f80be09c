"""Packets to loopback addresses that the socket's interface leads out of the machine.

net_device.py DEVICE INDEX PORT: sends b"<way>" in every way it knows, after a plain datagram to itself."""
import errno
import socket
import struct
import sys

device, index, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
V4, V6, MAPPED = ("127.0.0.1", port), ("::1", port), ("::ffff:127.0.0.1", port)
BIND_DEVICE, BIND_INDEX, UNICAST_IF, UNICAST_IF6, PKTINFO, PKTINFO6, OLD_PKTINFO6 = 25, 62, 50, 76, 8, 50, 2


def udp(family):
    return socket.socket(family, socket.SOCK_DGRAM)


def with_option(family, peer, level, option, value, connects=False):
    def way(text):
        with udp(family) as sender:
            sender.setsockopt(level, option, value)
            if connects:
                sender.connect(peer)
                sender.send(text)
            else:
                sender.sendto(text, peer)
    return way


def tcp_with_option(family, peer, level, option, value):
    def way(_text):
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.setsockopt(level, option, value)
            client.settimeout(0.3)
            client.connect(peer)
    return way


def with_control(family, peer, level, kind, value, connects=False):
    def way(text):
        with udp(family) as sender:
            if connects:
                sender.connect(peer)
            sender.sendmsg([text], [(level, kind, value)], 0, *([] if connects else [peer]))
    return way


def bound_to_scope(peer, connects=False):
    """Nobody has to own a multicast address to bind to it, and the interface stays with the socket."""
    def way(text):
        with udp(socket.AF_INET6) as sender:
            sender.bind(("ff02::1", 0, 0, index))
            if connects:
                sender.connect(peer)
                sender.send(text)
            else:
                sender.sendto(text, peer)
    return way


def bound_meanwhile(text):
    """Sent once already, unbound again, and bound to an interface."""
    with udp(socket.AF_INET6) as sender:
        sender.sendto(b"plain again", V6)
        sender.connect(V6)
        disconnect = struct.pack("H26x", 0)
        libc_connect(sender.fileno(), disconnect)
        sender.bind(("ff02::1", 0, 0, index))
        sender.sendto(text, V6)


def libc_connect(fd, address):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.connect(fd, address, len(address)) != 0:
        raise OSError(ctypes.get_errno(), "connect")


NAME, NUMBER, NETWORK = device.encode() + b"\0", struct.pack("i", index), struct.pack("!i", index)
INFO4 = struct.pack("i4s4s", index, bytes(4), bytes(4))
INFO6 = bytes(16) + struct.pack("i", index)
MAPPED_INFO6 = bytes(10) + b"\xff\xff" + bytes(4) + struct.pack("i", index)
WAYS = {
    "device name": with_option(socket.AF_INET, V4, socket.SOL_SOCKET, BIND_DEVICE, NAME),
    "device name, connected": with_option(socket.AF_INET, V4, socket.SOL_SOCKET, BIND_DEVICE, NAME, True),
    "device number": with_option(socket.AF_INET, V4, socket.SOL_SOCKET, BIND_INDEX, NUMBER),
    "unicast interface": with_option(socket.AF_INET, V4, socket.IPPROTO_IP, UNICAST_IF, NETWORK),
    "packet information": with_control(socket.AF_INET, V4, socket.IPPROTO_IP, PKTINFO, INFO4),
    "packet information, connected": with_control(socket.AF_INET, V4, socket.IPPROTO_IP, PKTINFO, INFO4, True),
    "device name, six": with_option(socket.AF_INET6, V6, socket.SOL_SOCKET, BIND_DEVICE, NAME),
    "unicast interface, six": with_option(socket.AF_INET6, V6, socket.IPPROTO_IPV6, UNICAST_IF6, NETWORK),
    "packet information, six": with_control(socket.AF_INET6, V6, socket.IPPROTO_IPV6, PKTINFO6, INFO6),
    "old packet information, six": with_control(socket.AF_INET6, V6, socket.IPPROTO_IPV6, OLD_PKTINFO6, INFO6),
    "sticky packet information": with_option(socket.AF_INET6, V6, socket.IPPROTO_IPV6, PKTINFO6, INFO6),
    "mapped, packet information": with_control(socket.AF_INET6, MAPPED, socket.IPPROTO_IP, PKTINFO, INFO4),
    "mapped, packet information six": with_control(socket.AF_INET6, MAPPED, socket.IPPROTO_IPV6, PKTINFO6,
                                                   MAPPED_INFO6),
    "bound to a scope": bound_to_scope(V6),
    "bound to a scope, connected": bound_to_scope(V6, True),
    "bound meanwhile": bound_meanwhile,
}
TCP_WAYS = {
    "tcp, device name": tcp_with_option(socket.AF_INET, V4, socket.SOL_SOCKET, BIND_DEVICE, NAME),
    "tcp, device number, six": tcp_with_option(socket.AF_INET6, V6, socket.SOL_SOCKET, BIND_INDEX, NUMBER),
}


def say(name, function, *arguments):
    try:
        function(*arguments)
        print(f"{name}: OK")
    except TimeoutError:
        print(f"{name}: OK")  # the packet is on its way
    except OSError as error:
        print(f"{name}: {errno.errorcode.get(error.errno, error.errno)}")


def plain():
    for family, peer in ((socket.AF_INET, V4), (socket.AF_INET6, V6)):
        with udp(family) as receiver, udp(family) as sender:
            receiver.bind(peer[:2])
            receiver.settimeout(5)
            sender.sendto(b"plain", peer)
            assert receiver.recv(100) == b"plain"


say("plain", plain)
for name, way in {**WAYS, **TCP_WAYS}.items():
    say(name, way, name.encode())
