"""Losses between kernels: similarities seen as probabilities, moments, or a Gaussian's."""

import math
from typing import Any

from keras import ops

from keras_kd._core.geometry import FAINT, fading, flat, length, square, unit
from keras_kd._core.registry import formerly, serializable
from keras_kd._core.scalars import Number, count, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss
from keras_kd.losses._feature_maps import positions, to_smaller


@formerly("ProbabilityMatch")
@serializable
class NeighborDistribution(Loss):
    """Divergence between the odds, in both networks, that one example leads to another.

    An example's neighbors in the batch become a probability distribution, which the student is
    to match. For pooled features of any width.

    With cosine similarities `c`, `k = (c + 1) / 2`, and `p_ij = k_ij / Σ_j k_ij`, the example
    itself included:

    `loss = mean over j of p_true · log((p_true + 1e-7) / (p_pred + 1e-7))`

    The mean over j, not the sum: the value is small, and the usual weight is 30000. An example
    shorter than a tenth of the batch's mean length has a gradient that fades out towards zeros.

    Shapes: `y_true`, `y_pred` `(batch, ...)`; one value per example, which depends on the others.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.NeighborDistribution()
    >>> teacher = [[1.0], [-1.0]]  # opposite: each leads to itself
    >>> student = [[1.0], [1.0]]  # alike: one half each
    >>> round(float(loss(teacher, student)), 4)  # ln 2 / 2
    0.3466

    Reference: Passalis, Tefas, "Learning Deep Representations with Probabilistic Knowledge
    Transfer", ECCV 2018, arXiv:1803.10837, section 3.
    """

    joins_positions = True
    same_shape = False
    relational = True

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        p, q = _neighbor_probabilities(y_true), _neighbor_probabilities(y_pred)
        return ops.mean(p * (ops.log(p + 1e-7) - ops.log(q + 1e-7)), axis=-1)


def _neighbor_probabilities(x: Tensor) -> Tensor:
    x = flat(x)
    x = fading(x / (length(x, keepdims=True) + 1e-7), square(x, keepdims=True))
    # Rounding may pass -1 by a hair; a vector of zeros is half like everything.
    kernel = ops.maximum((ops.matmul(x, ops.transpose(x)) + 1.0) / 2.0, 0.0)
    return kernel / ops.sum(kernel, axis=-1, keepdims=True)


@formerly("SelectivityMatch")
@serializable
class MaximumMeanDiscrepancy(Loss):
    """Distance between the patterns over the picture that the channels respond to.

    Each channel is one sample of what a network selects; the two sets of samples are to come from
    one distribution (maximum mean discrepancy). Channels need not correspond, nor be as many.

    With the channels of a map flattened and divided by their length, and `K(a, b) = (a·b)²`:

    `loss = mean K(t, t) + mean K(s, s) - 2 · mean K(s, t)`, means over pairs of channels

    The larger map is averaged down to the smaller. A channel of zeros stays zeros,
    and the gradient fades out towards it.

    Shapes: `y_true`, `y_pred` `(batch, height, width, channels)`, or channels first when
    `keras.config.image_data_format()` is `"channels_first"`, or `(batch, positions, channels)`; one
    value per example.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If one side is a map and the other is not, or maps of different sizes have
            sizes that are not known.

    Example:

    >>> loss = keras_kd.losses.MaximumMeanDiscrepancy()
    >>> teacher = np.array([[[3.0], [0.0]]])  # one channel, on the first of two positions
    >>> student = np.array([[[0.0], [2.0]]])  # on the second
    >>> round(float(loss(teacher, student)), 4)  # 1 + 1 - 2 · 0
    2.0

    Reference: Huang, Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity
    Transfer", 2017, arXiv:1707.01219, section 4.
    """

    joins_positions = True
    same_shape = False

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        # Channels differ by more than examples do, and a weak one is no blank one.
        t, s = (unit(positions(x), 1, FAINT / 10) for x in to_smaller(y_true, y_pred))
        return _kernel_mean(t, t) + _kernel_mean(s, s) - 2.0 * _kernel_mean(s, t)


def _kernel_mean(a: Tensor, b: Tensor) -> Tensor:
    products = ops.matmul(ops.transpose(a, (0, 2, 1)), b)
    return ops.mean(ops.square(products), axis=(1, 2))


@serializable
class CorrelationCongruence(Loss):
    """Squared difference of the correlations between a batch's examples, under a Gaussian kernel.

    Like `SimilarityMatrix`, but a kernel's higher orders distinguish near from very near.

    With `e` the embeddings divided by their length and the Taylor series of a Gaussian,
    `C_ij = Σ_{n=0}^{order} exp(-2·gamma) · (2·gamma)ⁿ / n! · (e_i · e_j)ⁿ`:

    `loss = Σ_j (C_pred - C_true)²_ij / batch`

    so that the mean over the examples is the paper's: the squared Frobenius norm over batch² (not
    the norm itself). An embedding shorter than a tenth of the batch's mean length has a gradient
    that fades out towards zeros.

    Shapes: `y_true`, `y_pred` `(batch, ...)`; one value per example, which depends on the others.

    Args:
        gamma: Width of the kernel, above 0; a float or a schedule. Defaults to `0.4`.
        order: Highest order of the series, 1 or more. Defaults to `2`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `gamma` is not above 0, or `order` not a whole number above 0.

    Example:

    >>> loss = keras_kd.losses.CorrelationCongruence(gamma=0.5, order=1)
    >>> teacher = [[1.0, 0.0], [0.0, 1.0]]  # C is 1/e apart from the diagonal
    >>> student = [[1.0], [1.0]]  # C is 2/e everywhere
    >>> round(float(loss(teacher, student)), 4)  # 2 · (1/e)² / 4
    0.0677

    Reference: Peng et al., "Correlation Congruence for Knowledge Distillation", ICCV 2019,
    arXiv:1904.01802, section 3.
    """

    joins_positions = True
    same_shape = False
    relational = True

    def __init__(self, gamma: Number = 0.4, order: int = 2, **kwargs: Any):
        super().__init__(**kwargs)
        self.gamma = positive(gamma, "gamma")
        self.order = count(order, "order")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        gap = self._correlations(y_pred) - self._correlations(y_true)
        return ops.mean(ops.square(gap), axis=-1)

    def _correlations(self, x: Tensor) -> Tensor:
        x = unit(flat(x))
        cosine = ops.matmul(x, ops.transpose(x))
        width = ops.cast(2.0 * self.gamma, x.dtype)
        total = power = ops.ones_like(cosine)
        for n in range(1, self.order + 1):
            power = power * cosine * width
            total = total + power / math.factorial(n)
        return ops.exp(-width) * total
