"""Sending by name and with sendmsg: what the rules and grants name is reached, nothing else, and a call
that the supervisor performs behaves like the kernel's own."""

import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time

import pytest

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B", "-c"]

# Before every script: errno names, and the calls that Python does not have.
PRELUDE = """
import array, ctypes, errno, os, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
errno.errorcode[errno.EOPNOTSUPP] = "EOPNOTSUPP" # the number has two names
def attempt(act, *args):
    try:
        return act(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
def name4(host, port, family=socket.AF_INET):
    return struct.pack("=H", family) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)
def name_unix(path):
    return struct.pack("=H", socket.AF_UNIX) + path
class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]
class Header(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("name_length", ctypes.c_uint32), ("ranges", ctypes.POINTER(Iovec)),
                ("count", ctypes.c_size_t), ("control", ctypes.c_char_p), ("control_length", ctypes.c_size_t),
                ("flags", ctypes.c_int)]
class Entry(ctypes.Structure):
    _fields_ = [("header", Header), ("length", ctypes.c_uint)]
def header(data, name=None, control=None, name_length=None):
    ranges = (Iovec * 1)(Iovec(data, len(data)))
    length = len(name) if name else 0
    return Header(name, length if name_length is None else name_length, ranges, 1, control,
                  len(control) if control else 0, 0)
def result(value):
    return value if value >= 0 else errno.errorcode[ctypes.get_errno()]
def sendmsg(sock, *args, flags=0, **more):
    return result(libc.sendmsg(sock.fileno(), ctypes.byref(header(*args, **more)), flags))
def sendto(sock, data, name, flags=0, length=None):
    length = len(name) if length is None else length
    return result(libc.sendto(sock.fileno(), data, len(data), flags, name, ctypes.c_uint32(length)))
def sendmmsg(sock, messages, flags=0):
    entries = (Entry * len(messages))(*[Entry(header(*message), 77) for message in messages])
    return result(libc.sendmmsg(sock.fileno(), entries, len(messages), flags)), [entry.length for entry in entries]
def cmsg(level, kind, data):
    return struct.pack("=Qii", 16 + len(data), level, kind) + data + bytes(-len(data) % 8)
def udp(family=socket.AF_INET):
    return socket.socket(family, socket.SOCK_DGRAM)
"""


def inside(sandlock, options, script, *args, **kwargs):
    """What the script prints, as a list of lines."""
    done = sandlock.run(*options, "--", *PYTHON, PRELUDE + script, *args, **kwargs)
    assert done.code == 0, done
    return done.stdout.split("\n")[:-1]


class Receiver:
    """A UDP socket of the host's."""

    def __init__(self, address="127.0.0.1", family=socket.AF_INET):
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.port = self.socket.getsockname()[1]
        self.address = address

    def received(self):
        self.socket.setblocking(False)
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(70000))
            except BlockingIOError:
                return messages


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.socket.close()


@pytest.fixture
def other():
    receiver = Receiver("127.0.0.2")
    yield receiver
    receiver.socket.close()


@pytest.fixture
def short():
    """A directory whose name leaves room for socket names."""
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as path:
        yield pathlib.Path(path)


def unix_receiver(path):
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path) if not isinstance(path, bytes) else path)
    receiver.setblocking(False)
    return receiver


def drain(receiver):
    messages = []
    try:
        while True:
            messages.append(receiver.recv(1000))
    except BlockingIOError:
        return messages


# ---- What is said of names and control data ---------------------------------------------------------

SHAPES = """
import tempfile
receiver = udp()
receiver.bind(("127.0.0.1", int(sys.argv[1])))
listener = socket.socket()
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
connected, fresh = udp(), udp()
connected.connect(receiver.getsockname())
stream, idle = socket.socket(), socket.socket()
stream.connect(listener.getsockname())
left, right = socket.socketpair()
first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
before, behind = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
name = name4("127.0.0.1", int(sys.argv[1]))
for length in (0, 1, 2, 5, 7):
    print(length, [sendto(made, b"x", name, length=length)
                   for made in (connected, fresh, stream, idle, left, first, before)],
          [sendmsg(made, b"x", name, name_length=length) for made in (connected, fresh, stream, idle, left, first, before)])
rights = cmsg(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", 0))
closed = cmsg(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", 999))
asserted = cmsg(socket.SOL_SOCKET, 2, struct.pack("3i", 1, 0, 0))
print([sendmsg(made, b"x", None, control) for made in (connected, stream) for control in (rights, closed, asserted)])
print(len(receiver.recv(10)))
"""


