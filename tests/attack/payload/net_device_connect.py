"""Connected sockets that a further connect ties to an interface, and what they send to their peer then.

net_device_connect.py INDEX PORT: sends b"<way>" in every way it knows, after a plain datagram to itself.
net_device_connect.py INDEX PORT connected: a TCP socket that tries an IPv4 address, and an IPv6 one then.
net_device_connect.py INDEX PORT accepted: one that an IPv4 client was accepted on."""
import ctypes
import errno
import select
import socket
import struct
import sys

index, port = int(sys.argv[1]), int(sys.argv[2])
HERE, OWN, BIND_INDEX, UNBLOCKED = "::ffff:127.0.0.1", "::ffff:10.9.9.2", 62, (errno.EINPROGRESS, errno.EALREADY)
LINK, GROUP, GROUP_ALONE = ("fe80::1", port, 0, index), ("ff02::fb", port, 0, index), ("ff02::fb", port)
ECHO = b"\x80\0\0\0\0\0\0\1"
libc = ctypes.CDLL(None, use_errno=True)


def attempt(sock, address):
    try:
        sock.connect(address)
    except OSError as error:
        return error.errno
    return 0


def dissolve(sock):
    return libc.connect(sock.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16)


def udp(own_port=0):
    """Its source keeps an IPv6 connect from success, and the route by an interface from being refused."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind((OWN, own_port))
    sock.connect((HERE, port))
    return sock


def send(sock, text):
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 16)  # the kernel looks for the way again
    sock.send(text)


def failed(address, option=None, own_port=0):
    def way(text):
        with udp(own_port) as sender:
            if option is not None:
                sender.setsockopt(*option, index)
            assert attempt(sender, address) != 0
            send(sender, text)
    return way


def failed_for_an_ipv4_address(text):
    """The peer's name is of the other family."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.bind((OWN, 0))
        there = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), bytes((127, 0, 0, 1)))
        libc.connect(sender.fileno(), there, len(there))
        assert attempt(sender, LINK) != 0
        send(sender, text)


def connected_before(text):
    """To an address with the interface, dissolved, and connected again."""
    with udp() as sender:
        dissolve(sender)
        attempt(sender, GROUP)
        sender.connect((HERE, port))
        send(sender, text)


def by_sendmsg(text):
    with udp() as sender:
        assert attempt(sender, GROUP) != 0
        sender.sendmsg([text], [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack("i", 16))])


def by_a_duplicate(text):
    with udp() as sender, sender.dup() as other:
        assert attempt(other, LINK) != 0
        send(sender, text)


def tcp(_text):
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        assert attempt(client, LINK) == errno.EINPROGRESS
        dissolve(client)
        error = attempt(client, (HERE, port))
        if error not in UNBLOCKED:
            raise OSError(error, "connect")


def tcp_after_ipv4():
    """The socket goes on speaking IPv4: its first packet is for the address before."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        error = attempt(client, (HERE, port))
        assert error in (errno.EINPROGRESS, errno.ECONNREFUSED), error
        select.select([], [client], [], 5)
        client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        attempt(client, (HERE, port))  # collects that it failed
        dissolve(client)
        error = attempt(client, LINK)
        if error != errno.EINPROGRESS:
            raise OSError(error, "connect")


def tcp_of_ipv4_client():
    """As above, of a socket that has never been connected."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as listener, socket.socket() as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("::", port))
        listener.listen()
        client.connect(("127.0.0.1", port))
        with listener.accept()[0] as served:
            served.setblocking(False)
            dissolve(served)
            error = attempt(served, LINK)
        if error != errno.EINPROGRESS:
            raise OSError(error, "connect")


def plain_tcp():
    """Several addresses of one family, one after another, and IPv6 before IPv4."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as listener, \
            socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("::", port))
        assert attempt(client, ("::1", port)) == attempt(client, (HERE, port)) == errno.ECONNREFUSED
        listener.listen()
        client.connect((HERE, port))
        client.send(b"plain")
        assert listener.accept()[0].recv(100) == b"plain"


def ping(_text):
    """What it sends without an address would leave by the interface of any later bind."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6) as sender:
        sender.sendto(ECHO + b"ping", ("fd77::1", 0))
        sender.connect(("fd77::1", 0))


def plain():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as receiver, \
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as near:
        receiver.bind(("::1", port))
        receiver.settimeout(5)
        for peer in (GROUP, LINK):
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as far:
                far.connect(peer)
                assert far.getpeername()[:2] == peer[:2]
                assert far.getsockopt(socket.SOL_SOCKET, BIND_INDEX) == index
                far.send(b"plain")
        assert dissolve(near) == 0
        for _ in range(2):
            near.connect(("::1", port))
        near.send(b"plain")
        assert receiver.recv(100) == b"plain"


def loosened(_text):
    """From the interface that came with the peer."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.connect(GROUP)
        result = dissolve(sender)
        assert sender.getsockopt(socket.SOL_SOCKET, BIND_INDEX) == (index if result else 0)
        if result:
            raise OSError(ctypes.get_errno(), "dissolve")


def again():
    """A socket whose connect failed is of use."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, udp() as sender:
        receiver.bind(("127.0.0.1", port))
        receiver.settimeout(5)
        assert attempt(sender, GROUP) != 0
        dissolve(sender)
        sender.connect((HERE, port))
        sender.send(b"again")
        assert receiver.recv(100) == b"again"


MULTICAST_IF = (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF)
WAYS = {
    "link-local": failed(LINK),
    "multicast": failed(GROUP),
    "multicast, interface by option": failed(GROUP_ALONE, option=MULTICAST_IF),
    "at a port of its own": failed(GROUP, own_port=port),
    "peer by an IPv4 address": failed_for_an_ipv4_address,
    "by sendmsg": by_sendmsg,
    "by a duplicate": by_a_duplicate,
    "connected before": connected_before,
    "tcp": tcp,
}


def say(name, function, *arguments):
    try:
        function(*arguments)
        print(f"{name}: OK")
    except OSError as error:
        print(f"{name}: {errno.errorcode.get(error.errno, error.errno)}")


if len(sys.argv) > 3:
    say("plain", plain_tcp)
    say("tcp", tcp_after_ipv4 if sys.argv[3] == "connected" else tcp_of_ipv4_client)
    sys.exit(0)
say("plain", plain)
say("again", again)
for name, way in WAYS.items():
    say(name, way, name.encode())
say("ping", ping, b"")
say("loosened", loosened, b"")
