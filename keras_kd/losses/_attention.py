"""Losses between feature maps as pictures: where they are bright, at several sizes."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_kd._core.geometry import fading, flat, length
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss
from keras_kd.losses._feature_maps import channels_last, pooled, positions, to_smaller


@serializable
class AttentionMap(Loss):
    """Mean squared difference of two attention maps: where in the picture the layers are active.

    The maps have no channels, so student and teacher may differ in width, and no projector is
    needed. The larger feature map is averaged down to the smaller.

    With `a(f) = mean over channels of f²`, flattened and divided by its length:

    `loss = mean over positions of (a(y_pred) - a(y_true))²`

    A map of zeros stays zeros, and the gradient fades out towards it.

    Shapes: `y_true`, `y_pred` `(batch, height, width, channels)`, or channels first when
    `keras.config.image_data_format()` is `"channels_first"`, or `(batch, positions, channels)`; one
    value per example.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If one side is a map and the other is not, or maps of different sizes have
            sizes that are not known.

    Example:

    >>> loss = keras_kd.losses.AttentionMap()
    >>> teacher = np.array([[[3.0], [0.0]]])  # two positions, one channel: all at the first
    >>> student = np.array([[[0.0], [2.0]]])  # all at the second
    >>> round(float(loss(teacher, student)), 4)  # (1 + 1) / 2
    1.0

    Reference: Zagoruyko, Komodakis, "Paying More Attention to Attention: Improving the Performance
    of Convolutional Neural Networks via Attention Transfer", ICLR 2017, arXiv:1612.03928,
    section 3.1.
    """

    joins_positions = True
    same_shape = False

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        t, s = to_smaller(y_true, y_pred)
        return ops.mean(ops.square(_activity(s) - _activity(t)), axis=-1)


def _activity(x: Tensor) -> Tensor:
    activity = flat(ops.mean(ops.square(x), axis=-1))
    size = length(activity, keepdims=True)
    return fading(activity / size, size)  # which is a square already, in the units of the map


@serializable
class HierarchicalContext(Loss):
    """Squared difference of two feature maps at several sizes, from the whole to its outline.

    The coarse levels compare what is there, the fine ones where. The student's map is usually
    fused from several of its layers by a projector first.

    `loss = [mse + ½ · mse(pooled to 4×4) + ¼ · mse(pooled to 2×2) + ...] / (1 + ½ + ¼ + ...)`

    A level that is not smaller than the map is skipped, and the next one takes its weight.

    Shapes: `y_true`, `y_pred` `(batch, height, width, channels)`, or channels first when
    `keras.config.image_data_format()` is `"channels_first"`; one value per example.

    Args:
        levels: Sizes to pool to, largest first. Defaults to `(4, 2, 1)`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If a level is not a whole number above 0, or the inputs are no maps of known
            size.

    Example:

    >>> loss = keras_kd.losses.HierarchicalContext(levels=(1,))
    >>> teacher = np.zeros((1, 1, 2, 1))
    >>> student = np.array([[[[3.0], [1.0]]]])  # mse 5; pooled to one cell, 2² = 4
    >>> round(float(loss(teacher, student)), 4)  # (5 + 4 / 2) / (1 + 1 / 2)
    4.6667

    Reference: Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021,
    arXiv:2104.09044, section 3.3.
    """

    def __init__(self, levels: Sequence[int] = (4, 2, 1), **kwargs: Any):
        super().__init__(**kwargs)
        self.levels = tuple(count(level, "levels") for level in levels)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        t, s = channels_last(y_true), channels_last(y_pred)
        if len(s.shape) != 4 or None in s.shape[1:3]:
            raise ValueError(
                "HierarchicalContext pools maps (batch, height, width, channels) of known height "
                f"and width. Received shape {(None, *s.shape[1:])}."
            )
        difference = s - t  # pooling is linear: the difference is pooled once, not each side
        total, share, shares = ops.mean(ops.square(flat(difference)), axis=-1), 1.0, 1.0
        for level in self.levels:
            if level >= max(s.shape[1], s.shape[2]):
                continue
            share, size = share / 2, (min(level, s.shape[1]), min(level, s.shape[2]))
            small = flat(pooled(difference, size))
            total = total + share * ops.mean(ops.square(small), axis=-1)
            shares += share
        return total / shares


@serializable
class FlowMatch(Loss):
    """Mean squared difference of two flows: how the channels of one layer go with another's.

    It compares how a network gets from one layer to the next, not the features of either layer.
    Both networks need the same number of channels at both layers, or projectors.

    With `G = mean over positions of top · bottomᵀ`, `(top channels, bottom channels)`, the larger
    map averaged down to the smaller first:

    `loss = mean over elements of (G_pred - G_true)²`

    Shapes: `y_true`, `y_pred` are pairs of maps `(batch, height, width, channels)`, or channels
    first when `keras.config.image_data_format()` is `"channels_first"`; one value per example.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If maps of different sizes have sizes that are not known.

    Example:

    >>> def maps(top, bottom):
    ...     return np.full((1, 2, 2, 1), top), np.full((1, 2, 2, 1), bottom)
    >>> loss = keras_kd.losses.FlowMatch()
    >>> round(float(loss(maps(1.0, 2.0), maps(3.0, 2.0))), 4)  # (3 · 2 - 1 · 2)²
    16.0

    Reference: Yim et al., "A Gift from Knowledge Distillation: Fast Optimization, Network
    Minimization and Transfer Learning", CVPR 2017, section 3.
    """

    same_shape = False

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.mean(ops.square(flat(_flow(*y_pred) - _flow(*y_true))), axis=-1)


def _flow(top: Any, bottom: Any) -> Any:
    top, bottom = (positions(x) for x in to_smaller(top, bottom))
    count = ops.cast(ops.shape(top)[1], top.dtype)
    return ops.matmul(ops.transpose(top, (0, 2, 1)), bottom) / count
