"""Ways to a port to be reached on, without a bind that is allowed.

    net_ports.py udp KIND            a UDP socket (KIND inet or inet6) gains a port in every way; each socket
                                     stays open, its port is printed as "name port" up to "end 0", and after
                                     a line from standard input it says what it received
    net_ports.py detach              taking the filter off a UDP socket that should receive nothing
    net_ports.py handed HOST TEXT    a datagram by the UDP socket that is the standard input
    net_ports.py listen PORT         TCP sockets that listen without a bind
    net_ports.py aimed PORT          listening without a bind, and a bind to port 0, at a port of its own choice
    net_ports.py chosen COUNT        TCP sockets that listen where the kernel likes, as "name port"
    net_ports.py moved PORT...       TCP sockets that listen at ports that others have: the inode of each; open until
                                     a line from standard input
    net_ports.py failed OWN PORT     TCP sockets that are bound, connected to where nobody answers, and listen
    net_ports.py dropped             a UDP socket that receives nothing: its port, and after a line from standard
                                     input how many datagrams it was sent
    net_ports.py bind PORT           binding in every spelling
    net_ports.py steal PORT          sharing a port that another program listens on
"""

import array
import os
import select
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(__file__))
from net_raw import *

HERE = {"inet": ("127.0.0.1", AF_INET), "inet6": ("::1", AF_INET6)}


def gains(kind):
    """name -> function(socket): what may give the socket a port. It may return another copy of it."""
    host, family = HERE[kind]
    anybody = inet(host, 9) if kind == "inet" else inet6(host, 9)
    probe = inet(host, 65535) if kind == "inet" else inet6(host, 65535)

    def passed(sock):
        left, right = socket.socketpair()
        left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sock.fileno()]))])
        _, control, _, _ = right.recvmsg(1, socket.CMSG_LEN(4))
        copy = array.array("i")
        copy.frombytes(control[0][2][:4])
        other = socket.socket(fileno=copy[0])
        os.write(other.fileno(), b"")
        return other

    def forked(sock):
        def child():
            try:
                os.write(sock.fileno(), b"x")
            except OSError:
                pass
            return 0
        in_child(child)

    def duplicated(sock):
        copy = sock.dup()
        os.write(copy.fileno(), b"x")
        return copy

    def spliced(sock):
        read_end, write_end = os.pipe()
        os.write(write_end, b"x")
        os.splice(read_end, sock.fileno(), 1)

    def vectored(sock):
        os.writev(sock.fileno(), [b"x", b"y"])

    def sent_file(sock):
        with open("/etc/passwd", "rb") as file:
            os.sendfile(sock.fileno(), file.fileno(), 0, 4)

    def corked(sock):
        sock.setsockopt(17, 1, 1)  # UDP_CORK
        os.write(sock.fileno(), b"x")

    return {
        "write": lambda sock: os.write(sock.fileno(), b"x"),
        "empty_write": lambda sock: os.write(sock.fileno(), b""),
        "send": lambda sock: sock.send(b"x"),
        "empty_send": lambda sock: sock.send(b""),
        "sendmsg": lambda sock: sock.sendmsg([b"x"]),
        "sendmmsg": lambda sock: sendmmsg(sock.fileno(), [message(b"x"), message(b"")]),
        "writev": vectored, "splice": spliced, "sendfile": sent_file, "cork": corked,
        "connect": lambda sock: connect(sock.fileno(), anybody),
        "connect_probe": lambda sock: connect(sock.fileno(), probe),
        "connect_unspec": lambda sock: (connect(sock.fileno(), probe), connect(sock.fileno(), inet("0.0.0.0", 0, 0)))[1],
        "sendto": lambda sock: sendto(sock.fileno(), anybody),
        "sendto_unspec": lambda sock: sendto(sock.fileno(), inet("127.0.0.1", 9, 0)),
        "bind": lambda sock: bind(sock.fileno(), inet("0.0.0.0", 0) if kind == "inet" else inet6("::", 0)),
        "bind_unspec": lambda sock: bind(sock.fileno(), inet("0.0.0.0", 0, 0)),
        "shutdown": lambda sock: sock.shutdown(socket.SHUT_WR),
        "dup": duplicated, "fork": forked, "passed": passed,
    }


