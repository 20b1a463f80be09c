"""A /proc that is not that of sandlock's own pid namespace, or none at all: what stands there under a number is
another process than the one that sandlock knows by it. A supervised run does not start."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.root

OWN_USER = ["--user", "--map-root-user"] if os.geteuid() != 0 else []
PLACES = {
    "own": ["unshare", *OWN_USER, "--pid", "--fork", "--mount-proc"],
    "another namespace's": ["unshare", *OWN_USER, "--pid", "--fork"],
    "none": ["unshare", *OWN_USER, "--mount", "sh", "-c", 'mount -t tmpfs x /proc && exec "$0" "$@"'],
}
REASONS = {
    "another namespace's": "it is the procfs of another pid namespace",
    "none": "no procfs is mounted there",
}
# The lowest number that a process of the outer namespace has, and up to which members count.
VICTIM = 300

# Starts a process with a secret in its command line under a number that the next namespace has yet to reach.
OUTER = f"""
import os, subprocess, sys
while True:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    if pid >= {VICTIM}:
        break
victim = subprocess.Popen(["/bin/sh", "-c", "read line", "TOPSECRET"], stdin=subprocess.PIPE)
done = subprocess.run([word.replace("NUMBER", str(victim.pid)) for word in sys.argv[1:]], check=False)
score = open(f"/proc/{{victim.pid}}/oom_score_adj").read().strip()
victim.stdin.close()
victim.wait()
print("score", score)
sys.exit(done.returncode)
"""

# The member that gets the number looks at itself.
MEMBER = """
import os, sys
while True:
    pid = os.fork()
    if pid == 0:
        if os.getpid() >= int(sys.argv[1]):
            print("self:", open("/proc/self/cmdline").read().replace("\\0", " "), flush=True)
            open("/proc/self/oom_score_adj", "w").write("777")
        os._exit(0)
    os.waitpid(pid, 0)
    if pid >= int(sys.argv[1]):
        break
"""


def enter(sandlock, place, *words):
    prefix = PLACES[place]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no such namespace for this user here")
    return subprocess.run([*prefix, *map(str, words)], capture_output=True, text=True, timeout=60,
                          env=sandlock.environment(), check=False)


def look_at_oneself(sandlock, *between):
    return enter(sandlock, "own", sys.executable, "-I", "-S", "-c", OUTER, *between, sandlock.binary, "run", "-r", "/",
                 "-w", "/proc", "--", sys.executable, "-I", "-S", "-c", MEMBER, "NUMBER")


def test_no_process_outside_takes_the_place_of_a_member(sandlock):
    own = look_at_oneself(sandlock)
    assert own.returncode == 0 and "TOPSECRET" not in own.stdout and "self: " in own.stdout, own
    assert "score 0" in own.stdout, own
    done = look_at_oneself(sandlock, "unshare", "--pid", "--fork")
    assert "TOPSECRET" not in done.stdout and "self:" not in done.stdout, done
    assert "score 0" in done.stdout and done.returncode == 125, done


@pytest.mark.parametrize("place", REASONS)
def test_a_supervised_run_is_refused_with_the_reason_and_what_needs_it(sandlock, place):
    words = [sandlock.binary, "run", *sandlock.base, "--", "echo", "started"]
    own = enter(sandlock, "own", *words)
    assert (own.returncode, own.stdout) == (0, "started\n"), own
    done = enter(sandlock, place, *words)
    assert (done.returncode, done.stdout) == (125, ""), done
    assert REASONS[place] in done.stderr and "process-gate" in done.stderr, done
    bare = enter(sandlock, place, *words[:2], "--no-supervisor", *words[2:])
    assert (bare.returncode, bare.stdout) == (0, "started\n"), bare


@pytest.mark.parametrize("place", REASONS)
def test_members_that_only_proc_would_find_are_not_started(sandlock, place):
    """Without the signal scope the end of a run ends its processes by descent."""
    words = [sandlock.binary, "run", *sandlock.base, "--no-supervisor", "--disable", "signal-scope", "--", "sh", "-c",
             "sleep 60 & echo $!"]
    own = enter(sandlock, "own", *words)
    assert own.returncode == 0 and own.stdout.strip().isdigit(), own
    done = enter(sandlock, place, *words)
    assert (done.returncode, done.stdout) == (125, ""), done
    assert REASONS[place] in done.stderr and "signal scope" in done.stderr, done


@pytest.mark.parametrize("refused", [[], ["pidfd_open"]], ids=["", "without-pidfds"])
@pytest.mark.parametrize("place", PLACES)
def test_check_tells_of_it(attack, sandlock, place, refused):
    words = [*([attack.helpers / "container_filter", *refused, "--"] if refused else []), sandlock.binary, "check"]
    report = json.loads(enter(sandlock, place, *words, "--json").stdout)["proc"]
    text = enter(sandlock, place, *words).stdout
    line = next(line for line in text.splitlines() if line.startswith("  /proc:"))
    assert report["available"] == (place == "own")
    assert report.get("reason", "") == REASONS.get(place, "")
    assert line.split(None, 1)[1] == (f"unavailable ({REASONS[place]})" if place in REASONS else "available")
