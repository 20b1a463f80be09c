"""A name that a member, an archive or a repository chose, in a line that is made to be pasted: the shell reads
the name back and nothing else of it runs."""

import json
import os
import re
import subprocess

import pytest

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B", "-c"]

# What any POSIX shell reads back.
PLAIN_NAMES = [
    b"x';touch PWNED;'", b"x'$(touch PWNED)'", b"`touch PWNED`", b"$(touch PWNED)", b"a;touch PWNED", b'"; touch PWNED; "',
    b"it's", b"a\\b", b"\\';touch PWNED;'", b"back\\", b"a b", b"a  b", b"c:d", b"e,f", b"~", b"=eq", b"a*", b"[a]", b"{a,b}",
    b"-lead", b"#no", b"!x", b"&touch PWNED", b"|touch PWNED", b"'", b"''", b"\xc3\xbcber", b"%s", b"x)", b"a'b\"c\\d",
]
# What must not reach a screen as it is, with and without what ends a quoted word.
ESCAPED_NAMES = [
    b"new\nline", b"\ntouch PWNED\n", b"tab\tx", b"\xff\xfe", b"\x1b[2J", b"bidi\xe2\x80\xaex", b"\xd8\x9c", b"\xef\xbb\xbf", b"\x7f1",
    b"\n';touch PWNED;'", b"\x01';touch PWNED;\\'", b"\\\n';touch PWNED;#", b"\xff'$(touch PWNED)'", b"\xe2\x80'\xae;touch PWNED;'",
    b"\x07\\';touch PWNED;'", b"\t'\ntouch PWNED\n'", b"\x0112", b"\xc2\x9b'",
]

ACT = """
import os, sys
name = os.fsencode(sys.argv[1])
try:
    ACT
except OSError as error:
    print(error.errno)
    sys.exit(1)
"""
ACTS = {
    "open": "os.close(os.open(name + b'/file', os.O_RDONLY))",
    "create": "os.close(os.open(name + b'/new', os.O_CREAT | os.O_EXCL | os.O_WRONLY))",
    "rename": "os.rename(name + b'/file', name + b'/new')",
    "truncate": "os.truncate(name + b'/file', 0)",
    "chmod": "os.chmod(name + b'/file', 0o600)",
}


def names_of(list_of_names):
    return pytest.mark.parametrize("name", list_of_names, ids=[repr(name)[2:-1] for name in list_of_names])


class Pasted:
    """Runs lines as who pastes them, in a directory where PWNED would appear."""

    def __init__(self, sandlock, area):
        self.sandlock, self.directory = sandlock, area / "here"
        self.directory.mkdir()
        self.target = None

    def shell(self, shell, line, *arguments):
        done = subprocess.run([shell, "-c", line, shell, *arguments], cwd=self.directory, capture_output=True, timeout=30,
                              env=self.sandlock.environment(), stdin=subprocess.DEVNULL, check=False)
        assert list(self.directory.iterdir()) == [], (line, done)
        return done


@pytest.fixture
def pasted(sandlock, area):
    return Pasted(sandlock, area)


def make_target(area, name):
    target = os.fsencode(area) + b"/" + name
    os.mkdir(target)
    with open(target + b"/file", "w", encoding="ascii") as file:
        file.write("content")
    os.chmod(target + b"/file", 0o644)
    return target


def suggestion(text):
    """Of the summary's and the hint's lines the one about the target."""
    found = [line.split(b"; allow with: ", 1)[1] for line in text.split(b"\n") if b"; allow with: " in line]
    assert found, text
    return re.sub(rb" \(--explain lists all\)$", b"", found[-1])


def attempt(sandlock, target, act, *options):
    words = [sandlock.binary, "run", *sandlock.base, *options, "--", *PYTHON, ACT.replace("ACT", ACTS[act]), target]
    return subprocess.run(words, capture_output=True, env=sandlock.environment(), stdin=subprocess.DEVNULL, timeout=30,
                          check=False)


def pasting_makes_it_succeed(pasted, shell, target, act, advice):
    """The suggestion stands where a user puts it: between the other options of the line."""
    line = b'"$1" run ' + " ".join(pasted.sandlock.base).encode() + b" " + advice + b' -- "$2" -I -S -B -c "$3" "$4"'
    done = pasted.shell(shell, line, pasted.sandlock.binary, PYTHON[0], ACT.replace("ACT", ACTS[act]), target)
    assert done.returncode == 0, (line, done)


