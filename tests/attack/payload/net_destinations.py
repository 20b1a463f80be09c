"""Ways to a TCP or UDP port that the rules do not allow, in every spelling of address and call.

    net_destinations.py tcp PORT           connecting
    net_destinations.py fastopen PORT      connecting while sending, and other protocols
    net_destinations.py tcp6 PORT          connecting to ::1
    net_destinations.py udp PORT           datagrams
    net_destinations.py udp6 PORT          datagrams to ::1
    net_destinations.py detour OPEN PORT   a socket that may send to OPEN is turned to PORT
    net_destinations.py routed OPEN        datagrams to OPEN with a routing header or a source route
    net_destinations.py source PORT        the unspecified address, from sockets with a source at 127.0.0.2
    net_destinations.py asked HOST OPEN PORT   a socket that has asked at PORT, and may send to OPEN
    net_destinations.py kinds              sockets that no rule opens
    net_destinations.py uring PORT         connecting without a system call of its own
"""

import ctypes
import os
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from net_raw import *


def accepted(result):
    """A connection under way counts as one."""
    return 0 if result == -115 else result


def connect_and_say(address):
    def function(fd):
        result = accepted(connect(fd, address))
        if result == 0:
            sendto(fd, None, b"attack", DONTWAIT)
        return result
    return function


def tcp(port):
    for name, (family, address) in loopback_spellings(port).items():
        with_socket(f"connect_{name}", family, STREAM, 0, connect_and_say(address))
        with_socket(f"nonblocking_{name}", family, STREAM | 0o4000, 0, connect_and_say(address))
        with_socket(f"long_{name}", family, STREAM, 0, connect_and_say(address + bytes(128 - len(address))))
    plain = inet("127.0.0.1", port)
    # After a disconnect, after a failed attempt, and bound first.
    with_socket("connect_after_unspec", AF_INET, STREAM, 0,
                then(lambda fd: connect(fd, inet("0.0.0.0", 0, AF_UNSPEC)), connect_and_say(plain)))
    with_socket("connect_again", AF_INET, STREAM, 0, lambda fd: (connect(fd, plain), connect_and_say(plain)(fd))[1])
    # The family of the address is not the one of the socket.
    with_socket("connect_family", AF_INET, STREAM, 0, connect_and_say(inet("127.0.0.1", port, AF_UNSPEC)))
    # Garbage in the upper half of the length and of the descriptor.
    def high(fd):
        buffer, where = pointer(plain)
        return accepted(call(CONNECT, fd | (7 << 32), where, len(plain) | (7 << 32)))
    with_socket("connect_high", AF_INET, STREAM, 0, high)


def tcp6(port):
    for name, address in (("plain", inet6("::1", port)), ("any", inet6("::", port)), ("scoped", inet6("::1", port, 1))):
        with_socket(f"connect_{name}", AF_INET6, STREAM, 0, connect_and_say(address))
        with_socket(f"nonblocking_{name}", AF_INET6, STREAM | 0o4000, 0, connect_and_say(address))


def fastopen(port):
    for name, (family, address) in loopback_spellings(port).items():
        for flags_name, flags in (("", FASTOPEN), ("_high", FASTOPEN | DONTWAIT | (1 << 34))):
            for send, function in all_sends(address, flags=flags).items():
                with_socket(f"{send}{flags_name}_{name}", family, STREAM, 0, function)
    plain = inet("127.0.0.1", port)
    for name, family, kind, protocol in (
            ("mptcp", AF_INET, STREAM, MPTCP), ("sctp", AF_INET, STREAM, SCTP),
            ("sctp_seqpacket", AF_INET, SEQPACKET, SCTP), ("dccp", AF_INET, 6, 33), ("smc", AF_INET, STREAM, 256)):
        with_socket(name, family, kind, protocol, connect_and_say(plain))
    with_socket("mptcp6", AF_INET6, STREAM, MPTCP, connect_and_say(inet6("::ffff:127.0.0.1", port)))
    def deferred(fd):  # TCP_FASTOPEN_CONNECT: connect() returns at once, the first write connects
        on, _ = pointer(struct.pack("=i", 1))
        call(54, fd, 6, 30, on, 4)
        return connect_and_say(plain)(fd)
    with_socket("fastopen_connect", AF_INET, STREAM, 0, deferred)


def udp(port):
    spellings = loopback_spellings(port)
    spellings["unspec"] = (AF_INET, inet("127.0.0.1", port, AF_UNSPEC))
    spellings["unspec_any"] = (AF_INET, inet("0.0.0.0", port, AF_UNSPEC))
    spellings["inet_on_inet6"] = (AF_INET6, inet("127.0.0.1", port))
    for name, (family, address) in spellings.items():
        for send, function in all_sends(address).items():
            with_socket(f"{send}_{name}", family, DGRAM, 0, function)
        with_socket(f"connect_{name}", family, DGRAM, 0,
                    then(lambda fd: connect(fd, address), lambda fd: sendto(fd, None)))
    plain = inet("127.0.0.1", port)
    with_socket("more", AF_INET, DGRAM, 0, then(lambda fd: sendto(fd, plain, b"att", MORE),
                                                lambda fd: sendto(fd, None, b"ack")))
    with_socket("udplite", AF_INET, DGRAM, UDPLITE, lambda fd: sendto(fd, plain))


