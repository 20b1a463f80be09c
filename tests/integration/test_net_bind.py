"""Which ports a sandboxed program may hold: bind, listen, UDP without a rule, and ports that lie elsewhere
on the host than the program believes."""

import contextlib
import ctypes
import errno
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import threading

import pytest

BUILD = pathlib.Path(os.environ.get("SANDLOCK_BUILD", pathlib.Path(__file__).parents[2] / "build"))

PRELUDE = """
import array, ctypes, errno, fcntl, json, os, socket, struct, sys, time

libc = ctypes.CDLL(None, use_errno=True)
LOCAL = "127.0.0.1"


def attempt(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"


def raw(call, fd, family, port, address=b"\\0" * 4):
    data = struct.pack("=H", family) + struct.pack("!H", port) + address + b"\\0" * 8
    if call(fd, data, len(data)) != 0:
        return errno.errorcode[ctypes.get_errno()]
    return "ok"


def tcp(family=socket.AF_INET):
    return socket.socket(family, socket.SOCK_STREAM)


def udp(family=socket.AF_INET):
    return socket.socket(family, socket.SOCK_DGRAM)


def bind(made, port, address=LOCAL):
    return attempt(made.bind, (address, port))


def tell(value):
    print(json.dumps(value), flush=True)
"""


class Inside:
    """Python programs in a sandbox; what they tell is the result."""

    def __init__(self, sandlock, area):
        self.sandlock = sandlock
        self.area = area
        self.number = 0

    def words(self, program, options):
        self.number += 1
        script = self.area / f"program-{self.number}.py"
        script.write_text(PRELUDE + program, encoding="utf-8")
        return ["-r", script, *options, "--", "/usr/bin/python3", "-I", script]

    def __call__(self, program, *options):
        result = self.sandlock.run(*self.words(program, options))
        assert result.code == 0, result
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        return lines[0] if len(lines) == 1 else lines

    @contextlib.contextmanager
    def start(self, program, *options):
        """In the background, for programs that talk."""
        process = self.sandlock.start(*self.words(program, options), stdin=subprocess.PIPE)
        try:
            yield Talk(process)
        finally:
            process.kill()
            process.communicate()


class Talk:
    def __init__(self, process):
        self.process = process

    def hear(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def say(self, text="go"):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()


@pytest.fixture
def inside(sandlock, area):
    return Inside(sandlock, area)


@contextlib.contextmanager
def listening(family=socket.AF_INET, port=0):
    """A listener of the host that accepts and keeps what comes."""
    address = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((address, port))
        listener.listen(16)
        yield listener.getsockname()[1]


def free_ports(count):
    made = [socket.socket() for _ in range(count)]
    for one in made:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in made]
    for one in made:
        one.close()
    return ports


# ---- UDP without a rule -------------------------------------------------------------------------

NO_UDP = ["--net-allow", "tcp://127.0.0.1:1"]

USES = """
import threading
made = [udp(), udp(), udp(), udp(socket.AF_INET6)]
tell([attempt(os.write, made[0].fileno(), b"x"), attempt(made[1].send, b"x"),
      attempt(made[2].send, b""), attempt(os.write, made[3].fileno(), b"x")])
copies = [made[0].dup(), made[1]]
left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
socket.send_fds(left, [b"x"], [made[2].fileno()])
copies.append(socket.socket(fileno=socket.recv_fds(right, 1, 1)[1][0]))
copies.append(made[3])
tell([copy.getsockname()[1] for copy in copies])
sys.stdin.readline()


def arrived():
    got = []
    for copy in copies:
        copy.setblocking(False)
        got.append(attempt(copy.recv, 10))
    return got


child = os.fork()
if child == 0:
    tell(arrived())
    os._exit(0)
os.waitpid(child, 0)
tell(arrived())
"""


def send_to(ports):
    for port in ports:
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                with contextlib.suppress(OSError):
                    sender.sendto(b"datagram", (address, port))


@pytest.mark.root
def test_udp_without_a_rule_can_be_made_and_is_of_no_use(inside):
    assert inside(
        """
def uses(family, address):
    return [bind(udp(family), 0, address), bind(udp(family), 5000, address),
            attempt(udp(family).connect, (address, 9)),
            attempt(udp(family).sendto, b"x", (address, 9))]
tell(uses(socket.AF_INET, LOCAL) + uses(socket.AF_INET6, "::1"))
""",
        *NO_UDP,
    ) == ["EACCES", "EACCES", "ECONNREFUSED", "ECONNREFUSED"] * 2


# Rules for UDP of which only all together deny what is allowed, also what a name stands for.
NOTHING_LEFT = {"no rule": NO_UDP, "together": ["--net-deny", "udp://*:1-999", "--net-deny", "udp://*:1000-65535"],
                "name": ["--net-allow", "udp://localhost:53", "--net-deny", "127.0.0.0/8", "--net-deny", "::1"]}


@pytest.mark.root
@pytest.mark.parametrize("rules", NOTHING_LEFT)
def test_nothing_arrives_at_a_udp_socket_that_write_gave_a_port(inside, rules):
    with inside.start(USES, *NOTHING_LEFT[rules]) as talk:
        assert set(talk.hear()) <= {"EPIPE", "EDESTADDRREQ"}
        send_to(port for port in talk.hear() if port > 0)
        talk.say()
        assert talk.hear() == ["EAGAIN"] * 4
        assert talk.hear() == ["EAGAIN"] * 4


def test_with_a_udp_rule_the_same_socket_receives(inside):
    with inside.start(USES, "--net-allow", "udp://127.0.0.1") as talk:
        talk.hear()
        ports = talk.hear()
        assert 0 not in ports
        send_to(ports)
        talk.say()
        assert talk.hear() == ["ok"] * 4


@pytest.mark.root
def test_the_filter_of_an_inert_socket_cannot_be_taken_away(inside):
    assert inside(
        """
SO_DETACH_FILTER, SO_ATTACH_FILTER, SO_LOCK_FILTER = 27, 26, 44
made = udp()
accept = struct.pack("HBBI", 6, 0, 0, 0xFFFF)
buffer = ctypes.create_string_buffer(accept)
program = struct.pack("HxxxxxxP", 1, ctypes.addressof(buffer))
tell([attempt(made.setsockopt, socket.SOL_SOCKET, SO_DETACH_FILTER, 0),
      attempt(made.setsockopt, socket.SOL_SOCKET, SO_ATTACH_FILTER, program),
      attempt(made.setsockopt, socket.SOL_SOCKET, SO_LOCK_FILTER, 0)])
""",
        *NO_UDP,
    ) == ["EPERM"] * 3


