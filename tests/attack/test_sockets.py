"""Reaching peers that the policy does not name: protocols beside TCP, connecting while sending, other
socket families, and the host's view of its interfaces."""

import contextlib
import os
import platform
import socket

import pytest

from witnesses import port_below

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the payloads use x86-64 numbers"),
]

SOCKETS = {
    "tcp": "OK", "tcp_by_protocol": "OK", "tcp6": "OK", "tcp_cloexec_nonblock": "OK", "unix": "OK", "unix_datagram": "OK",
    "mptcp": "EPROTONOSUPPORT", "mptcp6": "EPROTONOSUPPORT", "sctp": "EPROTONOSUPPORT", "smc_by_protocol": "EPROTONOSUPPORT",
    "sctp_seqpacket": "ESOCKTNOSUPPORT", "udp": "EPERM", "udp_by_protocol": "EPERM", "udp6": "EPERM",
    "udp_cloexec": "EPERM", "udplite": "EPROTONOSUPPORT", "ping": "EPERM", "ping6": "EPERM", "raw": "EPERM",
    "raw_icmp": "EPERM", "raw6": "EPERM", "raw_cloexec": "EPERM", "packet_by_type": "EPERM", "packet": "EAFNOSUPPORT",
    "packet_datagram": "EAFNOSUPPORT", "netlink_route": "EAFNOSUPPORT", "netlink_diag": "EAFNOSUPPORT",
    "netlink_audit": "EAFNOSUPPORT", "netlink_uevent": "EAFNOSUPPORT", "netlink_generic": "EAFNOSUPPORT",
    "vsock": "EAFNOSUPPORT", "alg": "EAFNOSUPPORT", "xdp": "EAFNOSUPPORT", "smc": "EAFNOSUPPORT", "key": "EAFNOSUPPORT",
    "can": "EAFNOSUPPORT", "bluetooth": "EAFNOSUPPORT", "tipc": "EAFNOSUPPORT", "rds": "EAFNOSUPPORT",
    "qipcrtr": "EAFNOSUPPORT", "garbage_above_32_bits": "EPERM", "pair_unix": "OK", "pair_netlink": "EOPNOTSUPP",
}

# What an ordinary user can make unconfined: the refusals above are the sandbox's.
CONTROLS = ["tcp", "mptcp", "udp", "udp6", "netlink_route", "netlink_diag", "netlink_generic", "garbage_above_32_bits"]


def test_sockets_are_refused_by_family_type_and_protocol(attack, mode):
    inside, outside = attack.inside("sockets.py", "create", options=mode), attack.outside("sockets.py", "create")
    # Supervised, routing sockets are the supervisor's: test_net_responder.py.
    expected = {**SOCKETS, "netlink_route": "EAFNOSUPPORT" if mode else "OK"}
    assert {name: inside[name] for name in SOCKETS} == expected
    assert inside["pair_inet"] != "OK"
    for name in CONTROLS:
        assert outside[name] == "OK", f"{name} works unconfined"


# Of other protocols no rule speaks, so a member makes no such socket; but it may be given one.
GIVEN = {"udplite": (socket.SOCK_DGRAM, 136), "mptcp": (socket.SOCK_STREAM, 262)}


@contextlib.contextmanager
def given_socket(protocol):
    try:
        made = socket.socket(socket.AF_INET, *GIVEN[protocol])
    except OSError as error:
        pytest.skip(f"no {protocol} here: {error}")
    with made:
        yield made


@pytest.mark.parametrize("rules, error", [([], "EACCES"), (["--net-allow", "tcp://127.0.0.1:1", "--net-allow-bind", "1"],
                                                           "ECONNREFUSED")], ids=["none", "rules"])
