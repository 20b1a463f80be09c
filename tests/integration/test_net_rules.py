"""Rules of the network as a user writes them: what each form means, which words each refusal has, how
names become addresses, and that what is denied stays denied whatever else allows it."""

import json
import os
import shutil
import socket
import subprocess
import time

import pytest

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B", "-c"]

CONNECT = """
import errno, socket, sys
for place in sys.argv[1:]:
    host, port = place.rsplit(" ", 1)
    try:
        socket.create_connection((host, int(port)), timeout=30).close()
        print("connected")
    except OSError as error:
        print(errno.errorcode[error.errno] if error.errno else type(error).__name__)
"""


class Listener:
    """A TCP service of the host's, and what came to it."""

    def __init__(self, address="127.0.0.1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.bind((address, 0))
        self.socket.listen(16)
        self.socket.setblocking(False)
        self.address = address
        self.port = self.socket.getsockname()[1]

    @property
    def place(self):
        return f"{self.address} {self.port}"

    def accepted(self):
        count = 0
        while True:
            try:
                self.socket.accept()[0].close()
                count += 1
            except BlockingIOError:
                return count


@pytest.fixture
def listen():
    made = []

    def make(address="127.0.0.1"):
        made.append(Listener(address))
        return made[-1]

    yield make
    for listener in made:
        listener.socket.close()


def options_of(rules):
    """"+SPEC" allows, "-SPEC" denies."""
    return [f"--net-{'allow' if rule[0] == '+' else 'deny'}={rule[1:]}" for rule in rules]


def connects(sandlock, rules, *places, options=()):
    done = sandlock.run(*options, *options_of(rules), "--", *PYTHON, CONNECT, *places)
    assert done.code == 0, done
    return done.stdout.split()


# ---- Forms ------------------------------------------------------------------------------------------

def canonical(sandlock, *rules):
    done = sandlock("run", *options_of(rules), "--print-policy", "true")
    assert done.code == 0, done
    return [line.strip(' ",') for line in done.stdout.splitlines() if "://" in line and line[0] == " "] or \
        [part for part in done.stdout.split('"') if "://" in part]


FORMS = [
    ("example.com:443", ["tcp://example.com:443", "udp://example.com:443"]),
    ("tcp://example.com", ["tcp://example.com"]),
    ("tcp://example.com:*", ["tcp://example.com"]),
    (":53", ["tcp://*:53", "udp://*:53"]),
    ("*", ["tcp://*", "udp://*"]),
    ("udp://10.1.2.3/8:53", ["udp://10.0.0.0/8:53"]),
    ("tcp://[::1]:443, 80", ["tcp://[::1]:80,443"]),
    ("tcp://fc00::/7", ["tcp://fc00::/7"]),
    ("tcp://::1:443", ["tcp://::1:443"]),
    ("tcp://*:8000-8010,8011", ["tcp://*:8000-8011"]),
    ("icmp://[::1]", ["icmp://::1"]),
    ("icmp://*", ["icmp://*"]),
]


@pytest.mark.parametrize("spec, rules", FORMS, ids=[form[0] for form in FORMS])
def test_a_spec_is_written_in_one_way(sandlock, spec, rules):
    assert canonical(sandlock, "+" + spec) == rules
    for rule in rules:
        assert canonical(sandlock, "+" + rule) == [rule]


def test_both_lists_are_shown_and_load_again(sandlock, tmp_path):
    done = sandlock("run", "--net-allow=*", "--net-allow=tcp://*", "--net-deny=tcp://10.0.0.0/8",
                    "--net-allow-bind=80", "--net-deny-bind=81-82", "--port-remap", "--print-policy", "true")
    assert done.stdout == ('[network]\nallow = [\n    "tcp://*",\n    "udp://*",\n]\n'
                           'deny = ["tcp://10.0.0.0/8"]\nallow_bind = [80]\ndeny_bind = ["81-82"]\n'
                           'port_remap = true\n')
    profile = tmp_path / "p.toml"
    profile.write_text(done.stdout)
    assert sandlock("run", "-p", profile, "--print-policy", "true").stdout == done.stdout
    more = sandlock("run", "-p", profile, "--net-deny=tcp://*:25", "--print-policy", "true")
    assert '"tcp://10.0.0.0/8",\n    "tcp://*:25",' in more.stdout, "options add to a profile"


REFUSALS = [
    ("+sctp://h", ["unknown scheme", "tcp://", "udp://", "icmp://"]),
    ("+icmp-raw://*", ["unknown scheme"]),
    ("+icmp://", ["needs a host/IP or `*`"]),
    ("+icmp://h:1", ["icmp rule takes no port"]),
    ("+h:0", ["port 0"]),
    ("+h:http", ["invalid port"]),
    ("+h:80,", ["invalid port"]),
    ("+h:80,*", ["cannot mix"]),
    ("+[::1", ["malformed bracketed address"]),
    ("+tcp://", ["empty rule", "*"]),
    ("+10.0.0.0/33", ["invalid CIDR"]),
    ("+a b", ["invalid host"]),
    ("+a..b", ["invalid host"]),
    ("+*.example.com", ["not supported"]),
    ("-example.com", ["hostnames are not allowed", "deny addresses"]),
    ("+a:80,b:443", ["one destination per option"]),
    ("-:0", ["port 0"]),
]


@pytest.mark.parametrize("rule, words", REFUSALS, ids=[refusal[0] for refusal in REFUSALS])
def test_a_bad_spec_is_refused_by_name(sandlock, area, rule, words):
    done = sandlock.run("-w", area, *options_of([rule]), "--", "touch", area / "ran")
    assert done.code == 2
    assert ("--net-allow" if rule[0] == "+" else "--net-deny") in done.stderr
    for word in [rule[1:], *words]:
        assert word in done.stderr
    assert not (area / "ran").exists()


def test_a_bad_spec_of_a_profile_is_refused_with_its_place(sandlock, tmp_path):
    profile = tmp_path / "p.toml"
    profile.write_text('[network]\nallow = ["*"]\ndeny = [\n  "h"]\n')
    done = sandlock("run", "-p", profile, "true")
    assert done.code == 2
    assert f"{profile}:4:3" in done.stderr and "[network].deny" in done.stderr


@pytest.mark.parametrize("ports, words", [("*", "only supported for --net-allow-bind"), ("9-1", "reversed"),
                                          ("80,", "empty item"), ("65536", "out of range"), ("x", "not a port")])
def test_bad_bind_ports_are_refused(sandlock, ports, words):
    done = sandlock("run", f"--net-deny-bind={ports}", "true")
    assert done.code == 2
    assert "--net-deny-bind" in done.stderr and words in done.stderr


def test_without_a_supervisor_every_option_that_needs_one_is_named(sandlock):
    done = sandlock.run("--no-supervisor", "--net-allow=10.0.0.1", "--net-deny=10.0.0.1", "--net-deny-bind=1",
                        "--port-remap", "true")
    assert done.code == 2
    assert "incompatible with: --net-allow, --net-deny, --net-deny-bind, --port-remap" in done.stderr


# ---- Names ------------------------------------------------------------------------------------------

def test_an_unresolvable_name_ends_the_start(sandlock, area):
    done = sandlock.run("-w", area, "--net-allow=nosuch.invalid:80", "--", "touch", area / "ran")
    assert done.code == 125
    assert "failed to resolve host 'nosuch.invalid': " in done.stderr
    assert not (area / "ran").exists()


def test_a_name_reaches_every_port_of_its_addresses_and_no_other_host(sandlock, listen):
    one, two = listen(), listen("127.0.0.2")
    assert connects(sandlock, ["+localhost"], one.place, two.place) == ["connected", "ECONNREFUSED"]
    assert one.accepted() == 1 and two.accepted() == 0
    assert connects(sandlock, ["+localhost", "+127.0.0.2"], one.place, two.place) == ["connected"] * 2


def test_a_name_and_a_port(sandlock, listen):
    one, two = listen(), listen()
    assert connects(sandlock, [f"+localhost:{one.port}"], one.place, two.place) == ["connected", "ECONNREFUSED"]
    assert two.accepted() == 0


# ---- Layers -----------------------------------------------------------------------------------------

def test_without_options_nothing_is_reached(sandlock, listen):
    one = listen()
    assert connects(sandlock, [], one.place) == ["EACCES"]
    assert one.accepted() == 0


@pytest.mark.parametrize("allowed", ["127.0.0.1:{port}", ":{port}", "*", "localhost", "tcp://127.0.0.0/8"])
def test_deny_wins(sandlock, listen, allowed):
    one, two = listen(), listen("127.0.0.2")
    rule = "+" + allowed.format(port=one.port)
    assert connects(sandlock, [rule], one.place) == ["connected"], "the control"
    assert one.accepted() == 1
    for deny in ["127.0.0.1", f":{one.port}", "127.0.0.0/31", "tcp://*"]:
        assert connects(sandlock, ["-" + deny, rule], one.place) == ["ECONNREFUSED"]
        assert connects(sandlock, [rule, "-" + deny], one.place) == ["ECONNREFUSED"]
    assert one.accepted() == 0
    other = ["-127.0.0.1", rule, f"+127.0.0.2:{two.port}"]
    assert connects(sandlock, other, one.place, two.place) == ["ECONNREFUSED", "connected"]


def test_deny_alone_leaves_the_rest_open(sandlock, listen):
    one, two = listen(), listen("127.0.0.2")
    assert connects(sandlock, ["-127.0.0.1"], one.place, two.place) == ["ECONNREFUSED", "connected"]
    assert one.accepted() == 0


MANY = ["--net-deny", "224.0.0.0/4", "--net-deny", "255.255.255.255", "--net-deny", "ff00::/8"]
TO_MANY = """
import errno, socket, sys
def send(family, host, *options):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        for option in options: s.setsockopt(*option)
        try: s.sendto(host.encode(), (host, int(sys.argv[1]))); print("sent")
        except OSError as error: print(errno.errorcode[error.errno])
send(socket.AF_INET, "127.0.0.1")
send(socket.AF_INET, "224.0.0.1", (socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")))
send(socket.AF_INET, "255.255.255.255", (socket.SOL_SOCKET, socket.SO_BROADCAST, 1))
send(socket.AF_INET6, "ff02::1")
"""


def test_addresses_that_name_many_hosts_need_deny_rules_of_their_own(sandlock):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as witness:
        witness.bind(("0.0.0.0", 0))
        witness.settimeout(0.5)

        def told(*rules):
            done = sandlock.run("--net-deny", "127.0.0.0/8", *rules, "--", *PYTHON, TO_MANY, witness.getsockname()[1])
            return done.stdout.split()

        def came():
            try:
                return witness.recv(100)
            except socket.timeout:
                return None

        assert told()[:2] == ["ECONNREFUSED", "sent"]
        assert came() == b"224.0.0.1"
        while came() is not None:  # a broadcast, where there is a network for it
            pass
        assert told(*MANY) == ["ECONNREFUSED"] * 4
        assert came() is None


def test_every_spelling_of_a_denied_address_is_denied(sandlock, listen):
    one = listen()
    rules = ["+*", "-127.0.0.0/8", "-::1"]
    places = [f"{host} {one.port}" for host in ("127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::")]
    assert connects(sandlock, ["+*"], *places[:3]) == ["connected"] * 3, "the control"
    assert one.accepted() == 3
    assert connects(sandlock, rules, *places) == ["ECONNREFUSED"] * 5
    assert one.accepted() == 0


def test_a_rule_for_one_protocol_opens_no_other(sandlock, listen):
    one = listen()
    assert connects(sandlock, ["+udp://*"], one.place) == ["ECONNREFUSED"]
    assert connects(sandlock, ["+icmp://*"], one.place) == ["ECONNREFUSED"]
    assert one.accepted() == 0


@pytest.mark.parametrize("options", [["--without=unix-gate"], ["--no-supervisor"]], ids=["no gate", "no supervisor"])
def test_ports_of_any_address_can_be_left_to_the_kernel(sandlock, listen, options):
    one, two = listen(), listen()
    rules = [f"+tcp://*:{one.port}"]
    assert connects(sandlock, rules, one.place, two.place, options=options) == ["connected", "EACCES"]
    assert two.accepted() == 0
    udp = sandlock.run(*options, *options_of(rules), "--", *PYTHON, """
import errno, socket
try:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.send(b"")
except OSError as error:
    print(errno.errorcode[error.errno])
""")
    # Inert where the supervisor makes them, else there are none.
    expected = ["EPERM\n"] if "--no-supervisor" in options else ["EPERM\n", "EPIPE\n", "EDESTADDRREQ\n"]
    assert udp.stdout in expected, "no datagram socket is of use"
    every = connects(sandlock, ["+tcp://*"], one.place, two.place, options=options)
    assert every == ["connected", "connected"]


# ---- Reports ----------------------------------------------------------------------------------------

def posture(sandlock, tmp_path, *words):
    path = tmp_path / "posture"
    done = sandlock.run("--posture", path, *words, "--", "true")
    assert done.code == 0, done
    report = json.loads(path.read_text())
    path.unlink()
    return {entry["name"]: entry for entry in report["entries"]}, report["exceptions"]


def test_the_posture_tells_who_judges(sandlock, tmp_path):
    by, _ = posture(sandlock, tmp_path)
    assert by["tcp"]["by"] == "landlock" and by["udp"]["by"] == by["icmp"]["by"] == "filter"
    by, _ = posture(sandlock, tmp_path, "--net-allow=tcp://:80")
    assert by["tcp"]["by"] == by["network-rules"]["by"] == "supervisor" and "on behalf" in by["tcp"]["why"]
    by, _ = posture(sandlock, tmp_path, "--net-allow=tcp://:80", "--without=unix-gate")
    assert by["tcp"]["by"] == by["network-rules"]["by"] == "landlock" and "directly" in by["tcp"]["why"]
    by, exceptions = posture(sandlock, tmp_path, "--net-deny=10.0.0.0/8")
    assert by["icmp"]["by"] == "supervisor"
    assert "every tcp destination can be reached that is not denied" in exceptions
    by, exceptions = posture(sandlock, tmp_path, "--net-allow=*")
    assert by["tcp"]["state"] == by["udp"]["state"] == "off"
    assert "every udp destination can be reached" in exceptions


def test_what_the_kernel_refuses_is_explained_too(sandlock, listen, tmp_path):
    one, two = listen(), listen()
    log = tmp_path / "denials"
    options = ["--without=unix-gate", "--log-denials", log]
    assert connects(sandlock, [f"+tcp://*:{one.port}"], one.place, two.place, options=options) == ["connected", "EACCES"]
    records = [json.loads(line) for line in log.read_text().splitlines() if '"connect"' in line]
    assert [(record["object"], record["layer"], record["suggest"]) for record in records] == [
        (f"tcp://127.0.0.1:{two.port}", "network-rules", f"--net-allow tcp://127.0.0.1:{two.port}")]


def test_a_refused_destination_names_the_rule_that_would_allow_it(sandlock, listen, tmp_path):
    one = listen()
    log = tmp_path / "denials"
    connects(sandlock, ["+10.0.0.1"], one.place, options=["--log-denials", log])
    records = [json.loads(line) for line in log.read_text().splitlines()]
    suggestions = [record["suggest"] for record in records if record["call"] == "connect"]
    assert suggestions == [f"--net-allow tcp://127.0.0.1:{one.port}"]
    allow = suggestions[0].split()
    assert connects(sandlock, ["+10.0.0.1"], one.place, options=allow) == ["connected"]
    log.unlink()
    connects(sandlock, ["+*", "-127.0.0.1"], one.place, options=["--log-denials", log])
    records = [json.loads(line) for line in log.read_text().splitlines() if '"connect"' in line]
    assert [(record["rule"], record["suggest"]) for record in records] == [("--net-deny tcp://127.0.0.1", None)]


ABSTRACT = "abstract unix sockets outside the sandbox can be connected to"
EVERY_PORT = "every TCP port can be bound"


@pytest.mark.parametrize("words, exceptions, bind", [
    ([], [], "active"),
    (["--net-allow-bind", "80"], [], "active"),
    (["--disable", "abstract-unix-socket-scope"], [ABSTRACT], "active"),
    (["--disable", "abstract-unix-socket-scope", "--net-allow", "*"], [ABSTRACT], "active"),
    (["--net-allow-bind", "*"], [EVERY_PORT], "off"),
    (["--net-allow-bind", "*", "--net-deny-bind", "80"], ["every TCP port that is not denied can be bound"], "active"),
    (["--net-deny-bind", "80"], ["every TCP port that is not denied can be bound"], "active"),
    (["--net-allow-bind", "*", "--port-remap"], [EVERY_PORT], "off"),
    (["--net-allow-bind", "80", "--port-remap"], [], "active"),
])
def test_the_posture_tells_what_is_left_open(sandlock, tmp_path, words, exceptions, bind):
    by, told = posture(sandlock, tmp_path, *words)
    assert [line for line in told if line == ABSTRACT or "can be bound" in line and "TCP" in line] == exceptions
    assert by["bind"]["state"] == bind
    remapped = "remapped where the host has" in (by["bind"]["why"] or "")
    assert remapped == ("--port-remap" in words)


@pytest.mark.root
@pytest.mark.namespaces
def test_names_that_nobody_answers_end_with_the_time_limit(sandlock, area):
    """A host whose resolver hangs: the program that is asked sleeps."""
    if os.getuid() != 0 or not shutil.which("unshare"):
        pytest.skip("only root can put another program in the place of getent")
    hanging = area / "getent"
    hanging.write_text("#!/bin/sh\nexec sleep 30\n")
    hanging.chmod(0o755)
    words = [sandlock.binary, "run", *sandlock.base, "-t", "1s", "--net-allow", "nobody.invalid:80", "--", "true"]
    begin = time.monotonic()
    done = subprocess.run(["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /usr/bin/getent && exec "$@"', hanging,
                           *map(str, words)], capture_output=True, text=True, timeout=60, check=False,
                          stdin=subprocess.DEVNULL, env=sandlock.environment())
    assert (done.returncode, done.stderr) == (124, "sandlock: timeout after 1s\n"), done
    assert time.monotonic() - begin < 20
