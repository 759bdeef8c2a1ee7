"""Losses between the logits of a classifier and those of its teacher."""

from typing import Any

from keras import ops

from keras_kd._core.geometry import length
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss
from keras_kd.losses._custom_gradients import (
    Formula,
    forward_kl,
    in_blocks,
    kl_of_logits,
    scaled,
    with_gradient,
)
from keras_kd.losses._rows import RowLoss

#: A row of logits that deviate by less than this share of the batch's mean deviation is pulled as
#: if it deviated by as much.
_FAINT = 0.2
#: Below this mean deviation all rows are flat; then the usual deviation is taken to be 1.
_ALL_FLAT = 1e-4


@serializable
class SoftTarget(RowLoss):
    """Kullback-Leibler divergence from the teacher's softened probabilities to the student's.

    The first and still the standard way to distill: at a temperature above 1 the teacher's small
    probabilities become larger, and show the student which classes are similar. The factor
    `T²` keeps the gradient's size when the temperature changes.

    With `p = softmax(y_true / T)` and `q = softmax(y_pred / T)`:

    `loss = T² · Σ_c p_c · (log p_c - log q_c)`

    It is 0 exactly when the two rows of logits are equal up to a constant. No gradient flows to
    the target.

    Shapes: `y_true`, `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `4.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0.

    Example:

    >>> teacher, student = [[2.0, 0.0]], [[0.0, 0.0]]
    >>> loss = keras_kd.losses.SoftTarget(temperature=1.0)
    >>> round(float(loss(teacher, student)), 4)  # ln 2 minus the entropy of (0.881, 0.119)
    0.3278

    Reference: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    arXiv:1503.02531, section 2.
    """

    def __init__(self, temperature: Number = 4.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.temperature = positive(temperature, "temperature")

    def formula(self) -> Formula:
        return scaled(forward_kl(self.temperature), self.temperature**2)


@serializable
class BinarySoftTarget(Loss):
    """Kullback-Leibler divergence between sigmoid heads, summed over the logits.

    For one-logit binary classifiers and for multi-label heads, where each logit is a question of
    its own.

    With `p = σ(y_true / T)` and `q = σ(y_pred / T)`, for each logit:

    `loss = T² · Σ_c [p_c · log(p_c / q_c) + (1 - p_c) · log((1 - p_c) / (1 - q_c))]`

    computed with softplus, so that no probability is ever rounded to 0 or 1.

    Shapes: `y_true`, `y_pred` logits `(batch, ..., labels)`; one value per `(batch, ...)`.

    Args:
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `4.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0.

    Example:

    >>> loss = keras_kd.losses.BinarySoftTarget(temperature=1.0)
    >>> round(float(loss([[2.0]], [[0.0]])), 4)  # the two-class case above, as one logit
    0.3278

    Reference: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    arXiv:1503.02531, section 2, applied to each logit's Bernoulli distribution.
    """

    on_logits = True

    def __init__(self, temperature: Number = 4.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.temperature = positive(temperature, "temperature")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        t, s = y_true / self.temperature, y_pred / self.temperature
        p = ops.sigmoid(t)
        # log σ(x) = -softplus(-x), and log(1 - σ(x)) = -softplus(x).
        yes = p * (ops.softplus(-s) - ops.softplus(-t))
        no = (1.0 - p) * (ops.softplus(s) - ops.softplus(t))
        return self.temperature**2 * ops.sum(yes + no, axis=-1)


@serializable
class StandardizedSoftTarget(Loss):
    """Soft target between logits that were brought to mean 0 and deviation 1, row by row.

    A small student cannot reach the size of a large teacher's logits and need not: only their
    shape is compared. Costs nothing and gains much on plain soft targets.

    With `z(x) = (x - mean(x)) / (1e-7 + std(x))` over the classes, the deviation with one degree
    of freedom less (`classes - 1`), `p = softmax(z(y_true) / T)` and `q = softmax(z(y_pred) / T)`:

    `loss = T² · Σ_c p_c · (log p_c - log q_c)`

    It is 0 when the rows are equal up to a constant and a positive factor. A constant row becomes
    zeros. Its gradient, steep without bound by the formula, is that of a row with a fifth of the
    batch's mean deviation; so is that of every flatter row.

    Shapes: `y_true`, `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `2.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0, or there is one class only.

    Example:

    >>> loss = keras_kd.losses.StandardizedSoftTarget(temperature=1.0)
    >>> teacher = [[2.0, 0.0]]  # z is (0.7071, -0.7071), p is (0.8044, 0.1956)
    >>> round(float(loss(teacher, [[0.0, 0.0]])), 4)  # ln 2 minus the entropy of p
    0.1989

    Reference: Sun et al., "Logit Standardization in Knowledge Distillation", CVPR 2024,
    arXiv:2403.01427, section 4.
    """

    on_logits = True
    among_classes = True

    def __init__(self, temperature: Number = 2.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.temperature = positive(temperature, "temperature")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        usual = ops.mean(
            in_blocks(lambda s: _standardized(s)[1][..., 0], ops.stop_gradient(y_pred))
        )
        least = _FAINT * ops.where(usual < _ALL_FLAT, 1.0, usual)

        def value(t: Tensor, s: Tensor) -> Tensor:
            return kl_of_logits(_standardized(t)[0], _standardized(s)[0], self.temperature)

        def gradient(t: Tensor, s: Tensor) -> Tensor:
            p = ops.softmax(_standardized(t)[0] / self.temperature, axis=-1)
            z, deviation, size = _standardized(s)
            by_z = (ops.softmax(z / self.temperature, axis=-1) - p) / self.temperature
            del p
            along = ops.sum(by_z * z, axis=-1, keepdims=True)
            stretch = along * deviation / (size * (s.shape[-1] - 1) ** 0.5)
            # Both parts sum to 0: the mean that was taken off the logits takes nothing off them.
            return (by_z - stretch * z) / ops.maximum(deviation, least)

        return self.temperature**2 * with_gradient((value, gradient), y_true, y_pred)


def _standardized(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The rows with mean 0 and deviation 1; their deviations; the lengths around their means."""
    centered = x - ops.mean(x, axis=-1, keepdims=True)
    size = length(centered, keepdims=True)
    deviation = 1e-7 + size / (x.shape[-1] - 1) ** 0.5
    return centered / deviation, deviation, size
