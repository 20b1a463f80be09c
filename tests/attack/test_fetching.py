"""In a container descriptors are fetched by tracing: a thread is made to send one, by a message in its own memory
over a socket in its own table. Other threads that change both must not make it send that message elsewhere."""

import contextlib
import platform
import socket

import pytest

from witnesses import free_port, tcp_witness, udp_witness, unix_witness

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="tracing is written for x86-64"),
]

SECONDS = 3


@contextlib.contextmanager
def refused_peer(kind, tmp_path):
    """A receiver of datagrams that no rule allows, and its address."""
    if kind == "inet":
        with udp_witness() as witness:
            yield witness, f"inet:{witness.port}"
    else:
        path = tmp_path / "peer"
        with unix_witness(str(path), socket.SOCK_DGRAM) as witness:
            path.chmod(0o777)
            yield witness, f"unix:{path}"


@pytest.mark.parametrize("kind", ["inet", "unix"])
def test_the_injected_message_goes_nowhere_else(attack, helpers, tmp_path, kind):
    with refused_peer(kind, tmp_path) as (witness, address):
        attack.outside("fetch_probe", "race", "send", SECONDS, address)
        assert witness.arrivals(), "the control: a careless tracer's message arrives there"
        with tcp_witness() as server:
            container = [str(helpers / "container_filter"), "--", attack.sandlock.binary]
            words = [*container, "run", *attack.sandlock.base, *attack.grants("fetch_probe"),
                     "--net-allow", f"127.0.0.1:{server.port}", "--net-allow", f"udp://127.0.0.1:{free_port()}", "--",
                     *attack.words("fetch_probe", "race", "connect", SECONDS, address, server.port)]
            done = attack_run(words, attack)
            assert done["calls"] != "0", done.result
            assert server.arrivals() > 0
        assert witness.arrivals() == []


def attack_run(words, attack):
    """The program of `words` itself, with the environment of a run."""
    outside = type(attack)(attack.sandlock, attack.helpers)
    outside.words = lambda *ignored: words
    return outside.outside("")
