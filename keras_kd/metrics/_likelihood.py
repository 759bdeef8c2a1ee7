"""Proper scores: what a probability was worth, given what came true."""

from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.tensors import Tensor
from keras_kd.metrics._base import ClassifierMean
from keras_kd.metrics._log_probabilities import one_hot


@serializable
class NegativeLogLikelihood(ClassifierMean):
    """Mean of minus the log of the probability given to what is true, in nats; the log loss.

    `nll = mean[ -Σ_c y_c · log p_c ]`

    computed from logits in log space: it is right also where the probability would round to 0 or
    1. One logit is a choice between two classes; with `multi_label=True` the value is the mean
    over the questions.

    Shapes: `y_true` class numbers `(batch, ...)` or rows `(batch, ..., classes)`; `y_pred`
    `(batch, ..., classes)`, or `(batch, 1)`.

    Args:
        from_logits: Whether predictions are logits; else probabilities. Defaults to `True`.
        multi_label: Whether each column is a yes-no question of its own. Defaults to `False`.
        **kwargs: `name`, `dtype` as in `keras.metrics.Metric`.

    Raises:
        ValueError: If labels and predictions do not fit each other.

    Example:

    >>> metric = keras_kd.metrics.NegativeLogLikelihood()
    >>> metric.update_state([1], [[0.0, 0.0]])
    >>> round(float(metric.result()), 4)  # ln 2
    0.6931
    """

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        log_p = self._log_probabilities(y_pred)
        y = one_hot(y_true, log_p)
        # 0 · -inf is no NaN here: a log-probability is finite for finite logits.
        return -ops.sum(y * log_p, axis=-1)


@serializable
class BrierScore(ClassifierMean):
    """Mean squared distance of the probabilities from what is true.

    `brier = mean[ Σ_c (p_c - y_c)² ]`, from 0 to 2.

    Between two classes (one logit or two, and each question with `multi_label=True`) only the
    probability of the second is compared, `(p - y)²`, from 0 to 1: half of the sum over both.

    Shapes: `y_true` class numbers `(batch, ...)` or rows `(batch, ..., classes)`; `y_pred`
    `(batch, ..., classes)`, or `(batch, 1)`.

    Args:
        from_logits: Whether predictions are logits; else probabilities. Defaults to `True`.
        multi_label: Whether each column is a yes-no question of its own. Defaults to `False`.
        **kwargs: `name`, `dtype` as in `keras.metrics.Metric`.

    Raises:
        ValueError: If labels and predictions do not fit each other.

    Example:

    >>> metric = keras_kd.metrics.BrierScore()
    >>> metric.update_state([1], [[0.0, 0.0, 0.0]])  # (1/3)² + (2/3)² + (1/3)²
    >>> round(float(metric.result()), 4)
    0.6667

    Reference: Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly
    Weather Review 78(1), 1950, formula 2.
    """

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        log_p = self._log_probabilities(y_pred)
        distances = ops.square(ops.exp(log_p) - one_hot(y_true, log_p))
        return distances[..., 1] if log_p.shape[-1] == 2 else ops.sum(distances, axis=-1)
