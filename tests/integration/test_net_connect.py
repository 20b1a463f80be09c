"""Connections: which destinations a sandbox reaches, what the others answer, and that waiting for a
connection holds up nothing else.

Every refusal is tested with a listener that is there, and the listener is asked whether it saw
anything.
"""

import concurrent.futures
import contextlib
import errno
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

PYTHON = "/usr/bin/python3"
KERNEL = tuple(int(number) for number in os.uname().release.split(".")[:2])

# What members have at hand. `attempt` tells "OK" or the name of the errno.
PRELUDE = """
import ctypes, errno, os, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def attempt(call, *args):
    try:
        call(*args)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "OK"

def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET

def tcp(host, port, received=True):
    with socket.socket(family_of(host)) as sock:
        sock.settimeout(None)
        result = attempt(sock.connect, (host, port))
        if result == "OK" and received:
            assert sock.recv(2) == b"hi", "no greeting"
        return result

def udp(host, port):
    with socket.socket(family_of(host), socket.SOCK_DGRAM) as sock:
        return attempt(sock.connect, (host, port))

def unix(name):
    with socket.socket(socket.AF_UNIX) as sock:
        result = attempt(sock.connect, name)
        if result == "OK":
            assert sock.recv(2) == b"hi", "no greeting"
        return result

def raw_connect(fd, address, length=None):
    length = len(address) if length is None else length
    if libc.connect(fd, address, ctypes.c_uint(length)) == 0:
        return "OK"
    return errno.errorcode.get(ctypes.get_errno(), str(ctypes.get_errno()))

def inet(host, port, family=socket.AF_INET):
    return struct.pack("=H", family) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)
"""


class Listener:
    """Greets whoever connects and counts them."""

    def __init__(self, family, address):
        self.socket = socket.socket(family)
        if family != socket.AF_UNIX:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(address)
        self.socket.listen(128)
        self.accepted = 0
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.socket.getsockname()[1]

    def serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                peer.send(b"hi")
            except OSError:
                pass
            peer.close()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.socket.close()


