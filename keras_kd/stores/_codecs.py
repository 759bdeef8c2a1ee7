"""Codecs: how one signal is written, and what is lost by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_kd._core.largest import Largest

Columns = Mapping[str, np.ndarray]
#: A column's type and its shape for one example.
Spec = tuple[str, tuple[int, ...]]


class StoreError(ValueError):
    """A store that cannot be written or read with these arguments, and why."""


class Codec:
    """One signal between its tensor and the columns it is stored in.

    `prepare` runs beside the teacher, on its device; `encode` and `decode` are numpy.
    """

    name: ClassVar[str]
    shape: tuple[int, ...]
    #: How far a teacher's output may be from the stored one, as a part of the largest number.
    tolerance: float

    def columns(self) -> dict[str, Any]:
        """For each column a `Spec`, or the `Rows` of one whose examples differ in size."""
        raise NotImplementedError

    def prepare(self, signal: Any, starts: Any = None, mask: Any = None) -> Any:
        """The signal as `encode` takes it.

        `starts` are of a codec that draws, the `mask` of one whose examples differ in size.
        """
        return ops.cast(signal, "float32")

    def encode(self, prepared: Any) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def decode(self, columns: Columns) -> Any:
        raise NotImplementedError

    def unseen_faults(self, prepared: Any) -> np.ndarray:
        """Where what is prepared holds NaN or infinite values that no column shows."""
        return np.zeros((), "bool")

    def at(self, temperature: float | None) -> int:
        """The place of `temperature` among those stored, where it matters."""
        return 0

    def signature(self) -> Any:
        return keras.KerasTensor((None, *self.shape), "float32")

    def apart(self, prepared: Any, columns: Columns) -> np.ndarray:
        """How far each example's signal is from the stored one, as a part of its largest number."""
        return far([prepared], [self.decode(columns)])

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError

    def bytes(self) -> int:
        """What one example takes; at most, where examples differ."""
        return sum(
            np.dtype(c[0]).itemsize * prod(c[1]) * prod(c[3:]) for c in self.columns().values()
        )


@dataclass(frozen=True)
class Dense(Codec):
    """Every number, as float32 (nothing lost) or float16 (eleven bits: one part in 2,048)."""

    shape: tuple[int, ...]
    dtype: str
    name = "dense"

    @property
    def tolerance(self) -> float:  # type: ignore[override]
        return 1e-4 if self.dtype == "float32" else 2e-3

    def columns(self) -> dict[str, Spec]:
        return {"values": (self.dtype, self.shape)}

    def encode(self, prepared: Any) -> dict[str, np.ndarray]:
        with np.errstate(over="ignore"):  # the writer finds it, and raises with the example's id
            return {"values": np.asarray(prepared).astype(self.dtype)}

    def decode(self, columns: Columns) -> Any:
        return columns["values"].astype("float32")

    def get_config(self) -> dict[str, Any]:
        return {"codec": self.name, "shape": list(self.shape), "dtype": self.dtype}


@dataclass(frozen=True)
class Scaled(Codec):
    """Whole numbers from -127 to 127 and one scale for each example, for features.

    An error of at most 1/254 of the example's largest number.
    """

    shape: tuple[int, ...]
    name = "int8"
    tolerance = 2.5 / 127

    def columns(self) -> dict[str, Spec]:
        return {"values": ("int8", self.shape), "scale": ("float32", ())}

    def encode(self, prepared: Any) -> dict[str, np.ndarray]:
        x = np.asarray(prepared, "float32")
        scale = np.abs(x).reshape(len(x), -1).max(axis=1, initial=0.0) / np.float32(127)
        divisor = np.where(scale > 0, scale, 1).reshape(-1, *[1] * len(self.shape))
        with np.errstate(invalid="ignore"):  # found by the writer
            return {"values": np.rint(x / divisor).astype("int8"), "scale": scale}

    def decode(self, columns: Columns) -> Any:
        scale = columns["scale"].reshape(-1, *[1] * len(self.shape))
        return columns["values"] * scale

    def get_config(self) -> dict[str, Any]:
        return {"codec": self.name, "shape": list(self.shape)}