@pytest.mark.root
def test_names_without_a_length_and_control_data_of_other_kinds_are_the_kernels(sandlock):
    """Only who reads a name minds that it is short, and only unix sockets pass descriptors on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    native = subprocess.run([*PYTHON, PRELUDE + SHAPES, port], capture_output=True, text=True, check=True, timeout=60)
    assert "'EINVAL'" in native.stdout
    lines = inside(sandlock, ["--net-allow", f"127.0.0.1:{port}", "--net-allow-bind", port], SHAPES, port)
    assert lines == native.stdout.splitlines()


# ---- UDP -------------------------------------------------------------------------------------------

@pytest.mark.root
def test_a_udp_rule_opens_its_destination_and_no_other(sandlock, receiver, other):
    lines = inside(sandlock, ["--net-allow", f"udp://127.0.0.1:{receiver.port}"], """
port, other = int(sys.argv[1]), int(sys.argv[2])
s = udp()
print(s.sendto(b"one", ("127.0.0.1", port)))
print(attempt(s.sendto, b"no", ("127.0.0.2", other)))
print(sendmsg(s, b"two", name4("127.0.0.1", port)))
print(sendmsg(s, b"no", name4("127.0.0.2", other)))
print(sendmsg(s, b"no", name4("127.0.0.1", other)))
print(s.sendto(b"three", ("127.0.0.1", port)))
""", receiver.port, other.port)
    assert lines == ["3", "ECONNREFUSED", "3", "ECONNREFUSED", "ECONNREFUSED", "5"]
    assert receiver.received() == [b"one", b"two", b"three"]
    assert other.received() == []


def test_the_udp_wildcard_opens_every_address(sandlock, receiver, other):
    lines = inside(sandlock, ["--net-allow", "udp://*"], """
s = udp()
print(s.sendto(b"one", ("127.0.0.1", int(sys.argv[1]))), s.sendto(b"two", ("127.0.0.2", int(sys.argv[2]))))
""", receiver.port, other.port)
    assert lines == ["3 3"]
    assert receiver.received() == [b"one"] and other.received() == [b"two"]


def test_a_tcp_rule_opens_no_udp(sandlock, receiver):
    lines = inside(sandlock, ["--net-allow", f"tcp://127.0.0.1:{receiver.port}"], """
port = int(sys.argv[1])
s = udp()
print(attempt(s.sendto, b"no", ("127.0.0.1", port)), sendmsg(s, b"no", name4("127.0.0.1", port)),
      *sendmmsg(s, [(b"no", name4("127.0.0.1", port))])[:1])
print(type(attempt(os.write, s.fileno(), b"no")).__name__, type(attempt(s.send, b"no")).__name__)
""", receiver.port)
    assert lines == ["ECONNREFUSED ECONNREFUSED ECONNREFUSED", "str str"]
    assert receiver.received() == []


def test_without_rules_there_is_no_udp_socket(sandlock):
    assert inside(sandlock, [], "print(attempt(udp), attempt(udp, socket.AF_INET6))") == ["EPERM EPERM"]


def test_a_denied_range_is_refused_in_every_spelling(sandlock, receiver, other):
    lines = inside(sandlock, ["--net-deny", "127.0.0.1", "--net-deny", "[::1]:*"], """
port, other = int(sys.argv[1]), int(sys.argv[2])
s, s6 = udp(), udp(socket.AF_INET6)
print(attempt(s.sendto, b"no", ("127.0.0.1", port)))
print(attempt(s.sendto, b"no", ("0.0.0.0", port)))
print(sendto(s, b"no", name4("127.0.0.1", port, socket.AF_UNSPEC)))
print(sendto(s, b"no", name4("0.0.0.0", port, socket.AF_UNSPEC)))
print(attempt(s6.sendto, b"no", ("::ffff:127.0.0.1", port)))
print(attempt(s6.sendto, b"no", ("::ffff:0.0.0.0", port)))
print(attempt(s6.sendto, b"no", ("::", port)))
print(sendto(s6, b"no", name4("127.0.0.1", port)))
print(s.sendto(b"yes", ("127.0.0.2", other)), sendto(s, b"unspec", name4("127.0.0.2", other, socket.AF_UNSPEC)),
      s6.sendto(b"mapped", ("::ffff:127.0.0.2", other)))
