"""Soft targets of which some classes were drawn."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.messages import shape_of
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._custom_gradients import Formula, scaled
from keras_kd.losses._rows import RowLoss
from keras_kd.losses._sparse import _changed


@serializable
class SampledSoftTarget(RowLoss):
    """Cross-entropy to classes drawn from the teacher's distribution.

    For large vocabularies and stored outputs. The k largest logits, as `SparseSoftTarget` takes
    them, say nothing of how the rest of the probability is spread, so the student learns that part
    from itself. Draws reach every class, in proportion: their gradient is on average that of all
    logits, and no bucket for the rest is needed.

    With `q = softmax(y_pred / T)`, and the classes `c_i` drawn with the weights `w_i`:

    `loss = -T² · Σ_i w_i · log q_(c_i)`

    The mean over the draws is `T² · Σ_c p_c · (-log q_c)`: `SoftTarget`'s divergence plus `T²` times
    the teacher's entropy, a constant, so that the loss does not go down to 0.

    The weights are those of the very `T`: outputs drawn at temperature 1 serve at 1 only.

    Shapes: `y_true` is a pair: the weights `(batch, ..., k)` and the class numbers
    `(batch, ..., k)`; `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`. A row
    with fewer draws is filled up with any class, at weight 0.

    Args:
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0, or the two tensors do not belong together.

    Example:

    >>> weights, classes = [[0.5, 0.5]], [[0, 2]]  # two draws
    >>> loss = keras_kd.losses.SampledSoftTarget()
    >>> round(float(loss((weights, classes), [[0.0, 0.0, 0.0]])), 4)  # ln 3
    1.0986

    Reference: Anshumann et al., "Sparse Logit Sampling: Accelerating Knowledge Distillation in
    LLMs", ACL 2025, arXiv:2503.16870, section 3.
    """

    same_shape = False

    def __init__(self, temperature: Number = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.temperature = positive(temperature, "temperature")

    def prepared(self, y_true: Any, logits: keras.KerasTensor) -> Any:
        if not isinstance(y_true, tuple) or len(y_true) != 2 or not _alike(*y_true, logits):
            shapes = [shape_of(x) for x in (y_true if isinstance(y_true, tuple) else (y_true,))]
            raise ValueError(
                "The target is (weights, class numbers), both of shape (batch, ..., k), as "
                "keras_kd.stores.write(..., sampled=k) stores them, for logits of shape "
                f"(batch, ..., classes). Received a target of {', '.join(map(str, shapes))} for "
                f"logits of shape {shape_of(logits)}."
            )
        weights, classes = y_true
        return weights, ops.cast(classes, "int32")

    def formula(self) -> Formula:
        return scaled((self._value, self._gradient), self.temperature**2)

    def _value(self, target: Tensor, logits: Tensor) -> Tensor:
        weights, classes = target
        s = logits / self.temperature
        log_q = ops.take_along_axis(s, classes, axis=-1) - ops.logsumexp(s, axis=-1, keepdims=True)
        return -ops.sum(weights * log_q, axis=-1)

    def _gradient(self, target: Tensor, logits: Tensor) -> Tensor:
        """`q · Σw - w`, where a class that was drawn several times has all of its weights."""
        weights, classes = target
        total = ops.sum(weights, axis=-1, keepdims=True)
        gradient = total * ops.softmax(logits / self.temperature, axis=-1)
        # Each of equal draws writes the same number, that of all of them.
        same = ops.equal(ops.expand_dims(classes, -1), ops.expand_dims(classes, -2))
        drawn = ops.sum(ops.cast(same, weights.dtype) * ops.expand_dims(weights, -2), axis=-1)
        known = ops.take_along_axis(gradient, classes, axis=-1) - drawn
        return _changed(gradient, classes, known) / self.temperature


def _alike(weights: Tensor, classes: Tensor, logits: Tensor) -> bool:
    return shape_of(weights) == shape_of(classes) and len(weights.shape) == len(logits.shape)