class FullListener:
    """Its backlog is full, and nobody accepts: a connect to it waits."""

    def __init__(self, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.bind((host, 0))
        self.socket.listen(0)
        self.fillers, self.accepted = [], []
        for _ in range(20):
            filler = socket.socket(family)
            filler.settimeout(0.2)
            self.fillers.append(filler)
            try:
                filler.connect(self.socket.getsockname())
            except (TimeoutError, socket.timeout):
                return
        raise AssertionError("the backlog does not fill up")

    @property
    def port(self):
        return self.socket.getsockname()[1]

    def drain(self):
        """Accepts whoever waits, from now on."""
        self.socket.settimeout(10)

        def serve():
            try:
                while True:
                    self.accepted.append(self.socket.accept()[0])
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()

    def close(self):
        self.socket.close()
        for filler in self.fillers + self.accepted:
            filler.close()


@pytest.fixture
def listen():
    made = []

    def make(host="127.0.0.1", port=0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made.append(Listener(family, (host, port)))
        return made[-1]

    yield make
    for listener in made:
        listener.close()


@pytest.fixture
def listen_unix():
    made = []

    def make(name):
        made.append(Listener(socket.AF_UNIX, name))
        if not os.fsencode(name).startswith(b"\0"):
            os.chmod(name, 0o777)
        return made[-1]

    yield make
    for listener in made:
        listener.close()


@pytest.fixture
def full():
    made = FullListener()
    yield made
    made.close()


@pytest.fixture
def member(sandlock):
    """Runs lines of Python in a sandbox and returns what they put into `result`."""

    def run(code, *options, env=None, timeout=60):
        script = PRELUDE + code + "\nimport json; print('=' + json.dumps(result))\n"
        done = sandlock.run(*options, "--", PYTHON, "-c", script, env=env, timeout=timeout)
        assert done.code == 0, done
        line = [text for text in done.stdout.splitlines() if text.startswith("=")][-1]
        return json.loads(line[1:])

    return run


needs_ipv6 = pytest.mark.ipv6


# ---- Without rules ----------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.parametrize("options", [[], ["--port-remap"], ["--net-allow-bind", "*"]])
def test_without_rules_no_tcp_connection_is_made(member, listen, options):
    listener = listen()
    assert member(f"result = tcp('127.0.0.1', {listener.port})", *options) == "EACCES"
    assert listener.accepted == 0
    allowed = ["--net-allow", f"tcp://127.0.0.1:{listener.port}"]
    assert member(f"result = tcp('127.0.0.1', {listener.port})", *options, *allowed) == "OK"
    assert listener.accepted == 1


def test_without_rules_a_connection_inside_the_sandbox_is_not_made_either(member):
    code = """
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
result = tcp(*listener.getsockname(), received=False)
"""
    assert member(code, "--net-allow-bind", "0") == "EACCES"


# ---- Rules ------------------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.parametrize("allow", ["tcp://127.0.0.1:{}", ":{}", "*", "localhost:{}"])
def test_a_deny_rule_wins_over_whatever_allows(member, listen, allow):
    listener = listen()
    allow = ["--net-allow", allow.format(listener.port)]
    code = f"result = tcp('127.0.0.1', {listener.port})"
    assert member(code, *allow, "--net-deny", "127.0.0.0/8") == "ECONNREFUSED"
    assert member(code, "--net-deny", f"127.0.0.1:{listener.port}", *allow) == "ECONNREFUSED"
    assert listener.accepted == 0
    assert member(code, *allow, "--net-deny", "10.0.0.0/8") == "OK"
    assert listener.accepted == 1


def test_a_rule_of_one_protocol_opens_no_other(member, listen):
    listener = listen()
    code = f"result = [tcp('127.0.0.1', {listener.port}), udp('127.0.0.1', {listener.port})]"
    at = f"127.0.0.1:{listener.port}"
    assert member(code, "--net-allow", f"udp://{at}") == ["ECONNREFUSED", "OK"]
    assert member(code, "--net-allow", f"tcp://{at}") == ["OK", "ECONNREFUSED"]
    assert member(code, "--net-allow", at) == ["OK", "OK"]


def test_a_host_is_reached_on_every_port_and_no_other_host(member, listen):
    one, two, other = listen(), listen(), listen("127.0.0.2")
    code = f"""
result = [tcp('127.0.0.1', {one.port}), tcp('127.0.0.1', {two.port}), tcp('127.0.0.2', {other.port})]
"""
    assert member(code, "--net-allow", "localhost:*") == ["OK", "OK", "ECONNREFUSED"]
    assert other.accepted == 0


def test_a_port_is_reached_on_every_address_and_no_other_port(member, listen):
    one, other = listen(), listen()
    two = listen("127.0.0.2", one.port)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: the kernel refuses
        silent = unused.getsockname()[1]
        code = f"""
result = [tcp('127.0.0.1', {one.port}), tcp('127.0.0.2', {one.port}),
          tcp('127.0.0.1', {other.port}), tcp('127.0.0.1', {silent})]
"""
        results = member(code, "--net-allow", f":{one.port}", "--net-allow", f":{silent}")
    assert results == ["OK", "OK", "ECONNREFUSED", "ECONNREFUSED"]
    assert (one.accepted, two.accepted, other.accepted) == (1, 1, 0)


@needs_ipv6
@pytest.mark.root
def test_a_denied_range_is_refused_in_every_spelling(member, listen):
    v4, v6 = listen(), listen("::1")
    code = f"""
dual = socket.socket(socket.AF_INET6)
result = {{
    "plain": tcp("127.0.0.1", {v4.port}),
    "any": tcp("0.0.0.0", {v4.port}),
    "mapped": tcp("::ffff:127.0.0.1", {v4.port}),
    "mapped any": tcp("::ffff:0.0.0.0", {v4.port}),
    "udp": udp("127.0.0.1", {v4.port}),
    "udp mapped": udp("::ffff:127.0.0.1", {v4.port}),
    "other": tcp("::1", {v6.port}),
    "other any": tcp("::", {v6.port}),
    "other udp": udp("::1", {v6.port}),
}}
"""
    refused = dict.fromkeys(["plain", "any", "mapped", "mapped any", "udp", "udp mapped"],
                            "ECONNREFUSED")
    others = dict.fromkeys(["other", "other any", "other udp"], "OK")
    assert member(code, "--net-deny", "127.0.0.0/8") == {**refused, **others}
    assert v4.accepted == 0 and v6.accepted == 2
    assert set(member(code, "--net-deny", "10.0.0.0/8").values()) == {"OK"}


def test_an_address_that_is_too_long_is_refused_before_all_else(member, listen):
    listener = listen()
    code = f"""
result = []
for port in ({listener.port}, 1):
    for length in (129, 4096, 0x7fffffff, 0xffffffff):
        with socket.socket() as sock:
            result.append(raw_connect(sock.fileno(), inet("127.0.0.1", port), length))
with socket.socket() as sock:
    result.append(raw_connect(sock.fileno(), inet("127.0.0.1", {listener.port})))
"""
    allow = ["--net-allow", f"tcp://127.0.0.1:{listener.port}"]
    assert member(code, *allow) == ["EINVAL"] * 8 + ["OK"]


def test_what_is_no_socket_or_no_address_gets_the_kernels_errno(member):
    code = """
null = os.open("/dev/null", os.O_RDONLY)
stream = socket.socket().detach()
address = inet("127.0.0.1", 80)
result = [raw_connect(null, address), raw_connect(999, address),
          raw_connect(stream, None, 16), raw_connect(stream, address, 0),
          raw_connect(stream, b"\\2\\0"), raw_connect(stream, struct.pack("=H", 17) + bytes(18))]
"""
    expected = ["ENOTSOCK", "EBADF", "EFAULT", "EINVAL", "EINVAL", "EAFNOSUPPORT"]
    assert member(code, "--net-allow", "*", "-r", "/dev/null") == expected


def test_a_connection_is_dissolved_and_made_again(member, listen):
    listener = listen()
    code = f"""
sock = socket.socket()
address = inet("127.0.0.1", {listener.port})
fd = sock.fileno()
result = [raw_connect(fd, address), raw_connect(fd, address), raw_connect(fd, bytes(16)),
          raw_connect(fd, address)]
"""
    allow = ["--net-allow", f"tcp://127.0.0.1:{listener.port}"]
    assert member(code, *allow) == ["OK", "EISCONN", "OK", "OK"]


@pytest.mark.root
def test_a_grandchild_and_a_thread_connect_as_the_first_process_does(member, listen):
    listener = listen()
    code = f"""
import subprocess
inner = "import socket; socket.create_connection(('127.0.0.1', {listener.port})).recv(2)"
result = [subprocess.run(["/bin/sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, inner]).returncode]
thread = threading.Thread(target=lambda: result.append(tcp("127.0.0.1", {listener.port})))
thread.start()
thread.join()
"""
    assert member(code, "--net-allow", f"tcp://127.0.0.1:{listener.port}") == [0, "OK"]
    assert listener.accepted == 2


def test_denials_say_what_would_allow_the_connection(sandlock, listen):
    listener = listen()
    code = PRELUDE + f"tcp('127.0.0.1', {listener.port})"
    explained = sandlock.run("--explain", "--net-allow", "udp://10.0.0.1:53", "--", PYTHON, "-c", code)
    option = f"--net-allow tcp://127.0.0.1:{listener.port}"
    assert f"connect tcp://127.0.0.1:{listener.port}: ECONNREFUSED" in explained.stderr
    assert option in explained.stderr
    assert sandlock.run(*option.split(), "--", PYTHON, "-c", code).code == 0
    assert listener.accepted == 1


@needs_ipv6
def test_a_question_for_a_family_is_answered_and_sends_nothing(member):
    """One libc asks so whether a family works; what the socket could do with the answer is nothing."""
    code = """
result = []
for host in ("127.0.0.1", "::1"):
    with socket.socket(family_of(host), socket.SOCK_DGRAM) as sock:
        result += [attempt(sock.connect, (host, 65535)), attempt(sock.send, b"x"), attempt(sock.getpeername)]
result += [udp("127.0.0.1", 65534), udp("127.0.0.2", 65535), tcp("127.0.0.1", 65535)]
"""
    answers = ["OK", "EPIPE", "OK"] * 2 + ["ECONNREFUSED"] * 3
    for rules in (["--net-allow", "udp://1.2.3.4"], ["--net-allow", "tcp://1.2.3.4"],
                  ["--net-deny", "127.0.0.0/8", "--net-deny", "[::1]:*"]):
        assert member(code, *rules) == answers


@needs_ipv6
@pytest.mark.root
def test_the_unspecified_address_is_the_loopback_address_of_the_sockets_family(member):
    """`::` leads to 127.0.0.1 where the socket is bound to an IPv4-mapped address."""
    code = """
result = []
for bound in ("::ffff:127.0.0.1", "::ffff:0.0.0.0", "::", "::1"):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET6, kind) as here, socket.socket(socket.AF_INET6, kind) as there:
            there.bind((bound, 0))
            if kind == socket.SOCK_STREAM:
                there.listen()
            here.bind((bound, 0))
            port = there.getsockname()[1]
            if kind == socket.SOCK_DGRAM:
                there.settimeout(10)
                result.append(attempt(here.sendto, b"x", ("::", port)))
                result.append(there.recvfrom(10)[1][0] if result[-1] == "OK" else None)
            result.append(attempt(here.connect, ("::", port)))
            result.append(here.getpeername()[0] if result[-1] == "OK" else None)
"""
    def answers(address):
        return ["OK", address] * 3
    expected = answers("::ffff:127.0.0.1") * 2 + answers("::1") * 2
    rules = ["--net-allow-bind", "0", "--net-allow", "127.0.0.1", "--net-allow", "::1"]
    assert member(code, *rules) == expected
    only = member(code, "--net-allow-bind", "0", "--net-allow", "127.0.0.1")
    assert only == answers("::ffff:127.0.0.1") * 2 + ["ECONNREFUSED", None] * 6


ASKING = """
result = []
for host in ("127.0.0.1", "127.0.0.2", "::1"):
    for port in (0, 65535, 9):
        with socket.socket(family_of(host), socket.SOCK_DGRAM) as sock:
            asked = attempt(sock.connect, (host, port))
            result.append(sock.getsockname()[0] if asked == "OK" else asked)
"""


@needs_ipv6
@pytest.mark.parametrize("rules, named", [
    (["--net-allow", "tcp://127.0.0.2:80"], ["127.0.0.2"]),
    (["--net-allow", "127.0.0.2:80"], ["127.0.0.2"]),
    (["--net-allow", "icmp://127.0.0.2"], ["127.0.0.2"]),
    (["--net-allow", "tcp://:80"], ["127.0.0.1", "127.0.0.2", "::1"]),
    (["--net-allow", "tcp://:80", "--net-deny", "127.0.0.2:80"], ["127.0.0.1", "::1"]),
    (["--net-allow", "tcp://:80", "--net-deny", "127.0.0.2:70-90"], ["127.0.0.1", "::1"]),
    (["--net-allow", "tcp://:80,91", "--net-deny", "127.0.0.2:70-90"], ["127.0.0.1", "127.0.0.2", "::1"]),
])
def test_the_way_to_an_address_that_a_rule_names_can_be_asked(member, rules, named):
    """The ports at which libcs ask when they sort the addresses of a name. The answer is the kernel's."""
    def answers(host):
        source = "127.0.0.1" if host != "::1" else host
        return ["ECONNREFUSED", source if host != "127.0.0.2" else "ECONNREFUSED", "ECONNREFUSED"] \
            if host not in named else [source, source, "ECONNREFUSED"]
    expected = answers("127.0.0.1") + answers("127.0.0.2") + answers("::1")
    assert member(ASKING, *rules) == expected


def test_a_socket_that_is_in_use_is_not_asked_with(member):
    code = """
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("127.0.0.1", 0))
    result = [attempt(sock.connect, ("127.0.0.1", 0)), attempt(sock.sendto, b"x", ("127.0.0.1", 9))]
"""
    assert member(code, "--net-allow", "udp://127.0.0.1:9") == ["ECONNREFUSED", "OK"]


def test_at_port_0_a_socket_only_asks_whatever_the_rules_allow(member):
    code = """
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as used:
    result = []
    for host in ("127.0.0.1", "127.0.0.2"):
        result += [attempt(sock.connect, (host, 0)), sock.getsockname()[0], attempt(sock.send, b"x"),
                   raw_connect(sock.fileno(), bytes(16))]
    used.bind(("127.0.0.1", 0))
    result += [attempt(used.connect, ("127.0.0.1", 0)), attempt(used.connect, ("127.0.0.1", 9))]
"""
    assert member(code, "--net-allow", "udp://*") == ["OK", "127.0.0.1", "EPIPE", "OK"] * 2 + ["ECONNREFUSED", "OK"]


# A socket with a peer, and what it is connected to then. Its peer gets what it sends in the end.
KEEPING = """
host, others = {host!r}, {others!r}
result = []
with socket.socket(family_of(host), socket.SOCK_DGRAM) as peer, socket.socket(family_of(host), socket.SOCK_DGRAM) as sock:
    peer.bind((host, 0))
    peer.settimeout(10)
    port = peer.getsockname()[1]
    result += [raw_connect(sock.fileno(), bytes(16)), attempt(sock.connect, (host, port)), attempt(sock.connect, (host, port))]
    for other in others:
        result.append(attempt(sock.connect, (other, port)))
    result += [attempt(sock.connect, (host, 9)), raw_connect(sock.fileno(), bytes(16))]
    attempt(sock.connect, (host, port))
    sock.send(b"x")
    assert peer.recv(10) == b"x"
"""
V4, V6, MAPPED = ["127.0.0.2", "192.0.2.1", "224.0.0.1"], ["fd00::1", "::ffff:127.0.0.1", "::2"], ["::1", "::ffff:192.0.2.1"]


@needs_ipv6
@pytest.mark.parametrize("host, others", [("127.0.0.1", V4), ("::1", V6), ("::ffff:127.0.0.1", MAPPED)])
def test_a_connected_udp_socket_keeps_its_peer(member, host, others):
    code = KEEPING.format(host=host, others=others)
    expected = ["OK"] * 3 + ["EISCONN"] * (len(others) + 2)
    for rules in (["udp://127.0.0.0/8", "udp://::/0", "udp://192.0.2.1", "udp://224.0.0.1"], ["udp://*", "!udp://1.2.3.4"]):
        options = [word for rule in rules
                   for word in ("--net-deny" if rule[0] == "!" else "--net-allow", rule.lstrip("!"))]
        assert member(code, *options) == expected


@needs_ipv6
@pytest.mark.parametrize("host, others, answers", [
    ("127.0.0.1", V4, ["OK", "EISCONN", "EISCONN"]), ("::1", V6, ["EISCONN"] * 3),
    ("::ffff:127.0.0.1", ["::ffff:127.0.0.2", *MAPPED], ["OK", "EISCONN", "EISCONN"])])
def test_where_udp_may_go_anywhere_it_gets_another_one_of_its_kind(member, host, others, answers):
    code = KEEPING.format(host=host, others=others)
    assert member(code, "--net-allow", "udp://*") == ["OK"] * 3 + answers + ["OK", "EISCONN"]


def test_a_refused_further_connect_is_explained(sandlock):
    code = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); [s.connect(('127.0.0.1', p)) for p in (8, 9)]"
    explained = sandlock.run("--explain", "--net-allow", "udp://127.0.0.1", "--", PYTHON, "-c", code)
    assert "connect udp://127.0.0.1:9: EISCONN" in explained.stderr, explained
    assert "a connected socket keeps its peer" in explained.stderr


def test_a_connect_that_failed_and_one_beside_a_begun_datagram_leave_the_socket_usable(member):
    """Failed at a broadcast address. What was begun is sent on its own."""
    code = """
with socket.socket(type=socket.SOCK_DGRAM) as first, socket.socket(type=socket.SOCK_DGRAM) as sock:
    first.bind(("127.0.0.1", 0))
    first.settimeout(10)
    result = [attempt(sock.connect, ("127.255.255.255", 9)), attempt(sock.connect, first.getsockname())]
    sock.send(b"a", 0x8000)  # MSG_MORE
    result.append(attempt(sock.connect, first.getsockname()))
    sock.send(b"b", 0x8000)
    sock.send(b"c")
    result += [first.recv(10).decode() for _ in range(2)]
"""
    assert member(code, "--net-allow", "udp://127.0.0.0/8") == ["EACCES", "OK", "OK", "a", "bc"]


@needs_ipv6
def test_all_addresses_of_a_name_are_found_at_a_port_that_udp_may_go_to(member):
    """A libc sorts them by connecting to each at that port."""
    code = """
result = sorted(found[4][0] for found in socket.getaddrinfo("localhost", 53, type=socket.SOCK_DGRAM))
"""
    for options in (["--net-allow", "udp://*"], ["--net-allow", "udp://localhost:53"], ["--net-deny", "1.2.3.4"]):
        assert member(code, *options) == ["127.0.0.1", "::1"]


@needs_ipv6
def test_of_a_name_s_addresses_the_one_that_a_rule_names_comes_first(member, listen):
    """Programs that ask without a service and try the first address only reach what they may reach."""
    listener = listen()
    code = """
result = [found[4][0] for found in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)]
"""
    for rule in (f"tcp://127.0.0.1:{listener.port}", f"127.0.0.1:{listener.port}", "icmp://127.0.0.1"):
        assert member(code, "--net-allow", rule) == ["127.0.0.1", "::1"]
    assert member(code, "--net-allow", f"tcp://[::1]:{listener.port}") == ["::1", "127.0.0.1"]


# ---- Without waiting --------------------------------------------------------------------------


def test_a_non_blocking_connect_is_completed_by_polling(member, listen, full):
    listener = listen()
    code = f"""
import select
sock = socket.socket()
sock.setblocking(False)
result = [attempt(sock.connect, ("127.0.0.1", {listener.port}))]
poll = select.poll()
poll.register(sock, select.POLLOUT)
result += [bool(poll.poll(5000)), sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)]
waiting = socket.socket()
waiting.setblocking(False)
result += [attempt(waiting.connect, ("127.0.0.1", {full.port})) for _ in range(2)]
assert not waiting.getblocking() and not os.get_blocking(waiting.fileno())
"""
    results = member(code, "--net-allow", "tcp://127.0.0.1")
    assert results == ["EINPROGRESS", True, 0, "EINPROGRESS", "EALREADY"]


# ---- Waiting ----------------------------------------------------------------------------------

# Changes a mode: a call that the supervisor performs.
TRAPPED = """
def trapped(path):
    begin = time.monotonic()
    os.chmod(path, 0o700)
    return time.monotonic() - begin
"""


@pytest.mark.root
def test_waiting_connects_hold_up_nothing_else(member, full, area):
    code = TRAPPED + f"""
for _ in range(200):
    threading.Thread(target=tcp, args=("127.0.0.1", {full.port}), daemon=True).start()
taken = []
for _ in range(30):
    taken.append(trapped({str(area)!r}))
    time.sleep(0.02)
print("=" + __import__("json").dumps([sorted(taken)[15], threading.active_count()]), flush=True)
os._exit(0)
"""
    begin = time.monotonic()
    usual, threads = member(code + "\nresult = None", "--net-allow", "tcp://127.0.0.1", "-w", area)
    assert usual < 0.5 and threads == 201
    assert time.monotonic() - begin < 25


def test_a_timeout_ends_waiting_connects_at_once(sandlock, full):
    code = PRELUDE + f"""
for _ in range(200):
    threading.Thread(target=tcp, args=("127.0.0.1", {full.port}), daemon=True).start()
tcp("127.0.0.1", {full.port})
"""
    begin = time.monotonic()
    done = sandlock.run("--net-allow", "tcp://127.0.0.1", "--timeout", "2", "--", PYTHON, "-c", code)
    assert "timeout" in done.stderr
    assert time.monotonic() - begin < 20


def test_a_waiting_connect_is_finished_when_there_is_room(member, full):
    threading.Timer(0.7, full.drain).start()
    code = f"result = tcp('127.0.0.1', {full.port}, received=False)"
    assert member(code, "--net-allow", "tcp://127.0.0.1") == "OK"


def test_a_waiting_connect_keeps_the_members_own_time_limit(member, full):
    code = f"""
sock = socket.socket()
limit = struct.pack("ll", 0, 300000)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
begin = time.monotonic()
answer = raw_connect(sock.fileno(), inet("127.0.0.1", {full.port}))
waited = time.monotonic() - begin
kept = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16) == limit
result = [answer, 0.25 < waited < 15, kept]
"""
    assert member(code, "--net-allow", "tcp://127.0.0.1") == ["EINPROGRESS", True, True]


@pytest.mark.root
def test_an_alarm_ends_a_waiting_connect(member, full):
    code = f"""
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, True)
signal.setitimer(signal.ITIMER_REAL, 0.3)
begin = time.monotonic()
sock = socket.socket()
answer = raw_connect(sock.fileno(), inet("127.0.0.1", {full.port}))
result = [answer, time.monotonic() - begin < 15]
"""
    assert member(code, "--net-allow", "tcp://127.0.0.1") == ["EINTR", True]


@pytest.mark.root
def test_a_restarted_connect_goes_on_after_the_alarm(member, full):
    threading.Timer(3, full.drain).start()
    code = f"""
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.2)
sock = socket.socket()
answer = raw_connect(sock.fileno(), inet("127.0.0.1", {full.port}))
result = [answer, len(seen)]
"""
    assert member(code, "--net-allow", "tcp://127.0.0.1") == ["OK", 1]


@pytest.mark.root
def test_a_connect_with_a_time_limit_is_not_restarted_after_the_alarm(member, full):
    """signal(7): even where the handler says SA_RESTART."""
    code = f"""
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.3)
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 25, 0))
begin = time.monotonic()
answer = raw_connect(sock.fileno(), inet("127.0.0.1", {full.port}))
result = [answer, time.monotonic() - begin < 15]
"""
    assert member(code, "--net-allow", "tcp://127.0.0.1") == ["EINTR", True]


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
        return stream.read().rpartition(")")[2].split()[0]


def test_a_waiting_connect_can_be_stopped_and_goes_on(sandlock, full):
    code = PRELUDE + f"""
print(os.getpid(), flush=True)
print(tcp("127.0.0.1", {full.port}, received=False), flush=True)
"""
    process = sandlock.start("--net-allow", "tcp://127.0.0.1", "--", PYTHON, "-c", code)
    try:
        pid = int(process.stdout.readline())
        taken = []
        for _ in range(5):  # the machine may be busy once
            time.sleep(0.2)
            begin = time.monotonic()
            os.kill(pid, signal.SIGSTOP)
            while state_of(pid) not in "tT" and time.monotonic() < begin + 15:
                time.sleep(0.002)
            taken.append(time.monotonic() - begin)
            assert state_of(pid) in "tT"
            os.kill(pid, signal.SIGCONT)
        assert min(taken) < 1, taken
        full.drain()
        assert process.stdout.readline().strip() == "OK"
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def test_threads_that_wait_never_see_a_number_of_the_kernels_own(member, full):
    code = f"""
numbers = []
signal.signal(signal.SIGUSR1, lambda *_: None)

def wait():
    sock = socket.socket()
    if libc.connect(sock.fileno(), inet("127.0.0.1", {full.port}), 16) != 0:
        numbers.append(ctypes.get_errno())

threads = [threading.Thread(target=wait, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
time.sleep(0.3)
for turn in range(400):
    os.kill(os.getpid(), signal.SIGUSR1)
    if threads[0].is_alive():
        signal.pthread_kill(threads[0].ident, signal.SIGUSR1)
    time.sleep(0.05)
    if turn > 10 and numbers:
        break
result = numbers
print("=" + __import__("json").dumps(result), flush=True)
os._exit(0)
"""
    numbers = member(code, "--net-allow", "tcp://127.0.0.1")
    assert errno.EINTR in numbers and all(number <= 133 for number in numbers)


# A blocking connect in a thread of its own, what happens to it meanwhile, and how its socket is left.
MEANWHILE = """
import json, select
signal.alarm(20)
host, port, other, act = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
sock = socket.socket(family_of(host))
fd = sock.fileno()

def address(to):
    if ":" not in host:
        return inet(host, to)
    return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", to, 0) + \
        socket.inet_pton(socket.AF_INET6, host) + bytes(4)

if act == "limit":
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 300000))
if act == "user timeout":
    sock.setsockopt(socket.IPPROTO_TCP, 18, 600)
answers = []
threads = [threading.Thread(target=lambda: answers.append(raw_connect(fd, address(port))))
           for _ in range(2 if act.startswith("two") else 1)]
for thread in threads:
    thread.start()
    time.sleep(0.05)
time.sleep(0.3)
if act in ("shutdown", "two shutdown"):
    attempt(sock.shutdown, socket.SHUT_RDWR)
if act == "unspec":
    answers.append(raw_connect(fd, bytes(16)))
if act == "elsewhere":
    answers += [raw_connect(fd, bytes(16)), raw_connect(fd, address(other))]
if act == "close":
    sock.close()
begin = time.monotonic()
print("acted", flush=True)
for thread in threads:
    thread.join(10)
if act.split()[-1] in ("shutdown", "unspec", "elsewhere"):
    answers.append("at once" if time.monotonic() - begin < 0.8 else "later")
left = []
if act != "close":
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    left = [poll.poll(0)[0][1] if poll.poll(0) else 0,
            errno.errorcode.get(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "none"),
            attempt(sock.getpeername), raw_connect(fd, address(other)), attempt(sock.getpeername)]
print(json.dumps([sorted(answers), left]))
"""


def connect_meanwhile(start, listener, host, act):
    """What the member saw, and which of its connections, if they were cancelled, the full listener got."""
    full = FullListener(host)
    known = {filler.getsockname()[1] for filler in full.fillers}
    process = start(PYTHON, "-c", PRELUDE + MEANWHILE, host, str(full.port), str(listener.port), act)
    try:
        assert process.stdout.readline() == "acted\n"
        if "refused" in act:
            full.socket.close()
        elif act != "user timeout" and act != "limit":
            full.drain()
        seen = json.loads(process.stdout.readline())
        if act not in CANCELLED:
            return seen
        time.sleep(0.2)
        return seen, {peer.getpeername()[1] for peer in full.accepted} - known
    finally:
        process.kill()
        process.communicate()
        full.close()


CANCELLED = ["shutdown", "unspec", "elsewhere", "two shutdown"]


# Before 6.7 the kernel's own answers depend on which thread is faster.
needs_disconnects = pytest.mark.skipif(KERNEL < (6, 7), reason="needs Linux 6.7")


@pytest.mark.parametrize(("host", "act"), [
    *[("127.0.0.1", act) for act in ("room", "two room", "refused", "close", "limit", "user timeout",
                                     "shutdown")],
    *[pytest.param("127.0.0.1", act, marks=needs_disconnects)
      for act in ("two refused", "two shutdown", "unspec", "elsewhere")],
    *[pytest.param("::1", act, marks=needs_ipv6) for act in ("room", "refused", "shutdown")],
    pytest.param("::1", "unspec", marks=[needs_ipv6, needs_disconnects]),
])
def test_a_waiting_connect_ends_as_natively(sandlock, listen, host, act):
    listener = listen(host)

    def natively(*command):
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def inside(*command):
        rule = f"tcp://[{host}]:*" if ":" in host else f"tcp://{host}"
        return sandlock.start("--net-allow", rule, "--", *command)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        native, confined = pool.map(lambda start: connect_meanwhile(start, listener, host, act),
                                    [natively, inside])
    assert confined == native


@pytest.mark.parametrize(("refused", "taken", "expected"), [
    (True, False, ["ECONNREFUSED", "none", "OK"]),
    (False, False, ["ECONNRESET", "none", "OK"]),
    (False, True, ["ECONNABORTED", "none", "OK"]),
])
def test_a_connect_that_failed_is_shut_down_before_the_supervisor_looks(sandlock, listen, full, refused, taken, expected):
    listener = listen()
    code = PRELUDE + f"""
signal.alarm(20)
sock = socket.socket()
answers = []
thread = threading.Thread(
    target=lambda: answers.append(raw_connect(sock.fileno(), inet("127.0.0.1", {full.port}))))
thread.start()
while sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != b"\\2": # SYN_SENT
    time.sleep(0.01)
time.sleep(0.2)
print("waits", flush=True)
sys.stdin.readline()
while {refused} and sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\2": # the kernel's next attempt
    time.sleep(0.01)
attempt(sock.shutdown, socket.SHUT_RDWR)
if {taken}:
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
print("acted", flush=True)
thread.join(10)
print(*answers, errno.errorcode.get(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "none"),
      raw_connect(sock.fileno(), inet("127.0.0.1", {listener.port})), flush=True)
"""
    process = sandlock.start("--net-allow", "tcp://127.0.0.1", "--", PYTHON, "-c", code,
                             stdin=subprocess.PIPE)
    # Stopped, it would keep its end of the pipes for ever.
    watch = threading.Timer(40, process.kill)
    watch.start()
    try:
        assert process.stdout.readline() == "waits\n"
        os.kill(process.pid, signal.SIGSTOP)
        if refused:
            full.socket.close()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "acted\n"
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.readline().split() == expected
    finally:
        watch.cancel()
        process.kill()
        process.communicate()


def test_a_killed_member_leaves_no_connection_behind(sandlock, full):
    code = PRELUDE + f"""
child = os.fork()
if child == 0:
    tcp("127.0.0.1", {full.port})
sys.stdin.readline()
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
sys.stdin.readline()
"""
    process = sandlock.start("--net-allow", "tcp://127.0.0.1", "--", PYTHON, "-c", code,
                             stdin=subprocess.PIPE)

    def sockets():
        links = []
        for fd in os.listdir(f"/proc/{process.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink(f"/proc/{process.pid}/fd/{fd}"))
        return [link for link in links if link.startswith("socket:")]

    def come_to(count):
        end = time.monotonic() + 30
        while len(sockets()) != count and time.monotonic() < end:
            time.sleep(0.01)
        return len(sockets()) == count

    try:
        assert come_to(1), "the control: the waiting connection is held"
        process.stdin.write("\n")
        process.stdin.flush()
        assert come_to(0)
    finally:
        process.communicate(timeout=30)
    assert process.returncode == 0


# ---- Unix sockets -----------------------------------------------------------------------------


@pytest.fixture
def short(tmp_path_factory):
    """A directory whose name leaves room for a socket address."""
    import tempfile
    with tempfile.TemporaryDirectory(prefix="sl") as path:
        os.chmod(path, 0o755)
        yield path


RULES = [[], ["--net-allow", "tcp://127.0.0.1:9"]]


@pytest.mark.root
@pytest.mark.parametrize("rules", RULES, ids=["without rules", "with rules"])
def test_a_named_socket_needs_a_write_grant(member, listen_unix, short, rules):
    listener = listen_unix(f"{short}/s")
    code = f"result = unix({short + '/s'!r})"
    assert member(code, *rules) == "EACCES"
    assert member(code, *rules, "-r", short) == "EACCES"
    assert listener.accepted == 0
    assert member(code, *rules, "-w", short) == "OK"
    assert listener.accepted == 1


@pytest.mark.parametrize("rules", RULES, ids=["without rules", "with rules"])
def test_a_link_is_judged_as_what_it_leads_to(member, listen_unix, short, rules):
    os.mkdir(f"{short}/in")
    os.mkdir(f"{short}/out")
    hidden, open_one = listen_unix(f"{short}/out/s"), listen_unix(f"{short}/in/s")
    os.symlink("../out/s", f"{short}/in/link")
    os.symlink("in/s", f"{short}/back")
    code = f"""
os.chdir({short!r} + "/in")
names = [{short!r} + "/in/link", "link", "../out/s", {short!r} + "/in/../out/s",
         {short!r} + "/back", "s", "./s", "../in/s", "/proc/self/cwd/s"]
result = [unix(name) for name in names]
"""
    results = member(code, *rules, "-w", f"{short}/in", "-r", "/proc")
    assert results == ["EACCES"] * 4 + ["OK"] * 5
    assert hidden.accepted == 0 and open_one.accepted == 5


def test_a_name_of_any_bytes_is_judged(member, listen_unix, short):
    name = os.fsencode(short) + b"/\xff\xfe"
    listener = listen_unix(name)
    code = f"result = unix({name!r})"
    assert member(code, "-r", short) == "EACCES"
    assert listener.accepted == 0
    assert member(code, "-w", short) == "OK"


def test_only_the_own_grants_tell_what_is_missing(member, short):
    os.mkdir(f"{short}/in")
    os.mkdir(f"{short}/out")
    for place in ("in", "out"):
        with open(f"{short}/{place}/file", "w", encoding="utf-8"):
            pass
    os.symlink(f"{short}/out/none", f"{short}/in/dangling")
    os.symlink(f"{short}/out", f"{short}/in/aside")
    code = f"""
place = {short!r}
result = [unix(place + name) for name in (
    "/in/none", "/in/file", "/in/none/s", "/in/file/s",
    "/out/none", "/out/file", "/out/none/s", "/none/s", "/in/dangling", "/in/aside/none")]
"""
    own = ["ENOENT", "ECONNREFUSED", "ENOENT", "ENOTDIR"]
    for grant in ("-r", "-w"):
        assert member(code, grant, f"{short}/in") == own + ["EACCES"] * 6


@pytest.mark.root
def test_what_is_no_socket_is_looked_at_as_the_kernel_does(member, short):
    """Its mode first, then what it is."""
    for name, mode in (("open", 0o600), ("closed", 0o400)):
        pathlib.Path(short, name).write_text("", encoding="utf-8")
        os.chmod(f"{short}/{name}", mode)
    paths = [f"{short}/open", f"{short}/closed", short, "/etc/passwd"]
    code = f"result = [unix(path) for path in {paths!r}]"
    native = subprocess.run([PYTHON, "-c", PRELUDE + code + "\nimport json; print(json.dumps(result))"],
                            capture_output=True, text=True, check=True)
    expected = json.loads(native.stdout)
    assert expected[:2] == ["ECONNREFUSED", "EACCES" if os.getuid() else "ECONNREFUSED"]
    for rules in RULES:
        assert member(code, "-r", short, "-r", "/etc/passwd", *rules) == expected


def test_the_denial_of_a_socket_names_the_grant(sandlock, listen_unix, short):
    listener = listen_unix(f"{short}/s")
    code = PRELUDE + f"unix({short + '/s'!r})"
    done = sandlock.run("--explain", "--", PYTHON, "-c", code)
    assert f"connect {short}/s: EACCES" in done.stderr
    assert f"--fs-write {short}" in done.stderr
    sandlock.run("--fs-write", short, "--", PYTHON, "-c", code)
    assert listener.accepted == 1


def test_without_the_gate_file_modes_decide(member, listen_unix, short):
    listener = listen_unix(f"{short}/s")
    code = f"result = unix({short + '/s'!r})"
    assert member(code, "--without", "unix-gate") == "OK"
    assert member(code, "--without", "unix-gate", *RULES[1]) == "OK"
    assert listener.accepted == 2


@pytest.mark.root
@pytest.mark.parametrize("rules", RULES, ids=["without rules", "with rules"])
def test_abstract_sockets_are_reached_inside_the_sandbox_only(member, listen_unix, rules):
    outside = listen_unix(f"\0sandlock-outside-{os.getpid()}")
    code = f"""
inside = socket.socket(socket.AF_UNIX)
inside.bind("\\0sandlock-inside-" + str(os.getpid()))
inside.listen()
client = socket.socket(socket.AF_UNIX)
stream = socket.socket()
result = [unix("\\0sandlock-outside-{os.getpid()}"), attempt(client.connect, inside.getsockname()),
          raw_connect(stream.fileno(), b"\\1\\0\\0name"), raw_connect(stream.fileno(), b"\\1\\0/x")]
"""
    assert member(code, *rules) == ["EPERM", "OK", "EAFNOSUPPORT", "EAFNOSUPPORT"]
    assert outside.accepted == 0


def test_a_full_backlog_of_a_unix_socket_holds_up_nothing_else(member, area):
    code = TRAPPED + f"""
inside = socket.socket(socket.AF_UNIX)
inside.bind("\\0sandlock-full-" + str(os.getpid()))
inside.listen(0)
done = []

def wait():
    sock = socket.socket(socket.AF_UNIX)
    done.append(attempt(sock.connect, inside.getsockname()))
    time.sleep(30)

for _ in range(10):
    threading.Thread(target=wait, daemon=True).start()
time.sleep(0.3)
blocked = len(done)
taken = sorted(trapped({str(area)!r}) for _ in range(10))
for _ in range(10):
    inside.accept()
for _ in range(2500):
    if len(done) < 10: time.sleep(0.01)
result = [blocked < 10, taken[5] < 0.5, done]
print("=" + __import__("json").dumps(result), flush=True)
os._exit(0)
"""
    assert member(code, "-w", area) == [True, True, ["OK"] * 10]


FULL_ABSTRACT = PRELUDE + """
inside = socket.socket(socket.AF_UNIX)
inside.bind("\\0sandlock-full-" + str(os.getpid()))
inside.listen(0)
fillers = []
while True:
    fillers.append(socket.socket(socket.AF_UNIX))
    fillers[-1].setblocking(False)
    if attempt(fillers[-1].connect, inside.getsockname()) == "EAGAIN":
        break
waiting = socket.socket(socket.AF_UNIX)
"""


@pytest.mark.root
@pytest.mark.parametrize("rules", RULES, ids=["without rules", "with rules"])
def test_a_wait_for_an_abstract_socket_ends_with_the_member(sandlock, rules):
    code = FULL_ABSTRACT + """
child = os.fork()
if child == 0:
    waiting.connect(inside.getsockname())
    os._exit(0)
time.sleep(0.3)
assert os.waitpid(child, os.WNOHANG) == (0, 0), "it does not wait"
begin = time.monotonic()
os.kill(child, signal.SIGKILL)
assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
print(time.monotonic() - begin < 15)
"""
    done = sandlock.run(*rules, "--", PYTHON, "-c", code)
    assert (done.code, done.stdout) == (0, "True\n"), done


@pytest.mark.parametrize("rules", RULES, ids=["without rules", "with rules"])
def test_a_timeout_ends_a_wait_for_an_abstract_socket(sandlock, rules):
    code = FULL_ABSTRACT + "print('up', flush=True)\nwaiting.connect(inside.getsockname())\nprint('done')\n"
    begin = time.monotonic()
    done = sandlock.run(*rules, "-t", "2", "--", PYTHON, "-c", code)
    assert (done.code, done.stdout) == (124, "up\n"), done
    assert time.monotonic() - begin < 20


# ---- Cost -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [
    ["--net-allow", "127.0.0.1"],
    ["--net-deny", "10.0.0.0/8"],
    ["--port-remap", "--net-allow-bind", "0", "--net-allow", "127.0.0.1"],
    ["--net-deny-bind", "9", "--net-allow", "127.0.0.1"],
], ids=["allow", "deny", "port-remap", "deny-bind"])
def test_what_is_connected_is_never_notified(sandlock, rules):
    """Runs that differ in the number of messages do not differ in the number of notifications."""
    code = """
import os, socket, sys
listener, client = socket.socket(), socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
client.connect(listener.getsockname())
server = listener.accept()[0]
for sock in (client, server):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
one, two = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for sock in (one, two):
    sock.bind(("127.0.0.1", 0))
one.connect(two.getsockname())
two.connect(one.getsockname())
for _ in range(int(sys.argv[1])):
    for a, b in ((client, server), (one, two)):
        a.send(b"x"); b.recv(9); os.write(b.fileno(), b"x"); os.read(a.fileno(), 9)
        a.sendall(b"x"); b.recvfrom(9); os.writev(a.fileno(), [b"x"]); b.recv_into(bytearray(9))
"""
    allowed = rules if "--port-remap" in rules or "--net-deny-bind" in rules else [*rules, "--net-allow-bind", "0"]
    counted = []
    for rounds in ("1", "500"):
        done = sandlock.run("--stats", *allowed, "--", PYTHON, "-c", code, rounds)
        assert done.code == 0, done
        rows = re.findall(r"^\s+(\d+)\s+[\d.]+/s\s+(\w+)$", done.stderr, re.MULTILINE)
        counted.append({call: int(count) for count, call in rows})
    assert counted[0] == counted[1]
    assert counted[0].get("connect", 0) >= 3, "the control: they are counted"