""", receiver.port, other.port)
    assert lines == ["ECONNREFUSED"] * 8 + ["3 6 6"]
    assert receiver.received() == []
    assert other.received() == [b"yes", b"unspec", b"mapped"]


def test_a_connected_datagram_socket_sends_without_a_name(sandlock, receiver, other):
    lines = inside(sandlock, ["--net-allow", f"udp://127.0.0.1:{receiver.port}"], """
port, other = int(sys.argv[1]), int(sys.argv[2])
s = udp()
s.connect(("127.0.0.1", port))
print(s.sendmsg([b"o", b"ne"]), sendmmsg(s, [(b"two",), (b"three",)]))
print(attempt(s.sendto, b"no", ("127.0.0.2", other)))
""", receiver.port, other.port)
    assert lines == ["3 (2, [3, 5])", "ECONNREFUSED"]
    assert receiver.received() == [b"one", b"two", b"three"] and other.received() == []


def test_an_address_that_is_too_long_is_invalid(sandlock, receiver):
    process = sandlock.start("--net-allow", f"udp://127.0.0.1:{receiver.port}", "--", *PYTHON, PRELUDE + """
port = int(sys.argv[1])
s, seen = udp(), set()
for host in ("127.0.0.1", "127.0.0.2"):
    for length in (129, 4096, 1 << 20, 0x7fffffff, 0x80000000, 0xffffffff) * 20:
        seen.add(sendto(s, b"no", name4(host, port), length=length))
        seen.add(sendmsg(s, b"no", name4(host, port), name_length=length))
print(seen, flush=True)
input()
""", str(receiver.port), stdin=-1)
    assert process.stdout.readline() == "{'EINVAL'}\n"
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    process.communicate("\n", timeout=20)
    assert resident < 32 * 1024
    assert receiver.received() == []


def test_a_batch_ends_at_the_first_refusal(sandlock, receiver, other):
    lines = inside(sandlock, ["--net-allow", f"udp://127.0.0.1:{receiver.port}"], """
yes, no = name4("127.0.0.1", int(sys.argv[1])), name4("127.0.0.2", int(sys.argv[2]))
s = udp()
print(sendmmsg(s, [(b"one", yes), (b"no", no), (b"not sent", yes)]))
print(sendmmsg(s, [(b"no", no), (b"not sent", yes)]))
print(sendmmsg(s, []))
count, lengths = sendmmsg(s, [(b"many", yes)] * 300)
print(count, lengths[:count] == [4] * count)
""", receiver.port, other.port)
    assert lines == ["(1, [3, 77, 77])", "('ECONNREFUSED', [77, 77])", "(0, [])", "256 True"]
    assert receiver.received()[:2] == [b"one", b"many"] and other.received() == []


def test_large_datagrams_arrive_whole(sandlock, receiver):
    receiver.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    lines = inside(sandlock, ["--net-allow", "udp://127.0.0.1"], """
s, to = udp(), ("127.0.0.1", int(sys.argv[1]))
print(s.sendto(bytes(range(256)) * 200, to), s.sendmsg([b"x" * 30000, b"y" * 35000], [], 0, to),
      s.sendto(b"", to))
print(attempt(s.sendto, b"x" * 70000, to), attempt(s.sendto, b"x" * 3000000, to))
""", receiver.port)
    assert lines == ["51200 65000 0", "EMSGSIZE EMSGSIZE"]
    assert receiver.received() == [bytes(range(256)) * 200, b"x" * 30000 + b"y" * 35000, b""]


def test_the_refusal_is_recorded_with_the_rule_that_would_allow_it(sandlock, receiver, tmp_path):
    log = tmp_path / "log"
    script = 's = udp(); print(attempt(s.sendto, b"x", ("127.0.0.1", int(sys.argv[1]))))'
    rules = ["--net-allow", "udp://192.0.2.1"]
    assert inside(sandlock, [*rules, "--log-denials", log], script, receiver.port) == ["ECONNREFUSED"]
    record = json.loads(log.read_text().splitlines()[0])
    assert record["object"] == f"udp://127.0.0.1:{receiver.port}"
    assert record["suggest"].startswith("--net-allow ")
    rules += record["suggest"].split()
    assert inside(sandlock, rules, script, receiver.port) == ["1"]
    assert receiver.received() == [b"x"]


# ---- What could carry a packet elsewhere -----------------------------------------------------------

@pytest.mark.root
@pytest.mark.parametrize("rules", [[], ["--net-allow", "tcp://192.0.2.1"], ["--net-deny", "127.0.0.1"]],
                         ids=["none", "allow", "deny"])
def test_fast_open_connects_nowhere(sandlock, rules):
    listener = socket.create_server(("127.0.0.1", 0))
    lines = inside(sandlock, rules, """
