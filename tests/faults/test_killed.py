"""Killed at any moment, a training goes on and comes to what an unbroken one comes to.

Twenty kills take a minute or two: KERAS_BACKEND=jax python -m tests.faults.killed FOLDER checkpoint
20 0, which prints the epochs that were done at each, then compare FOLDER/*/final.npz.
"""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_kd

ROOT = pathlib.Path(keras_kd.__file__).parents[1]
#: Each child would compile the same step.
CACHE = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or keras.config.backend() == "torch",
    reason="needs fork; torch is left out for the time it takes",
)


#: A child takes longer where every small operation is compiled.
WAYS = (
    [("checkpoint", 1)] if keras.config.backend() == "jax" else [("checkpoint", 2), ("backup", 1)]
)


@pytest.mark.parametrize(("way", "kills"), WAYS)
def test_killed_in_a_loop_it_comes_to_the_same_weights(tmp_path, way, kills):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.faults.killed", tmp_path, way, f"{kills}", "0"],
        capture_output=True, text=True, timeout=400, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
             "KERAS_BACKEND": keras.config.backend(), **CACHE, "JAX_COMPILATION_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    said = json.loads(run.stdout.splitlines()[-1])
    assert said["kills"] == kills
    alike(tmp_path)


def alike(folder):
    """Every variable that training moved, and the best student, are the same."""
    with np.load(folder / "killed/final.npz") as ours, np.load(folder / "unbroken/final.npz") as of:
        assert len(ours.files) == len(of.files) > 20
        for name in of.files:
            np.testing.assert_allclose(ours[name], of[name], rtol=1e-5, atol=1e-6, err_msg=name)
    weights = [
        keras.saving.load_model(folder / which / "student.keras").get_weights()
        for which in ("killed", "unbroken")
    ]
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
