"""The codec of classes that are drawn from the teacher's distribution."""

import hashlib
from dataclasses import dataclass
from math import prod
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.sampled import Sampled
from keras_kd._examples._ids import as_bytes
from keras_kd.stores._codecs import Codec, Columns, Spec, StoreError, by_columns, class_kind


@dataclass(frozen=True)
class Draws(Codec):
    """`k` classes drawn at one temperature, and their importance weights.

    Drawn are the classes at `k` evenly spaced places of the cumulative distribution, from a start
    that is uniform in one space: each class comes `k · r_c` times on average, as in `k` independent
    draws, and never a whole draw more or less than that.
    Where draws follow the probabilities themselves, every weight is `1 / k` and takes no bytes.
    """

    shape: tuple[int, ...]
    k: int
    temperature: float
    power: float
    seed: int
    name = "sampled"
    tolerance = 0.1

    def columns(self) -> dict[str, Spec]:
        drawn = (*self.shape[:-1], self.k)
        columns: dict[str, Spec] = {"classes": (class_kind(self.shape[-1]), drawn)}
        return columns if self.power == 1 else {**columns, "weights": ("float16", drawn)}

    def starts(self, ids: np.ndarray, views: np.ndarray) -> np.ndarray:
        """One number in [0, 1) for each position, which follows from id, view and seed."""
        rows, shape = [], self.shape[:-1]
        for each, view in zip(as_bytes(ids).tolist(), views.tolist(), strict=True):
            text = b"%b\n%d\n%d" % (each, view, self.seed)
            key = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "big")
            # The bits, not `random`, whose numbers may change from one version to another.
            bits = np.random.Philox(key=key).random_raw(prod(shape))
            rows.append(np.asarray(bits >> np.uint64(40), "float32") * np.float32(2**-24))
        return np.stack(rows).reshape(-1, *shape)

    def prepare(self, signal: Any, starts: Any = None, mask: Any = None) -> Any:
        logits = ops.cast(signal, "float32") / self.temperature
        chances = ops.softmax(self.power * logits, axis=-1)
        reached = ops.cumsum(chances, axis=-1)
        starts = ops.expand_dims(ops.convert_to_tensor(starts), -1)
        places = (ops.arange(self.k, dtype="float32") + starts) / self.k
        # Rounding has the sum miss 1, and may bring the last place to its very end.
        places = ops.minimum(places, 1.0 - 2.0**-23) * reached[..., -1:]
        classes = _counted(places, reached)
        # Of NaN no place is reached, and the first class would be drawn.
        shown = ops.where(ops.isfinite(reached[..., -1:]), classes, -1)
        if self.power == 1:
            return [shown]
        wanted = ops.take_along_axis(ops.softmax(logits, axis=-1), classes, axis=-1)
        return [shown, wanted / ops.take_along_axis(chances, classes, axis=-1) / self.k]

    def unseen_faults(self, prepared: Any) -> np.ndarray:
        return np.asarray(np.any(np.asarray(prepared[0]) < 0, axis=-1))

    def encode(self, prepared: Any) -> dict[str, np.ndarray]:
        return by_columns(prepared, self.columns())

    def decode(self, columns: Columns) -> Any:
        classes = columns["classes"].astype("int32")
        if self.power == 1:
            return Sampled(np.full(classes.shape, 1 / self.k, "float32"), classes)
        return Sampled(columns["weights"].astype("float32"), classes)

    def at(self, temperature: float | None) -> int:
        if temperature not in (None, self.temperature):
            raise StoreError(
                f"The store holds classes drawn at the temperature {self.temperature:g}, which serve "
                f"at no other. Received: temperature={temperature:g}. Write the store with "
                f"temperatures={temperature:g}."
            )
        return 0

    def signature(self) -> Any:
        drawn = (None, *self.shape[:-1], self.k)
        return Sampled(keras.KerasTensor(drawn, "float32"), keras.KerasTensor(drawn, "int32"))

    def apart(self, prepared: Any, columns: Columns) -> np.ndarray:
        """Of each example, the share of draws that are others, but for one that rounding moves."""
        now, then = np.asarray(prepared[0]), columns["classes"]
        others = (now.astype("int64") != then).reshape(len(then), -1)
        return np.maximum(others.sum(axis=1) - 1, 0) / others.shape[1]

    def get_config(self) -> dict[str, Any]:
        return {
            "codec": self.name, "shape": list(self.shape), "k": self.k,
            "temperatures": [self.temperature], "power": self.power, "seed": self.seed,
        }  # fmt: skip


def _counted(places: Any, reached: Any) -> Any:
    """For each place, how many classes end before it: which is the class there.

    One place of every row at a time: `ops.searchsorted` takes one row at a time alone, and in
    Keras 3.8 on TensorFlow none within a graph.
    """
    counts = [
        ops.sum(ops.cast(reached <= places[..., place : place + 1], "int32"), axis=-1)
        for place in range(places.shape[-1])
    ]
    return ops.stack(counts, axis=-1)