@dataclass(frozen=True)
class TopK(Codec):
    """The largest logits, their classes, and the log-sum-exp of all at the wanted temperatures.

    Read as the triple that `keras_kd.losses.SparseSoftTarget` takes, for one of the temperatures.
    """

    shape: tuple[int, ...]
    k: int
    dtype: str
    temperatures: tuple[float, ...]
    name = "top_k"

    @property
    def tolerance(self) -> float:  # type: ignore[override]
        return 1e-4 if self.dtype == "float32" else 2e-3

    def columns(self) -> dict[str, Any]:
        kind = class_kind(self.shape[-1])
        known, rest = (*self.shape[:-1], self.k), self.shape[:-1]
        return {
            "values": (self.dtype, known),
            "classes": (kind, known),
            "log_sum_exp": ("float32", (*rest, len(self.temperatures))),
        }

    def prepare(self, signal: Any, starts: Any = None, mask: Any = None) -> Any:
        if isinstance(signal, Largest):  # of a teacher that gives no others
            values, classes, sums = signal
            return values, classes, sums[..., np.newaxis]
        logits = ops.cast(signal, "float32")
        values, classes = ops.top_k(logits, self.k)
        sums = [ops.logsumexp(logits / t, axis=-1) for t in self.temperatures]
        return values, classes, ops.stack(sums, axis=-1)

    def encode(self, prepared: Any) -> dict[str, np.ndarray]:
        return by_columns(prepared, self.columns())

    def decode(self, columns: Columns) -> Any:
        return Largest(
            columns["values"].astype("float32"),
            columns["classes"].astype("int32"),
            columns["log_sum_exp"],
        )

    def at(self, temperature: float | None) -> int:
        stored = ", ".join(f"{t:g}" for t in self.temperatures)
        if temperature is None:
            if len(self.temperatures) == 1:
                return 0
            raise StoreError(
                f"The store holds log-sum-exps at the temperatures {stored}. Give the one that the "
                f"loss uses: temperature={self.temperatures[0]:g}."
            )
        if temperature not in self.temperatures:
            raise StoreError(
                f"The store holds log-sum-exps at the temperature{'s' * (len(self.temperatures) > 1)}"
                f" {stored}, and a sum at one cannot be had from another. Received: "
                f"temperature={temperature:g}. Write the store with temperatures=({temperature:g},)."
            )
        return self.temperatures.index(temperature)

    def signature(self) -> Any:
        known, rest = (None, *self.shape[:-1], self.k), (None, *self.shape[:-1])
        return Largest(
            keras.KerasTensor(known, "float32"),
            keras.KerasTensor(known, "int32"),
            keras.KerasTensor(rest, "float32"),
        )

    def apart(self, prepared: Any, columns: Columns) -> np.ndarray:
        # Not the classes: those of equal logits may change places.
        return far([prepared[0], prepared[2]], [columns["values"], columns["log_sum_exp"]])

    def get_config(self) -> dict[str, Any]:
        return {
            "codec": self.name, "shape": list(self.shape), "k": self.k, "dtype": self.dtype,
            "temperatures": list(self.temperatures),
        }  # fmt: skip


def by_columns(parts: Sequence[Any], columns: Mapping[str, Spec]) -> dict[str, np.ndarray]:
    """What a codec prepared, each part as the type of its column."""
    with np.errstate(over="ignore"):
        return {
            name: np.asarray(part).astype(kind)
            for part, (name, (kind, _)) in zip(parts, columns.items(), strict=True)
        }


def class_kind(classes: int) -> str:
    """The smallest type that holds any class number."""
    return "uint16" if classes <= 1 << 16 else "int32"


def far(now: Sequence[Any], then: Sequence[Any]) -> np.ndarray:
    """The largest difference within each example, as a part of its largest number."""
    pairs = list(zip(map(_flat, now), map(_flat, then), strict=True))
    difference = np.max([np.abs(a - b).max(axis=1, initial=0.0) for a, b in pairs], axis=0)
    size = np.max([np.abs(a).max(axis=1, initial=1e-6) for a, _ in pairs], axis=0)
    return difference / size


def _flat(array: Any) -> np.ndarray:
    array = np.asarray(array, "float32")
    return array.reshape(len(array), -1)
