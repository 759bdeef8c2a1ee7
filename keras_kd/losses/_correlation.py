"""The loss on the teacher's order of the classes, not on its probabilities."""

from typing import Any

from keras import ops

from keras_kd._core.geometry import fading, length, square
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, finite, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss, fits

#: Probabilities that vary by less than this share of themselves are as good as equal.
_FAINT = 0.01


@serializable
class CorrelationTarget(Loss):
    """Correlation of the student's probabilities with the teacher's, by example and by class.

    A student cannot reach the probabilities of a much stronger teacher, but it can reach their
    order. Correlation compares the order of the classes for each example, and that of the batch's
    examples for each class.

    With `p`, `q` the softmaxes at `T` and `ρ(a, b) = Σ â·b̂ / (‖â‖ ‖b̂‖ + 1e-8)` of centered
    vectors (Pearson's correlation):

    `loss = T² · (beta · (1 - ρ(row)) + gamma · (1 - mean over classes of ρ(column)))`

    A constant row or column has no correlation, `ρ = 0`, and no gradient: that fades out where the
    student's probabilities vary by less than a hundredth of themselves. Every column is constant
    when the batch has one example.

    Shapes: `y_true`, `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.
    Columns run over the whole batch and all positions, so the values depend on one another.

    Args:
        beta: Weight of the correlation by example. Defaults to `1.0`.
        gamma: Weight of the correlation by class. Defaults to `1.0`.
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `4.0` (the paper's
            for CIFAR-100; 1 for ImageNet).
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0, or a weight is not finite.

    Example:

    >>> teacher = [[2.0, 0.0], [0.0, 2.0]]
    >>> student = [[0.0, 2.0], [2.0, 0.0]]  # the opposite: both correlations are -1
    >>> loss = keras_kd.losses.CorrelationTarget(temperature=1.0)
    >>> round(float(loss(teacher, student)), 4)
    4.0

    Reference: Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022,
    arXiv:2205.10536, section 4.
    """

    on_logits = True
    among_classes = True
    relational = True
    reads_mask = True

    def __init__(
        self,
        beta: Number = 1.0,
        gamma: Number = 1.0,
        temperature: Number = 4.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.beta, self.gamma = finite(beta, "beta"), finite(gamma, "gamma")
        self.temperature = positive(temperature, "temperature")

    def call(self, y_true: Tensor, y_pred: Tensor, mask: Tensor = None) -> Tensor:
        p = ops.softmax(y_true / self.temperature, axis=-1)
        q = ops.softmax(y_pred / self.temperature, axis=-1)
        by_example = 1.0 - _correlation(p, q, axis=-1)
        examples = tuple(range(len(y_pred.shape) - 1))
        by_class = 1.0 - ops.mean(_correlation(p, q, examples, _counted(mask, q)))
        return self.temperature**2 * (self.beta * by_example + self.gamma * by_class)


def _counted(mask: Tensor, x: Tensor) -> Tensor:
    """1 at positions that count and 0 at padding, `(..., 1)`; `None` where all of them do."""
    if mask is None or len(mask.shape) != len(x.shape) - 1 or not fits(mask, x):
        return None
    return ops.expand_dims(ops.cast(mask, x.dtype), axis=-1)


def _correlation(a: Tensor, b: Tensor, axis: Any, counted: Any = None) -> Tensor:
    if counted is not None:
        a, b = a * counted, b * counted
    whole = ops.stop_gradient(length(b, axis))
    a, b = (x - _mean(x, axis, counted) for x in (a, b))
    correlation = ops.sum(a * b, axis) / (length(a, axis) * length(b, axis) + 1e-8)
    return fading(correlation, square(b, axis), _FAINT, of=whole)


def _mean(x: Tensor, axis: Any, counted: Any) -> Tensor:
    if counted is None:
        return ops.mean(x, axis, keepdims=True)
    # Times `counted`, so that what is subtracted leaves padding at 0.
    mean = ops.divide_no_nan(ops.sum(x, axis, keepdims=True), ops.sum(counted, axis, keepdims=True))
    return mean * counted