# ---- Races ------------------------------------------------------------------------------------

RACE = """
unix_name = struct.pack("=H", 1) + {hidden!r} + bytes(1)
fair, refused = inet("127.0.0.1", {fair}), inet("127.0.0.1", {refused})
buffer = ctypes.create_string_buffer(fair, 110)
fd = socket.socket().detach()
stop = False

def rewrite():
    while not stop:
        for bytes_ in (fair, refused, unix_name):
            ctypes.memmove(buffer, bytes_, len(bytes_))

def replace():
    while not stop:
        for family in (socket.AF_INET, socket.AF_UNIX):
            with socket.socket(family) as other:
                os.dup2(other.fileno(), fd)

threads = [threading.Thread(target=rewrite), threading.Thread(target=replace)]
sys.setswitchinterval(1e-5)
for thread in threads:
    thread.start()
end = time.monotonic() + 2
rounds = reached = 0
while time.monotonic() < end or not (rounds > 100 and (reached or not {ruled})) and time.monotonic() < end + 20: # a busy machine
    reached += libc.connect(fd, buffer, 110) == 0
    rounds += 1
stop = True
result = rounds
"""


@pytest.mark.parametrize("ruled", [False, True], ids=["without rules", "with rules"])
def test_a_race_reaches_nothing_that_is_refused(member, listen, listen_unix, short, ruled):
    fair, refused = listen(), listen()
    hidden = listen_unix(f"{short}/s")
    code = RACE.format(hidden=os.fsencode(f"{short}/s"), fair=fair.port, refused=refused.port, ruled=ruled)
    rules = ["--net-allow", f"tcp://127.0.0.1:{fair.port}"] if ruled else []
    assert member(code, *rules) > 100
    assert refused.accepted == 0 and hidden.accepted == 0
    assert (fair.accepted > 0) == ruled


