"""The probe: the teacher's outputs for the first examples, kept from the first moment of writing.

Shards are written by whatever process goes on with a store, perhaps on another machine. With the
probe each of them checks that it has the same teacher and the same examples.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_kd._core.largest import Largest
from keras_kd._core.messages import listing
from keras_kd._examples._batches import Batch
from keras_kd._examples._ids import shown
from keras_kd.stores._codecs import StoreError
from keras_kd.stores._digest import Digest, signs

#: How many examples are compared.
EXAMPLES = 8
#: How far an output may be from what it was, as a part of its size: other backends, batch sizes
#: and devices round otherwise, some of them to eight bits in each layer.
TOLERANCE = 0.02
_NUMBERS, _MOST = 16, 1 << 15  # that are kept, that are looked at

Probe = dict[str, Any]


def probe_of(batch: Batch, signals: Mapping[str, Any], digest: Digest) -> Probe:
    """The probe of the first examples of `batch`, and of the teacher's signals for them by path."""
    some = keras.tree.map_structure(lambda leaf: np.asarray(leaf)[:EXAMPLES], batch.x)
    outputs = {path: _numbers_of(signal) for path, signal in signals.items()}
    ids = batch.ids[:EXAMPLES]
    return {
        "ids": [shown(each) for each in ids],
        "inputs": json.loads(json.dumps(digest.of(some, len(ids)).tolist())),
        "answers": {path: _shortened(numbers) for path, numbers in outputs.items()},
    }


def check_probe(now: Probe, then: Probe | None, digest: Digest, where: str) -> None:
    """Raises when two probes are of different examples or teachers."""
    if then is None:
        return
    advice = "Write to another folder, or remove this one."
    if now["ids"] != then["ids"]:
        raise StoreError(
            f"{where} was begun with the examples {listing(then['ids'], 3)}; the data now begin "
            f"with {listing(now['ids'], 3)}. Give the data in the same order each time. {advice}"
        )
    inputs = [np.array(probe["inputs"], "float32") for probe in (now, then)]
    other = ~(digest.apart(*inputs) <= 1)
    if other.any():
        raise StoreError(
            f"{where} was begun for other data: the example {now['ids'][other.argmax()]} looked "
            f"different then. {advice}"
        )
    for path, outputs in then["answers"].items():
        apart = _apart(now["answers"][path], outputs)
        other = ~(apart <= TOLERANCE)
        if other.any():
            raise StoreError(
                f"{where} was begun with a teacher of other outputs: its '{path}' for the "
                f"example {now['ids'][other.argmax()]} differs by {apart[other.argmax()]:.2g} of "
                f"its size (expected at most {TOLERANCE}). {advice}"
            )


def _numbers_of(signal: Any) -> np.ndarray:
    numbers = signal.values if isinstance(signal, Largest) else signal
    outputs = np.asarray(keras.ops.convert_to_numpy(numbers), "float32")[:EXAMPLES]
    flat = np.nan_to_num(outputs.reshape(len(outputs), -1), posinf=0.0, neginf=0.0)
    flat = flat[:, :: -(-flat.shape[1] // _MOST)]
    count = flat.shape[1]
    return flat if count <= _NUMBERS else flat @ signs(count, _NUMBERS) / np.sqrt(count)


def _shortened(numbers: Iterable[Iterable[float]]) -> list[list[float]]:
    """Six digits are enough, and are the same on most machines."""
    return [[float(f"{number:.6g}") for number in row] for row in numbers]


def _apart(now: Any, then: Any) -> np.ndarray:
    now, then = np.array(now), np.array(then)
    size = np.sqrt(np.mean(then**2, axis=1))
    return np.sqrt(np.mean((now - then) ** 2, axis=1)) / np.maximum(size, 1e-6)
