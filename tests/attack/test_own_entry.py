"""Where no view shows each process its own entry, a grant of /proc/self, however it is spelled, is one of the
first process's entry, and never of the process that called sandlock."""

import json
import os
import pathlib
import subprocess

import pytest

pytestmark = pytest.mark.root

MODES = {"no supervisor": ["--no-supervisor"], "no view": ["--without", "proc-view"]}
ACTS = ("cmdline", "comm", "stat", "task.cmdline", "task.comm", "task.stat", "fd", "oom")
READ = ACTS[:-1]
THREAD = ("task.cmdline", "task.comm", "task.stat")

# Grants ("LINK" is one in a directory of the test, to what follows), and what the first process then has.
GRANTS = {
    "the entry": (["-r", "/proc/self"], READ),
    "the entry, to write": (["-w", "/proc/self"], ACTS),
    "that may be missing": (["--fs-write-try", "/proc/self"], ACTS),
    "a file": (["-r", "/proc/self/comm"], ["comm"]),
    "a file, to write": (["-w", "/proc/self/oom_score_adj"], ["oom"]),
    "files": (["-r", "/proc/self/cmdline", "-r", "/proc/self/../self/stat"], ["cmdline", "stat"]),
    "by descriptors": (["-r", "/dev/fd"], ["fd"]),
    "the thread": (["-r", "/proc/thread-self"], THREAD),
    "a thread's file": (["-r", "/proc/thread-self/comm"], ["task.comm"]),
    "the threads": (["-r", "/proc/self/task"], THREAD),
    "a link to it": (["-r", "LINK", "/proc/self"], READ),
    "a link to a file": (["-r", "LINK", "/proc/self/comm"], ["comm"]),
}


def words_of(grants, tmp_path):
    if "LINK" not in grants:
        return grants
    link = tmp_path / "link"
    link.symlink_to(grants[2])
    return [grants[0], link]


def start(attack, words):
    """The payload, told the process that calls sandlock, and its answers."""
    caller = subprocess.Popen(["/bin/sh", "-c", 'exec "$@" $$', "sh", *map(str, words)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=attack.sandlock.environment())
    answers = {}
    for line in caller.stdout:
        name, _, value = line.strip().partition(": ")
        answers[name] = value
        if name == "done":
            break
    return caller, answers


def end(caller):
    _, errors = caller.communicate(timeout=30)
    return caller.returncode, errors


def had(answers, whose):
    return {act for act in ACTS if answers[f"{whose}.{act}"] == "OK"}


def test_unconfined_everything_of_a_process_can_be_had(attack):
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
        results = attack.outside("own_entry.py", other.pid)
        score = pathlib.Path(f"/proc/{other.pid}/oom_score_adj").read_text(encoding="ascii")
        other.stdin.close()
    assert had(results, "caller") == had(results, "own") == had(results, "child") == set(ACTS), results.result
    assert score == "321\n"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("grants", GRANTS)
def test_a_grant_of_the_own_entry_is_never_one_of_the_callers(attack, tmp_path, grants, mode):
    words, wanted = GRANTS[grants]
    command = [attack.sandlock.binary, "run", *attack.sandlock.base, *attack.grants("own_entry.py"), *MODES[mode],
               *words_of(words, tmp_path), "--", *attack.words("own_entry.py")]
    caller, answers = start(attack, command)
    score = pathlib.Path(f"/proc/{caller.pid}/oom_score_adj").read_text(encoding="ascii")
    code, errors = end(caller)
    assert (code, answers.get("done")) == (0, "OK"), (answers, errors)
    assert score != "321\n"
    assert had(answers, "caller") == set(), answers
    assert had(answers, "child") == set(), answers  # the first process only
    assert had(answers, "own") == set(wanted), answers


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel shows it to root alone")
@pytest.mark.other_users
def test_the_environment_of_the_caller_stays_its_own(sandlock):
    script = 'for entry in /proc/[0-9]*; do tr "\\0" "\\n" < $entry/environ; done; echo end'
    for grant, shown in ("/proc/self", False), ("/proc", True):
        done = sandlock.run("--clean-env", "--no-supervisor", "-r", grant, "--", "sh", "-c", script,
                            env={"TOKEN": "TOPSECRET"})
        assert done.stdout.endswith("end\n") and ("TOKEN=TOPSECRET" in done.stdout) == shown, (grant, done.stderr)


@pytest.mark.parametrize("mode", MODES)
def test_the_posture_says_whom_it_covers(sandlock, tmp_path, mode):
    def exceptions(*grants):
        posture = tmp_path / "posture"
        done = sandlock.run(*MODES[mode], "--posture", posture, *grants, "--", "true")
        assert done.code == 0, done
        return " / ".join(json.loads(posture.read_text(encoding="utf-8"))["exceptions"])

    first, others, net, session = "covers the first process only", "other processes", "/proc/self/net", "autogroup"
    comm = exceptions("-r", "/proc/self/comm")
    assert first in comm and others not in comm and net not in comm and session not in comm, comm
    entry = exceptions("-w", "/proc/self")
    assert first in entry and others not in entry and net in entry and session in entry, entry
    everything = exceptions("-r", "/proc")
    assert first not in everything and others in everything, everything
