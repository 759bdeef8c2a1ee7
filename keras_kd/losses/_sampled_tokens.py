"""Losses at the tokens that the student itself drew: estimates of the reverse KL of whole texts."""

from keras import ops

from keras_kd._core.hard_labels import hard
from keras_kd._core.registry import serializable
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss

_LARGEST = 10.0  # log-ratio from which on the ratio grows no more than along a line


class _OfSampledTokens(Loss):
    """Of the probabilities of the tokens that were drawn; a token below 0 is not scored."""

    with_labels = True
    hard_labels = True
    on_logits = True
    among_classes = True

    def _log_probabilities(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Those of teacher and student at the tokens, and whether there is a token."""
        teacher, tokens = y_true
        tokens = hard(tokens, y_pred)
        drawn = tokens >= 0
        index = ops.expand_dims(ops.maximum(tokens, 0), axis=-1)

        def at_token(logits: Tensor) -> Tensor:
            chosen = ops.squeeze(ops.take_along_axis(logits, index, axis=-1), axis=-1)
            return ops.where(drawn, chosen - ops.logsumexp(logits, axis=-1), 0.0)

        return at_token(teacher), at_token(y_pred), drawn


def _with_score(value: Tensor, log_q: Tensor) -> Tensor:
    """`value`, with the gradient `value · ∇ log q`."""
    value = ops.stop_gradient(value)
    return value + value * (log_q - ops.stop_gradient(log_q))


@serializable
class SampledReverseKL(_OfSampledTokens):
    """The reverse KL estimated from one token that the student drew.

    For text that the student wrote, where the whole vocabulary is too large to compare. With `y` the
    token that was drawn from the student's `q`, and the teacher's `p`:

    `value = log q_y - log p_y`, `gradient = (log q_y - log p_y) · ∇ log q_y`

    Over many draws the value is `KL(q ‖ p)` and the gradient that of `KL(q ‖ p)`: the policy
    gradient of the reward `log p_y - log q_y`, token by token. A single value may be below 0.

    Shapes: `y_true` is a pair: the teacher's logits `(batch, ..., classes)` and the tokens
    `(batch, ...)`, those below 0 not scored; `y_pred` logits `(batch, ..., classes)`; one value per
    `(batch, ...)`.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> teacher, token, student = [[0.0, 0.0]], [0], [[2.0, 0.0]]
    >>> round(float(keras_kd.losses.SampledReverseKL()((teacher, token), student)), 4)
    0.5662

    Reference: Schulman, "Approximating KL Divergence", 2020, http://joschu.net/blog/kl-approx.html,
    estimator k1; Lu, "On-Policy Distillation", Thinking Machines Lab, 2025.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        log_p, log_q, _ = self._log_probabilities(y_true, y_pred)
        return _with_score(log_q - log_p, log_q)


@serializable
class LowVarianceReverseKL(_OfSampledTokens):
    """The reverse KL estimated from one token that the student drew, never below 0.

    With `y` the token that was drawn from the student's `q`, the teacher's `p` and `r = p_y / q_y`:

    `loss = r - 1 - log r`

    Over many draws its value is `KL(q ‖ p)`, with less variance than that of `SampledReverseKL`. Its
    gradient, `(1 - r) · ∇ log q_y`, is over many draws that of the *forward* KL, `KL(p ‖ q)`. Above
    `log r = 10` the ratio goes on along its tangent, so that no gradient overflows.

    Shapes: `y_true` is a pair: the teacher's logits `(batch, ..., classes)` and the tokens
    `(batch, ...)`, those below 0 not scored; `y_pred` logits `(batch, ..., classes)`; one value per
    `(batch, ...)`.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> teacher, token, student = [[0.0, 0.0]], [0], [[2.0, 0.0]]
    >>> round(float(keras_kd.losses.LowVarianceReverseKL()((teacher, token), student)), 4)
    0.1339

    Reference: Schulman, "Approximating KL Divergence", 2020, http://joschu.net/blog/kl-approx.html,
    estimator k3; Tang, Munos, "On a few pitfalls in KL divergence gradient estimation for RL", 2025,
    arXiv:2506.09477, on its gradient.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        log_p, log_q, _ = self._log_probabilities(y_true, y_pred)
        log_r = log_p - log_q
        above = ops.maximum(log_r - _LARGEST, 0.0)
        return ops.exp(ops.minimum(log_r, _LARGEST)) * (1.0 + above) - 1.0 - log_r


@serializable
class FutureReverseKL(_OfSampledTokens):
    """What a token that the student drew does to the rest of its text.

    The part of the reverse KL of whole texts that a loss position by position leaves out: with a
    token, the student also chooses what it will have to continue. With the tokens `y_1 ... y_T` that
    were drawn from the student's `q`, the teacher's `p`, and the mean over what follows,

    `R_t = 1 / (T - t) · Σ_{t' > t} log(p(y_t') / q(y_t'))`,

    `value_t = -R_t`, `gradient = -R_t · ∇ log q(y_t)`

    It stands beside `ReverseKL`, as in `keras_kd.recipes.minillm`. The mean instead of the sum keeps
    long texts from counting more.

    Shapes: `y_true` is a pair: the teacher's logits `(batch, positions, classes)` and the tokens
    `(batch, positions)`, those below 0 not scored; `y_pred` logits `(batch, positions, classes)`;
    one value per `(batch, positions)`.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If there is no axis of positions.

    Example:

    >>> teacher, tokens = [[[0.0, 0.0], [0.0, 0.0]]], [[1, 0]]
    >>> student = [[[2.0, 0.0], [2.0, 0.0]]]
    >>> round(float(keras_kd.losses.FutureReverseKL()((teacher, tokens), student)), 4)  # 0.5662 / 2
    0.2831

    Reference: Gu, Dong, Wei, Huang, "MiniLLM: Knowledge Distillation of Large Language Models", ICLR
    2024, arXiv:2306.08543, section 2.2 (single-step decomposition and length normalization).
    """

    reads_mask = True

    def call(self, y_true: Tensor, y_pred: Tensor, mask: Tensor = None) -> Tensor:
        if len(y_pred.shape) != 3:
            raise ValueError(
                "FutureReverseKL takes logits of the shape (batch, positions, classes). Received: "
                f"{tuple(y_pred.shape)}."
            )
        log_p, log_q, drawn = self._log_probabilities(y_true, y_pred)
        if mask is not None:
            drawn = ops.logical_and(drawn, ops.cast(mask, "bool"))
        ratio = ops.where(drawn, log_p - log_q, 0.0)
        drawn = ops.cast(drawn, log_q.dtype)
        after, count = _after(ratio), _after(drawn)
        return _with_score(-drawn * after / ops.maximum(count, 1.0), log_q)


def _after(x: Tensor) -> Tensor:
    """For each position the sum over those after it."""
    return ops.sum(x, axis=1, keepdims=True) - ops.cumsum(x, axis=1)
