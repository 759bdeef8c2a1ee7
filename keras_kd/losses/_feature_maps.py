"""Feature maps: where the channels are, and average pooling to any size."""

import keras
from keras import ops

from keras_kd._core.messages import shape_of
from keras_kd._core.tensors import Tensor


def channels_last(x: Tensor) -> Tensor:
    """`x` as `(batch, ..., channels)`, whichever way Keras is set to hold images."""
    if len(x.shape) == 4 and keras.config.image_data_format() == "channels_first":
        return ops.transpose(x, (0, 2, 3, 1))
    return x


def positions(x: Tensor) -> Tensor:
    """`(batch, ..., channels)` -> `(batch, positions, channels)`."""
    return ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))


def pooled(x: Tensor, size: tuple[int, int]) -> Tensor:
    """`x` `(batch, height, width, channels)` averaged down to `size`.

    When `size` does not divide the map, cells overlap by one row or column at most, as in
    adaptive average pooling.
    """
    for axis, to in ((1, size[0]), (2, size[1])):
        x = _pooled_along(x, axis, to)
    return x


def _pooled_along(x: Tensor, axis: int, to: int) -> Tensor:
    have = x.shape[axis]
    if have == to:
        return x
    if have % to == 0:
        shape = list(ops.shape(x))
        return ops.mean(
            ops.reshape(x, [*shape[:axis], to, have // to, *shape[axis + 1 :]]), axis + 1
        )
    cells = [(i * have // to, -(-(i + 1) * have // to)) for i in range(to)]
    rest = (slice(None),) * axis
    return ops.stack([ops.mean(x[(*rest, slice(a, b))], axis) for a, b in cells], axis)


def to_smaller(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps, channels last, the larger averaged down to the smaller along each axis."""
    a, b = channels_last(a), channels_last(b)
    if len(a.shape) != len(b.shape):
        raise ValueError(
            "Two feature maps must have the same number of axes. "
            f"Received shapes {shape_of(a)} and {shape_of(b)}."
        )
    if len(a.shape) != 4 or a.shape[1:3] == b.shape[1:3]:
        if a.shape[1:-1] != b.shape[1:-1]:
            raise ValueError(
                "Only maps (batch, height, width, channels) are pooled to one size; other tensors "
                "must have the same positions. "
                f"Received shapes {shape_of(a)} and {shape_of(b)}."
            )
        return a, b
    if None in (*a.shape[1:3], *b.shape[1:3]):
        raise ValueError(
            "Feature maps of different sizes can be pooled only when both heights and widths are "
            f"known. Received shapes {shape_of(a)} and {shape_of(b)}. Give the models an input "
            "shape without None, or the term a projector such as keras_kd.projectors.Resize."
        )
    size = (min(a.shape[1], b.shape[1]), min(a.shape[2], b.shape[2]))
    return pooled(a, size), pooled(b, size)