def udp6(port):
    for name, address in (("plain", inet6("::1", port)), ("any", inet6("::", port)),
                          ("scoped", inet6("::1", port, 1))):
        for send, function in all_sends(address).items():
            with_socket(f"{send}_{name}", AF_INET6, DGRAM, 0, function)
        with_socket(f"connect_{name}", AF_INET6, DGRAM, 0,
                    then(lambda fd: connect(fd, address), lambda fd: sendto(fd, None)))


def detour(open_port, port):
    there, here = inet("127.0.0.1", port), inet("127.0.0.1", open_port)
    for send, function in all_sends(there).items():
        with_socket(f"{send}_after_allowed", AF_INET, DGRAM, 0, then(lambda fd: sendto(fd, here, b"open"), function))
        with_socket(f"{send}_after_connect", AF_INET, DGRAM, 0, then(lambda fd: connect(fd, here), function))
    with_socket("reconnect", AF_INET, DGRAM, 0,
                then(lambda fd: connect(fd, here), then(lambda fd: connect(fd, there), lambda fd: sendto(fd, None))))
    with_socket("unspec_reconnect", AF_INET, DGRAM, 0,
                then(lambda fd: connect(fd, here), lambda fd: connect(fd, inet("127.0.0.1", port, AF_UNSPEC))))
    # The second message of a batch, and of a held-back datagram.
    mixed = [message(b"open", here), message(b"attack", there), message(b"open", here)]
    with_socket("batch", AF_INET, DGRAM, 0, lambda fd: sendmmsg(fd, mixed))
    print(f"batch_lengths: {[each.sent for each in mixed]}")
    with_socket("corked", AF_INET, DGRAM, 0, then(lambda fd: sendto(fd, here, b"open", MORE),
                                                  lambda fd: sendto(fd, there, b"attack")))


ROUTES = {
    # Routing headers that lead by way of another address, and an IPv4 source route.
    "IPV6_RTHDR": (41, 57, bytes([0, 2, 4, 0, 0, 0, 0, 0]) + bytes(15) + b"\1"),
    "IPV6_2292RTHDR": (41, 5, bytes([0, 2, 0, 1]) + bytes(4) + bytes(15) + b"\1"),
    "IPV6_HOPOPTS": (41, 54, bytes([0, 0, 1, 4, 0, 0, 0, 0])), "IPV6_DSTOPTS": (41, 59, bytes([0, 0, 1, 4, 0, 0, 0, 0])),
    "IPV6_RTHDRDSTOPTS": (41, 55, bytes([0, 0, 1, 4, 0, 0, 0, 0])),
    "IPV6_2292PKTOPTIONS": (41, 6, b""),
    "IP_RETOPTS": (0, 7, bytes([131, 7, 4]) + bytes([127, 0, 0, 1]) + b"\0"),
    "IP_OPTIONS": (0, 4, bytes([131, 7, 4]) + bytes([127, 0, 0, 1]) + b"\0"),
}


def routed(open_port):
    for name, (level, kind, data) in ROUTES.items():
        family, address = ((AF_INET6, inet6("::1", open_port)) if level == 41 else (AF_INET, inet("127.0.0.1", open_port)))
        if kind not in (6, 4):
            control = control_message(level, kind, data)
            with_socket(f"sendmsg_{name}", family, DGRAM, 0, lambda fd: sendmsg(fd, message(b"routed", address, control)))
            with_socket(f"sendmmsg_{name}", family, DGRAM, 0,
                        lambda fd: sendmmsg(fd, [message(b"routed", address, control)]))
            # Behind a harmless one.
            first = control_message(0, 1, struct.pack("=i", 16)) if family == AF_INET else \
                control_message(41, 67, struct.pack("=i", 16))
            with_socket(f"second_{name}", family, DGRAM, 0,
                        lambda fd: sendmsg(fd, message(b"routed", address, first + control)))
        if kind != 7:
            buffer, _ = pointer(data)
            for suffix, extra in (("", 0), ("_high", 5 << 32)):
                with_socket(f"option{suffix}_{name}", family, DGRAM, 0,
                            lambda fd: call(54, fd, level | extra, kind | extra, buffer, len(data)))
    # What ordinary programs attach goes through.
    tos = control_message(0, 1, struct.pack("=i", 16))
    with_socket("ordinary", AF_INET, DGRAM, 0,
                lambda fd: sendmsg(fd, message(b"ordinary", inet("127.0.0.1", open_port), tos)))


