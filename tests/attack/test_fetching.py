"""In a container descriptors are fetched by tracing: a thread is made to send one, by a message in its own memory
over a socket in its own table. Other threads that change both must not make it send that message elsewhere, what
the thread runs instead must not be a call of its own, and nobody must make the others wait."""

import contextlib
import platform
import signal
import socket
import subprocess
import threading

import pytest

from witnesses import free_port, tcp_witness, udp_witness, unix_witness

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="tracing is written for x86-64"),
]

SECONDS = 2


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


@contextlib.contextmanager
def busy_server():
    """A TCP server that accepts, so that its queue does not fill."""
    with tcp_witness() as server:
        over = threading.Event()

        def accept():
            while not over.is_set():
                server.arrivals(patience=0.02)
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            over.set()
            thread.join()


def confined(attack, server, payload, *arguments):
    """The words of a run that may connect to the server."""
    return [attack.sandlock.binary, "run", *attack.sandlock.base, *attack.grants(payload), "-t", "30s",
            "--net-allow", f"127.0.0.1:{server.port}", "--net-allow", f"udp://127.0.0.1:{free_port()}", "--",
            *attack.words(payload, *arguments)]


def contained(attack, server, payload, *arguments):
    """The same in a container."""
    return [str(attack.helpers / "container_filter"), "--", *confined(attack, server, payload, *arguments)]


def attack_run(words, attack):
    """The program of `words` itself, with the environment of a run."""
    outside = type(attack)(attack.sandlock, attack.helpers)
    outside.words = lambda *ignored: words
    done = outside.outside("")
    skip_unsupported(done)
    return done


def skip_unsupported(results):
    if "unsupported" in results:
        pytest.skip(results["unsupported"])


@pytest.mark.parametrize("kind", ["inet", "unix"])
def test_the_injected_message_goes_nowhere_else(attack, tmp_path, kind):
    with refused_peer(kind, tmp_path) as (witness, address):
        for _ in range(10):
            careless = attack.outside("fetch_probe", "race", "send", SECONDS, address)
            skip_unsupported(careless)
            assert careless.result.code == 0 and int(careless["calls"]) > 0, careless.result
            if witness.arrivals():
                break
        else:
            pytest.skip("the control: that a careless tracer's message arrives there does not show here")
        with tcp_witness() as server:
            done = attack_run(contained(attack, server, "fetch_probe", "race", "connect", SECONDS, address,
                                        server.port), attack)
            assert done["calls"] != "0", done.result
            assert server.arrivals() > 0
        assert witness.arrivals() == []


@pytest.mark.parametrize("kind", ["inet", "unix"])
def test_a_thread_that_leaves_the_injected_call_is_killed(attack, tmp_path, kind, needs_met):
    with refused_peer(kind, tmp_path) as (witness, address), tcp_witness() as server:
        free = attack.outside("fetch_escape", "rseq", server.port, address)
        skip_unsupported(free)
        assert (free["direct"], free["connected"], free["hijacked"]) == ("OK", "40", "0"), free.result
        assert witness.arrivals() == [b"direct"], "the control: the program reaches the peer, and by nothing else"

        traced = attack_run(contained(attack, server, "fetch_escape", "rseq", server.port, address), attack)
        assert witness.arrivals() == [], traced.result
        assert traced["direct"] != "OK"
        assert traced.result.code == 128 + signal.SIGKILL, traced.result

        if not needs_met("pidfd_getfd"):
            return  # a container is all around, and nobody is untraced
        untraced = attack_run(confined(attack, server, "fetch_escape", "rseq", server.port, address), attack)
        assert (untraced.result.code, untraced["connected"], untraced["hijacked"]) == (0, "40", "0"), untraced.result
        assert witness.arrivals() == []


def test_a_thread_whose_instruction_is_rewritten_is_killed(attack, needs_met):
    with busy_server() as server:
        free = attack.outside("fetch_escape", "patch", server.port, 300)
        skip_unsupported(free)
        assert (free["connected"], free["hijacked"]) == ("300", "0"), free.result
        # How soon a jump falls between the tracer's look and the call is chance: it goes on until one does.
        traced = attack_run(contained(attack, server, "fetch_escape", "patch", server.port, 1000000), attack)
        assert traced.result.code == 128 + signal.SIGKILL, traced.result
        if not needs_met("pidfd_getfd"):
            return
        untraced = attack_run(confined(attack, server, "fetch_escape", "patch", server.port, 300), attack)
        assert (untraced["connected"], untraced["hijacked"]) == ("300", "0"), untraced.result


def test_a_process_that_stays_in_the_injected_call_is_killed(attack):
    with tcp_witness() as server:
        done = attack_run(contained(attack, server, "fetch_escape", "spin", server.port), attack)
        assert done["spinning"] == "OK", done.result
        assert done["ended"] == str(int(signal.SIGKILL)), done.result
        assert 500 < int(done["after"]) < 7000, "not before the tracer's patience is over, and soon after that"
        assert (done["alive"], done["connect"], done.result.code) == ("OK", "OK", 0), done.result
        assert server.arrivals() == 1


def test_nobody_outlives_the_supervisor_in_an_injected_call(attack, look, mark):
    with tcp_witness() as server, subprocess.Popen(
            contained(attack, server, "fetch_escape", "spin", server.port, mark), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, encoding="utf-8", env=attack.sandlock.environment()) as supervisor:
        try:
            seen = {}
            while "spinning" not in seen and (line := supervisor.stdout.readline()):
                name, _, value = line.strip().partition(": ")
                seen[name] = value
                if name == "unsupported":
                    pytest.skip(value)
            assert seen.get("spinning") == "OK", seen
            members = [int(seen["sibling"]), int(seen["spinner"])]
            assert [look.state(pid) is not None for pid in members] == [True, True], "the control: both are there"
        finally:
            supervisor.kill()
            supervisor.wait()

        def survivors():
            return [pid for pid in members if look.state(pid) not in (None, "Z")] + look.processes_with(mark)
        look.eventually(lambda: not survivors())
        assert survivors() == []


@pytest.mark.costly
@pytest.mark.parametrize("kind", ["free", "stuck"])
def test_a_process_that_cannot_be_stopped_does_not_starve_others(attack, kind):
    """A thread waits for the end of its vfork(); the others ask without end."""
    with busy_server() as server:
        done = attack_run(contained(attack, server, "fetch_escape", "starve", server.port, 8, kind), attack)
        assert (done["failed"], done.result.code) == ("0", 0), done.result
        assert (done["refused"] != "0") == (kind == "stuck"), f"the control: that alone makes it so, {done.result}"
        assert int(done["longest"]) < 4000, done.result
