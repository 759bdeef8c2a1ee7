"""Calibration data: drawn, partly held out for the proof, and checked before any work."""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_kd._core.keras_private import layers_of
from keras_kd.exporting._data import Examples, drawn_of
from keras_kd.exporting._signature import count

#: The fewest examples off which ranges are read.
_FEWEST = 16
#: The most examples that are held out, of larger data; of smaller, a quarter.
_HELD_OUT = 256


class Calibration(NamedTuple):
    """The examples off which ranges are read, and those held out of them."""

    ranges: Examples
    held_out: Examples | None


def calibration_of(
    student: keras.Model, data: Any, batches: int, seed: int, *, hold_out: bool = False
) -> Calibration:
    """`batches` batches of `data`, drawn with `seed` where its length is known.

    With `hold_out`, a quarter of the data, at most 256 examples, is no part of the ranges.
    """
    drawn = drawn_of(student, data, batches, seed)
    length = count(drawn.examples.inputs)
    if length < _FEWEST:
        raise ValueError(
            f"`calibration` has {length} examples: too few to read ranges off. Give at least "
            f"{_FEWEST}, better some hundred, that differ as real inputs do."
        )
    order = np.arange(length)
    if hold_out or drawn.shuffled:
        order = np.random.default_rng(seed).permutation(length)
    held = min(_HELD_OUT, length // 4) if hold_out else 0
    ranges = order[held:][: drawn.most]
    return Calibration(
        _rows(drawn.examples, ranges), _rows(drawn.examples, order[:held]) if held else None
    )


def _rows(examples: Examples, which: np.ndarray) -> Examples:
    return Examples(
        examples.signature, {name: x[which] for name, x in examples.inputs.items()}, None
    )


def share_in(examples: Examples, calibration: Examples) -> float:
    """Share of the examples that are calibration data themselves."""
    known = set(_keys(calibration))
    return float(np.mean([key in known for key in _keys(examples)]))


def _keys(examples: Examples) -> Iterator[bytes]:
    """A digest of each example, so that none is copied."""
    for i in range(count(examples.inputs)):
        digest = hashlib.blake2b(digest_size=16)
        for x in examples.inputs.values():
            digest.update(x[i].tobytes())
        yield digest.digest()


def check_calibration(student: keras.Model, calibration: Examples, examples: Examples) -> None:
    """An error where ranges read off `calibration` would not be those of real inputs."""
    sizes = [
        layer.input_dim for layer in layers_of(student) if isinstance(layer, keras.layers.Embedding)
    ]
    for name, x in calibration.inputs.items():
        other = examples.inputs[name]
        if x.shape[1:] != other.shape[1:]:
            raise ValueError(
                f"`calibration` has examples of the shape {x.shape[1:]} for the input '{name}', "
                f"`examples` has {other.shape[1:]}."
            )
        if x.dtype.kind != "f":
            if sizes and (x.min() < 0 or x.max() >= max(sizes)):
                raise ValueError(
                    f"`calibration` has numbers from {x.min()} to {x.max()} for the input "
                    f"'{name}', which the student's Embedding, of {max(sizes)} rows, has not."
                )
            continue
        if not np.isfinite(x).all():
            raise ValueError(f"`calibration` is not finite for the input '{name}'.")
        span, reach = float(np.ptp(x)), float(np.ptp(other))
        if span == 0:
            raise ValueError(
                f"`calibration` is {x.flat[0]:g} throughout for the input '{name}': no range can "
                "be read off it. Give real inputs."
            )
        apart = max(x.min() - other.max(), other.min() - x.max())
        if (reach and not 0.1 < span / reach < 10) or apart > span:
            raise ValueError(
                f"`calibration` runs from {x.min():g} to {x.max():g} for the input '{name}', "
                f"`examples` from {other.min():g} to {other.max():g}. Give both as the student is "
                "to get them."
            )
    if len(set(_keys(calibration))) == 1:
        raise ValueError(
            "`calibration` is one and the same example throughout: no range can be read off it. "
            "Give real inputs."
        )