@pytest.mark.parametrize("protocol", GIVEN)
def test_a_socket_of_a_protocol_without_rules_is_of_no_use(attack, listener, protocol, rules, error):
    with given_socket(protocol) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.1)
        port = server.getsockname()[1] if protocol == "udplite" else listener.port

        def arrivals():
            if protocol == "mptcp":
                return listener.arrivals()
            count = 0
            with contextlib.suppress(TimeoutError):
                while server.recv(100):
                    count += 1
            return count

        with given_socket(protocol) as given:
            outside = attack.outside("sockets.py", "handed", port, stdin=given)
        assert outside["connect"] == outside["send"] == "OK" and arrivals() > 0
        with given_socket(protocol) as given:
            inside = attack.inside("sockets.py", "handed", port, options=rules, stdin=given)
        assert inside["connect"] == error and inside["send"] != "OK" and inside["sendto"] != "OK"
        assert inside["bind"] == "EACCES" or not rules
        assert arrivals() == 0


def test_a_stream_of_a_protocol_without_rules_does_not_listen(attack):
    with given_socket("mptcp") as given:
        assert attack.outside("sockets.py", "listens", stdin=given)["listen"] == "OK"
    with given_socket("mptcp") as given:
        assert attack.inside("sockets.py", "listens", stdin=given)["listen"] == "EACCES"
        assert given.getsockname()[1] == 0