def test_no_port_is_bound_where_a_name_of_a_udp_rule_leads_to_denied_addresses_alone(inside):
    rules = NOTHING_LEFT["name"]
    assert inside("tell([bind(udp(), 0), bind(udp(), 5000)])", *rules) == ["EACCES"] * 2
    assert inside("tell([bind(udp(), 0)])", *rules[:-2]) == ["ok"]  # ::1 is left


def test_other_datagram_protocols_still_fail(inside):
    assert inside(
        """
def make(family, protocol):
    return attempt(socket.socket, family, socket.SOCK_DGRAM, protocol)
tell([make(socket.AF_INET, 1), make(socket.AF_INET6, 58), make(socket.AF_INET, 136),
      attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 17)])
""",
        *NO_UDP,
    ) == ["EPERM", "EPERM", "EPROTONOSUPPORT", "EPERM"]


def test_flags_of_socket_are_honoured(inside):
    assert inside(
        """
AF_INET, DGRAM, CLOEXEC, NONBLOCK = 2, 2, 0o2000000, 0o4000
def flags(kind):
    fd = libc.socket(AF_INET, kind, 17)
    return [fcntl.fcntl(fd, fcntl.F_GETFD) & 1, fcntl.fcntl(fd, fcntl.F_GETFL) & NONBLOCK != 0]
tell([flags(DGRAM), flags(DGRAM | CLOEXEC), flags(DGRAM | NONBLOCK), flags(DGRAM),
      attempt(socket.socket, AF_INET, DGRAM | 0o100, 0)])
""",
        *NO_UDP,
    ) == [[0, False], [1, False], [0, True], [0, False], "EINVAL"]


def test_many_inert_sockets_leave_nothing_behind(inside):
    assert inside(
        """
for i in range(3000):
    udp(socket.AF_INET if i % 2 else socket.AF_INET6).close()
tell("ok")
""",
        *NO_UDP,
    ) == "ok"


def test_without_any_rule_udp_cannot_be_made(inside):
    for options in ([], ["--port-remap"], ["--net-allow-bind", "*"]):
        assert inside("tell([attempt(udp), attempt(udp, socket.AF_INET6)])", *options) == ["EPERM"] * 2


def test_names_of_the_hosts_file_are_found_without_udp(inside):
    assert inside(
        'tell(sorted({a[4][0] for a in socket.getaddrinfo("localhost", 80)}))', *NO_UDP
    ) == ["127.0.0.1", "::1"]


# ---- bind ---------------------------------------------------------------------------------------

BINDS = "tell([bind(tcp(), port) for port in {ports}])"


def binds(inside, ports, *options):
    return inside(BINDS.format(ports=ports), *options)


@pytest.mark.root
def test_by_default_no_tcp_port_can_be_bound(inside):
    (port,) = free_ports(1)
    assert binds(inside, [port, 0]) == ["EACCES", "EACCES"]
    assert binds(inside, [port, 0], "--net-allow", "127.0.0.1") == ["EACCES", "EACCES"]


def test_listed_ports_can_be_bound(inside):
    first, second = free_ports(2)
    assert binds(inside, [first, second, 0], "--net-allow-bind", first) == ["ok", "EACCES", "EACCES"]
    assert binds(inside, [first, 0], "--net-allow-bind", "*") == ["ok", "ok"]
    assert binds(inside, [first, 0], "--net-allow-bind", 0) == ["EACCES", "ok"]


def test_bind_rules_do_not_open_connections(inside):
    connect = "tell(attempt(tcp().connect, (LOCAL, {})))"
    with listening() as port:
        assert inside(connect.format(port), "--net-allow-bind", "*") == "EACCES"
        assert inside(connect.format(port), "--net-allow-bind", "*", "--net-deny-bind", "1") == "EACCES"
        assert inside(connect.format(port), "--net-allow-bind", "*", *NO_UDP) == "ECONNREFUSED"
        assert inside(connect.format(port), "--net-allow", f"127.0.0.1:{port}") == "ok"


@pytest.mark.root
def test_denied_ports_cannot_be_bound(inside):
    first, second = free_ports(2)
    assert binds(inside, [first, second], "--net-deny-bind", first) == ["EACCES", "ok"]
    assert binds(inside, [first, second, 0], "--net-allow-bind", "*", "--net-deny-bind", first) == [
        "EACCES", "ok", "ok"]
    assert binds(inside, [first, 0], "--net-allow-bind", "*", "--net-deny-bind", 0) == ["ok", "EACCES"]


def test_a_port_must_be_listed_and_not_denied(inside):
    first, second, third = free_ports(3)
    options = ["--net-allow-bind", f"{first},{second},0", "--net-deny-bind", f"{second},{third}"]
    assert binds(inside, [first, second, third, 0], *options) == ["ok", "EACCES", "EACCES", "ok"]


def test_the_deny_list_is_about_tcp(inside):
    (port,) = free_ports(1)
    assert inside(f"tell([bind(tcp(), {port}), bind(udp(), {port})])", "--net-deny-bind", port,
                  "--net-deny", "192.0.2.1") == ["EACCES", "ok"]


@pytest.mark.root
def test_a_bind_looks_at_the_descriptor_before_the_address(inside):
    """As the kernel does, and the name of a unix socket is left to it unread."""
    program = """
def bind_at(fd, pointer, length):
    return "ok" if libc.bind(fd, ctypes.c_void_p(pointer), ctypes.c_uint(length)) == 0 \
        else errno.errorcode[ctypes.get_errno()]
file = os.open("/usr/bin/env", os.O_RDONLY)
unix, stream = socket.socket(socket.AF_UNIX), tcp()
tell([bind_at(fd, 8, 16) for fd in (-1, file, unix.fileno(), stream.fileno())])
"""
    for options in (["--net-allow-bind", "0", "--net-allow", "127.0.0.1"], NO_UDP, ["--net-deny-bind", "1"]):
        assert inside(program, *options) == ["EBADF", "ENOTSOCK", "EFAULT", "EFAULT"]