fast = 0x20000000
name = name4("127.0.0.1", int(sys.argv[1]))
tcp = lambda: socket.socket()
print(sendto(tcp(), b"no", name, fast), sendmsg(tcp(), b"no", name, flags=fast),
      sendmmsg(tcp(), [(b"no", name)], fast)[0])
# without the flag a name connects nothing either
for send in (sendto, sendmsg):
    s = tcp()
    s.settimeout(0)
    print(type(send(s, b"no", name)).__name__)
print(attempt(socket.socket, socket.AF_INET, socket.SOCK_STREAM, 262))
""", listener.getsockname()[1])
    assert lines == ["EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP", "str", "str", "EPROTONOSUPPORT"]
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.root
@pytest.mark.ipv6
def test_routing_headers_are_refused(sandlock):
    lines = inside(sandlock, ["--net-allow", "udp://[::1]:*", "--net-allow", "udp://127.0.0.1"], """
receiver = udp(socket.AF_INET6)
receiver.bind(("::1", 0))
to = receiver.getsockname()
s, s4 = udp(socket.AF_INET6), udp()
route = struct.pack("=BBBBI", 0, 2, 4, 0, 0) + socket.inet_pton(socket.AF_INET6, "::1")
print(*[attempt(s.setsockopt, 41, option, route) for option in (5, 6, 54, 55, 57, 59, 32)],
      attempt(s4.setsockopt, 0, 4, bytes(4)))
print(*[attempt(s.sendmsg, [b"no"], [(41, kind, route)], 0, to) for kind in (5, 54, 55, 57, 59, 11)],
      attempt(s4.sendmsg, [b"no"], [(0, 7, bytes(4))], 0, ("127.0.0.1", 9)))
print(s.sendmsg([b"yes"], [(41, 52, struct.pack("i", 3))], 0, to), receiver.recv(10))
print(attempt(s.sendmsg, [b"no"], [(41, 52, struct.pack("i", 3)), (41, 57, route)], 0, to))
""")
    assert lines == [" ".join(["EPERM"] * 8), " ".join(["EPERM"] * 7), "3 b'yes'", "EPERM"]


# ---- Connected streams -----------------------------------------------------------------------------

MODES = pytest.mark.parametrize("rules", [[], ["--net-allow", "127.0.0.1"]], ids=["plain", "rules"])


@pytest.mark.root
@MODES
def test_descriptors_travel_over_unix_sockets(sandlock, rules):
    lines = inside(sandlock, rules, """
