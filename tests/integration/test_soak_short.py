"""A short form of tests/soak (make soak): many runs, and nothing left behind by them."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTS = ["row-cli", "row-library", "crowd-cli", "crowd-library", "pipelines", "pipelines-limited",
         "storm", "storm-library", "stalled-peer"]


@pytest.mark.soak
@pytest.mark.parametrize("part", PARTS)
def test_many_runs_leave_nothing_behind(binary, part):
    done = subprocess.run([sys.executable, str(ROOT / "tests/soak"), "--short", part],
                          env={**os.environ, "SANDLOCK_BIN": str(binary)}, capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 0 failed" in done.stdout
