"""Named and abstract unix sockets that no write grant covers, in every spelling of their name."""

import contextlib
import os
import platform
import socket

import pytest

from witnesses import free_port, rules, short_directory, unix_witness

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the payloads use x86-64 numbers"),
]

KINDS = {"stream": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM, "seqpacket": socket.SOCK_SEQPACKET}

POLICIES = {"none": [], "rules": rules("*"), "narrow_rules": rules("127.0.0.1:1"), "tcp_rules": rules("tcp://*"),
            "deny": rules("!10.0.0.0/8"), "remap": ["--port-remap"], "deny_bind": ["--net-deny-bind", "1"]}


class Area:
    """closed/ may be read, open/ may be written; closed/ has a server of every kind and name."""

    def __init__(self, path, stack):
        self.open, self.closed, self.hidden = path / "open", path / "closed", path / "hidden"
        for directory in (self.open, self.closed, self.hidden):
            directory.mkdir()
        (path / "elsewhere").symlink_to(self.closed)
        self.servers = {kind: [stack.enter_context(unix_witness(os.fsencode(self.closed) + b"/" + name, value))
                               for name in (kind.encode(), b"\xff\xfe " + kind.encode())]
                        for kind, value in KINDS.items()}
        self.hidden_server = stack.enter_context(unix_witness(str(self.hidden / "stream")))

    def arrivals(self, kind):
        found = [server.arrivals() for server in self.servers[kind]]
        return sum(each if isinstance(each, int) else len(each) for each in found)

    def spellings(self, kind):
        """Names of the closed server: all work unconfined, in the directory open/."""
        closed, name = str(self.closed), kind
        link, chain, directory = self.open / f"link-{kind}", self.open / f"chain-{kind}", self.open / f"directory-{kind}"
        link.symlink_to(self.closed / kind)
        chain.symlink_to(link.name)
        directory.symlink_to("../closed")
        return {
            "absolute": f"{closed}/{name}", "dots": f"{closed}/../closed/./{name}", "slashes": f"/{closed}//{name}",
            "relative": f"../closed/{name}", "through_open": f"{self.open}/../closed/{name}",
            "link": str(link), "relative_link": link.name, "chain": chain.name, "directory_link": f"{directory}/{name}",
            "foreign_link": f"../elsewhere/{name}", "not_utf8": closed.encode() + b"/\xff\xfe " + name.encode(),
            "relative_not_utf8": b"../closed/\xff\xfe " + name.encode(),
        }

    @staticmethod
    def proc_spellings(path):
        """Names by way of /proc, which lead there unconfined."""
        return {"root": f"/proc/self/root{path}", "thread_root": f"/proc/thread-self/root{path}",
                "cwd": f"/proc/self/cwd/../closed/{os.path.basename(path)}"}


def words(names):
    return [f"{label}={os.fsencode(name).hex()}" for label, name in names.items()]


@pytest.fixture
def place():
    with contextlib.ExitStack() as stack:
        yield Area(stack.enter_context(short_directory()), stack)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def test_no_spelling_reaches_a_socket_that_may_only_be_read(attack, place, kind):
    names = words({**place.spellings(kind), **place.proc_spellings(f"{place.closed}/{kind}")})
    outside = attack.outside("net_unix.py", "reach", place.open, kind, *names)
    assert set(outside.values()) == {"OK"} and len(outside) >= 3 * len(names)
    assert place.arrivals(kind) >= len(names)
    for policy, options in POLICIES.items():
        for grants in (["-r", place.closed.parent], ["-r", "/"]):
            inside = attack.inside("net_unix.py", "reach", place.open, kind, *names,
                                   options=["-w", place.open, *grants, *options])
            assert len(inside) == len(outside)
            wrong = {name: result for name, result in inside.items() if result != "EACCES"}
            assert not wrong, (policy, wrong)
        assert place.arrivals(kind) == 0, policy


@pytest.mark.costly
def test_every_spelling_reaches_a_socket_that_may_be_written(attack, place, kind):
    names = words(place.spellings(kind))
    outside = attack.outside("net_unix.py", "reach", place.open, kind, *names)
    count = place.arrivals(kind)
    for policy, options in POLICIES.items():
        inside = attack.inside("net_unix.py", "reach", place.open, kind, *names,
                               options=["-w", place.open, "-w", place.closed, "-r", place.closed.parent, *options])
        assert dict(inside) == dict(outside), policy
        assert place.arrivals(kind) == count, policy


