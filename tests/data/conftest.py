"""A directory with mnist as TensorFlow Datasets keeps it, where one can be had."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2].parent / "shared"


@pytest.fixture(scope="session")
def tfds_dir(tmp_path_factory):
    if "KERAS_KD_TFDS" in os.environ:
        return Path(os.environ["KERAS_KD_TFDS"])
    script = SHARED / "prepare_tfds.py"
    if not script.exists():
        pytest.skip("no prepared mnist: KERAS_KD_TFDS is not set, and ../shared is missing")
    directory = tmp_path_factory.mktemp("tfds")
    done = subprocess.run(
        [sys.executable, script, directory, "mnist"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="session")
def mnist_arrays():
    import numpy as np

    path = SHARED / "data" / "mnist.npz"
    if not path.exists():
        pytest.skip("../shared/data/mnist.npz is missing")
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}