a, b = socket.socketpair()
r, w = os.pipe()
socket.send_fds(a, [b"pipe"], [w])
data, fds, _, _ = socket.recv_fds(b, 10, 4)
os.write(fds[0], b"through")
print(data, len(fds), os.read(r, 10))
print(attempt(a.sendmsg, [b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", 999))]))
print(attempt(a.sendmsg, [b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iii", os.getpid(), os.getuid(), os.getgid()))]))
print(sendmsg(a, b"x", None, cmsg(1, 1, struct.pack("i", w))[:12] + bytes(12)), sendmsg(a, b"x", None, struct.pack("=Qii", 4000, 1, 1)),
      sendmsg(a, b"x", None, struct.pack("=Qii", 3, 1, 1)))
print(sendmsg(a, b"x", None, bytes(16385)))
b.setblocking(False)
print(attempt(b.recv, 10), a.sendmsg([b"fine"]), b.recv(10))
""")
    assert lines == ["b'pipe' 1 b'through'", "EBADF", "EPERM", "EINVAL EINVAL EINVAL", "EMSGSIZE", "EAGAIN 4 b'fine'"]


@MODES
def test_no_descriptor_stays_with_the_supervisor(sandlock, rules):
    process = sandlock.start(*rules, "--", *PYTHON, PRELUDE + """
a, b = socket.socketpair()
def act():
    for _ in range(50):
        socket.send_fds(a, [b"x"], [0, 1, 2])
        for fd in socket.recv_fds(b, 10, 4)[1]: os.close(fd)
        attempt(socket.send_fds, a, [b"x"], [0, 1, 999])
        sendmmsg(a, [(b"x", None, cmsg(1, 1, struct.pack("ii", 1, 2)))])
        for fd in socket.recv_fds(b, 10, 4)[1]: os.close(fd)
for _ in range(2):
    act()
    print(flush=True)
    input()
""", stdin=-1)

    def least(enough):
        """The fewest it has within a while: it may just be putting one away."""
        counts = []
        while len(counts) < (2000 if enough else 100) and not (counts and min(counts) <= enough):
            counts.append(len(os.listdir(f"/proc/{process.pid}/fd")))
            time.sleep(0.005)
        return min(counts)

    process.stdout.readline()
    before = least(0)
    process.stdin.write("\n")
    process.stdin.flush()
    process.stdout.readline()
    after = least(before)
    process.communicate("\n", timeout=20)
    assert after == before


STALLED = """
def stalled(kind):
    if kind == "unix":
        return socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    a = socket.create_connection(listener.getsockname())
    return a, listener.accept()[0]
a, b = stalled(sys.argv[1])
a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10000)
data = os.urandom(6_000_000)
def drain(after, received):
    time.sleep(after)
    while len(received) < len(data):
        received += b.recv(1 << 20)
"""
KINDS = pytest.mark.parametrize("kind", ["unix", "tcp"])


def stalled_options(kind):
    return [] if kind == "unix" else ["--net-allow", "tcp://127.0.0.1", "--net-allow-bind", "*"]


@pytest.mark.parametrize(("kind", "call"), [
    ("unix", "a.sendmsg([data])"), ("tcp", "a.sendmsg([data[:5], data[5:]])"),
    ("unix", "sendmmsg(a, [(data,)])"), ("tcp", "sendmmsg(a, [(data,)])"),
    ("tcp", "sendto(a, data, name4('127.0.0.1', 1))"),
])
def test_a_blocking_send_returns_the_full_length_when_the_peer_drains(sandlock, kind, call):
    lines = inside(sandlock, stalled_options(kind), STALLED + f"""
received = bytearray()
reader = threading.Thread(target=drain, args=(4, received))
reader.start()
slowest, busy = 0, True
def others():
    global slowest
    c, d = socket.socketpair()
    while busy:
        start = time.monotonic()
        c.sendmsg([b"x"])
        d.recv(1)
        slowest = max(slowest, time.monotonic() - start)
        time.sleep(0.01)
helper = threading.Thread(target=others)
helper.start()
start = time.monotonic()
print({call})
elapsed = time.monotonic() - start
busy = False
reader.join(); helper.join()
print(received == data, elapsed > 3, slowest < 3)
""", kind)
    assert lines == ["(1, [6000000])" if "sendmmsg" in call else "6000000", "True True True"]


@KINDS
def test_a_send_that_must_not_wait_returns_at_once(sandlock, kind):
    lines = inside(sandlock, stalled_options(kind), STALLED + """
sent, full, slowest = 0, 0, 0
while full < 3: # what TCP has on its way goes on into the peer's buffer
    start = time.monotonic()
    count = attempt(a.sendmsg, [data[sent:]], [], socket.MSG_DONTWAIT)
    slowest = max(slowest, time.monotonic() - start)
    if count == "EAGAIN":
        full += 1
        time.sleep(0.1)
    else:
        sent += count
print(0 < sent < len(data), slowest < 3)
a.setblocking(False)
start = time.monotonic()
for tries in range(20): # on a busy machine some of it moves on yet
    count = attempt(a.sendmsg, [data[sent:]])
    if count == "EAGAIN":
        break
    sent += count
print(count, sendmmsg(a, [(data[sent:],)])[0], time.monotonic() - start < 3)
b.setblocking(False)
received = bytearray()
while len(received) < sent:
    received += b.recv(1 << 20)
print(received == data[:sent])
""", kind)
    assert lines == ["True True", "EAGAIN EAGAIN True", "True"]


@KINDS
def test_one_byte_of_a_long_message_is_urgent(sandlock, kind):
    script = PRELUDE + """
data = bytes(range(1, 251)) * 1200
listener = socket.create_server(("127.0.0.1", 0))
def pair():
    if sys.argv[1] == "unix":
        return socket.socketpair()
    a = socket.create_connection(listener.getsockname())
    return a, listener.accept()[0]
def read(sock, received):
    while len(received) < len(data) - 1:
        part = attempt(sock.recv, 1 << 20)
        if not isinstance(part, bytes): return
        received.extend(part)
def one():
    a, b = pair()
    received = bytearray()
    b.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 20, 0))
    reader = threading.Thread(target=read, args=(b, received))
    reader.start()
    time.sleep(0.02) # it waits: what arrives is read at once
    sent = a.sendmsg([data], [], socket.MSG_OOB)
    reader.join()
    urgent = attempt(b.recv, 1, socket.MSG_OOB)
    return sent, len(received), received == data[:-1], urgent == data[-1:]
print({one() for _ in range(10)})
"""
    expected = ["{(300000, 299999, True, True)}"]
    native = subprocess.run([*PYTHON, script, kind], capture_output=True, text=True, timeout=60, check=True)
    assert native.stdout.split("\n")[:-1] == expected, "the control"
    options = ["--net-allow", "tcp://127.0.0.1", "--net-allow-bind", "*"]
    assert inside(sandlock, options, script[len(PRELUDE):], kind) == expected


def test_the_sockets_own_limit_of_time_holds(sandlock):
    lines = inside(sandlock, [], STALLED + """
a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 300000))
for _ in range(2):
    start = time.monotonic()
    count = attempt(a.sendmsg, [data])
    print(count if isinstance(count, str) else 0 < count < len(data), 0.25 < time.monotonic() - start < 15)
""", "unix")
    assert lines == ["True True", "EAGAIN True"]


def test_a_signal_ends_or_restarts_a_send_that_waits(sandlock):
    script = STALLED + """
got = []
signal.signal(signal.SIGALRM, lambda *_: got.append(1))
signal.siginterrupt(signal.SIGALRM, sys.argv[2] == "interrupt")
while attempt(a.sendmsg, [data], [], socket.MSG_DONTWAIT) != "EAGAIN": pass
received = bytearray()
def reader():
    time.sleep(15 if sys.argv[2] == "interrupt" else 1.5)
    while len(received) < 100: received.extend(b.recv(1 << 20))
thread = threading.Thread(target=reader, daemon=True)
thread.start()
signal.setitimer(signal.ITIMER_REAL, 0.3)
start = time.monotonic()
print(sendmsg(a, b"x"))
elapsed = time.monotonic() - start
print(got, "short" if elapsed < (10 if sys.argv[2] == "interrupt" else 1) else "long")
"""
    # The alarm is the process's; the thread that waits is the first one, which takes it.
    assert inside(sandlock, [], script, "unix", "interrupt") == ["EINTR", "[1] short"]
    assert inside(sandlock, [], script, "unix", "restart") == ["1", "[1] long"]


def test_a_signal_ends_a_send_with_a_limit_of_time_also_where_calls_are_restarted(sandlock):
    """It would get the whole time again: with a timer that is shorter it would never end."""
    script = STALLED + """
got = []
signal.signal(signal.SIGALRM, lambda *_: got.append(1))
signal.siginterrupt(signal.SIGALRM, False)
while attempt(a.sendmsg, [data], [], socket.MSG_DONTWAIT) != "EAGAIN": pass
a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 25, 0))
signal.setitimer(signal.ITIMER_REAL, 0.3)
start = time.monotonic()
print(sendmsg(a, b"x"), got, time.monotonic() - start < 15)
"""
    native = subprocess.run([*PYTHON, PRELUDE + script, "unix"], capture_output=True, text=True, timeout=60, check=True)
    assert native.stdout.split("\n")[:-1] == ["EINTR [1] True"], "the control"
    assert inside(sandlock, [], script, "unix") == ["EINTR [1] True"]


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_SEQPACKET"])
@pytest.mark.parametrize("end", ["a.shutdown(socket.SHUT_WR)", "b.shutdown(socket.SHUT_RD)"], ids=["own", "peer"])
def test_a_shutdown_ends_a_send_that_waits(sandlock, kind, end):
    script = f"""
