"""Leaving the machine by a socket's interface: a packet to a loopback address that is bound to another interface
goes to whoever is on that wire."""

import ast
import os
import subprocess
import sys

import pytest

from witnesses import free_port, rules

pytestmark = pytest.mark.root

LOCAL_ALONE = ["127.0.0.0/8", "[::1]", "udp://127.0.0.0/8", "udp://[::1]"]
POLICIES = {
    "local addresses": LOCAL_ALONE,
    "one port": ["127.0.0.1:PORT", "[::1]:PORT", "udp://127.0.0.1:PORT", "udp://[::1]:PORT"],
    "all but the network": ["!10.0.0.0/8", "!fd00::/8"],
}


def run_on_wire(attack, words):
    """The attempts, and what was seen on the wire."""
    own = ["--user", "--map-root-user"] if os.geteuid() != 0 else []
    enter = ["unshare", *own, "--net"]
    if subprocess.run([*enter, "ip", "link", "add", "x0", "type", "veth"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace with interfaces for this user here")
    outer = type(attack)(attack.sandlock, attack.helpers)
    outer.words = lambda *ignored: [*enter, "/usr/bin/python3", "-I", "-S", "-B", *attack.words("wire.py")[4:], *words]
    done = outer.outside("")
    return done, set(ast.literal_eval(done.pop("on the wire")))


def payload(attack, port):
    return attack.words("net_device.py", "cable0", "INDEX", port)


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_for_the_machine_itself_leaves_it(attack, policy):
    port = free_port()
    free, seen = run_on_wire(attack, payload(attack, port))
    udp = {name for name in free if not name.startswith("tcp") and name != "plain"}
    assert set(free.values()) == {"OK"}, free.result
    assert seen == udp | {"tcp"}, "the control: the kernel sends each of them out"

    options = rules(*(word.replace("PORT", str(port)) for word in POLICIES[policy]))
    confined, seen = run_on_wire(attack, [
        attack.sandlock.binary, "run", *attack.sandlock.base, *attack.grants("net_device.py"), *options, "--",
        *payload(attack, port)])
    assert confined["plain"] == "OK", confined.result
    assert seen == set(), confined.result
    assert set(confined) == set(free)


BIND_POLICIES = {
    "local addresses": ["--net-allow-bind", "PORT", *rules(*LOCAL_ALONE, "icmp://[::1]")],
    "all but the network": ["--net-allow-bind", "*", *rules("!10.0.0.0/8", "!fd00::/8")],
    "remapped": ["--net-allow-bind", "PORT", "--port-remap", *rules(*LOCAL_ALONE, "icmp://[::1]")],
    "no port": rules(*LOCAL_ALONE, "icmp://[::1]"),
}


def on_wire(attack, options, *payload_words):
    """The attempts in the sandbox, and what was seen on the wire."""
    return run_on_wire(attack, [
        attack.sandlock.binary, "run", *attack.sandlock.base, *attack.grants("net_device.py"),
        *attack.grants("device_race"), *options, "--", *payload_words])


@pytest.mark.parametrize("policy", BIND_POLICIES)
def test_no_bind_ties_a_socket_for_the_machine_itself_to_an_interface(attack, policy):
    """One that fails does, too, and a ping socket's at any time."""
    port = free_port()
    words = attack.words("net_device_bind.py", "INDEX", port)
    free, seen = run_on_wire(attack, words)
    assert set(free.values()) == {"OK"}, free.result
    assert seen == {"ping, connected", "ping, named", "tcp"}, "the control: the kernel sends each of them out"

    options = [word.replace("PORT", str(port)) for word in BIND_POLICIES[policy]]
    confined, seen = on_wire(attack, options, *words)
    assert seen == set(), confined.result
    tcp = "OK ENODEV" if policy != "no port" else "EACCES EACCES"
    assert f"{confined['plain tcp']} {confined['tcp']}" == tcp, confined.result
    assert confined["plain ping"] == "OK" and confined["ping, connected"] == "ENETUNREACH", confined.result
    assert confined["ping, named"] == ("ENODEV" if policy != "no port" else "ENETUNREACH"), confined.result
    assert confined["other family"] == "EPERM" and confined["name"] == "EPERM", confined.result


@pytest.mark.costly
@pytest.mark.parametrize("binds", [True, False])
def test_no_bind_between_the_look_and_the_send_does(attack, binds):
    """A bind that fails, without taking the port that would keep it away."""
    target, own = free_port(), free_port()
    words = attack.words("device_race", "INDEX", target, own)
    free, seen = run_on_wire(attack, [*words, "1000", "ordered"])
    assert seen == {"raced", "raced ping", "tcp"}, (free.result, seen)

    options = [*(["--net-allow-bind", str(own)] if binds else []), *rules("127.0.0.1", "udp://127.0.0.1", "icmp://[::1]")]
    confined, seen = on_wire(attack, options, *words, "2500")
    assert int(confined["tries"]) > 100 and seen == set(), (confined.result, seen)

SCOPES = ["udp://[fe80::1]", "udp://[ff02::fb]", "[fe80::1]:PORT", "icmp://[fd77::1]"]
CONNECT_POLICIES = {
    "local addresses": rules(*LOCAL_ALONE, *SCOPES),
    "all but the network": rules("!10.0.0.0/8"),
    "remapped": ["--net-allow-bind", "PORT", "--port-remap", *rules(*LOCAL_ALONE, *SCOPES)],
}


@pytest.mark.parametrize("policy", CONNECT_POLICIES)
def test_no_further_connect_ties_a_connected_socket_to_an_interface(attack, policy):
    """One that fails does, and leaves the old peer in place. The other way round the interface stays."""
    port = free_port()
    words = attack.words("net_device_connect.py", "INDEX", port)
    free, seen = run_on_wire(attack, words)
    ways = set(free) - {"plain", "again", "ping", "loosened"}
    assert set(free.values()) == {"OK"}, free.result
    assert seen == ways, "the control: the kernel sends each of them out"

    options = [word.replace("PORT", str(port)) for word in CONNECT_POLICIES[policy]]
    confined, seen = on_wire(attack, options, *words)
    assert seen == set(), confined.result
    assert confined["plain"] == "OK" and confined["again"] == "OK", confined.result
    assert confined["link-local"] == "OK" and confined["tcp"] == "ENETUNREACH", confined.result
    assert confined["ping"] == confined["loosened"] == "ENETUNREACH" and set(confined) == set(free), confined.result


def test_no_tcp_socket_goes_back_to_an_ipv4_address_by_an_interface(attack):
    """Its connect to an IPv6 address sends a packet to the IPv4 address before."""
    port = free_port()
    words = attack.words("net_device_connect.py", "INDEX", port, "ipv4")
    free, seen = run_on_wire(attack, words)
    assert set(free.values()) == {"OK"} and seen == {"tcp"}, free.result

    confined, seen = on_wire(attack, ["--net-allow-bind", str(port), *rules("127.0.0.1", "[::1]", "[fe80::1]")], *words)
    assert confined["plain"] == "OK" and confined["tcp"] == "ENETUNREACH", confined.result
    assert seen == set() and set(confined) == {"plain", "tcp"}, confined.result


def test_no_connect_does_while_another_thread_sends(attack):
    words = attack.words("device_switch", "INDEX", free_port())
    free, seen = run_on_wire(attack, [*words, "400"])
    assert "switched in vain" in seen, (free.result, seen)

    confined, seen = on_wire(attack, rules("udp://127.0.0.1", "udp://[::1]", "udp://[ff02::fb]"), *words, "1000")
    assert int(confined["cycles"]) > 100 and seen == set(), (confined.result, seen)


def test_names_of_interfaces_are_not_asked_back(sandlock):
    """By number, which can be counted through."""
    code = """
import socket, struct
s = socket.socket(socket.AF_UNIX)
for index in range(1, 9):
    try:
        s.setsockopt(socket.SOL_SOCKET, 62, struct.pack("i", index))
        print("name:", s.getsockopt(socket.SOL_SOCKET, 25, 16))
    except OSError as error:
        print("errno:", error.errno)
"""
    free = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "name: b'lo" in free
    for options in ([], ["--no-supervisor"]):
        told = sandlock.run(*options, "--", "/usr/bin/python3", "-I", "-S", "-c", code)
        assert set(told.stdout.splitlines()) == {"errno: 1"}, told