class Listener:
    """A TCP server that remembers who arrived."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(64)
        self.socket.settimeout(0.3)
        self.port = self.socket.getsockname()[1]

    def arrivals(self):
        """How many connections have arrived since the last call."""
        count = 0
        while True:
            try:
                self.socket.accept()[0].close()
            except TimeoutError:
                return count
            count += 1


@pytest.fixture
def listener():
    server = Listener()
    yield server
    server.socket.close()


CONNECTS = {
    "connect": "EACCES", "connect6": "EACCES", "connect_nonblocking": "EACCES", "connect_fastopen": "EACCES",
    "mptcp": "EPROTONOSUPPORT", "mptcp6": "EPROTONOSUPPORT",
    "sendto_fastopen": "EOPNOTSUPP", "sendmsg_fastopen": "EOPNOTSUPP", "sendmmsg_fastopen": "EOPNOTSUPP",
    "sendto_fastopen_high": "EOPNOTSUPP", "sendmsg_fastopen_high": "EOPNOTSUPP", "sendmmsg_fastopen_high": "EOPNOTSUPP",
}


def test_no_way_to_connect_reaches_a_listening_server(attack, mode, listener):
    outside = attack.outside("sockets.py", "tcp", listener.port)
    assert all(outside[name] in ("OK", "EINPROGRESS") for name in CONNECTS), outside
    assert listener.arrivals() == len(CONNECTS)
    inside = attack.inside("sockets.py", "tcp", listener.port, options=mode)
    assert {name: inside[name] for name in CONNECTS} == CONNECTS
    assert listener.arrivals() == 0


def test_no_datagram_arrives(attack, mode):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.3)
        port = server.getsockname()[1]
        assert attack.outside("sockets.py", "udp", port)["udp"] == "OK"
        assert server.recv(16) == b"attack"
        assert attack.inside("sockets.py", "udp", port, options=mode)["udp"] == "EPERM"
        with pytest.raises(TimeoutError):
            server.recv(16)


def test_binding_needs_a_rule_for_the_port(attack, mode):
    port = port_below()
    names = ("bind", "bind6", "bind_any")
    outside = attack.outside("sockets.py", "bind", port)
    assert [outside[name] for name in names] == ["OK"] * 3 and outside["bind_mptcp"] == "OK"
    inside = attack.inside("sockets.py", "bind", port, options=mode)
    assert [inside[name] for name in names] == ["EACCES"] * 3
    assert inside["bind_mptcp"] == "EPROTONOSUPPORT"
    allowed = attack.inside("sockets.py", "bind", port, options=[*mode, "--net-allow-bind", port])
    assert [allowed[name] for name in names] == ["OK", "OK", "EACCES"]
    assert allowed["bind_mptcp"] == "EPROTONOSUPPORT"
    ephemeral = attack.inside("sockets.py", "bind", port, options=[*mode, "--net-allow-bind", "0"])
    assert [ephemeral[name] for name in names] == ["EACCES", "EACCES", "OK"]


def test_abstract_sockets_outside_are_out_of_reach(attack, mode):
    name = f"sandlock-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as stream, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
        stream.bind(f"\0{name}")
        stream.listen()
        datagram.bind(f"\0{name}.datagram")
        stream.settimeout(0.3)
        datagram.settimeout(0.3)
        inside = attack.inside("sockets.py", "abstract", name, options=mode)
        assert (inside["stream"], inside["datagram"]) == ("EPERM", "EPERM")
        with pytest.raises(TimeoutError):
            stream.accept()
        with pytest.raises(TimeoutError):
            datagram.recv(16)
        for where in (attack.outside("sockets.py", "abstract", name),
                      attack.inside("sockets.py", "abstract", name,
                                    options=[*mode, "--disable", "abstract-unix-socket-scope"])):
            assert (where["stream"], where["datagram"]) == ("OK", "OK")
            stream.accept()[0].close()
            assert datagram.recv(16) == b"attack"


def test_abstract_sockets_inside_work(attack, mode):
    script = ("import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0inside'); s.listen()\n"
              "c = socket.socket(socket.AF_UNIX); c.connect('\\0inside'); s.accept(); print('connected')")
    result = attack.sandlock.run(*mode, "--", *attack.words("raw.py")[:-1], "-c", script)
    assert result.stdout == "connected\n", result


def test_the_hosts_interfaces_cannot_be_asked_for(attack, mode):
    inside, outside = attack.inside("sockets.py", "interfaces", options=mode), attack.outside("sockets.py", "interfaces")
    for name in ("SIOCGIFNAME", "SIOCGIFCONF", "SIOCGIFFLAGS", "SIOCGIFINDEX", "SIOCGIFHWADDR"):
        assert outside[name] == "OK", f"{name} works unconfined"
    questions = [name for name in inside if name.startswith("SIOC")]
    # Supervised, the questions about one interface are answered for lo: test_net_netlink.py.
    answered = [] if mode else ["SIOCGIFNAME", "SIOCGIFFLAGS", "SIOCGIFADDR", "SIOCGIFHWADDR", "SIOCGIFINDEX"]
    expected = {name: "OK" if name.removesuffix("_high") in answered else "EPERM" for name in questions}
    assert {name: inside[name] for name in questions} == expected
    assert len(questions) == 20
    assert inside["FIONREAD"] == outside["FIONREAD"]


def test_packets_cannot_be_routed_around(attack, mode):
    inside, outside = attack.inside("sockets.py", "options", options=mode), attack.outside("sockets.py", "options")
    assert (outside["IP_OPTIONS"], inside["IP_OPTIONS"]) == ("OK", "EPERM")
    assert inside["IPV6_RTHDR"] == "EPERM"
    assert inside["SO_REUSEADDR"] == "OK"


@pytest.mark.parametrize("rules", [[], ["--net-allow", "tcp://*:9"]], ids=["no rule", "rule for TCP"])
def test_no_option_chooses_the_port_or_tells_of_interfaces(attack, mode, rules):
    outside = attack.outside("sockets.py", "options")
    inside = attack.inside("sockets.py", "options", options=[*mode, *rules])
    for name in ("IP_MULTICAST_IF", "IPV6_MULTICAST_IF", "IP_LOCAL_PORT_RANGE", "IP_LOCAL_PORT_RANGE of IPv6"):
        assert outside[name] in ("OK", "ENOPROTOOPT") and inside[name] == "EPERM", name
    assert outside["IP_BLOCK_SOURCE"] != "EPERM" and inside["IP_BLOCK_SOURCE"] == "EPERM"
