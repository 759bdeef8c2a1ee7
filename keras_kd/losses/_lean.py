"""Divergences between rows of logits that keep nothing of the logits' size for the gradient.

With a large vocabulary the logits are the largest tensors of a step. Left to itself, automatic
differentiation keeps every intermediate of their size; here the gradient is written out and
computed from the logits again. None flows to the target, nor to the temperature.
"""

from collections.abc import Callable
from typing import Any

from keras import ops


def _lean(value: Callable[..., Any], slope: Callable[..., Any], target: Any, pred: Any) -> Any:
    """`value(target, pred)`, one per row, with the gradient `slope(target, pred)` by `pred`."""
    target = ops.stop_gradient(target)

    @ops.custom_gradient
    def rows(pred: Any) -> Any:
        def grad(*args: Any, upstream: Any = None) -> Any:
            up = args[0] if upstream is None else upstream
            return ops.expand_dims(up, -1) * slope(target, pred)

        return value(target, pred), grad

    return rows(pred)


def log_mix(log_a: Any, log_b: Any, share: Any) -> Any:
    """`log((1 - share) · a + share · b)`, with a smooth gradient where the two are equal."""
    share = ops.cast(share, log_a.dtype)
    log_a, log_b = log_a + ops.log1p(-share), log_b + ops.log(share)
    gap = log_b - log_a
    return ops.where(gap < 0, log_a + ops.softplus(gap), log_b + ops.softplus(-gap))


def kl(log_p: Any, log_q: Any) -> Any:
    """`Σ p (log p - log q)` of log-probabilities."""
    return ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


def _log_softmax(logits: Any, temperature: Any) -> Any:
    return ops.log_softmax(logits / temperature, axis=-1)


def _centred(log_q: Any, gain: Any, temperature: Any) -> Any:
    """Gradient by the logits of a sum whose gradient by `q` is `gain`."""
    q = ops.exp(log_q)
    return q * (gain - ops.sum(q * gain, axis=-1, keepdims=True)) / temperature


def forward_kl(target: Any, pred: Any, temperature: Any) -> Any:
    """`KL(p ‖ q)` of softened logits: `p` the target's, `q` the prediction's."""

    def value(t: Any, s: Any) -> Any:
        return kl(_log_softmax(t, temperature), _log_softmax(s, temperature))

    def slope(t: Any, s: Any) -> Any:
        q = ops.softmax(s / temperature, axis=-1)
        return (q - ops.softmax(t / temperature, axis=-1)) / temperature

    return _lean(value, slope, target, pred)


def reverse_kl(target: Any, pred: Any, temperature: Any) -> Any:
    """`KL(q ‖ p)` of softened logits: `p` the target's, `q` the prediction's."""

    def value(t: Any, s: Any) -> Any:
        return kl(_log_softmax(s, temperature), _log_softmax(t, temperature))

    def slope(t: Any, s: Any) -> Any:
        log_q = _log_softmax(s, temperature)
        return _centred(log_q, log_q - _log_softmax(t, temperature), temperature)

    return _lean(value, slope, target, pred)


def jensen_shannon(target: Any, pred: Any, temperature: Any, beta: Any) -> Any:
    """`beta · KL(p ‖ m) + (1 - beta) · KL(q ‖ m)`, `m = beta · p + (1 - beta) · q`."""

    def value(t: Any, s: Any) -> Any:
        log_p, log_q = _log_softmax(t, temperature), _log_softmax(s, temperature)
        log_m = log_mix(log_q, log_p, beta)
        return beta * kl(log_p, log_m) + (1.0 - beta) * kl(log_q, log_m)

    def slope(t: Any, s: Any) -> Any:
        log_q = _log_softmax(s, temperature)
        log_m = log_mix(log_q, _log_softmax(t, temperature), beta)
        # By q, what the mixture changes cancels: (1 - beta) (log q - log m) is all that is left.
        return _centred(log_q, (1.0 - beta) * (log_q - log_m), temperature)

    return _lean(value, slope, target, pred)
