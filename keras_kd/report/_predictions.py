"""One pass over a test set: every model answers each example once."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import listing
from keras_kd.data import Part
from keras_kd.report._participants import Given, Participants

#: How many bytes of a stream's inputs are kept, for pictures and for what looks inside models.
KEEP = 512 * 2**20


@dataclass(frozen=True)
class Read:
    """What came of the pass.

    Args:
        outputs: By name and run, what the models returned, `(examples, ...)`.
        y: The labels.
        x: The inputs; of a stream that is large, the first of them.
        seconds: Time that the models took, by name; 0 of outputs that were given.
    """

    outputs: dict[str, list[np.ndarray]]
    y: np.ndarray
    x: Any
    seconds: dict[str, float]


def read(models: Participants, data: Any, *, batch_size: int, output: str | None) -> Read:
    """The answers of all models to `data`, and its labels."""
    if isinstance(data, Part):
        data = (data.x, data.y)
    if isinstance(data, tuple):
        return _read_arrays(models, data, batch_size, output)
    return _read_stream(models, _batches(data), output)


def _read_arrays(models: Participants, data: tuple, batch_size: int, output: str | None) -> Read:
    x, y = _pair(data)
    x = keras.tree.map_structure(_array, x)
    y = picked(keras.tree.map_structure(_array, y), output, "the labels")
    sizes = {len(leaf) for leaf in (*keras.tree.flatten(x), y)}
    if len(sizes) > 1 or not len(y):
        raise ValueError(
            f"`data` must be a pair (x, y) of equal length with at least one example. Received "
            f"arrays of {', '.join(map(str, sorted(sizes)))} examples."
        )
    outputs: dict[str, list[np.ndarray]] = {}
    seconds = {}
    for name, runs in models.items():
        began = time.perf_counter()
        raw = [
            run.of(len(y))
            if isinstance(run, Given)
            else run.predict(x, batch_size=batch_size, verbose=0)
            for run in runs
        ]
        seconds[name] = time.perf_counter() - began
        outputs[name] = [_answer(r, output, name) for r in raw]
    return Read(outputs, y, x, seconds)


def _read_stream(models: Participants, batches: Iterable[Any], output: str | None) -> Read:
    parts: dict[str, list[list[np.ndarray]]] = {n: [[] for _ in runs] for n, runs in models.items()}
    labels: list[np.ndarray] = []
    kept: list[Any] = []
    seconds, room = dict.fromkeys(models, 0.0), KEEP
    for batch in batches:
        x, y = _pair(batch)
        x = keras.tree.map_structure(_array, x)
        labels.append(picked(keras.tree.map_structure(_array, y), output, "the labels"))
        for name, runs in models.items():
            began = time.perf_counter()
            for run, predicted in zip(runs, parts[name], strict=True):
                if not isinstance(run, Given):
                    predicted.append(_answer(run.predict_on_batch(x), output, name))
            seconds[name] += time.perf_counter() - began
        room -= sum(leaf.nbytes for leaf in keras.tree.flatten(x))
        if room >= 0 or not kept:
            kept.append(x)
    if not labels:
        raise ValueError("`data` gave no batch. A generator or iterator can be read only once.")
    y = np.concatenate(labels)
    outputs = {
        name: [
            _answer(run.of(len(y)), output, name)
            if isinstance(run, Given)
            else np.concatenate(predicted)
            for run, predicted in zip(runs, parts[name], strict=True)
        ]
        for name, runs in models.items()
    }
    x = keras.tree.map_structure(lambda *leaves: np.concatenate(leaves), *kept)
    return Read(outputs, y, x, seconds)


def _batches(data: Any) -> Iterator[Any]:
    if isinstance(data, keras.utils.PyDataset):
        if data.num_batches is None:
            raise ValueError("`data` is a PyDataset without an end. Give one with a length.")
        return (data[i] for i in range(data.num_batches))
    try:
        return iter(data)
    except TypeError:
        raise TypeError(
            "`data` must be a pair (x, y) of arrays, or batches of such pairs: a tf.data.Dataset, "
            f"a keras.utils.PyDataset or any iterable. Received: {type(data).__name__}."
        ) from None


def _pair(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, (tuple, list)) and len(batch) == 3 and batch[2] is not None:
        raise ValueError(
            "`data` holds sample weights, and a report counts every example once. Leave them out."
        )
    if not isinstance(batch, (tuple, list)) or not 2 <= len(batch) <= 3 or batch[1] is None:
        raise ValueError(
            "`data` must give (x, y): a report needs labels. Received "
            + (f"{len(batch)} parts." if isinstance(batch, (tuple, list)) else f"{type(batch)}.")
        )
    return batch[0], batch[1]


def _array(leaf: Any) -> np.ndarray:
    return leaf if isinstance(leaf, np.ndarray) else keras.ops.convert_to_numpy(leaf)


def _answer(raw: Any, output: str | None, name: str) -> np.ndarray:
    answer = picked(raw, output, f"'{name}'")
    if answer.ndim != 2:
        raise ValueError(
            f"'{name}' answers with the shape {('examples', *answer.shape[1:])}. A report judges "
            "one answer for each example, of shape (examples, classes) or (examples, 1); for "
            "sequences and maps, make the positions examples first."
        )
    return answer.astype("float64")


def picked(given: Any, output: str | None, whose: str) -> np.ndarray:
    """The one output that is judged, by name or by place."""
    if isinstance(given, Mapping):
        choices = {str(key): value for key, value in given.items()}
    elif isinstance(given, (list, tuple)):
        choices = {str(i): value for i, value in enumerate(given)}
    else:
        return given
    if output is None or output not in choices:
        raise ValueError(
            f"A report judges one output, and {whose} has {listing(choices)}. Say which: "
            f"compare(..., output={next(iter(choices))!r})."
        )
    return choices[output]
