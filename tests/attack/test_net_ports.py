"""Being reached without a bind that is allowed: UDP ports gained by writing, TCP ports gained by listening,
and the spellings of bind."""

import contextlib
import ipaddress
import os
import platform
import socket
import struct
import subprocess

import pytest

from witnesses import DatagramWitness, free_port, port_below, rules

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the payloads use x86-64 numbers"),
]

HOSTS = {"inet": "127.0.0.1", "inet6": "::1"}

# What gives a UDP socket no port, or one that only the peer of the connect reaches.
UNREACHED = {"inet": {"connect", "connect_unspec", "shutdown"},
             "inet6": {"connect", "connect_unspec", "shutdown", "bind_unspec"}}
PROBED = "connect_probe"  # connected to port 65535, as resolvers do

# Rules of which none is for UDP.
WITHOUT_UDP = {"tcp_rule": ["tcp://*"], "icmp_rule": ["icmp://*"], "tcp_and_deny": ["tcp://*", "!10.0.0.0/8"],
               "all_of_udp_denied": ["*", "!udp://*"]}


def start(attack, where, *arguments, options=()):
    """The payload in the background, confined or not."""
    if where == "inside":
        return attack.start("net_ports.py", *arguments, options=options, stdin=subprocess.PIPE)
    return subprocess.Popen(attack.words("net_ports.py", *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, encoding="utf-8")


def own_network():
    """What runs a command in a network namespace of its own."""
    own = ["--user", "--map-root-user"] if os.geteuid() != 0 else []
    enter = ["unshare", *own, "--net"]
    if subprocess.run([*enter, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace for this user here")
    return enter


def ports_of(stream):
    """name -> port, as the payload reports them."""
    found = {}
    for line in stream:
        name, port = line.split()
        if name == "end":
            break
        found[name] = port
    return found


def bombard(host, ports):
    """Sends a datagram to every port, and one from port 65535 to the socket that is connected to it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client, socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        peer.bind((host, 65535))
        for name, port in ports.items():
            for sender in (client, peer):
                if port:
                    try:
                        sender.sendto(b"to " + name.encode(), (host, port))
                    except ConnectionRefusedError:  # what an earlier datagram met
                        sender.sendto(b"to " + name.encode(), (host, port))


def received(attack, where, kind, options=()):
    """The names of the sockets that a datagram reached, and all names with their ports."""
    process = start(attack, where, "udp", kind, options=options)
    try:
        found = ports_of(process.stdout)
        ports = {name: int(port) for name, port in found.items() if name != "socket:"}
        bombard(HOSTS[kind], ports)
        out, err = process.communicate("report\n", timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    assert process.returncode == 0, err
    if "socket:" in found:  # there is none
        return set(), {}, {"socket": found["socket:"]}
    lines = dict(line.split(": ", 1) for line in out.splitlines())
    assert lines.get("done") == "OK", (out, err)
    return {name for name, text in lines.items() if text.startswith("received")}, ports, lines


@pytest.mark.parametrize("kind", HOSTS)
@pytest.mark.parametrize("policy", WITHOUT_UDP)
def test_no_udp_port_is_gained_without_a_udp_rule(attack, kind, policy):
    try:
        reached, ports, _ = received(attack, "outside", kind)
    except OSError as error:
        pytest.skip(f"no loopback of this family: {error}")
    assert len(ports) >= 20
    assert reached == set(ports) - UNREACHED[kind]
    reached, ports, lines = received(attack, "inside", kind, options=rules(*WITHOUT_UDP[policy]))
    assert "socket" not in lines and len(ports) >= 20
    assert reached == set()


def test_a_udp_rule_lets_sockets_receive(attack):
    everything, _, _ = received(attack, "outside", "inet")
    reached, _, _ = received(attack, "inside", "inet", options=rules("udp://*"))
    assert "cork" in everything, "the control"
    assert reached == (everything - {"cork"}) | {"connect_unspec"}, "a connected socket is not dissolved, and keeps its port"


def test_without_rules_there_is_no_udp_socket(attack):
    reached, ports, lines = received(attack, "inside", "inet")
    assert (reached, ports, lines["socket"]) == (set(), {}, "EPERM")


def test_the_filter_of_a_udp_socket_stays(attack):
    inside = attack.inside("net_ports.py", "detach", options=rules("tcp://*"))
    assert {inside[name] for name in ("SO_DETACH_FILTER", "SO_LOCK_FILTER", "SO_ATTACH_FILTER")} == {"EPERM"}
    outside = attack.outside("net_ports.py", "detach")
    assert (outside["SO_LOCK_FILTER"], outside["SO_ATTACH_FILTER"]) == ("OK", "OK")


@pytest.mark.parametrize("kind", HOSTS)
def test_a_socket_that_only_looks_shut_down_sends_nothing_either(attack, kind):
    """Its filter is locked by who handed it in, as the sandbox's own sockets have theirs, but it can send."""
    family = socket.AF_INET if kind == "inet" else socket.AF_INET6
    # Nobody else has the port there; at ::1 others of these tests may take what is sent.
    host = str(ipaddress.ip_address(0x7f100000 + os.getpid())) if kind == "inet" else HOSTS[kind]
    text = f"handed in by {os.getpid()}"
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((host, 65535))
        except OSError as error:
            pytest.skip(f"no loopback of this family: {error}")
        options = {"options": rules(f"tcp://{host if kind == 'inet' else '[::1]'}:9")}
        for run, options, sent in ((attack.inside, options, "EPIPE"), (attack.outside, {}, "OK")):
            with socket.socket(family, socket.SOCK_DGRAM) as handed:
                handed.setsockopt(socket.SOL_SOCKET, 44, 1)  # SO_LOCK_FILTER
                results = run("net_ports.py", "handed", host, text, stdin=handed, **options)
            assert results == {"connect": "OK", "send": sent}, results.result
            arrived = text.encode() in DatagramWitness(server).arrivals()
            assert arrived == (sent == "OK") or (kind == "inet6" and not arrived)


ERRORS = """
import os, socket, struct, sys
ways = {"written": lambda made: made.send(b""), "asked": lambda made: made.connect(("127.0.0.1", 65535))}
made = {}
for name, way in ways.items():
    made[name] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made[name].setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
    try:
        way(made[name])
    except OSError:
        pass
print(*[each.getsockname()[1] for each in made.values()], flush=True)
sys.stdin.readline()
for name, each in made.items():
    try:
        print(name, each.recvmsg(100, 1000, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)[0].decode())
    except OSError as error:
        print(name, error.errno)
"""


def forged_error(port, quoted):
    """ICMP: nobody is at port 65535, said of a datagram from this port."""
    datagram = struct.pack("!HHHH", port, 65535, 8 + len(quoted), 0) + quoted
    inner = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0, *[socket.inet_aton("127.0.0.1")] * 2)
    message = struct.pack("!BBHI", 3, 3, 0, 0) + inner + datagram
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    total = (total & 0xffff) + (total >> 16)
    return message[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + message[4:]


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_made_up_errors_bring_nothing_to_a_udp_socket_without_a_rule(attack, where):
    try:
        forger = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    except PermissionError:
        pytest.skip("only root makes up errors")
    command = ["/usr/bin/python3", "-I", "-c", ERRORS]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **streams) if where == "outside" else \
        attack.sandlock.start(*rules("tcp://*"), "--", *command, stdin=subprocess.PIPE)
    with forger:
        for port in process.stdout.readline().split():
            if port != "0":
                forger.sendto(forged_error(int(port), b"smuggled"), ("127.0.0.1", 0))
        out, _ = process.communicate("go\n", timeout=30)
    expected = "smuggled" if where == "outside" else "11"  # EAGAIN
    assert out == f"written {expected}\nasked {expected}\n"


LISTENS = ["unbound", "unbound6", "after_failed_connect", "after_undone_connect", "after_child", "after_failed_bind",
           "no_port", "high"]
RESTRICTING = {"none": [], "rules": ["--net-allow", "*"], "deny": ["--net-deny", "10.0.0.0/8"],
               "another_port": ["--net-allow-bind", "OTHER"], "rules_and_port": ["--net-allow", "*", "--net-allow-bind", "OTHER"],
               "remap": ["--port-remap"], "remap_and_port": ["--port-remap", "--net-allow-bind", "OTHER"],
               "deny_ephemeral": ["--net-allow-bind", "*", "--net-deny-bind", "0"]}
FREE = {"ephemeral": ["--net-allow-bind", "0"], "all": ["--net-allow-bind", "*"], "deny_another": ["--net-deny-bind", "OTHER"],
        "all_and_rules": ["--net-allow", "*", "--net-allow-bind", "*"]}


def with_port(words):
    return [str(free_port()) if word == "OTHER" else word for word in words]


@pytest.mark.parametrize("policy", RESTRICTING)
def test_nobody_listens_on_a_port_that_was_not_bound(attack, policy):
    port = free_port()  # nobody answers there
    outside = attack.outside("net_ports.py", "listen", port)
    assert {outside[name] for name in LISTENS} == {"OK"} and outside["unbound_reached"] == "OK"
    inside = attack.inside("net_ports.py", "listen", port, options=with_port(RESTRICTING[policy]))
    assert {name: inside[name] for name in LISTENS} == dict.fromkeys(LISTENS, "EACCES")
    assert inside["after_failed_nonblocking"] in ("EACCES", "EINVAL")
    assert (inside["unix"], inside["file"], inside["nothing"]) == ("OK", "ENOTSOCK", "EBADF")


@pytest.mark.parametrize("policy", FREE)
def test_listening_without_a_bind_works_where_any_port_may_be_bound(attack, policy):
    inside = attack.inside("net_ports.py", "listen", free_port(), options=with_port(FREE[policy]))
    assert inside["unbound"] == inside["unbound6"] == inside["unix"] == "OK"


def test_without_a_supervisor_only_the_kernel_guards_bind(attack):
    inside = attack.inside("net_ports.py", "bind", free_port(), options=["--no-supervisor"])
    assert {inside[name] for name in ("plain", "any", "unspec", "any6", "mapped", "ephemeral")} == {"EACCES"}


AIMED = {"denied": ["--net-deny-bind", "PORT"], "chosen": ["--net-allow-bind", "0"],
         "chosen_and_denied": ["--net-allow-bind", "0", "--net-deny-bind", "PORT"],
         "remap": ["--net-deny-bind", "PORT", "--port-remap"],
         "without_gate": ["--without", "listen-gate", "--net-deny-bind", "PORT"],
         "without_supervisor": ["--no-supervisor", "--net-allow-bind", "0"]}
WAYS = [f"{family} {way}" for family in HOSTS for way in ("listen", "bind")]


@pytest.mark.ipv6
@pytest.mark.parametrize("policy", AIMED)
def test_the_port_that_the_kernel_chooses_is_not_chosen_by_an_option(attack, policy):
    port = free_port()
    outside = attack.outside("net_ports.py", "aimed", port)
    if outside["inet range"] == "ENOPROTOOPT":
        pytest.skip("this kernel has no IP_LOCAL_PORT_RANGE")
    assert {outside[way] for way in WAYS} == {"OK"}, "the control: each is at the port"
    inside = attack.inside("net_ports.py", "aimed", port, options=[word.replace("PORT", str(port)) for word in AIMED[policy]])
    assert {inside[way] for way in WAYS} == {"EADDRNOTAVAIL"} and inside["inet range"] == inside["inet6 range"] == "EPERM"


def chosen_ports():
    """What the kernel chooses from: a quarter to be denied, and the rest."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as text:
        low, high = map(int, text.read().split())
    return range(low, low + (high - low) // 4), range(low + (high - low) // 4, high + 1)


DENIED = {"denied": [], "remap": ["--port-remap"], "chosen_and_denied": ["--net-allow-bind", "0"],
          "rules": ["--net-allow", "127.0.0.1:9"]}


@pytest.mark.ipv6
@pytest.mark.parametrize("policy", DENIED)
def test_a_denied_port_is_not_what_the_kernel_chooses(attack, policy):
    denied, rest = chosen_ports()
    outside = attack.outside("net_ports.py", "chosen", 8)
    assert len(outside) == 48 and any(int(port) in denied for port in outside.values())
    options = ["--net-deny-bind", f"{denied[0]}-{denied[-1]}", *DENIED[policy]]
    inside = attack.inside("net_ports.py", "chosen", 8, options=options)
    assert len(inside) == 48 and all(int(port) in rest for port in inside.values()), inside.result


def test_where_all_ports_are_denied_nobody_listens_without_a_bind(attack):
    for options in ([], ["--port-remap"]):
        inside = attack.inside("net_ports.py", "listen", free_port(), options=["--net-deny-bind", "1-65535", *options])
        assert {inside[name] for name in LISTENS} == {"EADDRINUSE"} and inside["unix"] == "OK", inside.result


@pytest.mark.parametrize("policy", DENIED)
def test_a_denied_port_is_never_opened_where_the_kernel_has_no_other(attack, policy):
    enter = own_network()
    listen = attack.words("net_few.py", "listen")

    def told(command):
        done = subprocess.run([*enter, *attack.words("net_few.py"), *command], capture_output=True, text=True, timeout=60,
                              check=False)
        return dict(line.split(": ") for line in done.stdout.splitlines()), done.stderr

    told_outside, errors = told(listen)
    assert told_outside == {"listen": "40003", "bind": "40003", "answered": "yes"}, errors
    told_inside, errors = told([attack.sandlock.binary, "run", *attack.sandlock.base, *attack.grants("net_few.py"),
                                "--net-deny-bind", "40003", *DENIED[policy], "--", *listen])
    assert told_inside == {"listen": "EADDRINUSE", "bind": "EADDRINUSE", "answered": "no"}, errors


def ports_by_inode():
    with open("/proc/net/tcp", encoding="ascii") as lines:
        fields = [line.split() for line in lines][1:]
    return {field[9]: int(field[1].split(":")[1], 16) for field in fields}


def test_a_port_in_place_of_a_taken_one_is_not_a_denied_one(attack):
    denied, rest = chosen_ports()
    with contextlib.ExitStack() as stack:
        taken = []
        while len(taken) < 16:
            holder = stack.enter_context(socket.socket())
            holder.bind(("127.0.0.1", 0))
            if holder.getsockname()[1] in rest:
                holder.listen()
                taken.append(holder.getsockname()[1])
        process = start(attack, "inside", "moved", *taken,
                        options=["--port-remap", "--net-deny-bind", f"{denied[0]}-{denied[-1]}"])
        inodes = list(ports_of(process.stdout).values())
        real = ports_by_inode()
        _, errors = process.communicate("over\n", timeout=30)
    assert len(inodes) == 16 and all(inode in real for inode in inodes), errors
    assert all(real[inode] in rest and real[inode] not in taken for inode in inodes), errors


@pytest.mark.ipv6
def test_a_socket_that_speaks_ipv4_does_not_listen_for_ipv6(attack):
    """Its connections would send by IPv4 what is for an IPv6 peer."""
    own, port = port_below(), free_port()
    outside = attack.outside("net_ports.py", "failed", own, port)
    assert (outside["mapped"], outside["ipv6"], outside["ipv4"]) == ("OK", "OK", "OK")
    inside = attack.inside("net_ports.py", "failed", own, port,
                           options=["--net-allow-bind", own, *rules(f"127.0.0.1:{port}", f"[::1]:{port}")])
    assert (inside["mapped"], inside["ipv6"], inside["ipv4"]) == ("EACCES", "OK", "OK"), inside.result


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_a_udp_socket_without_a_rule_does_not_tell_what_it_dropped(attack, where):
    process = start(attack, where, "dropped", options=rules("tcp://*"))
    port = int(process.stdout.readline())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(5):
            sender.sendto(b"a letter", ("127.0.0.1", port))
    out, err = process.communicate("report\n", timeout=30)
    assert out == ("5\n" if where == "outside" else "1\n"), err  # EPERM


def test_a_udp_socket_without_a_rule_takes_no_datagrams_from_a_service(attack):
    enter = own_network()
    take = attack.words("net_shared.py", "take")

    def told(command):
        done = subprocess.run([*enter, *attack.words("net_shared.py"), *command], capture_output=True, text=True,
                              timeout=60, check=False)
        return dict(line.split(": ") for line in done.stdout.splitlines()), done.stderr

    told_outside, errors = told(take)
    assert told_outside["ready"] == "taken" and told_outside["SO_REUSEADDR"] == "0", errors
    assert int(told_outside["SO_REUSEPORT"]) < 20, "the control: the socket that came last gets them"
    told_inside, errors = told([attack.sandlock.binary, "run", *attack.sandlock.base, *attack.grants("net_shared.py"),
                                *rules("tcp://*"), "--", *take])
    assert told_inside == {"ready": "taken", "SO_REUSEADDR": "20", "SO_REUSEPORT": "20"}, errors


SPELLINGS = ["plain", "any", "unspec", "inet6", "any6", "mapped", "mapped_any", "long"]
EPHEMERAL = ["ephemeral", "ephemeral6", "ephemeral_unspec"]
NOT_BINDING = {"none": [], "another_port": ["--net-allow-bind", "OTHER"], "ephemeral": ["--net-allow-bind", "0"],
               "denied": ["--net-deny-bind", "PORT"], "denied_range": ["--net-deny-bind", "1-65535"],
               "allowed_and_denied": ["--net-allow-bind", "PORT", "--net-deny-bind", "PORT"],
               "all_but_denied": ["--net-allow-bind", "*", "--net-deny-bind", "PORT"],
               "rules": ["--net-allow", "*"], "deny_rules": ["--net-deny", "10.0.0.0/8"],
               "rules_and_another": ["--net-allow", "*", "--net-allow-bind", "OTHER"],
               "remap": ["--port-remap"], "remap_and_another": ["--port-remap", "--net-allow-bind", "OTHER"],
               "remap_and_denied": ["--port-remap", "--net-allow-bind", "*", "--net-deny-bind", "PORT"]}


@pytest.mark.ipv6
@pytest.mark.parametrize("policy", NOT_BINDING)
def test_no_spelling_binds_a_port_that_is_not_allowed(attack, policy):
    port = port_below()
    outside = attack.outside("net_ports.py", "bind", port)
    assert {outside[name] for name in SPELLINGS + EPHEMERAL} == {"OK"}
    options = [word.replace("PORT", str(port)) for word in with_port(NOT_BINDING[policy])]
    inside = attack.inside("net_ports.py", "bind", port, options=options)
    assert {name: inside[name] for name in SPELLINGS} == dict.fromkeys(SPELLINGS, "EACCES")
    ephemeral = {inside[name] for name in EPHEMERAL}
    chosen = {"ephemeral": "OK", "denied": "OK", "all_but_denied": "OK", "remap_and_denied": "OK",
              "denied_range": "EADDRINUSE"}  # the kernel has no other
    assert ephemeral == {chosen.get(policy, "EACCES")}
    assert (inside["mptcp"], inside["udplite"]) == ("EPROTONOSUPPORT", "EPROTONOSUPPORT")
    assert inside["too_long"] == "EINVAL" and inside["too_short"] in ("EINVAL", "EACCES")


@pytest.mark.ipv6
@pytest.mark.parametrize("extra", [[], ["--net-allow", "*"], ["--net-deny", "10.0.0.0/8"], ["--port-remap"],
                                   ["--net-deny-bind", "1"]], ids=lambda words: words[0] if words else "alone")
def test_every_spelling_binds_an_allowed_port(attack, extra):
    port = port_below()
    inside = attack.inside("net_ports.py", "bind", port, options=["--net-allow-bind", port, *extra])
    assert {name: inside[name] for name in SPELLINGS} == dict.fromkeys(SPELLINGS, "OK")
    assert {inside[name] for name in EPHEMERAL} == {"EACCES"}


def test_the_port_of_another_program_is_not_shared(attack):
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert attack.outside("net_ports.py", "steal", port)["steal"] == "OK"
        for options in ([], ["--net-allow", "*"], ["--net-deny-bind", port], ["--port-remap"]):
            assert attack.inside("net_ports.py", "steal", port, options=options)["steal"] == "EACCES"
