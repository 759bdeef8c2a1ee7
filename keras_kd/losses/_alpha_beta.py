"""The divergence of two powers, of which the Kullback-Leibler and the Hellinger are cases."""

from typing import Any

from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, is_number, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._custom_gradients import Formula, log_softmax
from keras_kd.losses._rows import RowLoss

#: Powers below this are 0 or an error: the formula divides by them.
_SMALLEST = 0.01


@serializable
class AlphaBetaDivergence(RowLoss):
    """Alpha-beta divergence: how much a large error counts, and how much what the student is sure of.

    The forward divergence hardly tells large errors from small ones, the reverse one sees nothing but
    what the student already believes; both are cases of this one, and its two powers are chosen apart:
    a smaller `alpha` looks more at classes with large errors, a larger `beta` more at those of which
    the student is confident.

    With `p = softmax(y_true / T)` and `q = softmax(y_pred / T)`:

    `loss = Σ_c [ α/(α+β) · p^(α+β) + β/(α+β) · q^(α+β) - p^α · q^β ] / (α · β)`

    and the limits of that where a power is 0:

    - `β = 0`: `Σ_c [ p^α · log(p^α / q^α) - p^α + q^α ] / α²`; `α=1` is `KL(p ‖ q)`
    - `α = 0`: the same with `p` and `q` exchanged and `β` for `α`; `β=1` is `KL(q ‖ p)`
    - both 0: `½ Σ_c (log p - log q)²`

    `α = β = 0.5` is four times the squared Hellinger distance. There is no factor `T²`.

    Shapes: `y_true`, `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        alpha: Power of the teacher's probabilities: 0, or at least 0.01. Defaults to `0.2`, the
            paper's for language models.
        beta: Power of the student's: 0, or at least 0.01. Defaults to `0.7`, the paper's for language
            models.
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If a power is below 0, or between 0 and 0.01, or `temperature` is not above 0.

    Example:

    >>> loss = keras_kd.losses.AlphaBetaDivergence(alpha=1.0, beta=0.0)  # the forward divergence
    >>> round(float(loss([[2.0, 0.0]], [[0.0, 0.0]])), 4)  # ln 2 minus the entropy of (.881, .119)
    0.3278

    Reference: Wang et al., "ABKD: Pursuing a Proper Allocation of the Probability Mass in Knowledge
    Distillation via α-β-Divergence", ICML 2025, arXiv:2505.04560, section 4; Cichocki, Cruces, Amari,
    "Generalized Alpha-Beta Divergences and Their Application to Robust Nonnegative Matrix
    Factorization", Entropy 13, 2011, section 2.
    """

    def __init__(
        self, alpha: float = 0.2, beta: float = 0.7, temperature: Number = 1.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.alpha, self.beta = _power(alpha, "alpha"), _power(beta, "beta")
        self.temperature = positive(temperature, "temperature")

    def formula(self) -> Formula:
        alpha, beta, temperature = self.alpha, self.beta, self.temperature
        both = alpha + beta

        def value(t: Tensor, s: Tensor) -> Tensor:
            u, v = log_softmax(t, temperature), log_softmax(s, temperature)
            if not alpha and not beta:
                return 0.5 * ops.sum(ops.square(u - v), axis=-1)
            if not beta:
                return _one_power(u, v, alpha)
            if not alpha:
                return _one_power(v, u, beta)
            ours, theirs = ops.exp(both * v), ops.exp(both * u)
            found = beta / both * (ours - theirs) + theirs - ops.exp(alpha * u + beta * v)
            return ops.sum(found, axis=-1) / (alpha * beta)

        def gradient(t: Tensor, s: Tensor) -> Tensor:
            u, v = log_softmax(t, temperature), log_softmax(s, temperature)
            if alpha:
                by_log_q = (ops.exp(both * v) - ops.exp(alpha * u + beta * v)) / alpha
            else:
                by_log_q = ops.exp(beta * v) * (v - u)
            total = ops.sum(by_log_q, axis=-1, keepdims=True)
            return (by_log_q - ops.exp(v) * total) / temperature

        return value, gradient


def _one_power(u: Tensor, v: Tensor, power: float) -> Tensor:
    """`Σ [ a log(a / b) - a + b ] / power²` of `a = exp(power u)` and `b = exp(power v)`."""
    a, b = ops.exp(power * u), ops.exp(power * v)
    return ops.sum(a * power * (u - v) - a + b, axis=-1) / power**2


def _power(value: Any, argument: str) -> float:
    if not is_number(value) or not (value == 0 or _SMALLEST <= value < float("inf")):
        raise ValueError(
            f"`{argument}` must be 0 or a number of at least {_SMALLEST:g}. Received: "
            f"{argument}={value!r}."
        )
    return float(value)