# ---- A wrong verdict --------------------------------------------------------------------------


@pytest.mark.fault_injection
@pytest.mark.root
def test_behind_a_wrong_verdict_the_supervisors_own_domain_refuses(member, listen):
    allowed, other = listen(), listen()
    code = f"result = [tcp('127.0.0.1', {allowed.port}), tcp('127.0.0.1', {other.port})]"
    rules = ["--net-allow", f"tcp://127.0.0.1:{allowed.port}"]
    wrong = {"SANDLOCK_FAULT": "verdict-allow"}
    assert member(code, *rules, env=wrong) == ["OK", "EACCES"]
    assert other.accepted == 0
    # The control: without that domain the wrong verdict has its way.
    open_wide = [*rules, "--without", "supervisor-confinement"]
    assert member(code, *open_wide, env=wrong) == ["OK", "OK"]


@pytest.mark.fault_injection
@pytest.mark.root
def test_a_supervisor_that_is_made_to_wait_ends_the_run(sandlock, full):
    """As if a member had undone the bound of the call in the right moment. Nobody else could end it:
    the time limit is kept by the thread that waits."""
    code = PRELUDE + f"tcp('127.0.0.1', {full.port})"
    begin = time.monotonic()
    done = sandlock.run("--net-allow", "tcp://127.0.0.1", "--timeout", "1", "--", PYTHON, "-c", code,
                        env={"SANDLOCK_FAULT": "connect-waits"})
    assert done.code == 125 and "stuck" in done.stderr
    assert 1.5 < time.monotonic() - begin < 25
