"""What the formats' runners share: one example at a time, the time of a call, a process apart."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_kd._core.command import SAFE_PATH
from keras_kd.exporting import _standalone_runner
from keras_kd.exporting._signature import Arrays, count
from keras_kd.exporting._subprocess import hint_on, run_python


class Times(NamedTuple):
    """Median and quartiles of the time of a call, in milliseconds."""

    median: float
    spread: tuple[float, float]

    @classmethod
    def of(cls, seconds: Any) -> "Times":
        low, median, high = np.percentile(seconds, (25, 50, 75)) * 1e3
        return cls(float(median), (float(low), float(high)))


def stacked(inputs: Arrays, call: Callable[[Arrays], Arrays]) -> Arrays:
    """The outputs of `call` on one example after the other, as arrays over all of them."""
    rows = [
        call({name: x[place : place + 1] for name, x in inputs.items()})
        for place in range(count(inputs))
    ]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def cannot_run(path: Path, error: Exception) -> str:
    return f"The file '{path.name}' cannot be run: {error}{hint_on(str(error))}"


def run_alone(
    kind: str, path: Path, inputs: Arrays, what: str, timeout: float | None
) -> tuple[Arrays, str]:
    """The outputs of a file that a process of its own runs, and what that process printed.

    Args:
        kind: The function of `_standalone_runner.py` that runs it.
        path: The file.
        inputs: By name.
        what: The start of an error.
        timeout: Seconds after which the process is ended.
    """
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "inputs.npz"), **inputs)  # type: ignore[arg-type]
        command = [*SAFE_PATH, _standalone_runner.__file__, kind, str(path.absolute()), folder]
        printed = run_python(command, what, timeout=timeout)
        with np.load(Path(folder, "outputs.npz")) as arrays:
            return {name: arrays[name] for name in arrays.files}, "\n".join(printed)
