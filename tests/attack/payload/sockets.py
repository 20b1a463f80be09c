"""Ways to a peer that the policy does not allow.

    sockets.py create            sockets of every family, type and protocol that could reach somebody
    sockets.py tcp PORT          every way to connect to a TCP port of this machine
    sockets.py udp PORT          a datagram to a UDP port
    sockets.py bind PORT         binding and listening
    sockets.py abstract NAME     an abstract unix socket, by connect and by datagram (NAME.datagram)
    sockets.py interfaces        questions about the host's interfaces
    sockets.py options           socket options that route or pin
    sockets.py handed PORT       every use of standard input, a socket, with a peer at this port
    sockets.py listens           standard input, a socket, listens
"""

import ctypes
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(__file__))
from raw import attempt, call, report

MPTCP, SCTP, UDPLITE, SMC, FASTOPEN = 262, 132, 136, 256, 0x20000000
STREAM, DGRAM, RAW, PACKET, SEQPACKET = 1, 2, 3, 10, 5

KINDS = {
    "tcp": (2, STREAM, 0), "tcp_by_protocol": (2, STREAM, 6), "tcp6": (10, STREAM, 0),
    "tcp_cloexec_nonblock": (2, STREAM | 0o2000000 | 0o4000, 0),
    "unix": (1, STREAM, 0), "unix_datagram": (1, DGRAM, 0),
    "mptcp": (2, STREAM, MPTCP), "mptcp6": (10, STREAM, MPTCP), "sctp": (2, STREAM, SCTP),
    "smc_by_protocol": (2, STREAM, SMC), "sctp_seqpacket": (2, SEQPACKET, SCTP),
    "udp": (2, DGRAM, 0), "udp_by_protocol": (2, DGRAM, 17), "udp6": (10, DGRAM, 0), "udplite": (2, DGRAM, UDPLITE),
    "udp_cloexec": (2, DGRAM | 0o2000000, 0), "ping": (2, DGRAM, 1), "ping6": (10, DGRAM, 58),
    "raw": (2, RAW, 255), "raw_icmp": (2, RAW, 1), "raw6": (10, RAW, 58), "raw_cloexec": (2, RAW | 0o2000000, 1),
    "packet_by_type": (2, PACKET, 0x300), "packet": (17, RAW, 0x300), "packet_datagram": (17, DGRAM, 0x300),
    "netlink_route": (16, RAW, 0), "netlink_diag": (16, DGRAM, 4), "netlink_audit": (16, RAW, 9),
    "netlink_uevent": (16, RAW, 15), "netlink_generic": (16, RAW, 16), "vsock": (40, STREAM, 0),
    "alg": (38, SEQPACKET, 0), "xdp": (44, RAW, 0), "smc": (43, STREAM, 0), "key": (15, RAW, 2), "can": (29, RAW, 1),
    "bluetooth": (31, RAW, 1), "tipc": (30, STREAM, 0), "rds": (21, SEQPACKET, 0), "qipcrtr": (42, DGRAM, 0),
    "garbage_above_32_bits": (2 | (5 << 32), DGRAM | (5 << 32), 0),
}


def create():
    for name, arguments in KINDS.items():
        fd = call("socket", *arguments)
        report(name, fd)
        if fd >= 0:
            os.close(fd)
    pair = (ctypes.c_int * 2)()
    report("pair_unix", call(53, 1, STREAM, 0, pair))
    report("pair_netlink", call(53, 16, RAW, 0, pair))
    report("pair_inet", call(53, 2, STREAM, 0, pair))


class Header(ctypes.Structure):
    """struct msghdr and the length behind it in struct mmsghdr."""

    _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("vectors", ctypes.c_void_p),
                ("vector_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
                ("flags", ctypes.c_int), ("sent", ctypes.c_uint)]


def header(port):
    address = ctypes.create_string_buffer(struct.pack("=HH4s8x", 2, socket.htons(port), b"\x7f\0\0\1"))
    text = ctypes.create_string_buffer(b"attack")
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(text), 6)
    message = Header(ctypes.addressof(address), 16, ctypes.addressof(vector), 1, None, 0, 0, 0)
    message.keep = (address, text, vector)
    return message


def fastopen(port, number, flags):
    with socket.socket() as stream:
        message = header(port)
        if number == 44:  # sendto
            return call(44, stream.fileno(), message.keep[1], 6, flags, message.keep[0], 16)
        if number == 46:  # sendmsg
            return call(46, stream.fileno(), ctypes.byref(message), flags)
        return call(307, stream.fileno(), ctypes.byref(message), 1, flags)


def connect(family, address, protocol=0, options=()):
    with socket.socket(family, socket.SOCK_STREAM, protocol) as stream:
        for option in options:
            stream.setsockopt(*option)
        stream.connect(address)
        stream.send(b"attack")


def nonblocking(port):
    with socket.socket() as stream:
        stream.setblocking(False)
        error = stream.connect_ex(("127.0.0.1", port))
        if error not in (0, 115):
            raise OSError(error, "connect")


