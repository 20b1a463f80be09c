"""What a member has forbidden itself by a Landlock domain of its own stays forbidden: the supervisor, which is in
another domain, does not do it for the member. Others go on to work."""

import json
import os
import pathlib
import platform
import resource

import pytest

from witnesses import free_port, tcp_witness

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="the payload uses numbers"),
]

PAYLOAD = pathlib.Path(__file__).resolve().parent / "payload"
CONFINED = ("itself", "thread", "child", "orphan", "raised")
OTHERS = ("before", "sibling", "after", "later")
ACTS = ("proc_self", "proc_other", "proc", "sys", "hosts", "root", "connect", "bind")
SCOPED = ("abstract", "abstract_send")


def options_of(port, free, area, rules=True):
    network = ["--net-allow", f"127.0.0.1:{port}"] if rules else ["--net-allow", f"tcp://*:{port}"]
    return ["-r", "/", "-w", area, *network, "--net-allow-bind", free]


def of(results, who, acts):
    return {f"{name}.{act}": results[f"{name}.{act}"] for name in who for act in acts}


def are(results, *wanted):
    wrong = {name: result for name, result in results.items() if result not in wanted}
    assert results and not wrong, wrong


def run_both(attack, mode, area, *options, rules=True):
    area.chmod(0o777)
    with tcp_witness() as server:
        free = free_port()
        words = (mode, server.port, free, area)
        outside = attack.outside("own_domain.py", *words)
        return outside, attack.inside("own_domain.py", *words,
                                      options=[*options_of(server.port, free, area, rules), *options])


@pytest.mark.parametrize("options", [[], ["--port-remap"], ["--explain"]], ids=lambda words: " ".join(words) or "plain")
def test_what_a_member_forbids_itself_is_not_done_for_it(attack, area, options):
    outside, inside = run_both(attack, "confine", area, *options)
    for results in (outside, inside):
        assert results["done"] == "OK", results.result
        are(of(results, OTHERS, ACTS), "OK")
        are(of(results, CONFINED, ACTS), "EACCES")
        are(of(results, CONFINED + OTHERS, ["named"]), "OK")
    are(of(outside, ["brother"], ACTS), "EACCES")
    assert inside["clone"] == "EPERM"  # CLONE_PARENT
    are(of(outside, CONFINED, SCOPED), "EPERM", "OK")  # older kernels have no scopes
    # With rules for destinations datagrams do not go to abstract sockets at all.
    are(of(inside, CONFINED, ["abstract"]), "EPERM")
    are(of(inside, CONFINED, ["abstract_send"]), "EAFNOSUPPORT")
    assert inside["raise_mark"] == "EPERM"


def test_abstract_datagrams_without_rules(attack, area):
    area.chmod(0o777)
    inside = attack.inside("own_domain.py", "confine", free_port(), free_port(), area, options=["-r", "/", "-w", area])
    are(of(inside, OTHERS, SCOPED), "OK")
    are(of(inside, CONFINED, SCOPED), "EPERM")


def test_without_a_domain_the_same_processes_may(attack, area):
    """Control: what they are does not matter, only the domain."""
    outside, inside = run_both(attack, "stay", area)
    are(of(outside, CONFINED + OTHERS, ACTS), "OK")
    are(of(inside, CONFINED + OTHERS, ACTS), "OK")


def test_a_lower_soft_limit_of_the_callers_is_no_mark(attack, area):
    def lower():
        resource.setrlimit(10, (100, resource.getrlimit(10)[1]))  # RLIMIT_LOCKS

    area.chmod(0o777)
    with tcp_witness() as server:
        free = free_port()
        inside = attack.inside("own_domain.py", "confine", server.port, free, area,
                               options=options_of(server.port, free, area), preexec_fn=lower)
    are(of(inside, OTHERS, ACTS), "OK")
    are(of(inside, CONFINED, ACTS), "EACCES")


@pytest.mark.parametrize("outer", ["supervised", "unsupervised"])
def test_a_sandbox_without_a_supervisor_holds_inside_another(attack, sandlock, outer):
    grants = [word for path in ("/usr", "/lib", "/lib64", "/bin", PAYLOAD) if os.path.exists(path)
              for word in ("-r", path)]
    with tcp_witness() as server:
        free = free_port()
        look = attack.words("own_domain.py", "look", server.port, free)
        rules = options_of(server.port, free, "/tmp", outer == "supervised")
        mode = [] if outer == "supervised" else ["--no-supervisor"]
        script = 'export OTHER=$$; "$@"; true'
        results = {}
        for inner in ([], [sandlock.binary, "run", "--no-supervisor", *map(str, grants), "--"]):
            done = sandlock("run", *rules, *mode, "--", "/bin/sh", "-c", script, "sh", *inner, *look)
            found = dict(line.split(": ") for line in done.stdout.splitlines())
            assert len(found) == len(ACTS), done
            results[bool(inner)] = found
        are(results[False], "OK")
        are(results[True], "EACCES")
        assert server.arrivals() == 1


def test_the_denial_says_why(attack, sandlock, area):
    log = area / "denials"
    area.chmod(0o777)
    free = free_port()
    with tcp_witness() as server:
        port = server.port
        sandlock.run("-r", PAYLOAD, "--port-remap", "--log-denials", log, *options_of(port, free, area), "--",
                     *attack.words("own_domain.py", "confine", port, free, area))
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    told = {(line["object"], line["want"], line["errno"]) for line in lines if line["layer"] == "own-domain"}
    assert (f"tcp://127.0.0.1:{port}", "connect", "EACCES") in told, lines
    assert (f"tcp://127.0.0.1:{free}", "bind", "EACCES") in told
    assert ("/etc/hosts", "read", "EACCES") in told
    assert any(line["layer"] == "own-domain" and "confined itself" in line["rule"] for line in lines)