a, b = socket.socketpair(socket.AF_UNIX, socket.{kind})
while attempt(a.send, b"y" * 1000, socket.MSG_DONTWAIT) != "EAGAIN": pass
def shut():
    time.sleep(0.3)
    {end}
threading.Thread(target=shut, daemon=True).start()
start = time.monotonic()
print(attempt(a.sendmsg, [b"y" * 100000]), time.monotonic() - start < 15)
"""
    native = subprocess.run([*PYTHON, PRELUDE + script], capture_output=True, text=True, timeout=60, check=True)
    assert native.stdout.split("\n")[:-1] == ["EPIPE True"], "the control"
    assert inside(sandlock, [], script) == ["EPIPE True"]


@pytest.mark.root
def test_a_broken_stream_raises_sigpipe_unless_it_is_asked_not_to(sandlock):
    script = """
a, b = socket.socketpair(socket.AF_UNIX, getattr(socket, sys.argv[2]))
b.close()
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
flags = socket.MSG_NOSIGNAL if sys.argv[1] == "quiet" else 0
print(attempt(a.sendmsg, [b"x"], [], flags), flush=True)
"""
    assert inside(sandlock, [], script, "quiet", "SOCK_STREAM") == ["EPIPE"]
    assert inside(sandlock, [], script, "loud", "SOCK_SEQPACKET") == ["EPIPE"]
    done = sandlock.run("--", *PYTHON, PRELUDE + script, "loud", "SOCK_STREAM")
    assert (done.code, done.stdout) == (128 + 13, "")


# ---- Named unix sockets ----------------------------------------------------------------------------

ALL_CALLS = """
def all_calls(path, data=b"x"):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    return [attempt(s.sendto, data, path), attempt(s.sendmsg, [data], [], 0, path),
            sendmmsg(s, [(data, name_unix(os.fsencode(path)))])[0]]
