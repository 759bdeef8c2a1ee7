"""Losses between what the layers of two networks see."""

from typing import Any

from keras import ops

from keras_kd._core.registry import export
from keras_kd.losses._base import Loss


@export
class FeatureMatch(Loss):
    """Mean squared difference of two feature tensors.

    A hint: the student's layer is to see what the teacher's layer sees. When their shapes differ,
    give the term a projector.

    `loss = mean over all elements of (y_pred - y_true)²`

    Shapes: `y_true`, `y_pred` `(batch, ..., channels)`; one value per `(batch, ...)`, the mean
    over the channels. The mean of those is the mean over all elements.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.FeatureMatch()
    >>> round(float(loss([[1.0, 2.0]], [[1.0, 5.0]])), 4)  # (0 + 9) / 2
    4.5

    Reference: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550,
    section 2.2.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(y_pred - y_true), axis=-1)