@pytest.mark.root
def test_other_spellings_of_an_address_are_judged_as_the_port_they_bind(inside):
    first, second = free_ports(2)
    program = f"""
def spellings(port):
    six = tcp(socket.AF_INET6)
    made = tcp()
    return [raw(libc.bind, made.fileno(), 0, port), bind(six, port, "::ffff:127.0.0.1"),
            bind(tcp(socket.AF_INET6), port, "::1"), bind(tcp(), port, "0.0.0.0")]
tell([spellings({first}), spellings({second})[0]])
"""
    for options in (["--net-deny-bind", first], ["--net-allow-bind", second, "--net-deny-bind", first]):
        assert inside(program, *options) == [["EACCES"] * 4, "ok"]


def test_wrong_addresses_get_the_kernels_answer(inside):
    (port,) = free_ports(1)
    program = f"""
def errors(fd, data, length):
    libc.bind(fd, data, length)
    return errno.errorcode[ctypes.get_errno()]
inet = struct.pack("=H", 2) + struct.pack("!H", {port}) + b"\\x7f\\0\\0\\1" + b"\\0" * 8
made, pipe = tcp(), os.pipe()[0]
tell([errors(made.fileno(), inet, 15), errors(made.fileno(), inet, 1), errors(made.fileno(), inet, 0),
      errors(made.fileno(), None, 16), errors(made.fileno(), inet, 129),
      errors(made.fileno(), inet, -1), errors(made.fileno(), inet, 0x7FFFFFFF),
      errors(pipe, inet, 16), errors(999, inet, 16), bind(made, {port}, "192.0.2.1"),
      bind(made, {port}), bind(made, {port})])
"""
    expected = ["EINVAL", "EINVAL", "EINVAL", "EFAULT", "EINVAL", "EINVAL", "EINVAL", "ENOTSOCK", "EBADF",
                "EADDRNOTAVAIL", "ok", "EINVAL"]
    assert inside(program, "--net-allow-bind", port) == expected
    assert inside(program, "--net-allow-bind", port, "--net-deny-bind", "1") == expected


def test_only_listed_ports_bind_whatever_else_is_given(inside):
    first, second = free_ports(2)
    for options in (
        ["--net-allow", "tcp://127.0.0.1:1"],
        ["--net-allow", "127.0.0.1"],
        ["--net-deny", "192.0.2.1"],
        ["--port-remap"],
    ):
        result = binds(inside, [first, second, 0], "--net-allow-bind", first, *options)
        assert result == ["ok", "EACCES", "EACCES"], options


def test_bind_does_not_concern_udp_that_a_rule_allows(inside):
    (port,) = free_ports(1)
    program = f"tell([bind(udp(), {port}), bind(udp(), 0)])"
    for options in (["--net-allow", "udp://127.0.0.1"], ["--net-deny", "192.0.2.1"]):
        for more in ([], ["--net-allow-bind", 1], ["--net-deny-bind", port], ["--port-remap"]):
            assert inside(program, *options, *more) == ["ok", "ok"], (options, more)


def test_unix_sockets_are_bound_where_a_write_grant_is(inside, area, tmp_path):
    granted = area / "granted"
    granted.mkdir()
    program = f"""
def made(path):
    return attempt(socket.socket(socket.AF_UNIX).bind, path)
os.chdir({str(granted)!r})
tell([made({str(granted)!r} + "/absolute"), made("relative"), made({str(tmp_path)!r} + "/outside"),
      made("../outside"), made("\\0sandlock-test-{os.getpid()}"), sorted(os.listdir("."))])
"""
    for options in ([], NO_UDP, ["--net-deny-bind", "1"], ["--port-remap"],
                    ["--net-deny-bind", "1", "--disable", "net-tcp"]):
        result = inside(program, "-w", granted, "-r", area, *options)
        assert result == ["ok", "ok", "EACCES", "EACCES", "ok", ["absolute", "relative"]], options
        for name in ("absolute", "relative"):
            assert (granted / name).is_socket()
            (granted / name).unlink()
    assert not (tmp_path / "outside").exists() and not (area / "outside").exists()


def test_a_bound_unix_socket_has_the_mode_that_it_was_given(inside, area):
    program = f"""
os.chdir({str(area)!r})
def modes(mask, mode, name):
    os.umask(mask)
    made = socket.socket(socket.AF_UNIX)
    os.fchmod(made.fileno(), mode)
    outcome = attempt(made.bind, name)
    file = os.stat(name).st_mode & 0o7777 if outcome == "ok" else None
    return [outcome, file, os.fstat(made.fileno()).st_mode & 0o7777]
tell([modes(0o022, 0o600, "a"), modes(0, 0o600, "b"), modes(0o022, 0o777, "c"), modes(0o027, 0o640, "d"),
      modes(0, 0o777, "e"), modes(0o022, 0o666, "a")])
"""
    expected = [["ok", 0o600, 0o600], ["ok", 0o600, 0o600], ["ok", 0o755, 0o777], ["ok", 0o640, 0o640],
                ["ok", 0o777, 0o777], ["EADDRINUSE", None, 0o666]]
    before = os.umask(0)  # the supervisor's, too
    try:
        for options in ([], ["--net-deny-bind", "1", "--disable", "net-tcp"]):
            assert inside(program, "-w", area, *options) == expected, options
            for name in area.iterdir():
                if name.is_socket():
                    name.unlink()
    finally:
        os.umask(before)


