"""Losses that look at the right class apart from the others; they need hard labels as well."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.hard_labels import (
    NEVER,
    at,
    hard,
    log_softmax_of_others,
    right,
    softmax_of_others,
)
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, finite, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss
from keras_kd.losses._custom_gradients import (
    Formula,
    cross_entropy,
    scaled,
    soft_cross_entropy,
    with_gradient,
)
from keras_kd.losses._rows import RowLoss


@serializable
class DecoupledSoftTarget(RowLoss):
    """Soft targets in two parts: how sure of the right class, and what the others look like.

    In a plain soft target the second part is weighted by how unsure the teacher is, so with a good
    teacher it counts for little. Here each part has a weight of its own. Often the best choice
    among the losses on logits.

    With `p = softmax(teacher / T)`, `q = softmax(y_pred / T)`, the right class `y`, and `p'`, `q'`
    the softmaxes over the other classes alone:

    `loss = T² · (alpha · KL((p_y, 1 - p_y) ‖ (q_y, 1 - q_y)) + beta · KL(p' ‖ q'))`

    With two classes there is one other class, and the second part is 0.

    Shapes: `y_true` is a pair: the teacher's logits `(batch, ..., classes)` and class numbers
    `(batch, ...)`; `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        alpha: Weight of the right class against the rest. Defaults to `1.0`.
        beta: Weight of the other classes among themselves. Defaults to `8.0`.
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `4.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0, a weight is not finite, the labels are not
            hard, or there is one class only.

    Example:

    >>> teacher, labels, student = [[2.0, 0.0]], [0], [[0.0, 0.0]]
    >>> loss = keras_kd.losses.DecoupledSoftTarget(temperature=1.0)
    >>> round(float(loss((teacher, labels), student)), 4)  # two classes: the KL of SoftTarget
    0.3278

    Reference: Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022, arXiv:2203.08679,
    section 3.
    """

    with_labels = True
    hard_labels = True

    def __init__(
        self,
        alpha: Number = 1.0,
        beta: Number = 8.0,
        temperature: Number = 4.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.alpha, self.beta = finite(alpha, "alpha"), finite(beta, "beta")
        self.temperature = positive(temperature, "temperature")

    def prepared(self, y_true: Any, logits: keras.KerasTensor) -> Any:
        teacher, labels = y_true
        return teacher, hard(labels, logits)

    def formula(self) -> Formula:
        T, alpha, beta = self.temperature, self.alpha, self.beta

        def value(target: Any, logits: Tensor) -> Tensor:
            teacher, labels = target
            mask = right(labels, logits)
            t, s = teacher / T, logits / T
            sure, p_rest = _two_ways(mask, t)
            q_sure, q_rest = _two_ways(mask, s)
            of_right = ops.exp(sure) * (sure - q_sure) + ops.exp(p_rest) * (p_rest - q_rest)
            p, q = log_softmax_of_others(mask, t), log_softmax_of_others(mask, s)
            return alpha * of_right + beta * ops.sum(ops.exp(p) * (p - q), axis=-1)

        def gradient(target: Any, logits: Tensor) -> Tensor:
            teacher, labels = target
            mask = right(labels, logits)
            t, s = teacher / T, logits / T
            excess = at(mask, ops.softmax(s, axis=-1)) - at(mask, ops.softmax(t, axis=-1))
            excess = alpha * ops.expand_dims(excess, -1)
            p, q = softmax_of_others(mask, t), softmax_of_others(mask, s)
            return ops.where(mask, excess, beta * (q - p) - excess * q) / T

        return scaled((value, gradient), T**2)


def _two_ways(mask: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the right class and of all others together."""
    log_p = ops.log_softmax(logits, axis=-1)
    return at(mask, log_p), ops.logsumexp(ops.where(mask, NEVER, log_p), axis=-1)


