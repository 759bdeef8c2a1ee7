"""Targets of which only the largest logits are known."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_kd._core.hard_labels import NEVER
from keras_kd._core.messages import shape_of
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._custom_gradients import Formula, reverse_kl, scaled
from keras_kd.losses._divergences import between, share_or_end
from keras_kd.losses._rows import RowLoss

#: A rest of the teacher's probability below this cannot be told from none, by float32.
_FAINT = 1e-7
#: A sum of exponentials below this, as a part of the largest, is taken by its logarithm.
_FAR = 1e-30


class _Shares(NamedTuple):
    """What value and gradient need of the student's logits."""

    others: Tensor  # exponentials, as parts of the largest one: 0 at known classes, if not all are
    rest: Any  # the sum of these; `None` if all are known
    every: Tensor  # the sum over all classes
    log_q: Tensor  # of the known classes
    softened: Tensor


class _Sparse(RowLoss):
    """What the losses share whose target is a teacher's largest logits."""

    same_shape = False

    def prepared(self, y_true: Any, logits: keras.KerasTensor) -> Any:
        values, classes, log_sum_exp = y_true
        if shape_of(values) != shape_of(classes) or len(values.shape) != len(log_sum_exp.shape) + 1:
            raise ValueError(
                "The target is (largest logits, class numbers, log-sum-exp) of shapes "
                "(batch, ..., k), (batch, ..., k) and (batch, ...). Received shapes "
                f"{shape_of(values)}, {shape_of(classes)} and {shape_of(log_sum_exp)}."
            )
        classes = ops.cast(classes, "int32")
        log_p = values / self.temperature - ops.expand_dims(log_sum_exp, -1)
        return log_p, classes


@serializable
class SparseSoftTarget(_Sparse):
    """Soft target from the teacher's k largest logits; the other classes are one bucket.

    For large vocabularies and stored outputs: the largest hundred logits of a hundred thousand hold
    nearly all of a teacher's probability. The loss is never larger than `SoftTarget` on all logits,
    and equal to it when all logits are given.

    With `p_c = exp(v_c / T - L)` for the k known classes, `q = softmax(y_pred / T)`, and
    `p_rest`, `q_rest` what they leave of 1:

    `loss = T² · [Σ_k p_k · log(p_k / q_k) + p_rest · log(p_rest / q_rest)]`

    `L` is the log-sum-exp of **all** of the teacher's logits divided by the same `T`: outputs
    stored with the log-sum-exp at temperature 1 can be used at temperature 1 only.

    Shapes: `y_true` is a triple: the largest logits `v` `(batch, ..., k)`, their class numbers
    `(batch, ..., k)`, and `L` `(batch, ...)`; `y_pred` logits `(batch, ..., classes)`; one value
    per `(batch, ...)`. A row with fewer than `k` logits is filled up with its first class, at a
    logit so low that its probability is 0, such as -10,000.

    Args:
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0, or the three tensors do not belong together.

    Example:

    >>> largest, classes, log_sum_exp = [[2.0]], [[0]], [np.log(np.exp(2.0) + 2.0)]
    >>> loss = keras_kd.losses.SparseSoftTarget()  # the teacher's logits were (2, 0, 0)
    >>> round(float(loss((largest, classes, log_sum_exp), [[0.0, 0.0, 0.0]])), 4)
    0.433

    That is `.787 · ln(.787 / (1/3)) + .213 · ln(.213 / (2/3))`.

    Reference: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    arXiv:1503.02531, section 2, on the classes that are known and the sum of the rest.
    """

    def __init__(self, temperature: Number = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.temperature = positive(temperature, "temperature")

    def formula(self) -> Formula:
        def value(target: Tensor, logits: Tensor) -> Tensor:
            return self._value(target, self._shares(target, logits))

        def gradient(target: Tensor, logits: Tensor) -> Tensor:
            return self._gradient(target, self._shares(target, logits), 1.0)

        return scaled((value, gradient), self.temperature**2)

    def at_once(self, target: Tensor, logits: Tensor) -> tuple[Tensor, Callable[[Any], Any]]:
        shares, square = self._shares(target, logits), self.temperature**2
        return square * self._value(target, shares), (
            lambda upstream: self._gradient(
                target, shares, ops.expand_dims(square * upstream, axis=-1)
            )
        )

    def _shares(self, target: Tensor, logits: Tensor) -> _Shares:
        classes = target[1]
        s = _softened(logits, self.temperature)
        most = ops.max(s, axis=-1, keepdims=True)
        above, each = _taken(s, classes) - most, _exponentials(s, most)
        if classes.shape[-1] == logits.shape[-1]:  # nothing is left
            every = ops.sum(each, axis=-1, keepdims=True)
            return _Shares(each, None, every, above - ops.log(every), s)
        others = _changed(each, classes, 0.0, give_way=True)
        rest = ops.sum(others, axis=-1, keepdims=True)
        again = ops.cast(ops.equal(classes[..., 1:], classes[..., :1]), s.dtype)
        known = ops.exp(above) * ops.concatenate([ops.ones_like(above[..., :1]), 1.0 - again], -1)
        every = rest + ops.sum(known, axis=-1, keepdims=True)
        return _Shares(others, rest, every, above - ops.log(every), s)

    def _value(self, target: Tensor, shares: _Shares) -> Tensor:
        log_p, classes = target
        _, rest, every, log_q, s = shares
        known = ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)
        if rest is None:
            return known

        def of_logs() -> Tensor:
            apart = ops.logsumexp(_changed(s, classes, NEVER), axis=-1)
            return apart - ops.logsumexp(s, axis=-1)

        def of_sum() -> Tensor:
            return ops.log(ops.maximum(rest, _FAR)[..., 0]) - ops.log(every[..., 0])

        log_q_rest = ops.cond(ops.any(rest < _FAR), of_logs, of_sum)
        p_rest = _rest(log_p)
        # 0 · log 0 is 0; the floor keeps the logarithm finite.
        log_p_rest = ops.log(ops.maximum(p_rest, 1e-30))
        return known + p_rest * (log_p_rest - log_q_rest)

    def _gradient(self, target: Tensor, shares: _Shares, upstream: Any) -> Tensor:
        """`q · Σp - p` at the known classes; elsewhere the rest, shared as the logits share it."""
        log_p, classes = target
        others, rest, every, log_q, s = shares
        upstream = upstream / self.temperature
        p = ops.exp(log_p)
        total = ops.sum(p, axis=-1, keepdims=True)
        # What fills a row up has the first class's gradient as well: it is written to one place.
        p = ops.where(ops.equal(classes, classes[..., :1]), p[..., :1], p)
        if rest is None:
            gradient = others * (total / every * upstream)
        else:
            p_rest = ops.expand_dims(_rest(log_p), -1)
            total = total + p_rest

            def of_logs() -> Tensor:
                of_rest = ops.softmax(_changed(s, classes, NEVER), axis=-1)
                return (total * ops.softmax(s, axis=-1) - p_rest * of_rest) * upstream

            def of_sum() -> Tensor:
                return others * ((total / every - p_rest / ops.maximum(rest, _FAR)) * upstream)

            gradient = ops.cond(ops.any(rest < _FAR), of_logs, of_sum)
        known = (total * ops.exp(log_q) - p) * upstream
        return _changed(gradient, classes, known, give_way=True)


