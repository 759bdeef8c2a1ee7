"""What projectors read off a shape: where the channels are, and how many positions."""

from typing import Any

import keras

Shape = tuple[Any, ...]  # integers, and None where only the data will tell


def channel_axis(rank: int) -> int:
    """Where a signal of `rank` axes has its channels: last, unless Keras holds images otherwise."""
    return 1 if rank == 4 and keras.config.image_data_format() == "channels_first" else rank - 1


def position_axes(rank: int) -> tuple[int, ...]:
    """The axes between the batch and the channels, whichever way round."""
    return tuple(axis for axis in range(1, rank) if axis != channel_axis(rank))


def channels(shape: Shape) -> int:
    """Number of channels of a signal."""
    return shape[channel_axis(len(shape))]


def positions(shape: Shape) -> Shape:
    """Height and width of a map, length of a sequence; empty for vectors."""
    return tuple(shape[axis] for axis in position_axes(len(shape)))


def with_channels(shape: Shape, count: int) -> Shape:
    """`shape` with another number of channels."""
    axis = channel_axis(len(shape))
    return (*shape[:axis], count, *shape[axis + 1 :])


def with_positions(shape: Shape, size: Shape) -> Shape:
    """`shape` with another height and width."""
    sizes = dict(zip(position_axes(len(shape)), size, strict=True))
    return tuple(sizes.get(axis, n) for axis, n in enumerate(shape))


def pair(name: str, input_shape: object) -> tuple[Shape, Shape]:
    """The two shapes given to a projector that maps the first signal to the shape of the second."""
    shapes = list(input_shape) if isinstance(input_shape, (list, tuple)) else []
    if len(shapes) != 2 or not all(isinstance(s, (list, tuple)) for s in shapes):
        raise ValueError(
            f"{name} maps one signal to the shape of another, so it takes two. Give the term "
            "pred=('student:layer', 'teacher:layer'); of the second only the shape is read. "
            f"Received shape: {input_shape}."
        )
    return tuple(shapes[0]), tuple(shapes[1])