@serializable
class NormalizedTarget(RowLoss):
    """Cross-entropies of the right class and of the others, each normalized by itself.

    Takes the place of a soft target beside the usual cross-entropy: the right class is learned as
    far as the teacher believes in it, the other classes in their proportions.

    With `p`, `q` the softmaxes at temperature 1, the right class `y`, and `p'`, `q'` the softmaxes
    at `T` over the other classes alone:

    `loss = -p_y · log q_y - gamma · T² · Σ_{c≠y} p'_c · log q'_c`

    A cross-entropy, not a divergence: it is not 0 when the two agree.

    Shapes: `y_true` is a pair: the teacher's logits `(batch, ..., classes)` and class numbers
    `(batch, ...)`; `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        gamma: Weight of the other classes. Defaults to `1.5`.
        temperature: Softening `T` of the other classes, above 0; a float or a schedule. Defaults
            to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0, `gamma` is not finite, the labels are not
            hard, or there is one class only.

    Example:

    >>> teacher, labels, student = [[0.0, 0.0, 0.0]], [0], [[0.0, 0.0, 0.0]]
    >>> loss = keras_kd.losses.NormalizedTarget()
    >>> round(float(loss((teacher, labels), student)), 4)  # ln 3 / 3 + 1.5 · ln 2
    1.4059

    Reference: Yang et al., "From Knowledge Distillation to Self-Knowledge Distillation: A Unified
    Approach with Normalized Loss and Customized Soft Labels", ICCV 2023, arXiv:2303.13005,
    section 3.
    """

    with_labels = True
    hard_labels = True

    def __init__(self, gamma: Number = 1.5, temperature: Number = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.gamma = finite(gamma, "gamma")
        self.temperature = positive(temperature, "temperature")

    def prepared(self, y_true: Any, logits: keras.KerasTensor) -> Any:
        teacher, labels = y_true
        return teacher, hard(labels, logits)

    def formula(self) -> Formula:
        T, gamma = self.temperature, self.gamma * self.temperature**2

        def value(target: Any, s: Tensor) -> Tensor:
            t, labels = target
            mask = right(labels, s)
            p_right = ops.exp(at(mask, ops.log_softmax(t, axis=-1)))
            of_right = -p_right * at(mask, ops.log_softmax(s, axis=-1))
            p, q = softmax_of_others(mask, t / T), log_softmax_of_others(mask, s / T)
            return of_right - gamma * ops.sum(p * q, axis=-1)

        def gradient(target: Any, s: Tensor) -> Tensor:
            t, labels = target
            mask = right(labels, s)
            p_right = ops.expand_dims(at(mask, ops.softmax(t, axis=-1)), -1)
            of_right = p_right * (ops.softmax(s, axis=-1) - ops.cast(mask, s.dtype))
            p, q = softmax_of_others(mask, t / T), softmax_of_others(mask, s / T)
            return of_right + gamma * (q - p) / T

        return value, gradient


@serializable
class WeightedSoftTarget(Loss):
    """Soft cross-entropy that counts less where the student already does better than the teacher.

    An example's weight compares the two cross-entropies to the label: near 1 where the student is
    far behind, towards 0 where it is ahead, so the teacher's mistakes count for little.

    With `p`, `q` the softmaxes at `T`, and cross-entropies to the label at temperature 1:

    `loss = alpha · T² · w · Σ_c -p_c · log q_c`, `w = 1 - exp(-CE_student / (CE_teacher + 1e-7))`

    No gradient flows through `w`. A cross-entropy, not a divergence: it is not 0 when the two
    agree.

    Shapes: `y_true` is a pair: the teacher's logits `(batch, ..., classes)` and class numbers
    `(batch, ...)`; `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        alpha: Factor of the loss. Defaults to `2.25`.
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `4.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0, `alpha` is not finite, the labels are not
            hard, or there is one class only.

    Example:

    >>> teacher, labels, student = [[0.0, 0.0]], [0], [[0.0, 0.0]]
    >>> loss = keras_kd.losses.WeightedSoftTarget(alpha=1.0, temperature=1.0)
    >>> round(float(loss((teacher, labels), student)), 4)  # (1 - 1/e) · ln 2
    0.4382

    Reference: Zhou et al., "Rethinking Soft Labels for Knowledge Distillation: A Bias-Variance
    Tradeoff Perspective", ICLR 2021, arXiv:2102.00650, section 4.
    """

    with_labels = True
    hard_labels = True
    on_logits = True
    among_classes = True

    def __init__(self, alpha: Number = 2.25, temperature: Number = 4.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.alpha = finite(alpha, "alpha")
        self.temperature = positive(temperature, "temperature")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        teacher, labels = y_true
        labels = hard(labels, y_pred)
        behind = with_gradient(cross_entropy(), labels, ops.stop_gradient(y_pred))
        teacher_behind = with_gradient(cross_entropy(), labels, ops.stop_gradient(teacher))
        weight = -ops.expm1(-ops.maximum(behind / (teacher_behind + 1e-7), 0.0))
        soft = with_gradient(soft_cross_entropy(self.temperature), teacher, y_pred)
        return self.alpha * self.temperature**2 * weight * soft
