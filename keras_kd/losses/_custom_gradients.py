"""Divergences between rows of logits that keep nothing of the logits' size for the gradient.

With a large vocabulary the logits are the largest tensors of a step. Left to itself, automatic
differentiation keeps every intermediate of their size; here the gradient is written out and
computed from the logits again, and large ones are gone through in blocks of rows. No gradient
flows to the target, nor to the temperature.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_kd._core.hard_labels import at, right
from keras_kd._core.tensors import Tensor

#: Logits with more numbers than this are gone through in blocks, of about this many at a time.
_LARGE, _BLOCK = 2**24, 2**19

#: `value(target, logits)`, one per row, and `gradient(target, logits)`, its gradient by the logits.
Formula = tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]


def with_gradient(
    formula: Formula, target: Tensor, pred: Tensor, at_once: Callable[..., Any] | None = None
) -> Tensor:
    """The value of each row, with the gradient that the formula states; `at_once`, if given, makes
    both of logits that need no blocks (see `RowLoss`)."""
    value, gradient = formula
    target = keras.tree.map_structure(ops.stop_gradient, target)

    @ops.custom_gradient
    def rows(pred: Tensor) -> Tensor:
        kept = at_once is not None and _rows_at_once(tuple(pred.shape)) is None
        values, slope = at_once(target, pred) if kept and at_once else (None, None)

        def grad(*args: Any, upstream: Any = None) -> Any:
            up = args[0] if upstream is None else upstream
            if slope is not None:
                return slope(up)
            return in_blocks(
                lambda s, t, up: ops.expand_dims(up, -1) * gradient(t, s), pred, target, up
            )

        if values is None:
            values = in_blocks(lambda s, t: value(t, s), pred, target)
        return values, grad

    return rows(pred)


def in_blocks(function: Callable[..., Any], logits: Tensor, *others: Any) -> Tensor:
    """`function(logits, *others)`, of so many rows at a time when they are large. All have the
    axes of `logits` but for the last."""
    count = _rows_at_once(tuple(logits.shape))
    if count is None:
        return function(logits, *others)
    lead = len(logits.shape) - 1
    blocks = keras.tree.map_structure(
        lambda x: ops.reshape(x, (-1, count, *x.shape[lead:])), (logits, *others)
    )
    outputs = _mapped(lambda block: function(*block), blocks)
    return ops.reshape(outputs, (*ops.shape(logits)[:lead], *outputs.shape[2:]))


def _mapped(function: Callable[..., Any], blocks: Any) -> Any:
    """As `keras.ops.map`. On torch that keeps every block until it has put them together, so
    there each is written where it belongs."""
    if keras.config.backend() != "torch":
        return ops.map(function, blocks)
    count = keras.tree.flatten(blocks)[0].shape[0]
    whole = None
    for i in range(count):
        block = function(keras.tree.map_structure(lambda x, i=i: x[i], blocks))
        whole = ops.empty((count, *block.shape), block.dtype) if whole is None else whole
        whole[i] = block
    return whole


def _rows_at_once(shape: tuple) -> int | None:
    """How many rows make a block; `None` when all of them may."""
    known = [n if isinstance(n, int) else 0 for n in shape]  # 0: known at run time; take 16
    if math.prod(n or 16 for n in known) <= _LARGE:
        return None
    *lead, classes = known
    # Of a batch of unknown size a block is a part of one example, and there any size will do.
    rows = math.prod(lead) or math.prod(lead[1:]) or 1
    most = max(1, _BLOCK // classes)
    return max(n for n in range(1, min(rows, most) + 1) if rows % n == 0)


def scaled(formula: Formula, factor: Any) -> Formula:
    """The formula times a number."""
    value, gradient = formula
    return (lambda t, s: factor * value(t, s)), (lambda t, s: factor * gradient(t, s))


def log_softmax(logits: Tensor, temperature: Tensor) -> Tensor:
    return ops.log_softmax(logits / temperature, axis=-1)


# Below, `del` lets go of what has the logits' size as soon as it has served.


def kl_of_logits(a: Tensor, b: Tensor, temperature: Tensor) -> Tensor:
    log_p = log_softmax(a, temperature)
    gap = log_p - log_softmax(b, temperature)
    p = ops.exp(log_p)
    del log_p
    return ops.sum(p * gap, axis=-1)


def _by_logits(logits: Tensor, temperature: Tensor, gain_of: Callable[[Any], Any]) -> Tensor:
    """Gradient by the logits of a sum whose gradient by `q` is `gain_of(log_q)`."""
    log_q = log_softmax(logits, temperature)
    gain = gain_of(log_q)
    q = ops.exp(log_q)
    del log_q
    gain = (gain - ops.sum(q * gain, axis=-1, keepdims=True)) / temperature
    return q * gain


def forward_kl(temperature: Tensor) -> Formula:
    """`KL(p ‖ q)` of softened logits: `p` the target's, `q` the prediction's."""

    def value(t: Tensor, s: Tensor) -> Tensor:
        return kl_of_logits(t, s, temperature)

    return value, _by_softened(temperature)


def reverse_kl(temperature: Tensor) -> Formula:
    """`KL(q ‖ p)` of softened logits: `p` the target's, `q` the prediction's."""

    def value(t: Tensor, s: Tensor) -> Tensor:
        return kl_of_logits(s, t, temperature)

    def gradient(t: Tensor, s: Tensor) -> Tensor:
        return _by_logits(s, temperature, lambda log_q: log_q - log_softmax(t, temperature))

    return value, gradient


def cross_entropy() -> Formula:
    """`-log q` of the class numbers `labels`."""

    def value(labels: Tensor, s: Tensor) -> Tensor:
        return -at(right(labels, s), ops.log_softmax(s, axis=-1))

    def gradient(labels: Tensor, s: Tensor) -> Tensor:
        return ops.softmax(s, axis=-1) - ops.cast(right(labels, s), s.dtype)

    return value, gradient


def soft_cross_entropy(temperature: Tensor) -> Formula:
    """`-Σ p log q` of softened logits: `p` the target's, `q` the prediction's."""

    def value(t: Tensor, s: Tensor) -> Tensor:
        p = ops.softmax(t / temperature, axis=-1)
        return -ops.sum(p * log_softmax(s, temperature), axis=-1)

    return value, _by_softened(temperature)


def _by_softened(temperature: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    def gradient(t: Tensor, s: Tensor) -> Tensor:
        p = ops.softmax(t / temperature, axis=-1)
        return (ops.softmax(s / temperature, axis=-1) - p) / temperature

    return gradient


def jensen_shannon(temperature: Tensor, beta: Tensor) -> Formula:
    """`beta · KL(p ‖ m) + (1 - beta) · KL(q ‖ m)`, `m = beta · p + (1 - beta) · q`."""
    # With x = log(beta · p) - log((1 - beta) · q), both logarithms are a softplus:
    # log p/m = -log beta - softplus(-x), log q/m = -log(1 - beta) - softplus(x).
    log_p_share, log_q_share = ops.log(beta), ops.log1p(-beta)
    shift = log_p_share - log_q_share

    def value(t: Tensor, s: Tensor) -> Tensor:
        log_p = log_softmax(t, temperature)
        x = log_p - log_softmax(s, temperature) + shift
        p = ops.exp(log_p)
        del log_p
        of_p = -log_p_share - ops.sum(p * ops.softplus(-x), axis=-1)
        del p
        q = ops.softmax(s / temperature, axis=-1)
        of_q = -log_q_share - ops.sum(q * ops.softplus(x), axis=-1)
        return beta * of_p + (1.0 - beta) * of_q

    def gradient(t: Tensor, s: Tensor) -> Tensor:
        # By q, what the mixture changes cancels: (1 - beta) log q/m is all that is left, and its
        # constant falls out of a gradient by logits.
        def gain(log_q: Tensor) -> Tensor:
            x = log_softmax(t, temperature) - log_q + shift
            return (beta - 1.0) * ops.softplus(x)

        return _by_logits(s, temperature, gain)

    return value, gradient


def skew_kl(temperature: Tensor, lam: Tensor) -> Formula:
    """`KL(p ‖ m)`, `m = lam · p + (1 - lam) · q`."""
    log_share = ops.log(lam)
    shift = log_share - ops.log1p(-lam)
    # With x = log(lam · p) - log((1 - lam) · q): log p/m = -log lam - softplus(-x), and
    # lam · p/m = sigmoid(x).

    def value(t: Tensor, s: Tensor) -> Tensor:
        log_p = log_softmax(t, temperature)
        x = log_p - log_softmax(s, temperature) + shift
        p = ops.exp(log_p)
        del log_p
        return -log_share - ops.sum(p * ops.softplus(-x), axis=-1)

    def gradient(t: Tensor, s: Tensor) -> Tensor:
        def gain(log_q: Tensor) -> Tensor:
            x = log_softmax(t, temperature) - log_q + shift
            return (lam - 1.0) / lam * ops.sigmoid(x)

        return _by_logits(s, temperature, gain)

    return value, gradient


def skew_reverse_kl(temperature: Tensor, lam: Tensor) -> Formula:
    """`KL(q ‖ m)`, `m = (1 - lam) · p + lam · q`."""
    log_share = ops.log(lam)
    shift = log_share - ops.log1p(-lam)

    def value(t: Tensor, s: Tensor) -> Tensor:
        log_q = log_softmax(s, temperature)
        x = log_q - log_softmax(t, temperature) + shift
        q = ops.exp(log_q)
        del log_q
        return -log_share - ops.sum(q * ops.softplus(-x), axis=-1)

    def gradient(t: Tensor, s: Tensor) -> Tensor:
        # log q/m - lam · q/m, but for constants.
        def gain(log_q: Tensor) -> Tensor:
            x = log_q - log_softmax(t, temperature) + shift
            return -ops.softplus(-x) - ops.sigmoid(x)

        return _by_logits(s, temperature, gain)

    return value, gradient
