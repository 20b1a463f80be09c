"""File systems that empty a file before Landlock is asked: an overlay, which copies a file of a lower layer without its
content when it is opened with O_TRUNC, for whatever. Landlock judges the access mode, and the truncation too late."""

import os
import platform
import subprocess

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the payload uses x86-64 numbers"),
]

WAYS = [f"by_{way}_for_{mode}" for way in ("open", "openat", "openat2") for mode in ("reading", "nothing")]
NAMES = ["by_open_for_writing", *WAYS]
TEXT = "precious"
MOUNT = """
set -e
mount -t tmpfs none "$1"
cd "$1"
mkdir lower upper work merged
for name in $NAMES; do printf '%s' "$TEXT" >lower/$name; done
mount -t overlay none -o "lowerdir=lower,upperdir=upper,workdir=work$OPTIONS" merged
"""
# Where the runs start, and what is left of each file afterwards.
ACT = """
cd "$2"
shift 2
"$@" || echo "status: $?"
cd /
for name in $NAMES; do printf 'left of %s: ' $name; cat "$MERGED/$name"; echo; done
"""
OWN_USER = ["--user", "--map-root-user"] if os.geteuid() != 0 else []


class Overlay:
    """A new one in a mount namespace of each run."""

    def __init__(self, directory, environment):
        self.directory = directory
        self.merged = directory / "merged"
        self.environment = {**environment, "NAMES": " ".join(NAMES), "TEXT": TEXT, "MERGED": str(self.merged)}
        for options in ("", ",userxattr"):
            self.environment["OPTIONS"] = options
            if self.enter(MOUNT).returncode == 0:
                return
        pytest.skip("no overlay can be mounted by this user here")

    def enter(self, script, *words):
        return subprocess.run(["unshare", *OWN_USER, "--mount", "sh", "-c", script, "sh", str(self.directory),
                               *map(str, words)], capture_output=True, text=True, timeout=60, env=self.environment,
                              check=False)

    def run(self, start, *words):
        """What each way answered, and what it left."""
        done = self.enter(MOUNT + ACT, start, *words)
        assert done.returncode == 0 and "status: " not in done.stdout, done
        lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
        return [{name: lines[before + name] for name in NAMES} for before in ("", "left of ")]


@pytest.fixture
def overlay(sandlock, tmp_path):
    (tmp_path / "mounts").mkdir()
    return Overlay(tmp_path / "mounts", sandlock.environment())


def payload(attack, overlay):
    return attack.words("truncation.py", overlay.merged)


def test_unconfined_every_way_empties_the_file(attack, overlay):
    _, left = overlay.run("/", *payload(attack, overlay))
    assert left == dict.fromkeys(NAMES, ""), left


# "views": the supervisor opens on behalf.
@pytest.mark.parametrize("place", ["start", "read-grant", "views"])
def test_no_way_empties_a_file_that_must_not_be_written(attack, sandlock, overlay, mode, place):
    grants = {"start": [], "read-grant": ["-r", overlay.merged], "views": ["-r", "/"]}[place]
    start = "/" if place == "read-grant" else overlay.merged
    answers, left = overlay.run(start, sandlock.binary, "run", *sandlock.base,
                                *attack.grants("truncation.py"), *grants, *mode, "--", *payload(attack, overlay))
    assert left == dict.fromkeys(NAMES, TEXT), (left, answers)
    for name, answer in answers.items():
        assert answer == ("ENOSYS" if "openat2" in name else "EACCES"), answers
