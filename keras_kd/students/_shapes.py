"""What a student's input may be, checked before a layer is made."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

Shape = tuple[int, ...]


def sizes(shape: Any, axes: Sequence[str]) -> Shape:
    """`shape` as whole numbers, one for each of `axes`; a batch dimension is none of them."""
    whole = isinstance(shape, (tuple, list)) and all(
        isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 1 for n in shape
    )
    if not whole or len(shape) != len(axes):
        wanted = f"({', '.join(axes)}{',' * (len(axes) == 1)})"
        raise ValueError(
            f"`shape` must be {wanted}, whole numbers of at least 1, without the batch. "
            f"Received: shape={shape!r}."
        )
    return tuple(int(n) for n in shape)


def image(shape: Any, least: int = 1, by: str = "", axes: Sequence[str] = ()) -> Shape:
    """The shape of a picture, with sides of `least` or more for the network `by`."""
    found = sizes(shape, axes or ("height", "width", "channels"))
    if keras.config.image_data_format() == "channels_first":
        raise ValueError(
            "The students are networks for channels last, which integer files need as well. "
            "Run keras.config.set_image_data_format('channels_last') first."
        )
    if min(found[:2]) < least:
        raise ValueError(
            f"{by}() halves what it sees until a side of {least} is one of 1, so no side may be "
            f"shorter. Received: shape={found}. keras_kd.students.tiny() to large() take images "
            "of any size."
        )
    return found


def layer_sizes(values: Any, argument: str) -> Shape:
    """The widths of layers in a row: one whole number or more."""
    several = isinstance(values, (tuple, list)) and len(values) > 0
    if not several or not all(
        isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 1 for n in values
    ):
        raise ValueError(
            f"`{argument}` must have a whole number of at least 1 for each layer, as in "
            f"{argument}=(64, 32). Received: {argument}={values!r}."
        )
    return tuple(int(n) for n in values)
