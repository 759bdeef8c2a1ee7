"""One pass over a test set: every model predicts each example once."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd._core import texts
from keras_kd._core.messages import listing
from keras_kd.data import Part
from keras_kd.report._participants import GivenOutputs, Participants

#: How many bytes of the inputs are kept of batches, for pictures, layer similarity and importance.
KEPT_INPUT_BYTES = 512 * 2**20


@dataclass(frozen=True)
class ModelOutputs:
    """The outputs of all models, and the test set.

    Args:
        outputs: By name and run, the raw outputs, `(examples, width)`.
        y: The labels.
        x: The inputs; of batches that are large together, the first of them.
        seconds: Time that the predictions took, by name; 0 for outputs that were given.
    """

    outputs: dict[str, list[np.ndarray]]
    y: np.ndarray
    x: Any
    seconds: dict[str, float]


def predict(
    models: Participants, data: Any, *, batch_size: int, output: str | None
) -> ModelOutputs:
    """The outputs of all models for `data`, and its labels."""
    if isinstance(data, Part):
        data = (data.x, data.y)
    if isinstance(data, tuple):
        return _predict_arrays(models, data, batch_size, output)
    return _predict_batches(models, _batches(data), output)


def _predict_arrays(
    models: Participants, data: tuple, batch_size: int, output: str | None
) -> ModelOutputs:
    x, y = _inputs_and_labels(data)
    x = keras.tree.map_structure(_to_numpy, x)
    y = select_output(keras.tree.map_structure(_to_numpy, y), output, "the labels")
    sizes = {len(leaf) for leaf in (*keras.tree.flatten(x), y)}
    if len(sizes) > 1 or not len(y):
        raise ValueError(
            f"`data` must be a pair (x, y) of equal length with at least one example. Received "
            f"arrays of {', '.join(map(str, sorted(sizes)))} examples."
        )
    outputs: dict[str, list[np.ndarray]] = {}
    seconds = {}
    for name, runs in models.items():
        start = time.perf_counter()
        raw_outputs = [
            run.for_examples(len(y))
            if isinstance(run, GivenOutputs)
            else texts.predict(run, x, batch_size=batch_size, verbose=0)
            for run in runs
        ]
        seconds[name] = time.perf_counter() - start
        outputs[name] = [_checked_output(raw, output, name) for raw in raw_outputs]
    return ModelOutputs(outputs, y, x, seconds)


def _predict_batches(
    models: Participants, batches: Iterable[Any], output: str | None
) -> ModelOutputs:
    batches_by_model: dict[str, list[list[np.ndarray]]] = {
        n: [[] for _ in runs] for n, runs in models.items()
    }
    labels: list[np.ndarray] = []
    kept_inputs: list[Any] = []
    seconds, bytes_left = dict.fromkeys(models, 0.0), KEPT_INPUT_BYTES
    for batch in batches:
        x, y = _inputs_and_labels(batch)
        x = keras.tree.map_structure(_to_numpy, x)
        labels.append(select_output(keras.tree.map_structure(_to_numpy, y), output, "the labels"))
        for name, runs in models.items():
            start = time.perf_counter()
            for run, of_run in zip(runs, batches_by_model[name], strict=True):
                if not isinstance(run, GivenOutputs):
                    of_run.append(_checked_output(texts.predict_on_batch(run, x), output, name))
            seconds[name] += time.perf_counter() - start
        bytes_left -= sum(leaf.nbytes for leaf in keras.tree.flatten(x))
        if bytes_left >= 0 or not kept_inputs:
            kept_inputs.append(x)
    if not labels:
        raise ValueError("`data` gave no batch. A generator or iterator can be read only once.")
    y = np.concatenate(labels)
    outputs = {
        name: [
            _checked_output(run.for_examples(len(y)), output, name)
            if isinstance(run, GivenOutputs)
            else np.concatenate(of_run)
            for run, of_run in zip(runs, batches_by_model[name], strict=True)
        ]
        for name, runs in models.items()
    }
    x = keras.tree.map_structure(lambda *leaves: np.concatenate(leaves), *kept_inputs)
    return ModelOutputs(outputs, y, x, seconds)


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


def _inputs_and_labels(batch: Any) -> tuple[Any, Any]:
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


def _to_numpy(leaf: Any) -> np.ndarray:
    return leaf if isinstance(leaf, np.ndarray) else keras.ops.convert_to_numpy(leaf)


def _checked_output(raw_outputs: Any, output: str | None, name: str) -> np.ndarray:
    rows = select_output(raw_outputs, output, f"'{name}'")
    if rows.ndim != 2:
        raise ValueError(
            f"The outputs of '{name}' have the shape {('examples', *rows.shape[1:])}. A report scores "
            "one output for each example, of shape (examples, classes) or (examples, 1). For "
            "language models take keras_kd.report.compare_language; for others, make the positions "
            "examples first."
        )
    return rows.astype("float64")


def select_output(outputs: Any, output: str | None, owner: str) -> np.ndarray:
    """The one output that is scored, by name or by index."""
    if isinstance(outputs, Mapping):
        by_name = {str(key): value for key, value in outputs.items()}
    elif isinstance(outputs, (list, tuple)):
        by_name = {str(i): value for i, value in enumerate(outputs)}
    else:
        return outputs
    if output is None or output not in by_name:
        raise ValueError(
            f"A report scores one output, and {owner} has {listing(by_name)}. Choose one: "
            f"compare(..., output={next(iter(by_name))!r})."
        )
    return by_name[output]