def test_unix_names_are_as_long_as_the_kernel_allows(inside, area):
    program = f"""
os.chdir({str(area)!r})
def named(length):
    data = struct.pack("=H", socket.AF_UNIX) + b"./" + b"n" * (length - 5) + b"\\0"
    made = socket.socket(socket.AF_UNIX)
    if libc.bind(made.fileno(), data + b"\\0" * 128, max(length, len(data))) != 0:
        return errno.errorcode[ctypes.get_errno()]
    return "ok"
def padded(name, length):
    data = struct.pack("=H", socket.AF_UNIX) + name + b"\\0" * 128
    made = socket.socket(socket.AF_UNIX)
    if libc.bind(made.fileno(), data, length) != 0:
        return errno.errorcode[ctypes.get_errno()]
    return "ok"
tell([named(40), padded(b"./a", 110), padded(b"./b", 111), padded(b"./c", 126), padded(b"./d", 128)])
"""
    for options in (["--disable", "net-tcp"], ["--net-deny-bind", "1", "--disable", "net-tcp"]):
        assert inside(program, "-w", area, *options) == ["ok", "ok"] + ["EINVAL"] * 3, options
        for name in area.iterdir():
            if name.is_socket():
                name.unlink()


def ephemeral_range():
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as stream:
        return [int(word) for word in stream.read().split()]


@pytest.mark.root
@pytest.mark.ipv6
def test_the_kernel_chooses_no_port_that_is_denied(inside):
    low, high = ephemeral_range()
    middle = (low + high) // 2
    program = """
def chosen(family, address):
    made = tcp(family)
    made.bind((address, 0))
    port = made.getsockname()[1]
    made.listen()
    client = tcp(family)
    client.connect((address, port))
    made.accept()
    return port
tell([chosen(*where) for where in [(socket.AF_INET, LOCAL), (socket.AF_INET6, "::1")] * 30])
"""
    every = ["--net-allow", "127.0.0.1", "--net-allow", "::1"]
    for allowed in ([], ["--net-allow-bind", "0"], ["--port-remap", "--net-allow-bind", "*"]):
        denied = ["--net-deny-bind", f"{middle}-{high}"]
        assert max(inside(program, *every, *allowed, *denied)) < middle
        assert inside("tell([bind(tcp(), 0), bind(tcp(socket.AF_INET6), 0, '::1')])", *allowed,
                      "--net-deny-bind", f"{low}-{high}") == ["EADDRINUSE"] * 2


def test_where_most_that_the_kernel_chooses_is_denied_the_rest_is_chosen(inside):
    _, high = ephemeral_range()
    program = """
def chosen(takes):
    made = tcp()
    if takes:
        made.bind(("", 0))
    made.listen()
    return made.getsockname()[1]
tell([chosen(number % 2) for number in range(50)])
"""
    for more in ([], ["--port-remap"]):
        assert min(inside(program, "--net-deny-bind", f"1-{high - 200}", *more)) > high - 200


def test_a_port_of_its_own_is_listened_at_whatever_the_kernel_may_choose(inside):
    low, high = ephemeral_range()
    (port,) = free_ports(1)
    for allowed in (port, high + 1 if high < 65000 else low - 1):
        denied = f"1-{allowed - 1},{allowed + 1}-65535"
        for more in ([], ["--port-remap"]):
            assert inside(f"made = tcp()\ntell([bind(made, {allowed}), attempt(made.listen), attempt(made.listen, 5)])",
                          "--net-deny-bind", denied, *more) == ["ok"] * 3


def test_inherited_sockets_listen_beside_a_deny_list_where_they_did_or_may(inside, area):
    (port,) = free_ports(1)
    log = area / "inherited"

    def tried(made, *options):
        log.unlink(missing_ok=True)
        with made:
            words = inside.words("tell(attempt(socket.socket(fileno=os.dup(0)).listen, 7))", ["--log-denials", log, *options])
            result = inside.sandlock.run(*words, stdin=made)
            accepts = made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
        return json.loads(result.stdout), accepts, [(record["object"], record["rule"], record["suggest"]) for record in records
                                                    if record["call"] == "listen"]

    def bound(protocol=0, listens=False):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
        if listens:
            made.listen()
        return made

    denied = ["--net-deny-bind", port]
    for more in ([], ["--port-remap"], ["--net-allow-bind", "0"]):
        assert tried(bound(), *denied, *more) == ("EACCES", 0, [(f"tcp://*:{port}", "--net-deny-bind", None)])
        assert tried(bound(listens=True), *denied, *more) == ("ok", 1, [])
    assert tried(bound(), "--net-deny-bind", 1) == ("ok", 1, [])
    try:
        bound(262).close()  # IPPROTO_MPTCP
    except OSError:
        return
    for ports in (denied, ["--net-deny-bind", 1]):
        reason = "of streams that are not TCP none begins to listen beside --net-deny-bind"
        assert tried(bound(262), *ports) == ("EACCES", 0, [("stream socket", reason, None)])
        assert tried(bound(262, True), *ports) == ("ok", 1, [])


RACE = """
import threading
good, bad, path = {good}, {bad}, {path!r}
inet = struct.pack("=H", 2) + struct.pack("!H", good) + socket.inet_aton(LOCAL) + b"\\0" * 100
other = struct.pack("=H", 2) + struct.pack("!H", bad) + socket.inet_aton(LOCAL) + b"\\0" * 100
unix = struct.pack("=H", 1) + path.encode() + b"\\0" * (106 - len(path))
shared = ctypes.create_string_buffer(inet, 108)
spot = os.dup(0)
end = time.monotonic() + 3
bound, refused, wrong = 0, 0, []


def goes_on():
    return time.monotonic() < end or not (bound and refused) and time.monotonic() < end + 20 # a busy machine

def flip():
    files = [socket.socket(socket.AF_UNIX), tcp()]
    turn = 0
    while goes_on():
        turn += 1
        ctypes.memmove(shared, (inet, other, unix)[turn % 3], 108)
        if turn % 7 == 0:
            libc.dup2(files[turn % 2].fileno(), spot)
            if files[1].getsockname()[1] != 0:
                if files[1].getsockname()[1] != good:
                    wrong.append(files[1].getsockname())
                files[1].close()
                files[1] = tcp()


thread = threading.Thread(target=flip)
thread.start()
while goes_on():
    made = tcp()
    if libc.bind(made.fileno(), shared, 16) == 0:
        bound += 1
        if made.getsockname()[1] != good:
            wrong.append(made.getsockname())
    else:
        refused += ctypes.get_errno() == errno.EACCES
    made.close()
    libc.bind(spot, shared, 108)
thread.join()
tell([bound > 0, refused > 0, wrong, os.path.exists(path)])
"""


