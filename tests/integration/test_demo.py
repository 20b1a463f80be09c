"""The demonstration: it succeeds with the real program, and fails with one that keeps less."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN_DEMO = ROOT / "demo/run-demo"


@pytest.fixture
def demo(tmp_path):
    """Runs the demonstration with a temporary directory of its own, from some other directory."""
    if not os.access("/usr/bin/python3", os.X_OK):
        pytest.skip("/usr/bin/python3 is not installed")
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def run(program):
        done = subprocess.run(
            [RUN_DEMO, program], cwd="/", env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
        )
        assert os.listdir(scratch) == [], "something is left behind"
        return done

    return run


@pytest.fixture
def weakened(binary, tmp_path):
    """Makes a program that runs sandlock with further options, or with one replaced."""

    def make(script):
        path = tmp_path / "sandlock"
        path.write_text(f"#!/bin/bash\nREAL={binary}\n{script}\n")
        path.chmod(0o755)
        return path

    return make


def failed_lines(done):
    return re.findall(r"^  \[FAIL\] (.*)$", done.stdout, re.M)


@pytest.mark.root
def test_the_demonstration_succeeds(demo, binary):
    done = demo(binary)
    assert failed_lines(done) == [], done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("demo: everything as promised\n")


def test_the_useful_job_and_the_reason_of_every_refusal_are_on_the_screen(demo, binary):
    rows = {}
    for line in demo(binary).stdout.splitlines():
        words = line.split()
        if line.startswith("  ") and words:
            rows.setdefault(words[0], words)
    assert '{"count":' in rows["useful-job"]
    by = {act: words[-1] for act, words in rows.items()}
    assert by["read-secret"] == by["write-outside"] == "landlock"
    assert by["connect"] == "network-rules"
    assert by["kill-victim"] == "landlock"
    assert by["udp"] == by["trace-victim"] == "filter"
    assert (by["change-mode"], by["fork-bomb"]) == ("metadata-gate", "process-limit")


# What is weakened, and the lines that must notice it.
WEAKER = {
    "everything is writable": ("-w /", {
        "read-secret was refused", "write-outside was refused", "change-mode was refused",
        "the secret did not get out", "nothing was planted outside",
        "the mode of the secret is as before"}),
    "outside is readable": ("-r /tmp -r /var -r \"$TMPDIR\"", {
        "read-secret was refused", "the secret did not get out"}),
    "no metadata gate": ("--without metadata-gate", {
        "change-mode was refused", "the mode of the secret is as before"}),
    "no network rules": ("--disable net-tcp", {
        "connect was refused", "the server received nothing new"}),
    "no signal scope": ("--disable signal-scope", {
        "kill-victim was refused", "the victim lives"}),
}


@pytest.mark.parametrize("what", WEAKER)
def test_a_weaker_sandbox_is_noticed(demo, weakened, what):
    options, noticed = WEAKER[what]
    done = demo(weakened(f'shift; exec "$REAL" run {options} "$@"'))
    assert done.returncode == 1
    assert noticed <= set(failed_lines(done)), done.stdout


def test_a_missing_process_limit_is_noticed(demo, weakened):
    done = demo(weakened('exec "$REAL" "${@/#12/300}"'))
    assert done.returncode == 1
    assert "fork-bomb was refused" in failed_lines(done)


def test_a_program_that_does_nothing_is_noticed(demo, weakened):
    done = demo(weakened("exit 0"))
    assert done.returncode == 1
    assert "its report was written" in failed_lines(done)


def test_a_missing_program_is_named(demo, tmp_path):
    done = demo(tmp_path / "absent")
    assert done.returncode == 1
    assert done.stdout == "" and "absent is not there" in done.stderr


def test_the_demonstration_works_from_a_path_with_blanks(binary, tmp_path):
    place = tmp_path / "a b"
    for name in ("demo", "profiles"):
        shutil.copytree(ROOT / name, place / name)
    (place / "build").mkdir()
    (place / "build/sandlock").symlink_to(binary)
    done = subprocess.run(["demo/run-demo"], cwd=place, capture_output=True, text=True, timeout=120,
                          env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
