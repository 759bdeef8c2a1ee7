"""Divergences between distributions position by position, made for sequences."""

from typing import Any

from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, is_number, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._custom_gradients import (
    Formula,
    forward_kl,
    jensen_shannon,
    reverse_kl,
    skew_kl,
    skew_reverse_kl,
)
from keras_kd.losses._rows import RowLoss


def _fraction(value: Number, argument: str, otherwise: str) -> Number:
    """`value`, checked to lie between 0 and 1, both excluded; a schedule is trusted."""
    if is_number(value) and not 0 < value < 1:
        raise ValueError(
            f"`{argument}` must lie between 0 and 1, both excluded ({otherwise}). "
            f"Received: {argument}={value!r}."
        )
    return positive(value, argument)


class _Divergence(RowLoss):
    """What the divergences share: one temperature, and no `T²`."""

    def __init__(
        self,
        temperature: Number = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.temperature = positive(temperature, "temperature")


@serializable
class ReverseKL(_Divergence):
    """Kullback-Leibler divergence from the student's distribution to the teacher's.

    A small student cannot cover everything to which a large teacher gives probability. The forward
    divergence makes it spread over all of that; this one lets it concentrate on a part that it can
    predict well.

    With `p = softmax(y_true / T)` and `q = softmax(y_pred / T)`:

    `loss = Σ_c q_c · (log q_c - log p_c)`

    There is no factor `T²`, as in the papers. Unlike the forward divergence it is not bounded in
    practice: where the teacher gives a class next to nothing, the student pays for every bit.

    Shapes: `y_true`, `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0.

    Example:

    >>> loss = keras_kd.losses.ReverseKL()
    >>> round(float(loss([[0.0, 0.0]], [[2.0, 0.0]])), 4)  # ln 2 minus the entropy of (.881, .119)
    0.3278

    Reference: Gu et al., "MiniLLM: Knowledge Distillation of Large Language Models", ICLR 2024,
    arXiv:2306.08543, section 2.1.
    """

    def formula(self) -> Formula:
        return reverse_kl(self.temperature)


@serializable
class JensenShannon(_Divergence):
    """Generalized Jensen-Shannon divergence: forward and reverse divergence, and all between.

    Both distributions are compared with their mixture, so the loss is bounded, whatever the logits.

    With `p = softmax(y_true / T)`, `q = softmax(y_pred / T)` and `m = beta · p + (1 - beta) · q`:

    `loss = beta · KL(p ‖ m) + (1 - beta) · KL(q ‖ m)`

    By convention `beta=0` is `KL(p ‖ q)` and `beta=1` is `KL(q ‖ p)`. The formula does not lead
    there: it tends to 0 at both ends, like `beta · KL(p ‖ q)` and `(1 - beta) · KL(q ‖ p)`, so
    values near the ends are small, not near the divergences at the ends. There is no factor `T²`.

    Shapes: `y_true`, `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        beta: Share of the teacher in the mixture, from 0 to 1; a float, or a schedule that stays
            between the ends. Defaults to `0.5`.
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `beta` is not between 0 and 1, or `temperature` is not above 0.

    Example:

    >>> loss = keras_kd.losses.JensenShannon()
    >>> round(float(loss([[50.0, 0.0]], [[0.0, 50.0]])), 4)  # nothing in common: ln 2
    0.6931

    Reference: Agarwal et al., "On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes", ICLR 2024, arXiv:2306.13649, section 2.
    """

    def __init__(
        self,
        beta: Number = 0.5,
        temperature: Number = 1.0,
        **kwargs: Any,
    ):
        super().__init__(temperature, **kwargs)
        self.beta = share_or_end(beta)

    def formula(self) -> Formula:
        return between(self.temperature, self.beta, self.dtype)


def share_or_end(beta: Number) -> Number:
    """`beta`, checked to be 0, 1 or between; a schedule is trusted."""
    if is_number(beta) and beta in (0, 1):
        return float(beta)
    return _fraction(beta, "beta", "or be 0 for KL(p ‖ q), 1 for KL(q ‖ p)")


def between(temperature: Tensor, beta: Any, dtype: Any) -> Formula:
    """The divergence of that `beta`."""
    ends = {0.0: forward_kl, 1.0: reverse_kl}
    if is_number(beta) and beta in ends:
        return ends[beta](temperature)
    return jensen_shannon(temperature, ops.cast(beta, dtype))


class _Skew(_Divergence):
    """A divergence from one distribution to a mixture that holds a share of it."""

    def __init__(
        self,
        lam: Number = 0.1,
        temperature: Number = 1.0,
        **kwargs: Any,
    ):
        super().__init__(temperature, **kwargs)
        self.lam = _fraction(lam, "lam", "0 would be the plain divergence, 1 always 0")


@serializable
class SkewKL(_Skew):
    """Divergence from the teacher's distribution to the student's, the teacher mixed into the latter.

    The share keeps the loss below `log(1 / lam)` and its gradient small where the student gives
    almost no probability to a class that the teacher predicts.

    With `p = softmax(y_true / T)` and `q = softmax(y_pred / T)`:

    `loss = Σ_c p_c · log(p_c / (lam · p_c + (1 - lam) · q_c))`

    There is no factor `T²`.

    Shapes: `y_true`, `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        lam: Share of the teacher in the mixture, between 0 and 1; a float or a schedule. Defaults
            to `0.1`.
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `lam` is not between 0 and 1, or `temperature` is not above 0.

    Example:

    >>> loss = keras_kd.losses.SkewKL(lam=0.1)
    >>> round(float(loss([[50.0, 0.0]], [[0.0, 50.0]])), 4)  # nothing in common: ln(1 / 0.1)
    2.3026

    Reference: Ko et al., "DistiLLM: Towards Streamlined Distillation for Large Language Models",
    ICML 2024, arXiv:2402.03898, section 3.1. (Its code leaves out the teacher's entropy, which is
    a constant.)
    """

    def formula(self) -> Formula:
        return skew_kl(self.temperature, ops.cast(self.lam, self.dtype))


@serializable
class SkewReverseKL(_Skew):
    """Divergence from the student's distribution to the teacher's, the student mixed into the latter.

    The reverse divergence with a bound: the loss stays below `log(1 / lam)`.

    With `p = softmax(y_true / T)` and `q = softmax(y_pred / T)`:

    `loss = Σ_c q_c · log(q_c / ((1 - lam) · p_c + lam · q_c))`

    There is no factor `T²`.

    Shapes: `y_true`, `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        lam: Share of the student in the mixture, between 0 and 1; a float or a schedule. Defaults
            to `0.1`.
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `lam` is not between 0 and 1, or `temperature` is not above 0.

    Example:

    >>> loss = keras_kd.losses.SkewReverseKL(lam=0.1)
    >>> round(float(loss([[50.0, 0.0]], [[0.0, 50.0]])), 4)  # nothing in common: ln(1 / 0.1)
    2.3026

    Reference: Ko et al., "DistiLLM: Towards Streamlined Distillation for Large Language Models",
    ICML 2024, arXiv:2402.03898, section 3.1.
    """

    def formula(self) -> Formula:
        return skew_reverse_kl(self.temperature, ops.cast(self.lam, self.dtype))