def tcp(port):
    attempt("connect", lambda: connect(socket.AF_INET, ("127.0.0.1", port)))
    attempt("connect6", lambda: connect(socket.AF_INET6, ("::ffff:127.0.0.1", port)))
    attempt("connect_nonblocking", lambda: nonblocking(port))
    attempt("connect_fastopen", lambda: connect(socket.AF_INET, ("127.0.0.1", port), 0, [(6, 30, 1)]))
    attempt("mptcp", lambda: connect(socket.AF_INET, ("127.0.0.1", port), MPTCP))
    attempt("mptcp6", lambda: connect(socket.AF_INET6, ("::ffff:127.0.0.1", port), MPTCP))
    for name, number in (("sendto", 44), ("sendmsg", 46), ("sendmmsg", 307)):
        report(f"{name}_fastopen", fastopen(port, number, FASTOPEN))
        report(f"{name}_fastopen_high", fastopen(port, number, FASTOPEN | (1 << 34) | 0x40))


def udp(port):
    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            datagram.sendto(b"attack", ("127.0.0.1", port))
    attempt("udp", send)


def listen_on(port, protocol=0, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_STREAM, protocol) as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stream.bind(("", port))
        stream.listen()


def bind(port):
    attempt("bind", lambda: listen_on(port))
    attempt("bind6", lambda: listen_on(port, 0, socket.AF_INET6))
    attempt("bind_any", lambda: listen_on(0))
    attempt("bind_mptcp", lambda: listen_on(port, MPTCP))


def abstract(name):
    def stream():
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"\0{name}")

    def datagram():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"attack", f"\0{name}.datagram")
    attempt("stream", stream)
    attempt("datagram", datagram)


INTERFACE_REQUESTS = {
    "SIOCGIFNAME": 0x8910, "SIOCGIFCONF": 0x8912, "SIOCGIFFLAGS": 0x8913, "SIOCGIFADDR": 0x8915,
    "SIOCGIFHWADDR": 0x8927, "SIOCGIFINDEX": 0x8933, "SIOCETHTOOL": 0x8946, "SIOCGIFVLAN": 0x8982,
    "SIOCGIWNAME": 0x8B01, "SIOCDEVPRIVATE": 0x89F0,
}


def interfaces():
    with socket.socket(socket.AF_UNIX) as any_socket:
        for name, number in INTERFACE_REQUESTS.items():
            buffer = ctypes.create_string_buffer(b"lo", 256)
            if name == "SIOCGIFNAME":
                struct.pack_into("=16si", buffer, 0, b"", 1)
            if name == "SIOCGIFCONF":
                buffer = ctypes.create_string_buffer(256)
            report(name, call("ioctl", any_socket.fileno(), number, buffer))
            report(f"{name}_high", call("ioctl", any_socket.fileno(), number | (3 << 32), buffer))
        report("FIONREAD", call("ioctl", any_socket.fileno(), 0x541B, ctypes.byref(ctypes.c_int())))


def options():
    with socket.socket() as stream, socket.socket(socket.AF_INET6) as stream6:
        attempt("IP_OPTIONS", lambda: stream.setsockopt(0, 4, b""))
        attempt("IPV6_RTHDR", lambda: stream6.setsockopt(41, 57, b""))
        attempt("SO_REUSEADDR", lambda: stream.setsockopt(1, 2, 1))
    chosen = struct.pack("=HH", 40000, 40000)
    group = socket.inet_aton("224.0.0.9") * 2 + socket.inet_aton("127.0.0.1")
    for name, family, level, option, text in (
            ("IP_MULTICAST_IF", socket.AF_INET, 0, 32, struct.pack("=8xi", 1)), ("IP_BLOCK_SOURCE", socket.AF_INET, 0, 38, group),
            ("IPV6_MULTICAST_IF", socket.AF_INET6, 41, 17, struct.pack("=i", 1)),
            ("IP_LOCAL_PORT_RANGE", socket.AF_INET, 0, 51, chosen), ("IP_LOCAL_PORT_RANGE of IPv6", socket.AF_INET6, 0, 51, chosen)):
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM)
        except PermissionError:
            sock = socket.socket(family)
        with sock:
            attempt(name, lambda: sock.setsockopt(level, option, text))  # pylint: disable=cell-var-from-loop


def handed(port):
    address = ("127.0.0.1", port)
    with socket.socket(fileno=0) as given:
        attempt("bind", lambda: given.bind(("127.0.0.1", 0)))
        attempt("sendto", lambda: given.sendto(b"attack", address))
        attempt("connect", lambda: given.connect(address))
        attempt("send", lambda: given.send(b"attack"))


def listens():
    with socket.socket(fileno=0) as given:
        attempt("listen", given.listen)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        globals()[sys.argv[1]](sys.argv[2] if sys.argv[1] == "abstract" else int(sys.argv[2]))
    else:
        globals()[sys.argv[1]]()