def test_an_address_that_changes_under_the_call_binds_nothing_that_is_denied(inside, area, tmp_path):
    good, bad = free_ports(2)
    program = RACE.format(good=good, bad=bad, path=str(tmp_path / "ungranted"))
    for options in (["--net-deny-bind", bad], ["--net-allow-bind", good, "--net-deny-bind", "1"]):
        assert inside(program, *options) == [True, True, [], False]


def test_denials_name_the_port_and_the_option(sandlock, inside, area):
    (port,) = free_ports(1)
    log = area / "denials"
    options = ["--log-denials", log, "--net-allow-bind", "1", "--net-deny-bind", "2"]
    binds(inside, [port, 2], *options)
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    found = {record["object"]: record.get("suggest") for record in records if record["call"] == "bind"}
    assert found[f"tcp://127.0.0.1:{port}"] == f"--net-allow-bind {port}"
    assert not found["tcp://127.0.0.1:2"]
    assert {record["layer"] for record in records if record["call"] == "bind"} == {"bind-rules"}


@pytest.mark.root
def test_options_that_share_a_port_are_in_vain_for_udp_sockets_without_a_rule_alone(inside):
    program = """
def switched(made, option):
    return [attempt(made.setsockopt, socket.SOL_SOCKET, option, 1), made.getsockopt(socket.SOL_SOCKET, option)]
def value(fd, pointer, length):
    result = libc.setsockopt(fd, socket.SOL_SOCKET, socket.SO_REUSEADDR, pointer, length)
    return "ok" if result == 0 else errno.errorcode[ctypes.get_errno()]
made = tcp()
on = ctypes.byref(ctypes.c_long(-1))
told = [[switched(each, option) for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT)]
        for each in (made, tcp(socket.AF_INET6), udp(), udp(socket.AF_INET6))]
unix = socket.socket(socket.AF_UNIX)
told += [switched(unix, socket.SO_REUSEADDR), switched(unix, socket.SO_REUSEPORT)]
told += [[value(made.fileno(), on, length) for length in (3, 4, 8, -1)], [value(made.fileno(), None, 4), value(0, on, 4), value(999, on, 4)]]
told += [[attempt(made.setsockopt, *option) for option in (
    (6, socket.TCP_NODELAY, 1), (1, socket.SO_KEEPALIVE, 1), (1, socket.SO_RCVBUF, 9999), (0, socket.IP_TTL, 9), (1, 11, 1))]]
tell(told)
"""
    shared, alone = [["ok", 1], ["ok", 1]], [["ok", 0], ["ok", 0]]
    for options in (NO_UDP, [*NO_UDP, "--port-remap", "--net-allow-bind", "1"], [*NO_UDP, "--explain"]):
        told = inside(program, *options)
        assert told[:4] == [shared, shared, alone, alone], options
        assert told[4:6] == [["ok", 1], ["ENOTSUP", 0]] and told[6] == ["EINVAL", "ok", "ok", "EINVAL"]
        assert told[7] == ["EFAULT", "ENOTSOCK", "EBADF"] and told[8] == ["ok"] * 5
    assert inside(program, "--net-allow", "udp://*")[:4] == [shared] * 4


# ---- listen -------------------------------------------------------------------------------------


@pytest.mark.root
def test_listen_needs_a_bound_socket(inside):
    (port,) = free_ports(1)
    program = f"""
fresh, bound = tcp(), tcp()
unix = socket.socket(socket.AF_UNIX)
unix.bind("")
tell([attempt(fresh.listen), attempt(tcp(socket.AF_INET6).listen), bind(bound, {port}),
      attempt(bound.listen), attempt(bound.listen, 5), attempt(unix.listen)])
"""
    assert inside(program) == ["EACCES", "EACCES", "EACCES", "EACCES", "EACCES", "ok"]
    refused = ["EACCES", "EACCES", "ok", "ok", "ok", "ok"]
    assert inside(program, "--net-allow-bind", port) == refused
    assert inside(program, "--net-allow-bind", "1-65535") == refused
    assert inside(program, "--net-allow-bind", port, "--net-deny-bind", 1) == refused
    assert inside(program, "--net-allow-bind", port, "--port-remap") == refused
    assert inside(program, "--net-deny-bind", 0) == refused
    assert inside(program, "--net-allow-bind", f"{port},0") == ["ok"] * 6
    assert inside(program, "--net-allow-bind", "*") == ["ok"] * 6
    assert inside(program, "--without", "listen-gate", "--net-allow-bind", port) == ["ok"] * 6


UNDONE = """
def undone():
    made = tcp()
    made.connect((LOCAL, {live}))
    raw(libc.connect, made.fileno(), 0, 0)
    return made
def failed():
    made = tcp()
    attempt(made.connect, (LOCAL, {dead}))
    return made
one = undone()
tell([one.getsockname()[1] > 0, attempt(one.listen), attempt(failed().listen)])
"""


def test_a_connect_that_failed_or_was_undone_leaves_no_port_to_listen_at(inside):
    (dead,) = free_ports(1)
    with listening() as live:
        program = UNDONE.format(live=live, dead=dead)
        rules = ["--net-allow", f"tcp://127.0.0.1:{live},{dead}"]
        for ports in ([], ["--net-allow-bind", "1"], ["--net-allow-bind", "1-65535"]):
            assert inside(program, *rules, *ports)[1:] == ["EACCES", "EACCES"], ports
        for ports in (["--net-allow-bind", "0"], ["--net-allow-bind", "*"]):
            assert inside(program, *rules, *ports)[1:] == ["ok", "ok"], ports


def test_a_listener_that_was_allowed_is_reached(inside):
    for options in ([], ["--net-deny-bind", 1], NO_UDP):
        (port,) = free_ports(1)
        program = f"""
made = tcp()
made.bind((LOCAL, {port}))
made.listen()
tell("ready")
tell(made.accept()[0].recv(5).decode())
"""
        with inside.start(program, "--net-allow-bind", port, *options) as talk:
            assert talk.hear() == "ready"
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"hello")
                assert talk.hear() == "hello"


# ---- Port virtualization ------------------------------------------------------------------------