@serializable
class SparseReverseKL(_Sparse):
    """Reverse divergence to the teacher's k largest logits; the other classes are one bucket.

    `ReverseKL` where only a part of the teacher's logits is known. Without the bucket a student
    could give everything to classes of which nothing is known, and the loss would fall below 0;
    with it the loss is a divergence: never below 0, and 0 where both agree.

    With `p_c = exp(v_c / T - L)` for the k known classes, `q = softmax(y_pred / T)`, and `p_rest`,
    `q_rest` what they leave of 1, `p_rest` at least 1e-7:

    `loss = Σ_k q_k · log(q_k / p_k) + q_rest · log(q_rest / p_rest)`

    It is not larger than `ReverseKL` on all logits, but for the rounding of a rest near 0, and equal
    to it when all logits are given.
    There is no factor `T²`.

    Shapes: as `SparseSoftTarget`.

    Args:
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0, or the three tensors do not belong together.

    Example:

    >>> largest, classes, log_sum_exp = [[2.0]], [[0]], [np.log(np.exp(2.0) + 2.0)]
    >>> loss = keras_kd.losses.SparseReverseKL()  # the teacher's logits were (2, 0, 0)
    >>> round(float(loss((largest, classes, log_sum_exp), [[0.0, 0.0, 0.0]])), 4)
    0.4743

    That is `1/3 · ln((1/3) / .787) + 2/3 · ln((2/3) / .213)`.

    Reference: Gu et al., "MiniLLM: Knowledge Distillation of Large Language Models", ICLR 2024,
    arXiv:2306.08543, section 2.1, on the classes that are known and the sum of the rest.
    """

    def __init__(self, temperature: Number = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.temperature = positive(temperature, "temperature")

    def formula(self) -> Formula:
        return _bucketed(reverse_kl(1.0), self.temperature)


@serializable
class SparseJensenShannon(_Sparse):
    """Generalized Jensen-Shannon divergence to the k largest logits; the rest is one bucket.

    `JensenShannon` where only a part of the teacher's logits is known: over the k known classes
    and one that stands for all others. It is never below 0, never larger than `JensenShannon` on
    all logits, and equal to it when all logits are given. There is no factor `T²`.

    With `p` and `q` over these classes, as in `SparseReverseKL`, and `m = beta · p + (1 - beta) · q`:

    `loss = beta · KL(p ‖ m) + (1 - beta) · KL(q ‖ m)`

    Shapes: as `SparseSoftTarget`.

    Args:
        beta: Share of the teacher in the mixture, from 0 to 1; a float, or a schedule that stays
            between the ends. 0 is `KL(p ‖ q)`, 1 is `KL(q ‖ p)`. Defaults to `0.5`.
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `beta` is not between 0 and 1, `temperature` is not above 0, or the three
            tensors do not belong together.

    Example:

    >>> largest, classes, log_sum_exp = [[50.0]], [[0]], [50.0]
    >>> loss = keras_kd.losses.SparseJensenShannon()  # the teacher's logits were (50, 0, 0)
    >>> round(float(loss((largest, classes, log_sum_exp), [[0.0, 50.0, 0.0]])), 4)  # ln 2
    0.6931

    Reference: Agarwal et al., "On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes", ICLR 2024, arXiv:2306.13649, section 2, on the classes that are known
    and the sum of the rest.
    """

    def __init__(self, beta: Number = 0.5, temperature: Number = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.beta = share_or_end(beta)
        self.temperature = positive(temperature, "temperature")

    def formula(self) -> Formula:
        return _bucketed(between(1.0, self.beta, self.dtype), self.temperature)


def _bucketed(formula: Formula, temperature: Tensor) -> Formula:
    """A formula of logits, over the known classes and one that stands for the rest.

    The logit of that one is the log-sum-exp of the rest's, among which its gradient is shared as
    they share its probability.
    """
    value, gradient = formula

    def sides(target: Any, logits: Tensor) -> tuple[Tensor, Tensor, Any]:
        log_p, classes = target
        s = logits / temperature
        fills = _fills(classes)
        p = ops.where(fills, NEVER, log_p)
        q = ops.where(fills, NEVER, ops.take_along_axis(s, classes, axis=-1))
        if classes.shape[-1] == logits.shape[-1]:  # nothing is left
            return p, q, None
        rest = _changed(s, classes, NEVER)
        p_rest = ops.log(ops.maximum(ops.expand_dims(_rest(log_p), -1), _FAINT))
        q_rest = ops.logsumexp(rest, axis=-1, keepdims=True)
        return ops.concatenate([p, p_rest], -1), ops.concatenate([q, q_rest], -1), rest

    def bucket_value(target: Any, logits: Tensor) -> Tensor:
        p, q, _ = sides(target, logits)
        return value(p, q)

    def bucket_gradient(target: Any, logits: Tensor) -> Tensor:
        classes = target[1]
        count = classes.shape[-1]
        p, q, rest = sides(target, logits)
        slopes = gradient(p, q) / temperature
        known = slopes[..., :count]
        known = ops.where(_fills(classes), known[..., :1], known)  # written to one place
        others = ops.zeros_like(logits)
        if rest is not None:
            others = ops.softmax(rest, axis=-1) * slopes[..., count:]
        return _changed(others, classes, known)

    return bucket_value, bucket_gradient


def _fills(classes: Tensor) -> Tensor:
    """Where a row with fewer classes was filled up with its first."""
    again = ops.equal(classes, classes[..., :1])
    return ops.logical_and(again, ops.arange(classes.shape[-1]) > 0)


def _rest(log_p: Tensor) -> Tensor:
    """What the known probabilities leave of 1."""
    return ops.maximum(-ops.expm1(ops.logsumexp(log_p, axis=-1)), 0.0)


def _softened(logits: Tensor, temperature: Any) -> Tensor:
    return logits if isinstance(temperature, float) and temperature == 1 else logits / temperature


def _taken(s: Tensor, classes: Tensor) -> Tensor:
    return ops.take_along_axis(s, classes, axis=-1)


def _exponentials(s: Tensor, most: Tensor) -> Tensor:
    apart = s - most
    return apart.exp_() if keras.config.backend() == "torch" else ops.exp(apart)


def _changed(rows: Tensor, classes: Any, to: Any, *, give_way: bool = False) -> Tensor:
    """`rows` `(..., classes)` with other numbers at the known classes; `rows` itself may `give_way`,
    where arrays are changed in place."""
    flat = ops.reshape(rows, (-1, rows.shape[-1]))
    row = ops.repeat(ops.arange(ops.shape(flat)[0], dtype="int32"), classes.shape[-1])
    column = ops.reshape(classes, (-1,))
    new = ops.broadcast_to(ops.cast(to, rows.dtype), ops.shape(classes))
    if give_way and keras.config.backend() == "torch":
        flat[row, column] = ops.reshape(new, (-1,))
        return ops.reshape(flat, ops.shape(rows))
    where = ops.stack([row, column], axis=1)
    changed = ops.scatter_update(flat, where, ops.reshape(new, (-1,)))
    return ops.reshape(changed, ops.shape(rows))
