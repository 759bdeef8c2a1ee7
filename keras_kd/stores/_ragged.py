"""Codecs whose examples take different room: of texts without their padding, of as few classes as
hold most of the probability."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_kd._core.positions import finite_at_padding, fits_positions
from keras_kd._core.sampled import Sampled
from keras_kd.stores._codecs import Codec, Columns, StoreError, TopK, class_kind

#: What fills a row of largest logits up has no probability.
_NEVER = -1e4


class Rows(NamedTuple):
    """A column of rows of which an example has any number.

    Args:
        kind: The type of its numbers.
        shape: The shape of one row.
        ends: The column that says where each example's rows end.
        most: How many rows an example has at most.
    """

    kind: str
    shape: tuple[int, ...]
    ends: str
    most: int


@dataclass(frozen=True)
class Ragged(Codec):
    """What another codec keeps, at the positions that a padding mask leaves.

    The positions themselves take one bit each.
    """

    of: Codec
    name = "ragged"

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.of.shape

    @property
    def tolerance(self) -> float:  # type: ignore[override]
        return self.of.tolerance

    def columns(self) -> dict[str, Any]:
        length = self.shape[0]
        columns: dict[str, Any] = {}
        for name, column in self.of.columns().items():
            if not isinstance(column, Rows) and column[1][:1] == (length,):
                columns[name] = Rows(column[0], column[1][1:], "ends", length)
            else:
                columns[name] = column
        return {**columns, "mask": ("uint8", (-(-length // 8),)), "ends": ("int64", ())}

    def prepare(self, signal: Any, starts: Any = None, mask: Any = None) -> Any:
        return self.of.prepare(signal, starts, mask), ops.cast(mask, "bool")

    def encode(self, prepared: Any) -> dict[str, Any]:
        inner, mask = prepared[0], np.asarray(prepared[1], "bool")
        columns = self.of.encode(inner)
        flat = [n for n, c in self.columns().items() if isinstance(c, Rows) and c.ends == "ends"]
        columns.update({name: columns[name][mask] for name in flat})
        return {**columns, "mask": np.packbits(mask, axis=1), "ends": mask.sum(axis=1)}

    def unseen_faults(self, prepared: Any) -> np.ndarray:
        return self.of.unseen_faults(prepared[0]) & np.asarray(prepared[1], "bool")

    def decode(self, columns: Columns) -> Any:
        mask = self.mask(columns)
        signal = self.of.decode(self._whole(columns, mask))
        if isinstance(signal, Sampled):  # what was not drawn pulls nowhere
            return signal._replace(weights=signal.weights * mask[..., np.newaxis])
        return signal

    def _whole(self, columns: Columns, mask: np.ndarray) -> dict[str, np.ndarray]:
        """The columns as the inner codec knows them, with zeros at padding."""
        whole = dict(columns)
        for name, column in self.columns().items():
            if isinstance(column, Rows) and column.ends == "ends":
                whole[name] = np.zeros((*mask.shape, *column.shape), column.kind)
                whole[name][mask] = columns[name]
        return whole

    def mask(self, columns: Columns) -> np.ndarray:
        """1 where a position was kept."""
        return np.unpackbits(columns["mask"], axis=1, count=self.shape[0]).astype("bool")

    def at(self, temperature: float | None) -> int:
        return self.of.at(temperature)

    def signature(self) -> Any:
        return self.of.signature()

    def apart(self, prepared: Any, columns: Columns) -> np.ndarray:
        mask = self.mask(columns)
        other = (np.asarray(prepared[1], "bool") != mask).any(axis=1)

        def kept(leaf: Any) -> Any:
            leaf = np.asarray(leaf)
            if leaf.shape[1:2] != (self.shape[0],):
                return leaf
            return np.where(mask.reshape(*mask.shape, *[1] * (leaf.ndim - 2)), leaf, 0)

        now = keras.tree.map_structure(kept, prepared[0])
        apart = self.of.apart(now, self._whole(columns, mask))
        return np.where(other, np.inf, apart)

    def get_config(self) -> dict[str, Any]:
        return {"codec": self.name, "shape": list(self.shape), "of": self.of.get_config()}


@dataclass(frozen=True)
class TopP(TopK):
    """Of the k largest logits as few as have a probability of `p` together, at least one.

    The probability is that at the first temperature.
    """

    p: float = 1.0
    name = "top_p"

    def columns(self) -> dict[str, Any]:
        rest, most = self.shape[:-1], int(np.prod(self.shape[:-1])) * self.k
        return {
            "values": Rows(self.dtype, (), "known", most),
            "classes": Rows(class_kind(self.shape[-1]), (), "known", most),
            "log_sum_exp": ("float32", (*rest, len(self.temperatures))),
            "sizes": ("uint8" if self.k < 256 else "uint16", rest),
            "known": ("int64", ()),
        }

    def prepare(self, signal: Any, starts: Any = None, mask: Any = None) -> Any:
        values, classes, sums = super().prepare(signal)
        chances = ops.exp(values / self.temperatures[0] - sums[..., :1])
        before = ops.cumsum(chances, axis=-1) - chances  # what larger ones have
        needed = before < (self.p if self.p < 1 else 2.0)  # rounding may bring a sum to 1
        sizes = ops.sum(ops.cast(needed, "int32"), axis=-1)
        if mask is not None:
            sizes = sizes * ops.cast(mask, "int32")
        return values, classes, sums, sizes

    def encode(self, prepared: Any) -> dict[str, Any]:
        values, classes, sums, sizes = map(np.asarray, prepared)
        known = np.arange(self.k) < sizes[..., np.newaxis]
        kinds = {name: column[0] for name, column in self.columns().items()}
        with np.errstate(over="ignore"):
            return {
                "values": values[known].astype(kinds["values"]),
                "classes": classes[known].astype(kinds["classes"]),
                "log_sum_exp": sums.astype("float32"),
                "sizes": sizes.astype(kinds["sizes"]),
                "known": sizes.reshape(len(sizes), -1).sum(axis=1).astype("int64"),
            }

    def decode(self, columns: Columns) -> Any:
        return super().decode(self._filled(columns))

    def _filled(self, columns: Columns) -> dict[str, np.ndarray]:
        known = np.arange(self.k) < columns["sizes"][..., np.newaxis]
        values = np.full(known.shape, _NEVER, "float32")
        classes = np.zeros(known.shape, "int32")
        values[known], classes[known] = columns["values"], columns["classes"]
        classes = np.where(known, classes, classes[..., :1])
        return {"values": values, "classes": classes, "log_sum_exp": columns["log_sum_exp"]}

    def apart(self, prepared: Any, columns: Columns) -> np.ndarray:
        # Rounding may have one class more or less: of both the classes are compared that both have.
        values, classes, sums, sizes = map(np.asarray, prepared)
        then = self._filled(columns)
        known = np.arange(self.k) < np.minimum(sizes, columns["sizes"])[..., np.newaxis]
        both = [np.where(known, each, 0.0) for each in (values, then["values"])]
        now = [both[0], classes, np.where(sizes[..., np.newaxis] > 0, sums, 0.0)]
        return super().apart(now, {"values": both[1], "log_sum_exp": columns["log_sum_exp"]})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "p": self.p}


def ends_of(codecs: list[Codec], files: list[dict[str, str]]) -> dict[str, str]:
    """For each file of rows, the file of where each example's end."""
    return {
        names[column]: names[rows.ends]
        for names, codec in zip(files, codecs, strict=True)
        for column, rows in codec.columns().items()
        if isinstance(rows, Rows)
    }


