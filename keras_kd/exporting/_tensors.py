"""What a file takes and gives: each tensor's name, type, shape, scale, and what its numbers mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keras_kd.exporting._preprocessing import image_layouts
from keras_kd.exporting._signature import Arrays


class Stored(NamedTuple):
    """A tensor as the file itself tells.

    Args:
        dtype: The type of its numbers.
        shape: Its shape, `None` where the file takes any size.
        scale: What one step of an integer stands for; `None` for numbers that stand for themselves.
        zero_point: The integer that stands for 0.
    """

    dtype: str
    shape: tuple[int | None, ...]
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class Tensor:
    """An input or an output of a file.

    Args:
        name: Its name.
        dtype: The type of its numbers: `"float32"`, `"int8"`.
        shape: Its shape; `None` where any number of examples will do.
        layout: What its axes are: `"NHWC"` (example, height, width, channel) or `"NCHW"` for an
            image; `None` where it cannot be told.
        scale: What one step of an integer stands for: the number is `scale * (integer -
            zero_point)`. `None` where numbers stand for themselves.
        zero_point: The integer that stands for 0.
        low: The smallest number of it over the examples of the proof, in floats.
        high: The largest.
        ending: What an output ends in: `"softmax"` or `"sigmoid"`; `None` for logits, values and
            what cannot be told.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    layout: str | None = None
    scale: float | None = None
    zero_point: int | None = None
    low: float = 0.0
    high: float = 0.0
    ending: str | None = None


def described(
    arrays: Arrays, stored: dict[str, Stored], endings: Mapping[str, str | None]
) -> tuple[Tensor, ...]:
    """A `Tensor` for each of `arrays`, the numbers of the proof."""
    found, layouts = [], image_layouts(arrays)
    for name, x in arrays.items():
        told = stored.get(name) or Stored(str(x.dtype), (1, *x.shape[1:]))
        found.append(
            Tensor(
                name=name,
                dtype=told.dtype,
                shape=told.shape,
                layout=layouts.get(name),
                scale=told.scale,
                zero_point=told.zero_point,
                low=float(np.min(x)),
                high=float(np.max(x)),
                ending=endings.get(name),
            )
        )
    return tuple(found)