@names_of(PLAIN_NAMES + ESCAPED_NAMES)
@pytest.mark.parametrize("told", ["explain", "hint"])
def test_a_pasted_suggestion_is_the_name_and_runs_nothing_of_it(sandlock, area, pasted, name, told):
    target = make_target(area, name)
    options = ["--explain"] if told == "explain" else ["--log-denials", area / "log"]
    for act in ("open", "create"):
        refused = attempt(sandlock, target, act, *options)
        assert refused.returncode == 1 and refused.stdout == b"13\n", refused
        advice = suggestion(refused.stderr)
        assert not re.search(rb"[\x00-\x1f\x7f]", advice), advice
        advice.decode("utf-8")
        if name in PLAIN_NAMES:
            pasting_makes_it_succeed(pasted, "/bin/sh", target, act, advice)
            if act == "create":
                os.unlink(target + b"/new")
        pasting_makes_it_succeed(pasted, "/bin/bash", target, act, advice)


@pytest.mark.parametrize("act", ACTS)
@names_of([b"x';touch PWNED;'", b"\n';touch PWNED;'"])
def test_of_every_act(sandlock, area, pasted, act, name):
    target = make_target(area, name)
    refused = attempt(sandlock, target, act, "--explain")
    assert refused.returncode == 1, refused
    pasting_makes_it_succeed(pasted, "/bin/bash", target, act, suggestion(refused.stderr))


@names_of(ESCAPED_NAMES)
def test_a_shell_that_does_not_know_the_escapes_runs_nothing_of_the_name_either(sandlock, area, pasted, name):
    advice = suggestion(attempt(sandlock, make_target(area, name), "open", "--explain").stderr)
    for shell in ("/bin/sh", "/bin/bash"):
        done = pasted.shell(shell, b"set -- " + advice + b'; echo "$#"')
        assert done.stdout == b"2\n", (advice, done)


@names_of(PLAIN_NAMES + ESCAPED_NAMES)
def test_the_suggestion_of_the_log_is_the_same(sandlock, area, pasted, name):
    target, log = make_target(area, name), area / "log"
    assert attempt(sandlock, target, "open", "--log-denials", log).returncode == 1
    advice = [json.loads(line)["suggest"] for line in log.read_text(encoding="utf-8").splitlines()][-1]
    pasting_makes_it_succeed(pasted, "/bin/bash", target, "open", advice.encode())


@names_of(PLAIN_NAMES + ESCAPED_NAMES)
def test_the_advice_after_a_program_that_no_grant_covers(sandlock, area, pasted, name):
    target = make_target(area, name)
    program = target + b"/program"
    with open(program, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nexit 0\n")

    def run(*options):
        return subprocess.run([sandlock.binary, "run", *sandlock.base, *options, "--", program], capture_output=True,
                              env=sandlock.environment(), stdin=subprocess.DEVNULL, timeout=30, check=False)

    said = run("-r", target).stderr
    command = said.split(b"no execute permission; ", 1)[1].rstrip(b"\n")
    assert pasted.shell("/bin/bash", command).returncode == 0
    assert os.stat(program).st_mode & 0o100
    advice = run().stderr.rsplit(b"; add ", 1)[1].rstrip(b"\n")
    line = b'"$1" run ' + " ".join(sandlock.base).encode() + b" " + advice + b' -- "$2"'
    assert pasted.shell("/bin/bash", line, sandlock.binary, program).returncode == 0


@names_of(PLAIN_NAMES + ESCAPED_NAMES)
def test_a_corrected_command_line(sandlock, pasted, name):
    """Where `run` was left out, the line with it is shown."""
    for words in ([name], [b"--env", name]):
        said = subprocess.run([sandlock.binary, *words], capture_output=True, env=sandlock.environment(),
                              stdin=subprocess.DEVNULL, timeout=30, check=False)
        assert said.returncode == 2
        shown = re.search(rb"(sandlock run .*) \(see sandlock --help\)$", said.stderr.rstrip(b"\n"))
        if shown is None:  # an option, or nearly a command
            continue
        done = pasted.shell("/bin/bash", b"sandlock() { printf '%s\\n' \"${@: -1}\"; }; " + shown.group(1))
        assert done.stdout == (name if words == [name] else b"...") + b"\n", (shown, done)
