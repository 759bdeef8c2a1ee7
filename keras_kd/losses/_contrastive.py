"""Losses on embeddings: to be nearer to one's own than to the others'."""

import math
from typing import Any

import keras
from keras import ops

from keras_kd._core.geometry import bounded, flat, unit
from keras_kd._core.messages import shape_of
from keras_kd._core.registry import formerly, serializable
from keras_kd._core.scalars import Number, count, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss


@serializable
class ContrastiveMatch(Loss):
    """Cross-entropy of finding one's own teacher's embedding among the others'.

    The student's embedding of an example is to be nearer to the teacher's embedding of that
    example than to any other. More others make it harder and better: the batch, and below it
    whatever a queue still holds.

    With all embeddings divided by their length and `z_ij = (s_i · t_j) / T`:

    `loss = -log(exp(z_ii) / Σ_j exp(z_ij))`

    With one embedding in the target there is nothing to distinguish, and the loss is 0. An embedding
    shorter than a tenth of the batch's mean length has a gradient that fades out towards zeros.

    Shapes: `y_pred` `(batch, features)`; `y_true` `(batch + others, features)`, the batch's own
    embeddings first, then any number of others (a queue's); one value per example, which depends
    on the others.

    Args:
        temperature: `T`, above 0; a float or a schedule. Defaults to `0.07`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0, or the two sides' features differ in number.

    Example:

    >>> loss = keras_kd.losses.ContrastiveMatch(temperature=1.0)
    >>> teacher = [[1.0, 0.0], [0.0, 1.0]]
    >>> round(float(loss(teacher, teacher)), 4)  # ln(1 + 1/e)
    0.3133

    Reference: Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020,
    arXiv:1910.10699, section 3; the softmax over the batch and a queue is that of He et al.,
    "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020,
    arXiv:1911.05722, section 3.1.
    """

    joins_positions = True
    same_shape = False
    relational = True

    def __init__(self, temperature: Number = 0.07, **kwargs: Any):
        super().__init__(**kwargs)
        self.temperature = positive(temperature, "temperature")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if y_true.shape[-1] != y_pred.shape[-1]:
            raise ValueError(
                "Embeddings are compared by their product and need the same number of features. "
                f"Received shapes {shape_of(y_true)} and {shape_of(y_pred)}. Give both sides of "
                "the term a projector, such as a linear layer to 128."
            )
        t, s = unit(flat(y_true)), unit(flat(y_pred))
        z = ops.matmul(s, ops.transpose(t)) / self.temperature
        own = ops.sum(s * t[: ops.shape(s)[0]], axis=-1) / self.temperature
        return ops.logsumexp(z, axis=-1) - own


@serializable
class NoiseContrastive(Loss):
    """Noise-contrastive loss: the score of the true pair against the scores of random pairs.

    For memory banks: of a data set of N examples, K are drawn at random for each example; the loss
    is small where the score of the true pair is high and those of the drawn pairs are low. The
    embeddings, the bank, the drawing and the scores are those of the projector
    `keras_kd.projectors.MemoryBank`.

    With `P = exp(score)`, the true pair's first, and `c = K / N`:

    `loss = -log(P_0 / (P_0 + c)) - Σ_k log(c / (P_k + c))`

    computed with softplus, so that no score is too large or too small, and the published code's
    `+ 1e-7` in the denominators is not needed. Of several directions, the student's embedding
    among the teacher's and the other way round, the costs are added.

    Shapes: `y_pred` scores `(batch, 1 + K)`: logarithms of the odds `exp(s·t/T) / Z`, the true
    pair's in the first column; or a tuple of such scores, one for each direction. `y_true` is not
    read, for the scores hold the target already: any signal will do; one value per example.

    Args:
        examples: `N`, the number of examples of the data set that the pairs are drawn from.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `examples` is not a whole number above 0, or there is no score beside the
            first.

    Example:

    >>> loss = keras_kd.losses.NoiseContrastive(examples=2)  # with two drawn, c = 1
    >>> round(float(loss([0], [[0.0, 0.0, 0.0]])), 4)  # three times ln 2
    2.0794

    Reference: Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020,
    arXiv:1910.10699, section 3.1 and its appendix on the memory bank.
    """

    same_shape = False

    def __init__(self, examples: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.examples = count(examples, "examples")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return sum(self._cost(scores) for scores in keras.tree.flatten(y_pred))

    def _cost(self, scores: Tensor) -> Tensor:
        if len(scores.shape) != 2 or scores.shape[-1] < 2:
            raise ValueError(
                "The scores are (batch, 1 + K): the true pair's, then those of K drawn pairs. "
                f"Received shape {shape_of(scores)}."
            )
        odds = scores - math.log((scores.shape[-1] - 1) / self.examples)
        return ops.softplus(-odds[:, 0]) + ops.sum(ops.softplus(odds[:, 1:]), axis=-1)


#: Embeddings of variance 1 that differ by no more than this, in one feature, are as good as equal.
_MET = 0.1


@formerly("PooledPower")
@serializable
class LogPowerDistance(Loss):
    """Logarithm of the fourth powers of the differences between two normalized embeddings.

    A simple and strong loss on pooled features: batch normalization on both sides and a linear
    map on the student's are projectors, and the power makes the largest differences count most.

    `loss = 2 · log Σ |y_pred - y_true|^power`, the sum over the whole batch

    There is one sum, so every example has the same value. It can be below 0; a sum below 1e-30
    counts as 1e-30, for the logarithm of 0 is not a number, and the gradient fades out below
    `0.1^power`, for it would grow without bound as the two sides meet.

    Shapes: `y_true`, `y_pred` `(batch, ...)`; one value per example, which depends on the others.

    Args:
        power: Power of the differences, above 0; a float or a schedule. Defaults to `4.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `power` is not above 0.

    Example:

    >>> loss = keras_kd.losses.LogPowerDistance()
    >>> round(float(loss([[0.0, 0.0]], [[1.0, 1.0]])), 4)  # 2 · ln(1 + 1)
    1.3863

    Reference: Miles, Mikolajczyk, "Understanding the Role of the Projector in Knowledge
    Distillation", AAAI 2024, arXiv:2303.11098, section 3.
    """

    joins_positions = True
    relational = True

    def __init__(self, power: Number = 4.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.power = positive(power, "power")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        # Away from 0 by less than matters, where a power's gradient may not exist.
        gap = ops.maximum(ops.abs(flat(y_pred) - flat(y_true)), 1e-12)
        total = ops.maximum(ops.sum(ops.power(gap, self.power)), 1e-30)
        value = bounded(2.0 * ops.log(total), total / _MET**self.power)
        return value * ops.ones_like(gap[:, 0])
