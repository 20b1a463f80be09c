"""Addresses, lengths, pointers and ancillary data that are wrong, and identities that are not the sender's.
Every refusal has its errno, and the supervisor goes on as if nothing had been."""

import array
import contextlib
import os
import platform
import socket
import struct

import pytest

from witnesses import bound, descriptors, resident_kib, rules, tcp_witness, udp_witness, unix_witness

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the payloads use x86-64 numbers"),
]

LONG = ["129", "4096", "page", "half", "negative", "all"]
POLICIES = {"rules": rules("127.0.0.1"), "deny": rules("!10.0.0.0/8"), "refusing": rules("127.0.0.1:1")}


@pytest.mark.parametrize("policy", POLICIES)
def test_an_address_longer_than_any_is_invalid_wherever_it_leads(attack, policy):
    with udp_witness() as server, tcp_witness() as stream:
        outside = attack.outside("net_messages.py", "lengths", server.port, 1)
        assert outside["sendmsg_4096"] == "OK" and len(server.arrivals()) >= 2
        inside = attack.inside("net_messages.py", "lengths", server.port, 1, options=POLICIES[policy])
        long = {name: result for name, result in inside.items() if name.rpartition("_")[2] in LONG}
        assert len(long) == 7 * len(LONG) and set(long.values()) == {"EINVAL"}, long
        short = {name: result for name, result in inside.items() if name.startswith("short_")}
        assert set(short.values()) <= {"EINVAL", "EDESTADDRREQ", "ECONNREFUSED"} and len(short) == 8
        assert server.arrivals() == [] and stream.arrivals() == 0


def test_the_lengths_take_no_memory_of_the_supervisor(attack):
    words = ["net_messages.py", "lengths", 9]
    process = attack.start(*words, 3000, options=rules("127.0.0.1"))
    try:
        for _ in range(200):
            process.stdout.readline()
        before, files = resident_kib(process.pid), descriptors(process.pid)
        for _ in range(20000):
            process.stdout.readline()
        after, files_after = resident_kib(process.pid), descriptors(process.pid)
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    assert files is None or abs(files_after - files) < 8
    if before is None or after is None:
        pytest.skip("the memory of the supervisor is not told")
    assert after - before < 1024


# What is judged otherwise than by the kernel: these flags name fast open, and no name is asked for.
OWN_ANSWERS = {"flags_all": "EOPNOTSUPP", "batch_into_hole": "EFAULT"}


@pytest.mark.parametrize("policy", ["rules", "deny"])
def test_wrong_pointers_have_the_errors_of_the_kernel(attack, policy):
    with udp_witness() as server:
        outside = attack.outside("net_messages.py", "shapes", server.port)
        expected = server.arrivals()
        assert expected[-1] == b"proper" and len(outside) > 60
        inside = attack.inside("net_messages.py", "shapes", server.port, options=POLICIES[policy])
        wrong = {name: (result, outside[name]) for name, result in inside.items()
                 if result not in (outside[name], OWN_ANSWERS.get(name))}
        assert not wrong and len(inside) == len(outside), wrong
        assert server.arrivals() == expected


MALFORMED = ["short", "zero", "beyond", "huge", "wrapping", "second_beyond"]


@pytest.mark.parametrize("policy", ["rules", "deny"])
def test_malformed_control_data_is_refused(attack, policy):
    with udp_witness() as server:
        attack.outside("net_messages.py", "control", server.port)
        assert b"options" in server.arrivals()
        inside = attack.inside("net_messages.py", "control", server.port, options=POLICIES[policy])
        expected = {**dict.fromkeys(MALFORMED, "EINVAL"), "bad_descriptor": "EBADF", "bad_second_descriptor": "EBADF",
                    "credentials": "EPERM", "credentials_behind": "EPERM", "too_long": "EMSGSIZE", "rights": "OK"}
        for way in ("pair", "batch"):
            assert {name: inside[f"{way}_{name}"] for name in expected} == expected
            assert inside[f"{way}_many_descriptors"] in ("EINVAL", "EMSGSIZE", "ETOOMANYREFS")
        udp = {"short": "EINVAL", "beyond": "EINVAL", "huge": "EINVAL", "too_long": "EMSGSIZE", "ttl": "OK", "tos": "OK",
               "pktinfo": "OK"}
        assert {name: inside[f"udp_{name}"] for name in udp} == udp
        # Also the control data of a later message is judged: of the last batch only the first arrives.
        assert inside["second_options"] == "OK"
        assert server.arrivals() == [b"proper"] * 4


def credentials_of(server):
    """The datagrams that arrived with the identity of their senders: {data: [(pid, uid), ...]}."""
    found = {}
    with contextlib.suppress(TimeoutError):
        while True:
            data, control, _, _ = server.recvmsg(100, socket.CMSG_SPACE(12))
            for _, kind, value in control:
                if kind == socket.SCM_CREDENTIALS:
                    found.setdefault(data.decode(), []).append(struct.unpack("=iii", value)[:2])
    return found


@pytest.mark.parametrize("policy", ["none", *POLICIES])
def test_no_identity_is_forged(attack, area, policy):
    with bound(socket.AF_UNIX, socket.SOCK_DGRAM, str(area / "server")) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        server.settimeout(0.3)
        os.chmod(area / "server", 0o777)
        assert attack.outside("net_messages.py", "forge", area / "server")["plain"] == "OK"
        credentials_of(server)
        inside = attack.inside("net_messages.py", "forge", area / "server", options=["-w", area, *POLICIES.get(policy, [])])
        assert inside.pop("plain") == "OK"
        arrived = credentials_of(server)
        assert len(arrived.pop("plain")) == 1
        if policy == "none":  # a continued call is judged by the kernel; a wrong pid needs CAP_SYS_ADMIN
            if os.geteuid() != 0:
                assert arrived == {}
        else:
            assert set(inside.values()) == {"EPERM"} and arrived == {}


@pytest.mark.parametrize("policy", ["none", *POLICIES])
def test_a_passed_descriptor_arrives(attack, area, policy):
    with unix_witness(str(area / "server")) as server:
        process = attack.start("net_messages.py", "rights", area / "server", options=["-w", area, *POLICIES.get(policy, [])])
        try:
            server.socket.settimeout(20)
            connection, _ = server.socket.accept()
            data, control, _, _ = connection.recvmsg(10, socket.CMSG_SPACE(4))
            out, err = process.communicate(timeout=20)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        assert out.splitlines() == ["not_open: EBADF", "rights: OK"], (out, err)
        received = array.array("i")
        received.frombytes(control[0][2])
        with open(received[0], "rb") as pipe:
            assert (data, pipe.read()) == (b"x", b"through the pipe")
        connection.close()


def test_no_memory_of_the_supervisor_is_kept_for_the_wire(attack):
    with udp_witness() as server:
        assert attack.outside("net_messages.py", "zerocopy", server.port)["SO_ZEROCOPY"] == "OK"
        server.arrivals()
        inside = attack.inside("net_messages.py", "zerocopy", server.port, options=POLICIES["rules"])
        assert (inside["SO_ZEROCOPY"], inside["send"], inside["sendto"]) == ("EOPNOTSUPP", "OK", "OK")
        assert server.arrivals() == [b"proper", b"proper"]