def udp(kind):
    host, family = HERE[kind]
    opened = {}
    for name, function in gains(kind).items():
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as error:
            report("socket", -error.errno)
            return
        copy = None
        try:
            copy = function(sock)
        except OSError:
            pass
        opened[name] = copy if isinstance(copy, socket.socket) else sock
        opened[name + " kept"] = sock
        print(name, opened[name].getsockname()[1], flush=True)
    print("end 0", flush=True)
    sys.stdin.readline()
    for name, sock in opened.items():
        if name.endswith(" kept"):
            continue
        readable, _, _ = select.select([sock], [], [], 0)
        if not readable:
            report(name, -11)
            continue
        try:
            data = sock.recv(100, socket.MSG_DONTWAIT)
        except OSError as error:
            report(name, -error.errno)
            continue
        print(f"{name}: received {len(data)}")
    print("done: OK")


def detach():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        attempt("SO_DETACH_FILTER", lambda: sock.setsockopt(1, 27, 0))
        attempt("SO_LOCK_FILTER", lambda: sock.setsockopt(1, 44, 0))
        accept_all = struct.pack("=HBBI", 6, 0, 0, 0xffff)
        buffer, where = pointer(accept_all)
        program, _ = pointer(struct.pack("=HxxxxxxQ", 1, where))
        report("SO_ATTACH_FILTER", call(54, sock.fileno(), 1, 26, program, 16))


def handed(host, text):
    with socket.socket(fileno=0) as sock:
        attempt("connect", lambda: sock.connect((host, 65535)))
        attempt("send", lambda: sock.send(text.encode()))


def fresh():
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def now_listening(sock):
    """0 if the socket listens, else the error of listen()."""
    result = listen(sock.fileno())
    if result == 0 and not sock.getsockopt(socket.SOL_SOCKET, 30):
        return -95
    return result


