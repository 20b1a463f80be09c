"""What the responder to routing netlink requests has to bear: it answers every fresh socket afterwards, and
holds no more than before."""

import os
import platform
import subprocess

import pytest

from witnesses import descriptors, resident_kib, rules, tcp_witness

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the payloads use x86-64 numbers")

POLICIES = {"none": [], "rules": rules("*"), "deny": rules("!10.0.0.0/8"), "remap": ["--port-remap"],
            "few_files": ["--max-open-files", "300"], "many_files": ["--max-open-files", "8192"]}


@pytest.mark.parametrize("seed", range(6))
def test_malformed_requests_disturb_nobody(attack, seed):
    policy = list(POLICIES.values())[seed % len(POLICIES)]
    assert attack.outside("net_netlink.py", "garbage", seed, 300)["alive"] == "OK"
    inside = attack.inside("net_netlink.py", "garbage", seed, 1500, options=[*policy, "-t", "60"])
    assert inside["alive"] == "OK" and inside.result.code == 0


@pytest.mark.parametrize("policy", ["none", "rules", "few_files"])
def test_sockets_without_end_are_refused_and_given_back(attack, policy):
    inside = attack.inside("net_netlink.py", "exhaust", options=POLICIES[policy])
    if policy == "few_files":
        assert inside["end"] in ("EMFILE", "ENOBUFS")
    else:
        assert inside["end"] == "ENOBUFS"
    assert 8 <= int(inside["sockets"]) <= 1024
    assert (inside["after"], inside["alive"]) == ("OK", "OK")


@pytest.mark.parametrize("policy", POLICIES)
def test_odd_manners_disturb_nobody(attack, policy):
    outside = attack.outside("net_netlink.py", "odd")
    names = ["after_empty", "beside_unread", "after_unread", "after_shutdown", "after_closing", "after_exits", "threads"]
    assert {name: outside[name] for name in names} == dict.fromkeys(names, "OK")
    inside = attack.inside("net_netlink.py", "odd", options=POLICIES[policy])
    assert {name: inside[name] for name in names} == dict.fromkeys(names, "OK")
    assert set(inside["unread"].split()) <= {"OK", "EAGAIN", "ENOBUFS"}
    assert inside.result.code == 0


def held(attack, *words, options=()):
    """(KiB, descriptors) of the supervisor in the middle of the payload and at its end, and the results."""
    process = attack.start(*words, options=options, stdin=subprocess.PIPE)
    try:
        marks, lines = [], []
        while len(marks) < 2:
            line = process.stdout.readline()
            if line == "half\n":
                marks.append((resident_kib(process.pid), descriptors(process.pid)))
                process.stdin.write("\n")
                process.stdin.flush()
            elif line:
                lines.append(line.strip())
            else:
                raise AssertionError(f"the payload ended: {lines} {process.stderr.read()}")
        process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return marks, lines


@pytest.mark.parametrize("words", [("cycles", 10000), ("descriptors", 2000)], ids=lambda words: words[0])
def test_nothing_is_left_of_a_closed_socket_or_a_passed_descriptor(attack, words):
    (before, after), lines = held(attack, "net_netlink.py", *words)
    assert lines == ["alive: OK"]
    if before[0] is not None:
        assert after[0] - before[0] < 512
    if before[1] is not None:
        assert abs(after[1] - before[1]) <= 4


@pytest.mark.root
def test_nothing_is_changed(attack):
    outside = attack.outside("net_netlink.py", "change", timeout=120) if os.geteuid() != 0 else None
    inside = attack.inside("net_netlink.py", "change")
    assert set(inside.values()) == {"EPERM"} and len(inside) == 14
    assert outside is None or set(outside.values()) == {"EPERM"}


@pytest.mark.parametrize("policy", ["none", "rules_elsewhere", "deny"])
def test_another_socket_under_the_number_is_judged_as_what_it_is(attack, policy):
    with tcp_witness() as server:
        options = {"none": [], "rules_elsewhere": rules("127.0.0.1:1"), "deny": rules("!127.0.0.0/8")}[policy]
        inside = attack.inside("net_netlink.py", "aliases", server.port, options=options)
        assert inside["refused_connect"] == ("EACCES" if policy == "none" else "ECONNREFUSED")
        assert (inside["refused_bind"], inside["family"], inside["unix_sendto"]) == ("EACCES", "OK", "EACCES")
        assert "OK" not in [inside[f"netlink_connect_{name}"] for name in ("inet", "unix", "abstract")]
        assert inside["alive"] == "OK"
        assert server.arrivals() == 0
        assert attack.outside("net_netlink.py", "aliases", server.port)["refused_connect"] == "OK"
        assert server.arrivals() == 1


def test_no_other_netlink_protocol_is_open(attack):
    outside = attack.outside("net_netlink.py", "protocols")
    assert outside["protocol_4"] == outside["protocol_9"] == outside["protocol_16"] == "OK"
    for options in ([], rules("*"), rules("!10.0.0.0/8")):
        inside = attack.inside("net_netlink.py", "protocols", options=options)
        protocols = {name: result for name, result in inside.items() if name.startswith("protocol_")}
        assert set(protocols.values()) == {"EAFNOSUPPORT"} and len(protocols) == 22
        types = {result for name, result in inside.items() if name.startswith("type_")}
        assert types <= {"ESOCKTNOSUPPORT", "EPERM"}
        assert (inside["pair"], inside["route"]) == ("EOPNOTSUPP", "OK")
