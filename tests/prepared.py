"""Real sets as TensorFlow Datasets keeps them, where they can be had without a network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


def prepared(name, tmp_path_factory):
    """The directory that has the set `name`: `TFDS_DATA_DIR`, or one made for this session."""
    directory = Path(os.environ.get("TFDS_DATA_DIR", ""))
    if os.environ.get("TFDS_DATA_DIR") and (directory / name).is_dir():
        return directory
    script = SHARED / "prepare_tfds.py"
    if not script.exists():
        pytest.skip(f"no prepared {name}: not in TFDS_DATA_DIR, and ../shared is missing")
    directory = tmp_path_factory.mktemp("tfds")
    done = subprocess.run(
        [sys.executable, script, directory, name], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return directory
