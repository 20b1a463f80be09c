"""Reaching a port that the rules do not allow: every spelling of the address, every call that connects or
sends, sockets that may reach one peer turned to another, and ways around the addressed packet."""

import os
import platform
import random
import subprocess
import sys

import pytest

from witnesses import free_port, rules, tcp_witness, udp_witness, udp_witness_at

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the payloads use x86-64 numbers"),
]

# Rules under which 127.0.0.1:PORT is out of reach. OTHER is a port that nobody listens on.
REFUSING = {
    "none": [],
    "another_port": ["127.0.0.1:OTHER"],
    "another_address": ["127.0.0.2:PORT", "[::1]:PORT"],
    "another_range": ["10.0.0.0/8", "fc00::/7:PORT"],
    "any_address_on_another_port": [":OTHER"],
    "icmp_only": ["icmp://*"],
    "deny_range": ["!127.0.0.0/8"],
    "deny_address": ["!127.0.0.1"],
    "deny_port": ["!:PORT"],
    "deny_all": ["!*"],
    "deny_over_allow": ["127.0.0.1:PORT", "!127.0.0.1:PORT"],
    "deny_over_everything": ["*", "!127.0.0.0/8"],
}


def options_of(name, port, protocol=None):
    words = [word.replace("PORT", str(port)).replace("OTHER", str(free_port())) for word in REFUSING[name]]
    if protocol is not None:  # the other protocol is open to exactly this port
        words.append(f"{protocol}://127.0.0.1:{port}")
    return rules(*words)


def refused(results, *errors):
    """Every attempt has one of these results."""
    assert results, results.result
    wrong = {name: result for name, result in results.items() if result not in errors}
    assert not wrong, wrong


@pytest.mark.parametrize("policy", REFUSING)
def test_no_spelling_connects_to_a_refused_tcp_port(attack, policy):
    with tcp_witness() as server:
        inside = attack.inside("net_destinations.py", "tcp", server.port, options=options_of(policy, server.port))
        unspec = inside.pop("connect_family")  # a disconnect, which reaches nobody
        assert unspec in ("OK", "EPIPE", "ENOTCONN", "ECONNREFUSED")
        refused(inside, "EACCES" if policy == "none" else "ECONNREFUSED")
        assert server.arrivals() == 0


def test_every_spelling_connects_where_it_may(attack):
    with tcp_witness() as server:
        outside = attack.outside("net_destinations.py", "tcp", server.port)
        expected = dict(outside)
        count = server.arrivals()
        assert count >= 14 and list(expected.values()).count("OK") >= count
        for words in (["127.0.0.1:PORT"], ["tcp://127.0.0.0/8:PORT"], ["tcp://*"], ["!10.0.0.0/8"], ["tcp://:PORT"]):
            options = rules(*(word.replace("PORT", str(server.port)) for word in words))
            inside = attack.inside("net_destinations.py", "tcp", server.port, options=options)
            assert dict(inside) == expected, words
            assert server.arrivals() == count, words


def test_no_spelling_connects_to_a_refused_port_of_ipv6(attack):
    with tcp_witness("::1") as server:
        port = server.port
        assert set(attack.outside("net_destinations.py", "tcp6", port).values()) == {"OK"}
        assert server.arrivals() == 6
        for words in (["127.0.0.1:%d" % port], ["!::1"], ["!::/0"], ["![::1]:%d" % port], ["*", "!::1/128"]):
            refused(attack.inside("net_destinations.py", "tcp6", port, options=rules(*words)), "ECONNREFUSED")
            assert server.arrivals() == 0, words
        inside = attack.inside("net_destinations.py", "tcp6", port, options=rules(f"[::1]:{port}"))
        assert (set(inside.values()), server.arrivals()) == ({"OK"}, 6)


