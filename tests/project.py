"""What pyproject.toml says, and what the Keras at hand is too old for."""

import pathlib

import keras
import pytest

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings the same under another name
    import tomli as tomllib

ROOT = pathlib.Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]


def older_than(version):
    """Whether the Keras at hand is older than `version`, written as in `"3.9"`."""
    have, asked = (tuple(map(int, v.split(".")[:2])) for v in (keras.__version__, version))
    return have < asked


def needs_keras(version):
    return pytest.mark.skipif(older_than(version), reason=f"Keras {version} brought it")