def test_port_remap_alone_binds_nothing(inside):
    (port,) = free_ports(1)
    assert binds(inside, [port, 0], "--port-remap") == ["EACCES", "EACCES"]


REMAPPED = """
def names(family, address):
    made = tcp(family)
    made.bind((address, {port}))
    made.listen()
    client = tcp(family)
    client.connect((address, {port}))
    served = made.accept()[0]
    client.sendall(b"own")
    return [made.getsockname()[1], client.getpeername()[1], served.getsockname()[1],
            served.recv(3).decode()]
tell([names(socket.AF_INET, LOCAL), names(socket.AF_INET6, "::1")])
"""


@contextlib.contextmanager
def listening_in_both_families():
    """What is free in the one family may be taken in the other."""
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            port = stack.enter_context(listening())
            try:
                stack.enter_context(listening(socket.AF_INET6, port))
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        else:
            pytest.fail("no port is free in both families")
        yield port


@pytest.mark.root
@pytest.mark.ipv6
def test_a_port_that_the_host_holds_is_bound_all_the_same(inside):
    with listening_in_both_families() as port:
        result = inside(REMAPPED.format(port=port), "--port-remap", "--net-allow-bind", port)
        assert result == [[port, port, port, "own"]] * 2
        assert inside(f"tell(bind(tcp(), {port}))", "--net-allow-bind", port) == "EADDRINUSE"


def test_two_sandboxes_bind_the_same_port(inside):
    (port,) = free_ports(1)
    program = f"""
made = tcp()
made.bind((LOCAL, {port}))
made.listen()
tell(made.getsockname()[1])
sys.stdin.readline()
client = tcp()
client.connect((LOCAL, {port}))
tell(client.getsockname()[1] == made.accept()[1][1])
"""
    options = ["--port-remap", "--net-allow-bind", port]
    with inside.start(program, *options) as first, inside.start(program, *options) as second:
        for talk in (first, second):
            assert talk.hear() == port
        for talk in (first, second):
            talk.say()
            assert talk.hear() is True


def test_a_port_that_the_sandbox_holds_is_in_use(inside):
    with listening() as port:
        assert inside(
            f"""
first, second, third = tcp(), tcp(), tcp()
results = [bind(first, {port}), attempt(first.listen), bind(second, {port})]
first.close()
results += [bind(third, {port}), attempt(third.listen), bind(second, {port}),
            third.getsockname()[1] == {port}]
tell(results)
""",
            "--port-remap", "--net-allow-bind", port,
        ) == ["ok", "ok", "EADDRINUSE", "ok", "ok", "EADDRINUSE", True]


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_ports_are_shared_inside_a_sandbox_and_not_between_sandboxes(inside, kind):
    (port,) = free_ports(1)
    program = f"""
made = [{kind}(), {kind}()]
results = []
for one in made:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    results += [bind(one, {port}), one.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) != 0]
    if {kind == "tcp"}:
        one.listen()
tell(results)
sys.stdin.readline()
import select
for i in range(20):
    client = {kind}()
    client.connect((LOCAL, {port}))
    client.send(b"x")
    if {kind == "tcp"}:
        served = select.select(made, [], [], 30)[0][0].accept()
        assert served[1] == client.getsockname()
    else:
        assert select.select(made, [], [], 30)[0][0].recvfrom(9)[1] == client.getsockname()
        client = udp()
        client.sendto(b"y", (LOCAL, {port}))
        assert select.select(made, [], [], 30)[0][0].recv(9) == b"y"
tell("own")
"""
    options = ["--port-remap", "--net-allow-bind", port, "--net-allow", "127.0.0.1"]
    with inside.start(program, *options) as first, inside.start(program, *options) as second:
        for talk in (first, second):
            assert talk.hear() == ["ok", True] * 2
        for talk in (first, second):
            talk.say()
            assert talk.hear() == "own"


def test_an_ephemeral_port_is_a_real_one(inside):
    program = """
made = tcp()
made.bind((LOCAL, 0))
made.listen()
tell(made.getsockname()[1])
tell(made.accept()[0].recv(5).decode())
"""
    with inside.start(program, "--port-remap", "--net-allow-bind", "*") as talk:
        with socket.create_connection(("127.0.0.1", talk.hear())) as client:
            client.sendall(b"hello")
            assert talk.hear() == "hello"


def test_udp_ports_are_virtual_too(inside):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert inside(
            f"""
first, second = udp(), udp()
tell([bind(first, {port}), first.getsockname()[1] == {port}, bind(second, {port})])
""",
            "--port-remap", "--net-allow", "udp://127.0.0.1",
        ) == ["ok", True, "EADDRINUSE"]


def test_a_connected_socket_sends_by_name_to_its_own_peer_at_a_moved_port(inside):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert inside(
            f"""
server, client = udp(), udp()
server.bind((LOCAL, {port}))
server.settimeout(10)
results = [attempt(client.connect, (LOCAL, {port})), client.getpeername()[1] == {port}]
results.append(attempt(client.sendto, b"by name", (LOCAL, {port})))
tell(results + [server.recv(9).decode()])
""",
            "--port-remap", "--net-allow", "udp://127.0.0.1",
        ) == ["ok", True, "ok", "by name"]
        held.setblocking(False)
        with pytest.raises(BlockingIOError):
            held.recv(9)


TALK = """
server, client, third = udp(), udp(), udp()
for made, port in ((server, {0}), (client, {1})):
    made.bind((LOCAL, port))
    made.settimeout(10)
result = [client.getsockname()[1] == {1}]
client.sendto(b"question", (LOCAL, {0}))
question, peer = server.recvfrom(100)
result += [peer[1] != {1}, attempt(server.sendto, b"answer", peer)]
result += [attempt(server.connect, peer), attempt(server.send, b"more"), server.getpeername()[1] == {1}]
if "ECONNREFUSED" not in result:
    result += [client.recv(100).decode(), client.recv(100).decode()]
third.bind((LOCAL, 0))
result.append(attempt(server.sendto, b"no", third.getsockname()))
tell(result)
"""


@contextlib.contextmanager
def held_udp(count):
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        yield [each.getsockname()[1] for each in held]


