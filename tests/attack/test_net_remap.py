"""Port virtualization as a way to services of the host: their ports at other addresses, ports that the
sandbox had once, ports that are shared with sockets of the same user."""

import contextlib
import socket
import subprocess

import pytest

from witnesses import DatagramWitness, StreamWitness, bound, free_port, tcp_witness

SPELLINGS = ["127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"]
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class Steps:
    """The payload, step by step."""

    def __init__(self, process):
        self.process = process

    def __call__(self, step):
        self.process.stdin.write(step + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer, self.process.stderr.read()
        return answer


@contextlib.contextmanager
def program(attack, port, inside=True, options=()):
    if inside:
        process = attack.start("net_remap.py", port, stdin=subprocess.PIPE,
                               options=["--port-remap", "--net-allow-bind", port, *options])
    else:
        process = subprocess.Popen(attack.words("net_remap.py", port), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
    try:
        yield Steps(process)
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def tcp_at(port):
    with bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)) as stream:
        yield StreamWitness(stream)


@pytest.mark.parametrize("own", ["127.0.0.2", *(pytest.param(own, marks=pytest.mark.ipv6) for own in ("::1", "::"))])
def test_a_port_bound_at_another_address_opens_no_service(attack, own):
    with tcp_witness() as witness:
        with program(attack, witness.port, inside=False) as steps:
            assert {steps(f"connect {host}") for host in SPELLINGS} == {"OK"}
        assert witness.arrivals() == len(SPELLINGS)
        with program(attack, witness.port) as steps:
            assert steps(f"bind {own}") == "OK"
            assert {steps(f"connect {host}") for host in SPELLINGS} == {"EACCES"}
            assert steps(f"connect {'::1' if own == '::' else own}") == "OK"
        assert witness.arrivals() == 0


@pytest.mark.root
def test_a_port_that_was_given_up_opens_no_service(attack):
    port = free_port()
    with program(attack, port) as steps:
        assert [steps("bind 127.0.0.1"), steps("connect 127.0.0.1"), steps("close")] == ["OK"] * 3
        with tcp_at(port) as witness:
            assert {steps(f"connect {host}") for host in SPELLINGS} == {"EACCES"}
            assert witness.arrivals() == 0
            with program(attack, port, inside=False) as outside:
                assert outside("connect 127.0.0.1") == "OK"
            assert witness.arrivals() == 1


def test_a_wildcard_and_its_addresses_are_reached(attack):
    port = free_port()
    with program(attack, port) as steps:
        assert steps("bind 0.0.0.0") == "OK"
        assert {steps(f"connect {host}") for host in [*SPELLINGS, "127.0.0.9"]} == {"OK"}


@contextlib.contextmanager
def sharing(kind):
    """A server of the same user that lets others share its port."""
    with socket.socket(socket.AF_INET, KINDS[kind]) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", 0))
        yield StreamWitness(server) if kind == "tcp" else DatagramWitness(server)


def knock(kind, port, count=40):
    for _ in range(count):
        with socket.socket(socket.AF_INET, KINDS[kind]) as client:
            if kind == "tcp":
                client.connect(("127.0.0.1", port))
            else:
                client.sendto(b"x", ("127.0.0.1", port))


def arrived(witness):
    count = witness.arrivals()
    return count if isinstance(count, int) else len(count)


@pytest.mark.root
@pytest.mark.parametrize("kind, step", [("tcp", "share"), ("tcp", "race"), ("udp", "share"), ("udp", "race"),
                                        ("udp", "reuse")])
def test_a_service_of_the_host_loses_nothing_to_a_sandbox(attack, kind, step):
    # Of UDP SO_REUSEADDR shares a port too, and the last socket gets all.
    option, way = (socket.SO_REUSEADDR, "reuse") if step == "reuse" else (socket.SO_REUSEPORT, "share")
    with sharing(kind) as first:
        port = first.port
    rules = ["--net-allow", "udp://127.0.0.1"] if kind == "udp" else []
    with program(attack, port, options=rules) as steps:
        assert [steps(f"{way} {kind}"), steps("close")] == ["OK", "OK"]  # the port was the sandbox's own
        with socket.socket(socket.AF_INET, KINDS[kind]) as server:
            server.setsockopt(socket.SOL_SOCKET, option, 1)
            server.bind(("127.0.0.1", port))
            witness = StreamWitness(server) if kind == "tcp" else DatagramWitness(server)
            assert steps(f"{step} {kind}") == "OK"
            knock(kind, port)
            assert (steps("taken"), arrived(witness)) == ("0", 40)
            with program(attack, port, inside=False) as outside:
                assert outside(f"{way} {kind}") == "OK"
                knock(kind, port)
                assert int(outside("taken")) > 0