def source(port):
    """To an unspecified address the kernel sends where the socket itself is."""
    def from_source(function):
        return then(lambda fd: bind(fd, inet("127.0.0.2", 0)), function)
    def from_mapped(function):
        return then(lambda fd: bind(fd, inet6("::ffff:127.0.0.2", 0)), function)
    nowhere, nowhere6 = inet("0.0.0.0", port), inet6("::", port)
    with_socket("udp_connect", AF_INET, DGRAM, 0, from_source(connect_and_say(nowhere)))
    with_socket("udp6_connect", AF_INET6, DGRAM, 0, from_mapped(connect_and_say(nowhere6)))
    for send, function in all_sends(nowhere, flags=DONTWAIT).items():
        with_socket(f"udp_{send}", AF_INET, DGRAM, 0, from_source(function))
    for send, function in all_sends(nowhere6, flags=DONTWAIT).items():
        with_socket(f"udp6_{send}", AF_INET6, DGRAM, 0, from_mapped(function))
    packet_info = control_message(0, 8, struct.pack("=i4s4s", 0, bytes([127, 0, 0, 2]), bytes(4)))
    with_socket("udp_packet_info", AF_INET, DGRAM, 0, lambda fd: sendmsg(fd, message(b"attack", nowhere, packet_info)))
    with_socket("tcp_connect", AF_INET, STREAM, 0, from_source(connect_and_say(nowhere)))


def asked(host, open_port, port):
    """Each socket is first connected as one that only asks for the way, and then used to send."""
    question, there = inet(host, port), inet(host, open_port)

    def write(fd):
        _text, where = pointer(b"attack")
        return call(1, fd, where, 6)

    def dissolve(fd):
        return connect(fd, inet("0.0.0.0", 0, AF_UNSPEC))

    def corked(fd):
        on, _ = pointer(struct.pack("=i", 1))
        off, _ = pointer(struct.pack("=i", 0))
        call(54, fd, 17, 1, on, 4)  # UDP_CORK
        result = write(fd)
        call(54, fd, 17, 1, off, 4)
        return result

    def spliced(fd):
        read_end, write_end = os.pipe()
        os.write(write_end, b"attack")
        return call(275, read_end, 0, fd, 0, 6, 0)

    def forked(fd):
        return -in_child(lambda: -min(write(fd), 0))

    def raced(fd):
        """Dissolved and connected again and again while another thread writes."""
        results, over = [], threading.Event()

        def writer():
            while not over.is_set():
                results.append(write(fd))
        thread = threading.Thread(target=writer)
        sys.setswitchinterval(1e-5)
        thread.start()
        end = time.monotonic() + 0.7
        while time.monotonic() < end and max(results[-1000:], default=0) <= 0:
            dissolve(fd)
            connect(fd, question)
        over.set()
        thread.join()
        return max(results, default=0)

    ways = {"write": write, "cork": corked, "splice": spliced, "fork": forked,
            "dup": lambda fd: write(os.dup(fd)),
            "more": then(lambda fd: sendto(fd, None, b"att", MORE), lambda fd: sendto(fd, None, b"ack")),
            "again": then(dissolve, then(lambda fd: connect(fd, question), write)),
            "turned": then(lambda fd: connect(fd, there), write),
            "dissolved": then(dissolve, then(lambda fd: connect(fd, there), write)), "raced": raced}
    ways.update({f"{name}_connected": function for name, function in all_sends(None).items()})
    ways.update({f"{name}_named": function for name, function in all_sends(there).items()})
    for name, function in ways.items():
        with_socket(name, AF_INET, DGRAM, 0, then(lambda fd: connect(fd, question), function))


def kinds():
    for name, family, kind, protocol in (
            ("raw", AF_INET, RAW, 255), ("raw_icmp", AF_INET, RAW, 1), ("raw_udp", AF_INET, RAW, 17),
            ("raw6", AF_INET6, RAW, 58), ("packet_by_type", AF_INET, 10, 0x300), ("packet6_by_type", AF_INET6, 10, 0x300),
            ("packet", 17, RAW, 0x300), ("mptcp", AF_INET, STREAM, MPTCP), ("udplite", AF_INET, DGRAM, UDPLITE),
            ("udplite6", AF_INET6, DGRAM, UDPLITE), ("l2tp", AF_INET, DGRAM, 115), ("sctp", AF_INET, STREAM, SCTP),
            ("ping_of_the_other_family", AF_INET, DGRAM, 58), ("vsock", 40, STREAM, 0), ("alg", 38, SEQPACKET, 0),
            ("xdp", 44, RAW, 0)):
        with_socket(name, family, kind, protocol, lambda fd: 0)
        pair = (ctypes.c_int * 2)()
        report(f"pair_{name}", call(53, family, kind, protocol, pair))


def uring(port):
    parameters = ctypes.create_string_buffer(120)
    fd = call("io_uring_setup", 4, parameters)
    report("io_uring_setup", fd)
    report("io_uring_register", call("io_uring_register", -1, 0, 0, 0))
    report("io_uring_enter", call("io_uring_enter", -1, 0, 0, 0, 0, 0))


if __name__ == "__main__":
    main(globals())
