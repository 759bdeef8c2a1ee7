"""Targets of a teacher whose classes are others than the student's."""

from typing import Any

from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._custom_gradients import Formula
from keras_kd.losses._rows import RowLoss


@serializable
class UniversalLogit(RowLoss):
    """Sum of the absolute differences of two distributions, each sorted downwards.

    For a teacher with another tokenizer, whose classes are others than the student's: which class
    is which is not asked, only how the probability is spread, from the likeliest class to the
    last. It says nothing of which token is right, so it stands beside the labels. The positions of
    both sides have to be made to correspond by whoever feeds the data.

    With `p = softmax(y_true / T)` and `q = softmax(y_pred / T)`, both sorted from the largest down
    and the shorter filled up with zeros:

    `loss = Σ_i |p_(i) - q_(i)|`

    It lies between 0 and 2. There is no factor `T²`.

    Shapes: `y_true` logits `(batch, ..., classes)`; `y_pred` logits `(batch, ..., classes)`, with
    as many classes or others; one value per `(batch, ...)`.

    Args:
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0.

    Example:

    >>> loss = keras_kd.losses.UniversalLogit()
    >>> round(float(loss([[0.0, 50.0, 0.0]], [[0.0, 0.0]])), 4)  # (1, 0, 0) and (1/2, 1/2, 0)
    1.0

    Reference: Boizard et al., "Towards Cross-Tokenizer Distillation: the Universal Logit
    Distillation Loss for LLMs", TMLR 2025, arXiv:2402.12030, section 3.
    """

    same_shape = False
    own_classes = True

    def __init__(self, temperature: Number = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.temperature = positive(temperature, "temperature")

    def formula(self) -> Formula:
        return self._value, self._gradient

    def _value(self, target: Tensor, logits: Tensor) -> Tensor:
        return sorted_gap(*(ops.softmax(x / self.temperature, axis=-1) for x in (target, logits)))

    def _gradient(self, target: Tensor, logits: Tensor) -> Tensor:
        p = _sorted(ops.softmax(target / self.temperature, axis=-1))
        q = ops.softmax(logits / self.temperature, axis=-1)
        order = ops.argsort(-q, axis=-1)
        width = q.shape[-1]
        gap = ops.take_along_axis(q, order, axis=-1) - _filled(p, width)[..., :width]
        place = ops.argsort(order, axis=-1)  # of each class in the order
        gain = ops.take_along_axis(ops.sign(gap), place, axis=-1)
        return q * (gain - ops.sum(q * gain, axis=-1, keepdims=True)) / self.temperature


def sorted_gap(p: Tensor, q: Tensor) -> Tensor:
    """Sum of the absolute differences of two rows of probabilities, each sorted downwards."""
    p, q = _sorted(p), _sorted(q)
    width = max(p.shape[-1], q.shape[-1])
    return ops.sum(ops.abs(_filled(q, width) - _filled(p, width)), axis=-1)


def _sorted(x: Tensor) -> Tensor:
    return -ops.sort(-x, axis=-1) if x.shape[-1] else x  # TensorFlow has no gradient of none


def _filled(x: Tensor, width: int) -> Tensor:
    """`x` with zeros behind it, to this width at least."""
    missing = max(width - x.shape[-1], 0)
    return ops.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(0, missing)])