def test_a_grant_of_the_socket_file_alone_is_enough(attack, place, kind):
    name = words({"absolute": place.closed / kind})
    for options in POLICIES.values():
        inside = attack.inside("net_unix.py", "reach", place.open, kind, *name,
                               options=["-w", place.open, "-w", place.closed / kind, *options])
        assert set(inside.values()) == {"OK"}
    assert place.arrivals(kind) >= len(POLICIES)


@pytest.mark.parametrize("policy", POLICIES)
def test_descriptors_that_name_a_socket_are_no_way_to_it(attack, place, policy):
    outside = attack.outside("net_unix.py", "handles", place.closed, "stream")
    assert set(outside.values()) == {"OK"} and place.arrivals("stream") >= 6
    for extra in ([], ["-r", "/proc", "-r", "/dev"]):
        inside = attack.inside("net_unix.py", "handles", place.closed, "stream",
                               options=["-r", place.closed, "-w", place.open, *extra, *POLICIES[policy]])
        reached = {name: result for name, result in inside.items() if name.endswith(" connect") and result == "OK"}
        assert not reached and len(inside) >= 6
        assert inside["after_fchdir connect"] == "EACCES"
    assert place.arrivals("stream") == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_what_exists_outside_the_grants_is_not_disclosed(attack, place, policy):
    (place.hidden / "file").write_text("")
    (place.open / "file").write_text("")
    paths = [place.hidden / "stream", place.hidden / "nothing", place.hidden / "file", place.hidden / "nothing/below",
             place.open / "file", place.open / "nothing"]
    inside = attack.inside("net_unix.py", "missing", *paths, options=["-w", place.open, *POLICIES[policy]])
    for number in range(4):
        for call in ("connect", "sendto", "sendmsg"):
            assert inside[f"{number} {call}"] == "EACCES", paths[number]
    for call in ("connect", "sendto", "sendmsg"):
        assert (inside[f"4 {call}"], inside[f"5 {call}"]) == ("ECONNREFUSED", "ENOENT")
    assert place.hidden_server.arrivals() == 0
    assert attack.outside("net_unix.py", "missing", *paths)["0 connect"] == "OK"
    assert place.hidden_server.arrivals() == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_no_socket_file_is_made_outside_the_write_grants(attack, place, policy):
    link = place.open / "away"
    link.symlink_to(place.closed)
    names = {"absolute": f"{place.closed}/new1", "relative": "../closed/new2", "link": f"{link}/new3",
             "not_utf8": os.fsencode(place.closed) + b"/\xff4", "root": f"/proc/self/root{place.closed}/new5",
             "cwd": "/proc/self/cwd/../closed/new6"}
    before = set(os.listdir(place.closed))
    inside = attack.inside("net_unix.py", "bind", place.open, *words(names),
                           options=["-w", place.open, "-r", place.closed.parent, *POLICIES[policy]])
    assert len(inside) == 6 and set(inside.values()) <= {"EACCES", "ELOOP"}
    assert set(os.listdir(place.closed)) == before
    allowed = attack.inside("net_unix.py", "bind", place.open, *words({"here": "new", "full": f"{place.open}/new7"}),
                            options=["-w", place.open, *POLICIES[policy]])
    assert set(allowed.values()) == {"OK"} and (place.open / "new").is_socket() and (place.open / "new7").is_socket()
    assert set(attack.outside("net_unix.py", "bind", place.open, *words(names)).values()) == {"OK"}


@pytest.mark.parametrize("policy", POLICIES)
def test_abstract_names_outside_are_out_of_reach(attack, policy):
    name = f"sandlock-{os.getpid()}-{free_port()}"
    with unix_witness(f"\0{name}") as stream, unix_witness(f"\0{name}.datagram", socket.SOCK_DGRAM) as datagram:
        assert set(attack.outside("net_unix.py", "abstract", name.encode().hex()).values()) == {"OK"}
        assert (stream.arrivals(), len(datagram.arrivals())) == (1, 3)
        inside = attack.inside("net_unix.py", "abstract", name.encode().hex(), options=POLICIES[policy])
        assert inside["stream"] == "EPERM"
        ruled = policy not in ("none", "remap", "deny_bind")
        assert {inside[way] for way in ("sendto", "sendmsg", "sendmmsg")} == {"EAFNOSUPPORT" if ruled else "EPERM"}
        assert inside["connect"] == "EPERM"
        assert (stream.arrivals(), datagram.arrivals()) == (0, [])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_server_of_its_own_is_reached(attack, area, policy):
    inside = attack.inside("net_unix.py", "own", area, options=["-w", area, *POLICIES[policy]])
    assert (inside["connect"], inside["send"], inside["sendto"]) == ("OK", "OK", "OK")
    assert (inside["received"], inside["received_datagram"]) == ("attack", "attack")
