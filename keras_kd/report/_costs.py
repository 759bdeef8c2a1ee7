"""The costs of a model: weights, bytes, operations, time and memory."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._core.texts import predict_on_batch
from keras_kd.report._flops import work
from keras_kd.report._participants import GivenOutputs, Participant, Runnable

#: Calls that are not timed; then how many are, and for how many seconds, for each model.
_WARM_UP_CALLS, _FEWEST_CALLS, _MOST_CALLS, _SECONDS_EACH = 5, 7, 200, 1.0


@dataclass(frozen=True)
class Spread:
    """A median and its quartiles, over calls."""

    median: float
    low: float
    high: float
    calls: int


@dataclass(frozen=True)
class Costs:
    """The costs of a model.

    Args:
        parameters: Number of weights; `None` of what is no Keras model.
        file_bytes: Size of the model as a `.keras` file, without an optimizer's state; `None`
            when it cannot be saved.
        flops: Floating point operations for one example: see `keras_kd.report.work`.
        flops_without: Layers that `flops` leaves out.
        memory: Peak memory in bytes for one example, from shapes: the weights, and the largest
            input and output of any one layer as float32. A lower bound.
        measured_memory: Bytes by which a fresh process grew from before the model was loaded to
            its peak during one prediction, when measured.
        latency: Milliseconds for one example, when measured.
        throughput: Examples per second in batches, when measured.
    """

    parameters: int | None
    file_bytes: int | None
    flops: int | None
    flops_without: tuple[str, ...]
    memory: int | None
    measured_memory: int | None = None
    latency: Spread | None = None
    throughput: Spread | None = None


def costs_without_running(model: Participant, x: Any) -> Costs:
    """The costs that need no run of `model`; `x` is a batch of its inputs."""
    if not isinstance(model, keras.Model):
        return Costs(None, None, None, (), None)
    weights = sum(int(np.prod(w.shape)) * _item_size(w.dtype) for w in model.weights)
    try:
        operations = work(model, x)
    except Exception:  # such as a model that runs on data alone: the report does without
        operations = None
    return Costs(
        parameters=model.count_params(),
        file_bytes=_file_bytes(model),
        flops=operations.flops if operations else None,
        flops_without=operations.without if operations else (),
        memory=weights + operations.activations if operations else None,
    )


def _item_size(dtype: str) -> int:
    return {"float64": 8, "int64": 8, "bfloat16": 2, "float16": 2, "int8": 1, "uint8": 1}.get(
        keras.backend.standardize_dtype(dtype), 4
    )


def _file_bytes(model: keras.Model) -> int | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        return path.stat().st_size if _try_to_save(model, path) else None


def _try_to_save(model: keras.Model, path: Path) -> bool:
    """Writes `model` without its optimizer; returns whether it can be saved."""
    optimizer = vars(model).get("optimizer")
    try:
        vars(model).pop("optimizer", None)  # for the length of the saving
        model.save(path)
    except Exception:  # such as a class that cannot be serialized
        return False
    finally:
        if optimizer is not None:
            vars(model)["optimizer"] = optimizer
    return True


def with_times(
    models: Mapping[str, Participant], costs: Mapping[str, Costs], x: Any, batch_size: int
) -> dict[str, Costs]:
    """The costs with latency and throughput: Keras's `predict_on_batch` from Python, in turns; of a
    teacher of another framework, a call of it.

    The former is compiled on tensorflow and jax, and as the model was compiled on torch. The models are
    called in turns, so that what slows the machine slows all of them.
    """
    one_example = keras.tree.map_structure(lambda leaf: leaf[:1], x)
    batch = keras.tree.map_structure(
        lambda leaf: np.concatenate([leaf] * -(-batch_size // len(leaf)))[:batch_size], x
    )
    timed = {name: model for name, model in models.items() if not isinstance(model, GivenOutputs)}
    latency, batches = _seconds(timed, one_example), _seconds(timed, batch)
    return dict(costs) | {
        name: replace(
            costs[name],
            latency=_spread([1e3 * s for s in latency[name]]),
            throughput=_spread([batch_size / s for s in batches[name]]),
        )
        for name in timed
    }


def _seconds(models: Mapping[str, Runnable], batch: Any) -> dict[str, list[float]]:
    for model in models.values():
        for _ in range(_WARM_UP_CALLS):
            predict_on_batch(model, batch)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    while unfinished := [name for name in models if _needs_more(seconds[name])]:
        for name in unfinished:
            start = time.perf_counter()
            predict_on_batch(models[name], batch)
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _needs_more(seconds: list[float]) -> bool:
    return len(seconds) < _FEWEST_CALLS or (
        len(seconds) < _MOST_CALLS and sum(seconds) < _SECONDS_EACH
    )


def _spread(values: list[float]) -> Spread:
    low, median, high = np.percentile(values, (25, 50, 75))
    return Spread(float(median), float(low), float(high), len(values))


def measured_memory(model: Participant, x: Any) -> int | None:
    """Bytes that a fresh process needed for `model` and one prediction.

    `None` of what is no Keras model, and when that process could not load the model, or does not run on Linux.
    """
    if not isinstance(model, keras.Model):
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        if not _try_to_save(model, path):
            return None
        one_example = keras.tree.map_structure(lambda leaf: leaf[:1], x)
        for i, leaf in enumerate(keras.tree.flatten(one_example)):
            np.save(Path(folder) / f"{i}.npy", leaf)
        process = subprocess.run(
            [sys.executable, "-c", _MEMORY_PROGRAM, folder],
            capture_output=True,
            text=True,
            env={**os.environ, "KERAS_BACKEND": keras.config.backend()},
        )
        return int(process.stdout.split()[-1]) if process.returncode == 0 else None


#: On Linux `/proc` has the peak memory of a process; writing 5 to `clear_refs` resets it.
_MEMORY_PROGRAM = """
import sys
import keras, numpy as np
import keras_kd

def status(field):
    line = next(line for line in open("/proc/self/status") if line.startswith(field))
    return 1024 * int(line.split()[1])

tiny = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
tiny.predict_on_batch(np.zeros((1, 2), "float32"))
with open("/proc/self/clear_refs", "w") as clear:
    clear.write("5")
before = status("VmRSS")
folder = sys.argv[1]
model = keras.saving.load_model(folder + "/model.keras", compile=False)
count = len(keras.tree.flatten(model.inputs))
leaves = [np.load(f"{folder}/{i}.npy") for i in range(count)]
inputs = keras.tree.pack_sequence_as(model.input if count > 1 else leaves[0], leaves)
model.predict_on_batch(inputs)
print(status("VmHWM") - before)
"""