def no_mask(address: str, inputs: Any) -> StoreError:
    names = ", ".join(map(repr, inputs)) if isinstance(inputs, Mapping) else "no dict"
    return StoreError(
        f"`ragged=True` leaves padding out, and nothing says which positions of '{address}' are "
        "padding: no input 'padding_mask', and no mask of Keras (of Embedding(mask_zero=True)) that "
        f"comes out of the teacher. Inputs: {names}. Add one, or leave `ragged` out."
    )


def prepared(codec: Codec, signal: Any, starts: Any, mask: Any) -> Any:
    """The signal as `encode` takes it; at padding, where a mask tells it, nothing that cannot be
    stored."""
    if isinstance(codec, Ragged) or mask is None:
        return codec.prepare(signal, starts, mask)
    kind = getattr(codec, "dtype", "float32").replace("int8", "float32")

    def harmless(leaf: Any) -> Any:
        if not fits_positions(mask, leaf):
            return leaf
        if "float" in keras.backend.standardize_dtype(leaf.dtype):
            return finite_at_padding(leaf, mask, kind)
        counts = ops.expand_dims(ops.cast(mask, "bool"), -1)
        return ops.where(counts, leaf, ops.maximum(leaf, 0))  # a class that could not be drawn

    return keras.tree.map_structure(harmless, codec.prepare(signal, starts))


def within(codec: Codec) -> Codec:
    """The codec of what is kept of a position."""
    return codec.of if isinstance(codec, Ragged) else codec
