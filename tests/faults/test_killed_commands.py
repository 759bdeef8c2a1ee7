"""Exports and runs that are killed leave nothing half-written, and come to the same when run again.

Twenty kills of each take minutes: set KERAS_KD_SLOW=1, or see tests/faults/killed_commands.py.
"""

import json
import os
import subprocess
import sys

import keras
import pytest

from tests.exporting.conftest import needs
from tests.faults.test_killed import CACHE, ROOT

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or keras.config.backend() != "jax",
    reason="needs fork; the others are left out for the time it takes",
)
KILLS = 20 if os.environ.get("KERAS_KD_SLOW") else 2


@needs("tensorflow", "ai_edge_litert")
@pytest.mark.parametrize("what", ["export", "distill"])
def test_nothing_half_written_and_the_same_in_the_end(tmp_path, what):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.faults.killed_commands", tmp_path, what,
         f"{KILLS}", "0"],
        capture_output=True, text=True, timeout=3000, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
             "KERAS_BACKEND": "jax", **CACHE, "JAX_COMPILATION_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    said = json.loads(run.stdout.splitlines()[-1])
    assert said["kills"] == said["good"] == KILLS, run.stdout
    assert said["died"] >= KILLS / 2
