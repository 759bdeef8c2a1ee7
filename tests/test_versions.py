"""The lowest versions: one set of numbers, in pyproject.toml, .ci/lowest.txt and docs/install.md."""

import re
import sys

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd._core.optional import require_keras
from keras_kd._core.scalars import plain
from tests.project import PROJECT, PYPROJECT, ROOT

#: Not of the lower end: tools that run in the newest environment alone, and torch, whose wheels for
#: the oldest Python are a download of gigabytes.
NEWEST_ALONE = {"mypy", "ruff", "torch"}
BOUND = r"([\w-]+)>=([\w.]+)"
TRIED = ("jax", "torch", "report", "export", "dev")  # the extras that the suite's commands install


def bounds():
    """The lower bound of each requirement that the suite is run with."""
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *(line for extra in TRIED for line in extras[extra])]
    found = {}
    for line in asked:
        if not line.startswith("keras-kd["):
            name, version = re.fullmatch(BOUND, line).groups()
            found[name] = version
    return found


def pins():
    lines = (ROOT / ".ci" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    named = (re.match(r"([\w-]+)==([\w.]+)", line) for line in lines)
    return {match[1]: match[2] for match in named if match}


def numbers(version):
    """`3.8` and `3.8.0` are one version."""
    found = [int(n) for n in version.split(".")]
    while found[-1] == 0:
        found.pop()
    return found


def test_the_lower_bounds_are_what_the_lower_end_is_run_with():
    wanted = {n: numbers(v) for n, v in bounds().items() if n not in NEWEST_ALONE}
    pinned = {name: numbers(version) for name, version in pins().items()}
    assert pinned.keys() - wanted.keys() == {"tensorflow-metadata"}  # it comes with another
    assert wanted == {name: pinned[name] for name in pinned.keys() & wanted.keys()}


def test_the_page_on_installing_names_them():
    said = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    for name, title in (("keras", "Keras"), ("tensorflow", "TensorFlow"), ("numpy", "NumPy")):
        major, minor, *_ = bounds()[name].split(".")
        assert re.search(rf"{title} {major}\.{minor}\b.* will do", said), name


def test_no_requirement_has_an_upper_bound():
    """What is installed stays: for an upper bound pip would replace a newer Keras or TensorFlow."""
    assert not [line for line in PROJECT["dependencies"] if not re.fullmatch(BOUND, line)]


def test_the_pythons():
    low, high = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups())
    classified = [c.rpartition("3.")[2] for c in PROJECT["classifiers"] if ":: Python :: 3." in c]
    assert classified == [str(n) for n in range(low, high)]
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py3{low}"
    span = f"Python 3.{low} to 3.{high - 1}"
    for name in ("README.md", "docs/install.md", ".ci/run"):
        assert span in (ROOT / name).read_text(encoding="utf-8"), name
    assert low <= sys.version_info[1] < high
    assert f"python3.{low}" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_numbers_in_logs_are_plain():
    from keras import ops

    assert plain(ops.convert_to_tensor(0.5)) == 0.5 and type(plain(np.float32(0.5))) is float
    rows = ops.convert_to_tensor([0.5, 1.0])
    assert plain(rows) is rows


def test_what_an_older_keras_lacks_is_refused_with_the_version_to_install(monkeypatch):
    require_keras("3.8", purpose="This test runs")
    monkeypatch.setattr(keras, "__version__", "3.8.0")
    student = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(ImportError, match=r"quantize_aware\(\) rounds by .* Keras 3\.9 or newer"):
        keras_kd.compression.quantize_aware(student)
    with pytest.raises(
        ImportError, match=r'Installed is Keras 3\.8\.0\. Run: pip install "keras>='
    ):
        keras_kd.compression.FakeQuant()
