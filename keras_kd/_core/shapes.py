"""What projectors read off a shape: where the channels are, and how many positions."""

import math
from collections.abc import Iterable
from typing import Any

import keras

Shape = tuple[Any, ...]  # integers, and None where only the data will show it
#: The most tokens before the places of a picture: a class token, and registers.
MOST_BEFORE = 5


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


def grid_of(tokens: int, sizes: Iterable[Shape] = ()) -> tuple[int, int] | None:
    """Height and width of the map that so many tokens are, after a few that are no places.

    One of `sizes`, if that is as large; else a square, after at most two tokens.
    """
    for height, width in sorted(sizes, key=lambda size: -size[0] * size[1]):
        if 0 <= tokens - height * width <= MOST_BEFORE:
            return height, width
    return square_of(tokens) or square_of(tokens - 1) or square_of(tokens - 2)


def square_of(places: int) -> tuple[int, int] | None:
    """Height and width of the square that so many places are."""
    side = math.isqrt(max(places, 0))
    return (side, side) if side and side * side == places else None


def as_map(shape: Shape, other: Shape = ()) -> Shape | None:
    """The shape of a map, or of tokens as the map they are, of the size of `other` if they can be;
    `None` when that cannot be known."""
    if len(shape) == 4:
        return shape
    sizes = [positions(other)] if len(other) == 4 and None not in positions(other) else []
    grid = None if shape[1] is None else grid_of(shape[1], sizes)
    if grid is None:
        return None
    first = keras.config.image_data_format() == "channels_first"
    return (shape[0], shape[2], *grid) if first else (shape[0], *grid, shape[2])


def advice_on_tokens(pred: Shape, target: Shape) -> str:
    """How tokens that are a map's places can be compared with a map, or with others of another
    number; empty when neither side is such."""
    ranks = {len(pred), len(target)}
    if 3 not in ranks or ranks - {3, 4} or (ranks == {3} and pred[1] == target[1]):
        return ""
    ours, theirs = as_map(pred, target), as_map(target, pred)
    if ours is None or theirs is None:
        return ""
    module = "keras_kd.projectors"
    tokens = f"{module}.TokensToMap()"
    steps = [tokens] if len(pred) == 3 else []
    if positions(ours) != positions(theirs):
        steps.append(f"{module}.Resize({positions(theirs)})")
    if channels(ours) != channels(theirs):
        steps.append(f"{module}.Conv1x1({channels(theirs)})")
    give = [f"target_projector={tokens}"] if len(target) == 3 else []
    if steps:
        several = f"keras.Sequential([{', '.join(steps)}])"
        give.insert(0, f"projector={steps[0] if len(steps) == 1 else several}")
    return f"Tokens are the places of a map: give the term {' and '.join(give)}."