@pytest.mark.parametrize("policy", ["none", "another_port", "deny_range", "deny_port", "deny_over_everything"])
def test_nobody_connects_while_sending(attack, policy):
    with tcp_witness() as server:
        inside = attack.inside("net_destinations.py", "fastopen", server.port, options=options_of(policy, server.port))
        by_connect = inside.pop("fastopen_connect")
        assert by_connect == ("EACCES" if policy == "none" else "ECONNREFUSED")
        sends = {name: result for name, result in inside.items() if name.startswith("send")}
        assert set(sends.values()) == {"EOPNOTSUPP"} and len(sends) == 24
        others = {name: result for name, result in inside.items() if name not in sends}
        assert set(others.values()) <= {"EPROTONOSUPPORT", "ESOCKTNOSUPPORT"} and "mptcp" in others
        assert server.arrivals() == 0


def test_nobody_connects_while_sending_where_connecting_is_allowed(attack):
    with tcp_witness() as server:
        outside = attack.outside("net_destinations.py", "fastopen", server.port)
        assert outside["sendto_plain"] == outside["sendmmsg_mapped"] == outside["mptcp"] == "OK"
        assert server.arrivals() >= 24
        inside = attack.inside("net_destinations.py", "fastopen", server.port,
                               options=rules("*", f"127.0.0.1:{server.port}"))
        assert inside.pop("fastopen_connect") == "OK"  # judged as a connect
        refused(inside, "EOPNOTSUPP", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT")
        assert server.arrivals() == 1


@pytest.mark.parametrize("policy", REFUSING)
def test_no_spelling_sends_to_a_refused_udp_port(attack, policy):
    with udp_witness() as server:
        protocol = None if policy in ("none", "deny_over_allow") or policy.startswith("deny") else "tcp"
        options = options_of(policy, server.port, protocol)
        inside = attack.inside("net_destinations.py", "udp", server.port, options=options)
        assert inside.pop("udplite") == "EPROTONOSUPPORT"
        for name in ("connect_unspec", "connect_unspec_any"):  # disconnected, then sending to nobody
            assert inside.pop(name) in ("EDESTADDRREQ", "EPIPE", "EPERM")
        refused(inside, "EPERM" if policy == "none" else "ECONNREFUSED")
        assert server.arrivals() == []


def test_a_udp_rule_opens_no_tcp_port_and_a_tcp_rule_no_udp_port(attack):
    with tcp_witness() as stream, udp_witness() as datagram:
        refused(attack.inside("net_destinations.py", "tcp", stream.port, options=rules(f"udp://127.0.0.1:{stream.port}", "udp://*")),
                "ECONNREFUSED", "OK")
        assert stream.arrivals() == 0
        inside = attack.inside("net_destinations.py", "udp", datagram.port,
                               options=rules(f"tcp://127.0.0.1:{datagram.port}", "tcp://*", "icmp://*"))
        assert "OK" not in inside.values()
        assert datagram.arrivals() == []


def test_every_spelling_sends_where_it_may(attack):
    with udp_witness() as server:
        expected = dict(attack.outside("net_destinations.py", "udp", server.port))
        messages = server.arrivals()
        assert len(messages) >= 22 and expected.pop("udplite") == "OK"
        assert expected["more"] == "OK"
        expected["more"] = "EOPNOTSUPP"  # net/device.h, device_begins()
        messages.remove(b"attack")
        for words in ([f"127.0.0.1:{server.port}"], ["udp://127.0.0.0/8"], ["udp://*"], ["!10.0.0.0/8"], [f"udp://:{server.port}"]):
            inside = attack.inside("net_destinations.py", "udp", server.port, options=rules(*words))
            assert inside.pop("udplite") == "EPROTONOSUPPORT"
            assert dict(inside) == expected, words
            assert server.arrivals() == messages, words


def test_no_spelling_sends_to_a_refused_udp_port_of_ipv6(attack):
    with udp_witness("::1") as server:
        assert set(attack.outside("net_destinations.py", "udp6", server.port).values()) == {"OK"}
        assert len(server.arrivals()) == 12
        for words in (["127.0.0.1"], ["!::1"], ["!::/0"], [f"![::1]:{server.port}"], ["udp://*", "!::1"], ["tcp://*"]):
            refused(attack.inside("net_destinations.py", "udp6", server.port, options=rules(*words)), "ECONNREFUSED")
            assert server.arrivals() == [], words
        inside = attack.inside("net_destinations.py", "udp6", server.port, options=rules("udp://::1"))
        assert (set(inside.values()), len(server.arrivals())) == ({"OK"}, 12)


@pytest.mark.parametrize("policy", ["allow", "deny"])
def test_a_socket_of_an_allowed_peer_is_not_turned_to_another(attack, policy):
    with udp_witness() as server, udp_witness() as allowed:
        assert attack.outside("net_destinations.py", "detour", allowed.port, server.port)["reconnect"] == "OK"
        assert len(server.arrivals()) >= 8 and allowed.arrivals()
        words = [f"udp://127.0.0.1:{allowed.port}"] if policy == "allow" else [f"!127.0.0.1:{server.port}"]
        inside = attack.inside("net_destinations.py", "detour", allowed.port, server.port, options=rules(*words))
        assert inside.pop("batch") == "OK"  # its first message
        assert inside.pop("batch_lengths") == f"[4, {2**32 - 1}, {2**32 - 1}]"
        assert inside.pop("unspec_reconnect") == "EISCONN"  # a disconnect
        assert inside.pop("corked") == "EOPNOTSUPP"
        refused(inside, "ECONNREFUSED")
        assert server.arrivals() == []
        assert set(allowed.arrivals()) == {b"open"}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_packets_take_no_other_route_than_the_judged_one(attack, host):
    with udp_witness(host) as server:
        outside = attack.outside("net_destinations.py", "routed", server.port)
        assert outside["option_IPV6_RTHDR"] == outside["option_IPV6_2292RTHDR"] == outside["ordinary"] == "OK"
        server.arrivals()
        for words in (["*"], [f"udp://127.0.0.1:{server.port}", f"udp://[::1]:{server.port}"], ["!10.0.0.0/8"]):
            inside = attack.inside("net_destinations.py", "routed", server.port, options=rules(*words))
            assert inside.pop("ordinary") == "OK"
            refused(inside, "EPERM")
            assert server.arrivals() == ([b"ordinary"] if host == "127.0.0.1" else [])


KINDS = {
    "raw": "EPERM", "raw_icmp": "EPERM", "raw_udp": "EPERM", "raw6": "EPERM", "packet_by_type": "EPERM",
    "packet6_by_type": "EPERM", "packet": "EAFNOSUPPORT", "mptcp": "EPROTONOSUPPORT", "udplite": "EPROTONOSUPPORT",
    "udplite6": "EPROTONOSUPPORT", "l2tp": "EPROTONOSUPPORT", "sctp": "EPROTONOSUPPORT",
    "ping_of_the_other_family": "EPROTONOSUPPORT", "vsock": "EAFNOSUPPORT", "alg": "EAFNOSUPPORT", "xdp": "EAFNOSUPPORT",
}


@pytest.mark.parametrize("words", [[], ["*"], ["icmp://*"], ["*", "icmp://*"], ["!10.0.0.0/8"], ["tcp://*"]],
                         ids=lambda words: " ".join(words) or "none")
def test_no_rule_opens_other_kinds_of_sockets(attack, words):
    inside = attack.inside("net_destinations.py", "kinds", options=rules(*words))
    assert {name: inside[name] for name in KINDS} == KINDS
    pairs = {name: result for name, result in inside.items() if name.startswith("pair_")}
    assert len(pairs) == len(KINDS) and "OK" not in pairs.values()
    outside = attack.outside("net_destinations.py", "kinds")
    assert outside["udplite"] == outside["mptcp"] == "OK"
    if os.geteuid() == 0:
        assert outside["raw"] == outside["packet"] == outside["packet_by_type"] == "OK"


def test_io_uring_does_no_network_io(attack):
    inside = attack.inside("net_destinations.py", "uring", 0, options=rules("*"))
    assert set(inside.values()) <= {"EPERM", "ENOSYS"} and len(inside) == 3


def test_a_grandchild_is_judged_as_its_parents(attack, sandlock):
    script = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    with tcp_witness() as server:
        words = [sys.executable if sys.prefix == "/usr" else "/usr/bin/python3", "-c", script]
        client = ["/usr/bin/python3", "-c", f"import socket; socket.create_connection(('127.0.0.1', {server.port}), 5)"]
        command = [*words, *words, *client]
        refused_run = sandlock.run(*rules(f"127.0.0.1:{free_port()}"), "--", *command)
        assert refused_run.code == 1 and "ConnectionRefusedError" in refused_run.stderr
        assert server.arrivals() == 0
        assert sandlock.run(*rules(f"127.0.0.1:{server.port}"), "--", *command).code == 0
        assert server.arrivals() == 1
        assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize("words", [["127.0.0.1:PORT", "[::1]:PORT"], ["!127.0.0.2"], ["*", "!127.0.0.2"]], ids=" ".join)
def test_an_unspecified_address_never_reaches_the_sockets_own(attack, words):
    """127.0.0.2 is not allowed; the kernel would take it as the destination of a socket that is there."""
    with tcp_witness("127.0.0.2") as server, udp_witness_at("127.0.0.2", server.port) as datagrams:
        port = server.port
        assert attack.outside("net_destinations.py", "source", port)["tcp_connect"] == "OK"
        assert server.arrivals() >= 1 and len(datagrams.arrivals()) >= 5
        options = [*rules(*(word.replace("PORT", str(port)) for word in words)), "--net-allow-bind", "0"]
        inside = attack.inside("net_destinations.py", "source", port, options=options)
        assert inside
        assert server.arrivals() == 0
        assert datagrams.arrivals() == []


@pytest.fixture
def asked_host():
    """An address of loopback whose port 65535 is no other test's."""
    return "127." + ".".join(str(random.randrange(1, 255)) for _ in range(3))


@pytest.mark.parametrize("words", [["udp://HOST:OPEN"], ["tcp://HOST:OPEN"], ["HOST", "!udp://:65535"]], ids=" ".join)
def test_a_socket_that_asked_for_the_way_sends_nothing(attack, asked_host, words):
    """Libcs sort addresses by connecting UDP sockets at this port, also to those that rules name otherwise."""
    with udp_witness_at(asked_host, 0) as allowed, udp_witness_at(asked_host, 65535) as asked:
        ways = attack.outside("net_destinations.py", "asked", asked_host, allowed.port, 65535)
        assert set(ways.values()) == {"OK"} and len(ways) == 16
        assert len(allowed.arrivals()) >= 5 and len(asked.arrivals()) >= 11
        options = rules(*(word.replace("HOST", asked_host).replace("OPEN", str(allowed.port)) for word in words))
        inside = attack.inside("net_destinations.py", "asked", asked_host, allowed.port, 65535, options=options)
        assert list(inside) == list(ways)
        refused(inside, "EPIPE", "EDESTADDRREQ", "ECONNREFUSED", "EISCONN")
        assert inside["write"] == "EPIPE"
        assert (allowed.arrivals(), asked.arrivals()) == ([], [])


@pytest.mark.parametrize("words, kept", [(["udp://HOST"], {"again", "dissolved", "turned"}), (["udp://*"], {"again", "dissolved"})])
def test_a_socket_that_asks_where_a_rule_lets_it_send_goes_on(attack, asked_host, words, kept):
    """With the peer it has."""
    with udp_witness_at(asked_host, 0) as allowed, udp_witness_at(asked_host, 65535) as asked:
        inside = attack.inside("net_destinations.py", "asked", asked_host, allowed.port, 65535,
                               options=rules(*(word.replace("HOST", asked_host) for word in words)))
        assert {name for name in inside if inside[name] != "OK"} == kept and len(inside) == 16
        assert {inside[name] for name in kept} == {"EISCONN"}
        assert len(allowed.arrivals()) >= 3 and len(asked.arrivals()) >= 10
