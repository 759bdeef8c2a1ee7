"""What a model costs: weights, bytes, operations, time and memory."""

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

from keras_kd.report._flops import work
from keras_kd.report._participants import Given, Participant, Runs

#: Before the clock counts; and how long to go on, in calls and in seconds for each model.
_WARM_UP, _FEWEST, _MOST, _SECONDS = 5, 7, 200, 1.0


@dataclass(frozen=True)
class Spread:
    """A median and its quartiles, over calls."""

    median: float
    low: float
    high: float
    calls: int


@dataclass(frozen=True)
class Costs:
    """What a model costs.

    Args:
        parameters: Number of weights; `None` of what is no Keras model.
        file_bytes: Size of the model as a `.keras` file, without an optimizer's state; `None`
            when it cannot be saved.
        flops: Floating point operations for one example: see `keras_kd.report.work`.
        flops_without: Layers that `flops` leaves out.
        memory: Peak memory in bytes for one example, from shapes: the weights, and the largest
            input and output of any one layer as float32. A lower bound.
        measured_memory: Bytes by which a fresh process grew from before the model was loaded to
            its peak during one answer, when asked for.
        latency: Milliseconds for one example, when asked for.
        throughput: Examples per second in batches, when asked for.
    """

    parameters: int | None
    file_bytes: int | None
    flops: int | None
    flops_without: tuple[str, ...]
    memory: int | None
    measured_memory: int | None = None
    latency: Spread | None = None
    throughput: Spread | None = None


def costs(model: Participant, x: Any) -> Costs:
    """What can be told without running `model`; `x` is a batch of its inputs."""
    if not isinstance(model, keras.Model):
        return Costs(None, None, None, (), None)
    weights = sum(int(np.prod(w.shape)) * _item_size(w.dtype) for w in model.weights)
    try:
        done = work(model, x)
    except Exception:  # a model that only runs on data, say: the report goes on without
        done = None
    return Costs(
        parameters=model.count_params(),
        file_bytes=_file_bytes(model),
        flops=done.flops if done else None,
        flops_without=done.without if done else (),
        memory=weights + done.activations if done else None,
    )


def _item_size(dtype: str) -> int:
    return {"float64": 8, "int64": 8, "bfloat16": 2, "float16": 2, "int8": 1, "uint8": 1}.get(
        keras.backend.standardize_dtype(dtype), 4
    )


def _file_bytes(model: keras.Model) -> int | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        return path.stat().st_size if _saved(model, path) else None


def _saved(model: keras.Model, path: Path) -> bool:
    """Writes `model` without its optimizer; says whether that could be done."""
    optimizer = vars(model).get("optimizer")
    try:
        vars(model).pop("optimizer", None)  # for the length of the saving
        model.save(path)
    except Exception:  # a class that cannot be serialised has no size on disk
        return False
    finally:
        if optimizer is not None:
            vars(model)["optimizer"] = optimizer
    return True


def timed(
    models: Mapping[str, Participant], found: Mapping[str, Costs], x: Any, batch_size: int
) -> dict[str, Costs]:
    """The costs with latency and throughput: Keras's `predict_on_batch` from Python, in turns; of a
    teacher of another framework, a call of it.

    The former is compiled on tensorflow and jax, and as the model was compiled on torch. The models are
    called in turns, so that what slows the machine slows all of them.
    """
    one = keras.tree.map_structure(lambda leaf: leaf[:1], x)
    many = keras.tree.map_structure(
        lambda leaf: np.concatenate([leaf] * -(-batch_size // len(leaf)))[:batch_size], x
    )
    run = {name: model for name, model in models.items() if not isinstance(model, Given)}
    latency, batches = _seconds(run, one), _seconds(run, many)
    return dict(found) | {
        name: replace(
            found[name],
            latency=_spread([1e3 * s for s in latency[name]]),
            throughput=_spread([batch_size / s for s in batches[name]]),
        )
        for name in run
    }


def _seconds(models: Mapping[str, Runs], batch: Any) -> dict[str, list[float]]:
    for model in models.values():
        for _ in range(_WARM_UP):
            model.predict_on_batch(batch)
    taken: dict[str, list[float]] = {name: [] for name in models}
    while unfinished := [name for name in models if _goes_on(taken[name])]:
        for name in unfinished:
            began = time.perf_counter()
            models[name].predict_on_batch(batch)
            taken[name].append(time.perf_counter() - began)
    return taken


def _goes_on(taken: list[float]) -> bool:
    return len(taken) < _FEWEST or (len(taken) < _MOST and sum(taken) < _SECONDS)


def _spread(values: list[float]) -> Spread:
    low, median, high = np.percentile(values, (25, 50, 75))
    return Spread(float(median), float(low), float(high), len(values))


def measured(model: Participant, x: Any) -> int | None:
    """Bytes that a fresh process needed for `model` and one answer.

    `None` of what is no Keras model, and when that process could not load the model, or does not run on Linux.
    """
    if not isinstance(model, keras.Model):
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        if not _saved(model, path):
            return None
        one = keras.tree.map_structure(lambda leaf: leaf[:1], x)
        for i, leaf in enumerate(keras.tree.flatten(one)):
            np.save(Path(folder) / f"{i}.npy", leaf)
        run = subprocess.run(
            [sys.executable, "-c", _FRESH, folder],
            capture_output=True,
            text=True,
            env={**os.environ, "KERAS_BACKEND": keras.config.backend()},
        )
        return int(run.stdout.split()[-1]) if run.returncode == 0 else None


#: Linux tells a process its peak, and forgets it when asked to.
_FRESH = """
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
