"""Fusion: deep layers of a network help the shallow ones before they are compared."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd._core.shapes import (
    Shape,
    channel_axis,
    channels,
    positions,
    with_channels,
    with_positions,
)
from keras_kd._core.tensors import Tensor
from keras_kd.projectors._maps import Conv1x1, Conv3x3


@serializable
class Fusion(keras.layers.Layer):
    """Reviews a network's maps from the deepest to the shallowest, each with what came before.

    Each map is brought to `width` channels; the review of the deeper maps is resized to it, and
    two gates, learned from both and different at every position, mix the two. A 3×3 convolution
    then gives the review in the channels of this level's target.

    Given the learner's maps and then as many targets, of which only the shapes are read:
    `pred=("student:a", "student:b", "teacher:a", "teacher:b"), target=("teacher:a", "teacher:b")`,
    shallow first.

    Shapes: `2n` signals `(batch, height, width, channels)` -> `n` signals in the shapes of the
    targets.

    Args:
        width: Number of channels in between. Defaults to `None`, as many as the learner's deepest
            map has, and at most 512.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If it is not given as many targets as maps, all of rank 4.

    Example:

    >>> learner = np.zeros((2, 8, 8, 4)), np.zeros((2, 4, 4, 6))
    >>> target = np.zeros((2, 8, 8, 5)), np.zeros((2, 4, 4, 7))
    >>> shallow, deep = keras_kd.projectors.Fusion()((*learner, *target))
    >>> shallow.shape == (2, 8, 8, 5), deep.shape == (2, 4, 4, 7)
    (True, True)

    Reference: Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021,
    arXiv:2104.09044, section 3.3.
    """

    def __init__(self, width: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.width = None if width is None else count(width, "width")

    def build(self, input_shape: Any) -> None:
        shapes = [tuple(shape) for shape in input_shape]
        levels = len(shapes) // 2
        if len(shapes) % 2 or not levels or any(len(shape) != 4 for shape in shapes):
            raise ValueError(
                "Fusion takes the learner's feature maps and then as many targets, all (batch, "
                f"height, width, channels). Received shapes: {shapes}."
            )
        learner, target = shapes[:levels], shapes[levels:]
        self.sizes = [positions(shape) for shape in target]
        width = self.width or min(512, channels(learner[-1]))
        self.inward = [self._mapped(Conv1x1, width, shape) for shape in learner]
        self.outward = [
            self._mapped(Conv3x3, channels(shape), with_channels(shape, width)) for shape in target
        ]
        self.gates = []
        for shape in target[:-1]:
            gate = Conv1x1(2, use_bias=True, dtype=self.dtype_policy)
            gate.build(with_channels(shape, 2 * width))
            self.gates.append(gate)

    def _mapped(self, layer: type, count: int, shape: Shape) -> keras.Sequential:
        policy = self.dtype_policy
        norm = keras.layers.BatchNormalization(channel_axis(4), dtype=policy)
        mapped = keras.Sequential([layer(count, dtype=policy), norm])
        mapped.build(with_positions(shape, (None, None)))
        return mapped

    def call(self, signals: Tensor, training: bool | None = None) -> tuple:
        levels, axis = len(self.sizes), channel_axis(4)
        outputs: list[Any] = []
        review = None
        for i in reversed(range(levels)):
            x = _sized(self.inward[i](signals[i], training=training), self.sizes[i])
            if review is not None:
                deeper = _sized(review, self.sizes[i])
                both = ops.sigmoid(self.gates[i](ops.concatenate([x, deeper], axis=axis)))
                own, other = ops.split(both, 2, axis=axis)
                x = x * own + deeper * other
            review = x
            outputs.insert(0, self.outward[i](x, training=training))
        return tuple(outputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


def _sized(x: Tensor, size: Shape) -> Tensor:
    """`x` in height and width `size`, nearest positions."""
    if positions(tuple(x.shape)) == tuple(size):
        return x
    return ops.image.resize(x, size, interpolation="nearest")
