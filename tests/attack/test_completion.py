"""Completion for bash: the names it offers are data, whoever chose them."""

import os
import pathlib
import pty
import subprocess
import time

import pytest

HOSTILE = ["$(touch PWNED)", "`touch PWNED`", "x;touch PWNED;", "x';touch PWNED;'", '";touch PWNED;"', "${x:=$(touch PWNED)}",
           "$HOME", "a b", "a  b", "*", "a[$(touch PWNED)]", "-lead", "~", "back\\slash", "{a,b}"]

# As readline asks: the words as they are typed, the last of them being completed.
ASK = """
compopt() { :; }
source "$0"
COMP_WORDS=(sandlock "$@"); COMP_CWORD=$#; COMPREPLY=()
_sandlock
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def complete(sandlock, area):
    script = pathlib.Path(os.environ.get("SANDLOCK_BUILD", "build")) / "src/cli/sandlock"
    if not script.is_file():
        pytest.skip("no completions were built")
    here, programs = area / "here", area / "bin"
    here.mkdir()
    programs.mkdir()
    (programs / "sandlock").symlink_to(sandlock.binary)

    def ask(*words):
        before = sorted(here.iterdir())
        environment = {**sandlock.environment(), "PATH": f"{programs}:/usr/bin:/bin"}
        done = subprocess.run(["/bin/bash", "-c", ASK, str(script.resolve()), *words], cwd=here, capture_output=True,
                              text=True, env=environment, timeout=30, stdin=subprocess.DEVNULL, check=False)
        assert sorted(here.iterdir()) == before and done.stderr == "", done
        return [line for line in done.stdout.split("\n") if line]

    ask.here, ask.sandlock, ask.script = here, sandlock, script.resolve()
    return ask


ASKING_FOR_PROFILES = [["run", "-p"], ["run", "--profile"], ["run", "--profile", "="], ["check", "-p"], ["check", "--profile", "="],
                       ["profile", "show"], ["profile", "delete"]]


@pytest.mark.parametrize("words", ASKING_FOR_PROFILES, ids=" ".join)
def test_names_of_profiles_are_offered_and_never_run(complete, words):
    for name in HOSTILE:
        complete.sandlock.profile(name, "")
    listed = [line[2:] for line in complete.sandlock("profile", "list").stdout.splitlines() if line.startswith("  ")]
    assert {"a b", "$(touch PWNED)", "*"} <= set(listed)
    assert set(listed) <= set(complete(*words, ""))
    assert complete(*words, "a  ") == ["a  b"]
    assert "$(touch PWNED)" in complete(*words, "\\$\\(to")  # as readline has written it
    assert complete(*words, "nothing of the kind") == []


@pytest.mark.parametrize("words", [["-r"], ["--fs-read"], ["--fs-read", "="], ["--env", "A", "=", "b", "-w"], ["--posture", "="]], ids=" ".join)
def test_names_of_files_are_offered_and_never_run(complete, words):
    for name in HOSTILE:
        (complete.here / name).write_text("")
    assert set(HOSTILE) <= set(complete("run", *words, ""))
    assert set(complete("run", *words, "a ")) == {"a b", "a  b"}


@pytest.mark.parametrize("words, offered", [
    (["run", "--without", "=", "met"], "metadata-gate"),
    (["run", "--without", "="], "metadata-gate"),
    (["run", "--timeout", "=", "5", "--expl"], "--explain"),
    (["run", "--env", "A", "=", "b", "--expl"], "--explain"),
    (["run", "--net-allow", "tcp", ":", "//1.1.1.1", ":", "80", "--expl"], "--explain"),
    (["run", "--env", "=", "A", "=", "b", "tru"], "true"),
], ids=" ".join)
def test_a_value_behind_an_equals_sign_is_that_options(complete, words, offered):
    assert offered in complete(*words)


def test_a_typed_name_is_completed_by_the_shell_as_one_word(complete):
    """Through readline itself: the file that the completed line is about is the one that was named."""
    for name in ("$(touch PWNED)x", "it's; touch PWNED"):
        (complete.here / name).write_text("")
    for typed, name in (("\\$", "$(touch PWNED)x"), ("it", "it's; touch PWNED")):
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(complete.here)
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"],
                      {**complete.sandlock.environment(), "PS1": "", "TERM": "dumb", "HISTFILE": ""})
        try:
            os.write(fd, f"source {complete.script}; sandlock() {{ printf 'got<%s>\\n' \"${{@: -1}}\"; }}; echo $((1+1))-ready\n".encode())
            seen, end = b"", time.monotonic() + 60
            while b"2-ready" not in seen and time.monotonic() < end:
                seen += os.read(fd, 4096)
            os.write(fd, f"sandlock run -r {typed}\t\n".encode())
            while b"got<" + name.encode() + b">" not in seen and time.monotonic() < end:
                seen += os.read(fd, 4096)
            assert b"got<" + name.encode() + b">" in seen, seen
        finally:
            os.kill(pid, 9)
            os.close(fd)
            os.waitpid(pid, 0)
        assert sorted(path.name for path in complete.here.iterdir()) == ["$(touch PWNED)x", "it's; touch PWNED"]
