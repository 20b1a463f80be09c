"""Sockets that a bind ties to an interface although it fails, and what they send to the machine itself then.

net_device_bind.py INDEX PORT: ping and TCP sockets; PORT may be bound. Prints the interface each has afterwards, and the names that
are told of it."""
import errno
import socket
import sys

index, port = int(sys.argv[1]), int(sys.argv[2])
BIND_DEVICE, BIND_INDEX, ADDRESS_FORM = 25, 62, 1
OWN, NOBODYS = "fe80::2", "fe80::1"
ECHO = b"\x80\0\0\0\0\0\0\1"


def try_to(function, *arguments):
    try:
        function(*arguments)
        return "OK"
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)


def say(name, function, *arguments):
    print(f"{name}: {try_to(function, *arguments)}")


def ping():
    return socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)


def bind_to_interface(sock, number=0):
    """Succeeds if the socket has the interface afterwards."""
    address = OWN if sock.type == socket.SOCK_DGRAM else NOBODYS
    result = try_to(sock.bind, (address, number, 0, index))
    if sock.getsockopt(socket.SOL_SOCKET, BIND_INDEX) != index:
        raise OSError(getattr(errno, result, 0), "not bound to the interface")


def ping_connected():
    with ping() as sender:
        sender.connect(("::1", 0))
        bind_to_interface(sender)
        sender.send(ECHO + b"ping, connected")


def ping_named():
    with ping() as sender:
        bind_to_interface(sender)
        sender.sendto(ECHO + b"ping, named", ("::1", 0))


def plain_ping():
    """An ordinary one, with control data of its own as programs have it."""
    with ping() as sender:
        sender.settimeout(5)
        sender.sendto(ECHO + b"plain ping", ("::1", 0))
        assert b"plain ping" in sender.recv(100)
        hop_limit = (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, (3).to_bytes(4, "little"))
        sender.sendmsg([ECHO + b"plain again"], [hop_limit], 0, ("::1", 0))
        assert b"plain again" in sender.recv(100)


def tcp():
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as client:
        bind_to_interface(client, port)
        client.settimeout(0.3)
        client.connect(("::ffff:127.0.0.1", port))


def plain_tcp():
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as listener:
        listener.bind(("::", port))
        listener.listen()
        with socket.create_connection(("::1", port), 5) as client:
            client.send(b"plain")
            assert listener.accept()[0].recv(100) == b"plain"


def other_family():
    """An IPv4 socket that keeps its interface, made of an IPv6 socket."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.connect(("::ffff:127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_IPV6, ADDRESS_FORM, socket.AF_INET)


def name():
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        try_to(sock.bind, (NOBODYS, port, 0, index))
        if sock.getsockopt(socket.SOL_SOCKET, BIND_DEVICE, 16).rstrip(b"\0") != b"cable0":
            raise OSError(errno.ENODATA, "no name")


def tcp_or_timeout():
    try:
        tcp()
    except TimeoutError:
        pass  # the packet is on its way


say("plain ping", plain_ping)
say("plain tcp", plain_tcp)
say("ping, connected", ping_connected)
say("ping, named", ping_named)
say("tcp", tcp_or_timeout)
say("other family", other_family)
say("name", name)