def test_an_own_peer_is_judged_by_its_virtual_port(inside):
    """recvfrom tells the real one, to which the answer goes."""
    with held_udp(2) as (first, second):
        program = TALK.format(first, second)
        both = ["--port-remap", "--net-allow", f"udp://127.0.0.1:{first},{second}"]
        assert inside(program, *both) == [True, True, "ok", "ok", "ok", True, "answer", "more", "ECONNREFUSED"]
        one = ["--port-remap", "--net-allow", f"udp://127.0.0.1:{first}"]
        assert inside(program.replace("server.getpeername()[1]", "0"), *one) == [
            True, True, "ECONNREFUSED", "ECONNREFUSED", "EDESTADDRREQ", False, "ECONNREFUSED"]


def test_a_port_that_a_closed_socket_had_names_no_client(inside):
    """The kernel gives the real port of a listener that is gone to a client. Which one it chooses is settled for both
    sockets before they are handed in; members cannot."""
    program = """
_, fds, _, _ = socket.recv_fds(socket.socket(fileno=0), 1, 2)
gone, client = (socket.socket(fileno=fd) for fd in fds)
keeper = tcp()
gone.bind((LOCAL, {0}))
gone.listen()
names = [gone.getsockname()[1] == {0}]
keeper.bind((LOCAL, 0))
keeper.listen()
gone.close()
client.connect(keeper.getsockname())
accepted, peer = keeper.accept()
tell([*names, peer[1], client.getsockname()[1], accepted.getpeername()[1]])
"""
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 3):
        pytest.skip("a socket cannot be given a range of ports before Linux 6.3")

    def result_at(port, real):
        with contextlib.ExitStack() as stack:
            here, there = map(stack.enter_context, socket.socketpair())
            handed = [stack.enter_context(socket.socket()) for _ in "12"]
            for each in handed:
                each.setsockopt(socket.IPPROTO_IP, 51, struct.pack("=HH", real, real))  # IP_LOCAL_PORT_RANGE
            socket.send_fds(here, [b"x"], [each.fileno() for each in handed])
            for each in handed:
                each.close()
            words = inside.words(program.format(port), ["--port-remap", "--net-allow-bind", "*"])
            return inside.sandlock.run(*words, stdin=there)

    with listening() as port:
        for _ in range(3):  # another program may take the port in between
            (real,) = free_ports(1)
            result = result_at(port, real)
            if "Errno 9" not in result.stderr:
                break
    assert result.code == 0 and json.loads(result.stdout) == [True, real, real, real], result


def test_names_are_written_as_the_kernel_writes_them(inside):
    with listening() as port:
        assert inside(
            f"""
made = tcp()
made.bind((LOCAL, {port}))
def name(call, size, room=32):
    data, length = ctypes.create_string_buffer(b"\\xee" * room, room), ctypes.c_int(size)
    if call(made.fileno(), data, ctypes.byref(length)) != 0:
        return errno.errorcode[ctypes.get_errno()]
    return [length.value, data.raw[2:4].hex(), data.raw[4:5].hex()]
length = ctypes.c_int(16)
def fails(*arguments):
    libc.getsockname(*arguments)
    return errno.errorcode[ctypes.get_errno()]
tell([name(libc.getsockname, 32), name(libc.getsockname, 4), name(libc.getsockname, 0),
      name(libc.getsockname, -1), name(libc.getpeername, 32),
      fails(made.fileno(), None, ctypes.byref(length)), fails(made.fileno(), None, None),
      fails(os.pipe()[0], None, None), fails(999, None, None)])
""",
            "--port-remap", "--net-allow-bind", port,
        ) == [[16, f"{port:04x}", "7f"], [16, f"{port:04x}", "ee"], [16, "eeee", "ee"], "EINVAL",
              "ENOTCONN", "EFAULT", "EFAULT", "ENOTSOCK", "EBADF"]


def test_the_peers_name_is_told_alike_by_its_option(inside):
    """SO_PEERNAME, with the errors of the kernel."""
    program = """
SO_PEERNAME = 28
listener, client = tcp(), tcp()
listener.bind((LOCAL, {port}))
listener.listen()
client.connect((LOCAL, {port}))
def name(made, size, room=40, pointer=True):
    data, length = ctypes.create_string_buffer(b"\\xee" * room, room), ctypes.c_int(size)
    if libc.getsockopt(made.fileno(), 1, SO_PEERNAME, data if pointer else None, ctypes.byref(length)) != 0:
        return errno.errorcode[ctypes.get_errno()]
    return [length.value, struct.unpack("!H", data.raw[2:4])[0], data.raw[4:5].hex()]
left, right = socket.socketpair()
tell([name(client, 16), name(client, 3), name(client, 0), name(client, 17), name(client, -1), name(tcp(), 16),
      name(client, 16, pointer=False), name(listener, 16), name(left, 2)[0]])
"""
    def expected(port):
        return [[16, port, "7f"], [3, port & 0xff00 | 0xee, "ee"], [0, 0xeeee, "ee"], "EINVAL", "EINVAL", "ENOTCONN",
                "EFAULT", "ENOTCONN", 2]
    (free,) = free_ports(1)
    assert inside(program.format(port=free), "--net-allow-bind", free, "--net-allow", f"tcp://127.0.0.1:{free}") == \
        expected(free)
    with listening() as port:
        assert inside(program.format(port=port), "--port-remap", "--net-allow-bind", port) == expected(port)


def test_a_low_port_needs_no_privilege(inside):
    if os.getuid() == 0:
        pytest.skip("root may bind it")
    start = pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if start.exists() and int(start.read_text()) <= 80:
        pytest.skip("low ports are free for everybody here")
    assert inside(
        "made = tcp()\ntell([bind(made, 80), made.getsockname()[1], attempt(made.listen)])",
        "--port-remap", "--net-allow-bind", 80,
    ) == ["ok", 80, "ok"]
    assert inside("tell(bind(tcp(), 80))", "--net-allow-bind", 80) == "EACCES"
    assert inside("tell(bind(tcp(), 80))", "--net-allow-bind", 80, "--net-deny-bind", 1) == "EACCES"


