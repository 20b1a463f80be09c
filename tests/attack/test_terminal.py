"""The terminal that the sandbox shares with its user."""

import fcntl
import os
import platform
import pty
import subprocess
import termios

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the payloads use x86-64 numbers"),
]


def run_on_terminal(words, env):
    """Runs the words in a session whose terminal is a new pty. Their output (a pipe), and what is in the
    terminal's input queue afterwards."""
    master, slave = pty.openpty()

    def take_terminal():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    try:
        done = subprocess.run(words, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                              preexec_fn=take_terminal, timeout=30, text=True, check=False)
        os.set_blocking(slave, False)
        try:
            typed = os.read(slave, 100)
        except BlockingIOError:
            typed = b""
    finally:
        os.close(master)
        os.close(slave)
    return dict(line.split(": ") for line in done.stdout.splitlines()), typed


def test_nothing_can_be_typed_into_the_terminal(attack, mode):
    words = attack.words("terminal.py")
    env = attack.sandlock.environment()
    outside, typed = run_on_terminal(words, env)
    if outside["TIOCSTI"] != "OK":
        pytest.skip("this kernel does not let this user type into a terminal anyway")
    assert typed == b"id\n"
    confined = [str(attack.sandlock.binary), "run", *attack.sandlock.base, *attack.grants("terminal.py"), *mode, "--"]
    inside, typed = run_on_terminal([*confined, *words], env)
    assert typed == b""
    for name in ("TIOCSTI", "TIOCSTI_high", "TIOCSETD", "TIOCLINUX"):
        assert inside[name] == "EPERM", name
    assert outside["TIOCSETD"] == "OK"
    assert inside["TCGETS"] == "OK", "ordinary terminal calls work"