"""


@pytest.mark.root
@MODES
def test_a_named_socket_needs_a_write_grant(sandlock, short, rules):
    receiver = unix_receiver(short / "sock")
    script = ALL_CALLS + "print(all_calls(sys.argv[1]))"
    for options in ([], ["-r", short]):
        assert inside(sandlock, [*rules, *options], script, short / "sock") == [str(["EACCES"] * 3)]
    assert drain(receiver) == []
    assert inside(sandlock, [*rules, "-w", short], script, short / "sock") == ["[1, 1, 1]"]
    assert drain(receiver) == [b"x"] * 3


@MODES
def test_what_counts_is_the_socket_that_is_reached(sandlock, short, rules):
    (short / "in").mkdir()
    granted, hidden = unix_receiver(short / "in/sock"), unix_receiver(short / "hidden")
    odd = unix_receiver(os.fsencode(short / "odd") + b"\xff\xfe")
    (short / "in/link").symlink_to(short / "hidden")
    (short / "in/back").symlink_to("sock")
    lines = inside(sandlock, [*rules, "-w", short / "in", "--cwd", short / "in"], ALL_CALLS + """
top = sys.argv[1]
print(all_calls("sock"), all_calls("./back"), all_calls(top + "/in/../in/sock"))
print(all_calls(top + "/in/link"), all_calls("link"), all_calls("../hidden"))
print(all_calls(os.fsencode(top) + b"/odd\\xff\\xfe"), all_calls(b"../odd\\xff\\xfe"))
print(all_calls("missing"), all_calls("../missing"))
""", short)
    assert lines == [" ".join(["[1, 1, 1]"] * 3), " ".join([str(["EACCES"] * 3)] * 3), " ".join([str(["EACCES"] * 3)] * 2),
                     f"{['ENOENT'] * 3} {['EACCES'] * 3}"]
    assert len(drain(granted)) == 9 and drain(hidden) == [] and drain(odd) == []


def test_a_full_receiver_is_waited_for(sandlock, short):
    receiver = unix_receiver(short / "sock")
    process = sandlock.start("-w", short, "--", *PYTHON, PRELUDE + """
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
n = 0
while attempt(s.sendto, b"%d" % n, socket.MSG_DONTWAIT, sys.argv[1]) != "EAGAIN":
    n += 1
print(n, flush=True)
print(s.sendto(b"last", sys.argv[1]), flush=True)
""", str(short / "sock"))
    count = int(process.stdout.readline())
    time.sleep(0.3)
    messages = drain(receiver)
    assert process.communicate(timeout=20)[0] == "4\n"
    messages += drain(receiver)
    assert messages == [b"%d" % n for n in range(count)] + [b"last"]


@pytest.mark.root
def test_abstract_names_lead_to_the_sandbox_alone(sandlock):
    outside = unix_receiver(b"\0sandlock-test-%d" % os.getpid())
    script = ALL_CALLS + """
own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = "\\0sandlock-test-own-%d-" % os.getpid() + sys.argv[1]
own.bind(name)
own.setblocking(False)
print(all_calls("\\0sandlock-test-" + sys.argv[1]), all_calls(name), attempt(own.recv, 10))
"""
    assert inside(sandlock, [], script, os.getpid()) == [f"{['EPERM'] * 3} [1, 1, 1] b'x'"]
    assert inside(sandlock, ["--net-allow", "tcp://127.0.0.1"], script, os.getpid()) == [
        f"{['EAFNOSUPPORT'] * 3} {['EAFNOSUPPORT'] * 3} EAGAIN"]
    assert drain(outside) == []


# ---- Races -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("rules", [[], ["--net-allow", "udp://127.0.0.1"]], ids=["plain", "rules"])
def test_a_name_that_changes_meanwhile_reaches_only_what_is_granted(sandlock, short, rules):
    (short / "in").mkdir()
    granted, hidden = unix_receiver(short / "in/sock"), unix_receiver(short / "hidden")
    lines = inside(sandlock, [*rules, "-w", short / "in"], """