@pytest.mark.root
@pytest.mark.user_namespaces
def test_a_member_without_the_capability_is_not_lent_it(inside):
    if os.getuid() != 0:
        pytest.skip("an ordinary user has no capability to lend")
    if int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 81:
        pytest.skip("low ports are free for everybody here")
    own = inside("tell(bind(tcp(), 81))", "--net-allow-bind", 81, "--net-deny-bind", 1)
    assert own in ("ok", "EACCES")
    # Its own user is no other one: no user namespace, in which the capability would be another, is made.
    assert inside("tell(bind(tcp(), 81))", "--net-allow-bind", 81, "--net-deny-bind", 1, "--user", "0:0") == own
    assert inside(
        "tell(bind(tcp(), 81))", "--net-allow-bind", 81, "--net-deny-bind", 1, "--user", "1000:1000"
    ) == "EACCES"


def test_port_remap_opens_no_port_of_the_host(inside):
    with listening() as port:
        connect = f"tell(attempt(tcp().connect, (LOCAL, {port})))"
        assert inside(connect, "--port-remap") == "EACCES"
        assert inside(connect, "--port-remap", "--net-allow-bind", "*") == "EACCES"
        assert inside(connect, "--port-remap", "--net-allow", f"127.0.0.1:{port}") == "ok"


@pytest.mark.skipif(tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (6, 8),
                    reason="the kernel does not list sockets that are only bound")
def test_an_own_port_that_does_not_listen_yet_is_not_the_hosts(inside):
    with listening() as port:
        for rules in ([], ["--net-allow", f"127.0.0.1:{port}"]):
            assert inside(
                f"""
made = tcp()
made.bind((LOCAL, {port}))
before = attempt(tcp().connect, (LOCAL, {port}))
made.listen()
tell([before, attempt(tcp().connect, (LOCAL, {port}))])
""",
                "--port-remap", "--net-allow-bind", port, *rules,
            ) == ["ECONNREFUSED", "ok"]


def test_a_large_transfer_over_a_remapped_connection_is_whole(inside):
    with listening() as port:
        assert inside(
            f"""
import hashlib, select, threading
server = tcp()
server.bind((LOCAL, {port}))
server.listen()
client = tcp()
client.connect((LOCAL, {port}))
served = server.accept()[0]
digest = hashlib.sha256()
def receive():
    while True:
        data = served.recv(1 << 16)
        if not data:
            return
        digest.update(data)
thread = threading.Thread(target=receive)
thread.start()
data = os.urandom(1 << 20) * 8
client.setblocking(False)
sent = 0
while sent < len(data):
    try:
        sent += client.sendmsg([data[sent:sent + 300000], data[sent + 300000:sent + 400000]])
    except BlockingIOError:
        select.select([], [client], [])
client.close()
thread.join()
tell(digest.hexdigest() == hashlib.sha256(data).hexdigest())
""",
            "--port-remap", "--net-allow-bind", port,
        ) is True


# ---- The C interface ----------------------------------------------------------------------------


def library():
    lib = ctypes.CDLL(str(BUILD / "libsandlock.so"))
    for name in ("sandbox_builder_new", "sandbox_builder_fs_read", "sandbox_builder_port_remap",
                 "sandbox_builder_net_allow_bind", "sandbox_build", "create", "handle_port_mappings"):
        getattr(lib, f"sandlock_{name}").restype = ctypes.c_void_p
    return lib


def mappings(lib, handle):
    text = lib.sandlock_handle_port_mappings(handle)
    if not text:
        return None
    value = json.loads(ctypes.string_at(text))
    lib.sandlock_string_free(ctypes.c_void_p(text))
    return value


def test_the_library_lists_remapped_ports_of_living_sockets(area):
    if not (BUILD / "libsandlock.so").exists():
        pytest.skip("this build has no shared library")
    lib = library()
    (same,) = free_ports(1)
    fifo, told = area / "fifo", area / "told"
    os.mkfifo(fifo)
    with listening() as port:
        script = area / "server.py"
        script.write_text(
            PRELUDE
            + f"""
made, other = tcp(), tcp()
made.bind((LOCAL, {port}))
made.listen()
other.bind((LOCAL, {same}))
open({str(told)!r}, "w").write("bound")
open({str(fifo)!r}).read()
made.close()
open({str(told)!r}, "w").write("closed")
open({str(fifo)!r}).read()
""",
            encoding="utf-8",
        )
        builder = ctypes.c_void_p(lib.sandlock_sandbox_builder_new())
        for path in ("/usr", "/lib", "/lib64", "/etc", script):
            if os.path.exists(path):
                builder = ctypes.c_void_p(
                    lib.sandlock_sandbox_builder_fs_read(builder, str(path).encode()))
        lib.sandlock_sandbox_builder_fs_write.restype = ctypes.c_void_p
        builder = ctypes.c_void_p(lib.sandlock_sandbox_builder_fs_write(builder, str(area).encode()))
        builder = ctypes.c_void_p(lib.sandlock_sandbox_builder_port_remap(builder, ctypes.c_bool(True)))
        builder = ctypes.c_void_p(
            lib.sandlock_sandbox_builder_net_allow_bind(builder, f"{port},{same}".encode()))
        policy = ctypes.c_void_p(lib.sandlock_sandbox_build(builder, None, None))
        argv = (ctypes.c_char_p * 3)(b"/usr/bin/python3", b"-I", str(script).encode())
        handle = ctypes.c_void_p(lib.sandlock_create(policy, None, argv, 3))
        assert handle.value
        try:
            assert mappings(lib, handle) is None
            assert lib.sandlock_start(handle) == 0
            until(lambda: told.exists() and told.read_text() == "bound")
            found = mappings(lib, handle)
            assert list(found) == [str(port)] and found[str(port)] not in (port, same)
            with socket.create_connection(("127.0.0.1", found[str(port)])):
                pass
            fifo.write_text("")
            until(lambda: told.read_text() == "closed")
            assert mappings(lib, handle) is None
        finally:
            lib.sandlock_handle_free(handle)
            lib.sandlock_sandbox_free(policy)
    assert lib.sandlock_handle_port_mappings(None) is None


def until(condition):
    waited = threading.Event()
    for _ in range(4000):
        if condition():
            return
        waited.wait(0.01)
    raise AssertionError("it did not happen")