def listens(name, prepare, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        prepare(sock)
        result = now_listening(sock)
        report(name, result)
        if result == 0:
            reached = fresh()
            try:
                reached.settimeout(2)
                reached.connect(("127.0.0.1", sock.getsockname()[1]))
            except OSError as error:
                report(f"{name}_reached", -error.errno)
            else:
                report(f"{name}_reached", 0)
            reached.close()


def quietly(function):
    try:
        return function()
    except OSError:
        return None


def listen_(port):
    disconnect = inet("0.0.0.0", 0, AF_UNSPEC)
    refused = ("127.0.0.1", port)

    def failed(sock):
        quietly(lambda: sock.connect(refused))

    def undone(sock):
        quietly(lambda: sock.connect(refused))
        connect(sock.fileno(), disconnect)

    def failed_nonblocking(sock):
        sock.setblocking(False)
        sock.connect_ex(refused)
        select.select([], [sock], [], 1)
        sock.setblocking(True)

    def in_the_child(sock):
        os.set_inheritable(sock.fileno(), True)
        in_child(lambda: 0 if listen(sock.fileno()) == 0 else 1)

    def failed_bind(sock):
        bind(sock.fileno(), inet("203.0.113.1", 0))

    def no_port(sock):  # IP_BIND_ADDRESS_NO_PORT: a bind that leaves the port open
        sock.setsockopt(0, 24, 1)
        bind(sock.fileno(), inet("127.0.0.1", 0))

    for name, prepare in (("unbound", lambda sock: None), ("after_failed_connect", failed), ("after_undone_connect", undone),
                          ("after_failed_nonblocking", failed_nonblocking), ("after_child", in_the_child),
                          ("after_failed_bind", failed_bind), ("no_port", no_port)):
        listens(name, prepare)
    listens("unbound6", lambda sock: None, socket.AF_INET6)

    with fresh() as sock:
        report("high", call(LISTEN, sock.fileno() | (3 << 32), 8))
    with socket.socket(socket.AF_UNIX) as sock:  # an autobound unix socket is none of this
        sock.bind("")
        report("unix", listen(sock.fileno()))
    with open("/etc/passwd", "rb") as file:
        report("file", listen(file.fileno()))
    report("nothing", listen(999))


LOCAL_PORT_RANGE, NO_PORT = 51, 24  # IP_LOCAL_PORT_RANGE, IP_BIND_ADDRESS_NO_PORT


def aimed(port):
    def is_there(sock):
        if sock.getsockname()[1] != port:
            raise OSError(99, "at another port")

    for name, family in (("inet", socket.AF_INET), ("inet6", socket.AF_INET6)):
        for way in ("listen", "bind"):
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                attempt(f"{name} range", lambda: sock.setsockopt(socket.IPPROTO_IP, LOCAL_PORT_RANGE, struct.pack("=HH", port, port)))
                if way == "bind":
                    quietly(lambda: sock.bind(("", 0)))
                quietly(sock.listen)
                attempt(f"{name} {way}", lambda: is_there(sock))


def chosen(count):
    def bound_to_no_port(sock):
        sock.setsockopt(socket.IPPROTO_IP, NO_PORT, 1)
        sock.bind(("", 0))

    held = []
    for name, prepare in (("unbound", lambda sock: None), ("no_port", bound_to_no_port), ("bound", lambda sock: sock.bind(("", 0)))):
        for family in (socket.AF_INET, socket.AF_INET6):
            for number in range(count):
                held.append(socket.socket(family, socket.SOCK_STREAM))
                try:
                    prepare(held[-1])
                    held[-1].listen()
                    print(f"{name}{family.value}_{number}: {held[-1].getsockname()[1]}")
                except OSError as error:
                    report(f"{name}{family.value}_{number}", -error.errno)


def moved(*ports):
    held = []
    for port in ports:
        held.append(fresh())
        held[-1].bind(("127.0.0.1", port))
        held[-1].listen()
        print(port, os.fstat(held[-1].fileno()).st_ino, flush=True)
    print("end 0", flush=True)
    sys.stdin.readline()


def failed(own, port):
    cases = {"mapped": (socket.AF_INET6, "::ffff:127.0.0.1"), "ipv6": (socket.AF_INET6, "::1"), "ipv4": (socket.AF_INET, "127.0.0.1")}
    for name, (family, host) in cases.items():
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", own))
            quietly(lambda: sock.connect((host, port)))
            report(name, now_listening(sock))


def dropped():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        nothing, where = pointer(struct.pack("=HBBI", 6, 0, 0, 0))
        program, at = pointer(struct.pack("=HxxxxxxQ", 1, where))
        quietly(lambda: call(54, sock.fileno(), 1, 26, at, 16))  # SO_ATTACH_FILTER
        quietly(lambda: sock.send(b""))
        print(sock.getsockname()[1], flush=True)
        sys.stdin.readline()
        try:
            print(struct.unpack("=9I", sock.getsockopt(socket.SOL_SOCKET, 55, 36))[8])  # SO_MEMINFO: SK_MEMINFO_DROPS
        except OSError as error:
            print(error.errno)


def bound_then(sock_family, address):
    def function(fd):
        on, _ = pointer(struct.pack("=i", 1))
        call(54, fd, 1, 2, on, 4)
        result = bind(fd, address)
        return result if result < 0 else listen(fd)
    return sock_family, function


def bind_(port):
    cases = {
        "plain": (AF_INET, inet("127.0.0.1", port)), "any": (AF_INET, inet("0.0.0.0", port)),
        "unspec": (AF_INET, inet("0.0.0.0", port, AF_UNSPEC)), "inet6": (AF_INET6, inet6("::1", port)),
        "any6": (AF_INET6, inet6("::", port)), "mapped": (AF_INET6, inet6("::ffff:127.0.0.1", port)),
        "mapped_any": (AF_INET6, inet6("::ffff:0.0.0.0", port)),
        "long": (AF_INET, inet("127.0.0.1", port) + bytes(112)),
    }
    for name, (family, address) in cases.items():
        _, function = bound_then(family, address)
        with_socket(name, family, STREAM, 0, function)
    for name, family, address in (("ephemeral", AF_INET, inet("0.0.0.0", 0)), ("ephemeral6", AF_INET6, inet6("::", 0)),
                                  ("ephemeral_unspec", AF_INET, inet("0.0.0.0", 0, AF_UNSPEC))):
        with_socket(name, family, STREAM, 0, bound_then(family, address)[1])
    with_socket("mptcp", AF_INET, STREAM, MPTCP, bound_then(AF_INET, inet("127.0.0.1", port))[1])
    with_socket("udplite", AF_INET, DGRAM, UDPLITE, lambda fd: bind(fd, inet("127.0.0.1", port)))
    with_socket("too_long", AF_INET, STREAM, 0, lambda fd: bind(fd, inet("127.0.0.1", port) + bytes(200)))
    with_socket("too_short", AF_INET, STREAM, 0, lambda fd: bind(fd, inet("127.0.0.1", port), 4))
    with_socket("udp", AF_INET, DGRAM, 0, lambda fd: bind(fd, inet("127.0.0.1", port)))


def steal(port):
    def share(fd):
        on, _ = pointer(struct.pack("=i", 1))
        call(54, fd, 1, 15, on, 4)  # SO_REUSEPORT
        result = bind(fd, inet("127.0.0.1", port))
        return result if result < 0 else listen(fd)
    with_socket("steal", AF_INET, STREAM, 0, share)


if __name__ == "__main__":
    main({**globals(), "listen": listen_, "bind": bind_})