good, bad = (name_unix(os.fsencode(sys.argv[1] + part).ljust(60, b"\\0")) for part in ("/in/sock", "/hidden"))
name = ctypes.create_string_buffer(good, 64)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setblocking(False)
done, seen = False, {}
def swap():
    while not done:
        ctypes.memmove(name, bad, len(bad))
        ctypes.memmove(name, good, len(good))
threading.Thread(target=swap).start()
ranges = (Iovec * 1)(Iovec(b"x", 1))
h = Header(None, len(good), ranges, 1, None, 0, 0)
ctypes.memmove(ctypes.byref(h), ctypes.byref(ctypes.c_void_p(ctypes.addressof(name))), 8)
begin = time.monotonic()
while time.monotonic() < begin + 1.5 or len(seen) < 2 and time.monotonic() < begin + 15: # a busy machine
    for answer in (result(libc.sendmsg(s.fileno(), ctypes.byref(h), 0)),
                   result(libc.sendto(s.fileno(), b"x", 1, 0, name, len(good)))):
        seen[answer] = seen.get(answer, 0) + 1
done = True
print(sorted(map(str, seen)))
""", short)
    assert "EACCES" in lines[0], "the race was seen"
    assert drain(hidden) == []


def test_a_destination_or_descriptor_that_changes_meanwhile_reaches_only_what_is_allowed(sandlock, receiver, other):
    lines = inside(sandlock, ["--net-allow", f"udp://127.0.0.1:{receiver.port}"], """
good, bad = name4("127.0.0.1", int(sys.argv[1])), name4("127.0.0.2", int(sys.argv[2]))
name = ctypes.create_string_buffer(good, 16)
number = udp().detach()
s, pair = udp(), socket.socketpair()
done, seen = False, {}
def swap(act):
    while not done:
        act()
def addresses():
    ctypes.memmove(name, bad, 16)
    ctypes.memmove(name, good, 16)
def descriptors():
    os.dup2(pair[0].fileno(), number)
    os.dup2(s.fileno(), number)
for act in addresses, descriptors:
    threading.Thread(target=swap, args=(act,)).start()
ranges = (Iovec * 1)(Iovec(b"x", 1))
h = Header(None, 16, ranges, 1, None, 0, 0)
ctypes.memmove(ctypes.byref(h), ctypes.byref(ctypes.c_void_p(ctypes.addressof(name))), 8)
begin = time.monotonic()
while time.monotonic() < begin + 1.5 or len(seen) < 2 and time.monotonic() < begin + 15: # a busy machine
    for answer in (result(libc.sendmsg(number, ctypes.byref(h), socket.MSG_DONTWAIT)),
                   result(libc.sendto(number, b"x", 1, socket.MSG_DONTWAIT, name, 16))):
        seen[answer] = seen.get(answer, 0) + 1
done = True
print(sorted(map(str, seen)))
""", receiver.port, other.port)
    assert "ECONNREFUSED" in lines[0] and "1" in lines[0], "the race was seen"
    assert receiver.received() and other.received() == []


def test_two_hundred_sends_that_wait_delay_nobody(sandlock):
    lines = inside(sandlock, [], """
pairs = [socket.socketpair() for _ in range(200)]
for a, b in pairs:
    while attempt(a.sendmsg, [b"x" * 65536], [], socket.MSG_DONTWAIT) != "EAGAIN": pass
answers = []
threads = [threading.Thread(target=lambda a=a: answers.append(a.sendmsg([b"last"]))) for a, b in pairs]
for thread in threads: thread.start()
time.sleep(0.3)
c, d = socket.socketpair()
taken = []
for _ in range(20):
    start = time.monotonic()
    c.sendmsg([b"x"])
    taken.append(time.monotonic() - start)
waiting = len(answers)
for a, b in pairs: threading.Thread(target=lambda b=b: [b.recv(1 << 20) for _ in range(8)], daemon=True).start()
for thread in threads: thread.join(20)
print(waiting, sorted(taken)[10] < 1.5, answers == [4] * 200, flush=True)
os._exit(0)
""")
    assert lines == ["0 True True"]
