"""What the record of --status-fd says is what happened: the command's own code, and the status that sandlock has."""

import json
import os
import signal
import subprocess
import time

import pytest


def started(sandlock, *words):
    """A run in the background and the pipe of its record."""
    read_end, write_end = os.pipe()
    process = sandlock.start(f"--status-fd={write_end}", *words, pass_fds=[write_end])
    os.close(write_end)
    return process, read_end


def ended(process, read_end):
    process.communicate(timeout=20)
    with open(read_end, encoding="utf-8") as stream:
        return process.returncode, json.loads(stream.read())


LOOP = "echo up; while :; do sleep 0.05; done"


def test_a_command_that_ends_by_itself_in_the_grace_period_has_its_code(sandlock):
    result, text = sandlock.status("-t", "1500ms", "--kill-after", "25s", "--", "sh", "-c", f"trap 'exit 7' TERM; {LOOP}")
    record = json.loads(text)
    assert result.code == 124
    assert (record["exit_code"], record["reason"], record["status"], record["limit"]) == (7, "timeout", 124, "timeout")
    assert "signal" not in record


def test_a_command_that_is_killed_at_the_limit_has_none(sandlock):
    result, text = sandlock.status("-t", "300ms", "--", "sh", "-c", LOOP)
    record = json.loads(text)
    assert (result.code, record["exit_code"], record["signal"], record["status"]) == (124, -1, 9, 124)


def test_a_limit_that_ends_the_look_up_of_names_is_told_as_such(sandlock):
    result, text = sandlock.status("-t", "1ms", "--net-allow", "name.invalid", "--", "true")
    record = json.loads(text)
    if result.code == 125:
        pytest.skip("the name was looked up within a millisecond")
    assert result.code == record["status"] == record["exit_code"] == 124
    assert record["wall_ms"] >= 1 and "pid" not in record


@pytest.mark.parametrize("trap, code, number", [("exit 3", 3, None), ("-", -1, signal.SIGTERM)])
def test_a_stopped_command_ends_in_the_grace_period(sandlock, trap, code, number):
    start = time.monotonic()
    result, text = sandlock.status("-t", "1500ms", "--kill-after", "28s", "--", "sh", "-c", f"trap '{trap}' TERM; kill -STOP $$; {LOOP}")
    record = json.loads(text)
    assert time.monotonic() - start < 25
    assert (result.code, record["exit_code"], record.get("signal")) == (124, code, number), record


@pytest.mark.parametrize("trap, code", [("exit 5", 5), ("exit 0", 0)])
def test_after_a_forwarded_signal_the_status_is_that_of_dying_by_it(sandlock, trap, code):
    process, fd = started(sandlock, "--", "sh", "-c", f"trap '{trap}' TERM; {LOOP}")
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    returned, record = ended(process, fd)
    assert returned == -signal.SIGTERM
    assert (record["status"], record["exit_code"], record["reason"]) == (128 + signal.SIGTERM, code, "exited")


def test_a_limit_that_comes_after_the_signal_leaves_its_status(sandlock):
    process, fd = started(sandlock, "-t", "1500ms", "--", "sh", "-c", f"trap '' TERM; {LOOP}")
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    returned, record = ended(process, fd)
    assert returned == -signal.SIGTERM
    assert (record["status"], record["reason"], record["limit"]) == (128 + signal.SIGTERM, "timeout", "timeout")


def test_a_signal_in_the_grace_period_leaves_the_status_of_the_limit(sandlock):
    process, fd = started(sandlock, "-t", "1s", "--kill-after", "3s", "--", "sh", "-c", f"trap 'echo asked' TERM; {LOOP}")
    assert [process.stdout.readline() for _ in range(2)] == ["up\n", "asked\n"]
    process.send_signal(signal.SIGTERM)
    returned, record = ended(process, fd)
    assert returned == record["status"] == 124
    assert record["reason"] == "timeout"


@pytest.mark.parametrize("words", [["--nope"], ["--name", "a", "--name", "b"], ["-t"], ["--explain=x"], ["-r"]], ids=" ".join)
def test_an_error_of_the_options_has_a_record_too(sandlock, words):
    result, text = sandlock.status(*words)
    record = json.loads(text)
    assert (result.code, record["status"], record["exit_code"], record["reason"]) == (2, 2, 2, "error")
    assert record["error"] in result.stderr


# ---- What cannot be written ------------------------------------------------------------------------


PRINTING = [(["run", "--print-policy", "-r", "/usr"], 125), (["run", "--help"], 125), (["run", "-h"], 125), (["--version"], 1), (["--help"], 1),
            (["check", "--json"], 1), (["help", "run"], 1)]


@pytest.mark.parametrize("words, status", PRINTING, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_output_that_cannot_be_written_is_a_failure(sandlock, words, status):
    with open("/dev/full", "wb") as full:
        result = sandlock(*words, stdout=full)
    assert result.code == status and "writing standard output: No space left on device" in result.stderr
    closed = sandlock(*words, preexec_fn=lambda: os.close(1))
    assert closed.code == status and "writing standard output: Bad file descriptor" in closed.stderr, closed
    assert sandlock(*words).code == 0


@pytest.mark.root
def test_a_closed_descriptor_without_dev_null_is_named(sandlock):
    script = 'mount -t tmpfs none /dev && exec "$0" --version <&-'
    words = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-Urm"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount namespace can be made here")
    done = subprocess.run([*words, "sh", "-c", script, sandlock.binary], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 125
    assert "descriptor 0 is closed" in done.stderr and "open /dev/null: No such file or directory" in done.stderr
    whole = subprocess.run([*words, "sh", "-c", script.replace("<&-", "</proc/self/status"), sandlock.binary], capture_output=True,
                           text=True, timeout=20, check=False)
    assert whole.returncode == 0 and whole.stdout.startswith("sandlock ")
