"""Losses between what the layers of two networks see."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_kd._core.geometry import flat, huber, unit
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, finite, is_number, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss
from keras_kd.losses._feature_maps import channels_last


@serializable
class FeatureMatch(Loss):
    """Mean squared difference of two feature tensors.

    A hint: the student's layer is to see what the teacher's layer sees. When their shapes differ,
    give the term a projector.

    `loss = mean over all elements of (y_pred - y_true)²`

    Shapes: `y_true`, `y_pred` `(batch, ..., channels)`; one value per `(batch, ...)`, the mean
    over the channels. The mean of those is the mean over all elements.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.FeatureMatch()
    >>> round(float(loss([[1.0, 2.0]], [[1.0, 5.0]])), 4)  # (0 + 9) / 2
    4.5

    Reference: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550,
    section 2.2.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.mean(ops.square(y_pred - y_true), axis=-1)


@serializable
class ClassifierReuse(FeatureMatch):
    """Mean squared difference of the last features, so that the target's classifier can follow.

    A student that has its teacher's last features needs no classifier of its own: the teacher's
    is put behind them. A projector brings the student's features to the teacher's shape and stays
    with the student; `keras_kd.procedures.reused_classifier` puts the three together.

    `loss = mean over all elements of (y_pred - y_true)²`

    Shapes: `y_true`, `y_pred` `(batch, ..., channels)`; one value per `(batch, ...)`.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.ClassifierReuse()
    >>> round(float(loss([[1.0, 2.0]], [[1.0, 5.0]])), 4)  # (0 + 9) / 2
    4.5

    Reference: Chen et al., "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022,
    arXiv:2203.14001, section 3.
    """


@serializable
class DirectionMatch(Loss):
    """Cosine distance of two feature vectors, and a share of their smooth L1 distance.

    For features to start other trainings from: mostly their direction counts, and a little their
    length. Targets are best brought to one scale, by `keras_kd.projectors.Standardize`.

    `loss = alpha · (1 - cos(y_pred, y_true)) + beta · mean over channels of h(y_pred - y_true)`

    with `h(d) = d² / 2` where `|d| < 1`, and `|d| - 1/2` elsewhere. A vector of zeros has the
    cosine 0 with any other. One shorter than a tenth of the batch's mean length has a cosine whose
    gradient fades out towards it.

    Shapes: `y_true`, `y_pred` `(batch, ..., channels)`, maps channels first when
    `keras.config.image_data_format()` is `"channels_first"`; one value per `(batch, ...)`.

    Args:
        alpha: Weight of the cosine distance; a float or a schedule. Defaults to `0.9`.
        beta: Weight of the smooth L1 distance; a float or a schedule. Defaults to `0.1`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `alpha` or `beta` is not finite.

    Example:

    >>> loss = keras_kd.losses.DirectionMatch()
    >>> round(float(loss([[3.0, 4.0]], [[3.0, 0.0]])), 4)  # .9 · (1 - .6) + .1 · (0 + 3.5) / 2
    0.535

    Reference: Ranzinger et al., "AM-RADIO: Agglomerative Vision Foundation Model - Reduce All
    Domains Into One", CVPR 2024, arXiv:2312.06709, section 3.
    """

    def __init__(self, alpha: Number = 0.9, beta: Number = 0.1, **kwargs: Any):
        super().__init__(**kwargs)
        self.alpha, self.beta = finite(alpha, "alpha"), finite(beta, "beta")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        s, t = channels_last(y_pred), channels_last(y_true)
        cosine = ops.sum(unit(s) * unit(t), axis=-1)
        return self.alpha * (1.0 - cosine) + self.beta * ops.mean(huber(s - t), axis=-1)


@serializable
class FactorMatch(Loss):
    """Mean absolute difference of two factors, each brought to length 1.

    For codes of the features rather than the features: a paraphraser, trained beforehand, packs
    the teacher's map, and a translator packs the student's; both are projectors.

    `loss = mean over elements of |y_pred / ‖y_pred‖ - y_true / ‖y_true‖|`

    A factor of zeros stays zeros. One shorter than a tenth of the batch's mean length has a gradient
    that fades out towards it.

    Shapes: `y_true`, `y_pred` `(batch, ...)`, flattened; one value per example.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.FactorMatch()
    >>> round(float(loss([[3.0, 4.0]], [[0.0, 2.0]])), 4)  # (|0 - .6| + |1 - .8|) / 2
    0.4

    Reference: Kim, Park, Kwak, "Paraphrasing Complex Network: Network Compression via Factor
    Transfer", NeurIPS 2018, arXiv:1802.04977, section 3.3.
    """

    joins_positions = True

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.mean(ops.abs(unit(flat(y_pred)) - unit(flat(y_true))), axis=-1)


@serializable
class VariationalMatch(Loss):
    """Negative log-likelihood of the teacher's features under a Gaussian that the student gives.

    The student predicts the features and, for each channel, how well it can predict them:
    channels that it cannot explain cost little. The prediction and the variances come from a
    projector, which learns both.

    With the mean `μ` and the variance `σ²`:

    `loss = ½ · mean over elements of [(μ - y_true)² / σ² + log σ²]`

    It can be below 0. A variance below 1e-10 counts as 1e-10.

    Shapes: `y_true` `(batch, ..., channels)`; `y_pred` is a pair: the mean, of the same shape, and
    the variance, of a shape that broadcasts to it, such as `(channels,)`; one value per
    `(batch, ...)`.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.VariationalMatch()
    >>> mean, variance = [[0.0, 0.0]], [1.0, 1.0]
    >>> round(float(loss([[1.0, 3.0]], (mean, variance))), 4)  # half of (1 + 9) / 2
    2.5

    Reference: Ahn et al., "Variational Information Distillation for Knowledge Transfer", CVPR
    2019, arXiv:1904.05835, section 2.1.
    """

    same_shape = False

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        mean, variance = y_pred
        variance = ops.maximum(variance, 1e-10)
        cost = ops.square(mean - y_true) / variance + ops.log(variance)
        return 0.5 * ops.mean(cost, axis=-1)


@serializable
class BoundaryMatch(Loss):
    """Pushes the student's neurons to the teacher's side of their thresholds, with a margin.

    Where a neuron of the teacher is active, the student's is to be above the margin; where it is
    silent, below minus the margin. For features **before** their ReLU.

    With the margin `m`:

    `loss = Σ (y_pred + m)² where y_true <= 0 and y_pred > -m`
    `     + Σ (y_pred - m)² where y_true > 0 and y_pred <= m`

    Shapes: `y_true`, `y_pred` `(batch, ...)`; one value per example, the sum over its elements.

    Args:
        margin: `m`, above 0; a float or a schedule. Defaults to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `margin` is not above 0.

    Example:

    >>> loss = keras_kd.losses.BoundaryMatch()
    >>> round(float(loss([[-1.0, 2.0, 2.0]], [[1.0, 0.5, 3.0]])), 4)  # (1 + 1)² + (.5 - 1)² + 0
    4.25

    Reference: Heo et al., "Knowledge Transfer via Distillation of Activation Boundaries Formed by
    Hidden Neurons", AAAI 2019, arXiv:1811.03233, section 3.
    """

    joins_positions = True

    def __init__(self, margin: Number = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.margin = positive(margin, "margin")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        s, t, m = flat(y_pred), flat(y_true), self.margin
        silent = ops.where(t <= 0, ops.square(ops.maximum(s + m, 0.0)), 0.0)
        active = ops.where(t > 0, ops.square(ops.minimum(s - m, 0.0)), 0.0)
        return ops.sum(silent + active, axis=-1)


@serializable
class MarginReLUMatch(Loss):
    """Squared difference of features before their ReLU, without what a ReLU would remove.

    Where the teacher's values are negative, how far does not matter: they are cut off at a margin
    below 0, and a student that is lower still gets no loss.

    With `t = max(y_true, margin)`, channel by channel:

    `loss = Σ (y_pred - t)² where y_pred > t or t > 0`

    The usual margin is the mean of the teacher's negative responses, computed from its last
    normalization: see `MarginReLUMatch.below_zero`.

    Shapes: `y_true`, `y_pred` `(batch, ..., channels)`, or channels first when
    `keras.config.image_data_format()` is `"channels_first"`; one value per example, the sum over
    its elements.

    Args:
        margins: The margin of each channel, or one for all; 0 or less.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If a margin is not finite or is above 0, or their number is not that of the
            channels.

    Example:

    >>> loss = keras_kd.losses.MarginReLUMatch(margins=-0.5)
    >>> round(float(loss([[-2.0, -2.0, 1.0]], [[0.0, -3.0, 3.0]])), 4)  # (0 + .5)² + 0 + (3 - 1)²
    4.25

    Reference: Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019,
    arXiv:1904.01866, section 3.
    """

    joins_positions = True

    def __init__(self, margins: float | Sequence[float], **kwargs: Any):
        super().__init__(**kwargs)
        listed = [float(margin) for margin in np.ravel(margins)]
        for margin in listed:
            if not finite(margin, "margins") <= 0:
                raise ValueError(
                    "`margins` lie below the threshold of a ReLU: 0 or less. "
                    f"Received: margins={margins!r}."
                )
        self.margins = listed[0] if is_number(margins) else listed

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        s, t = channels_last(y_pred), channels_last(y_true)
        margins = ops.convert_to_tensor(self.margins, dtype=t.dtype)
        if len(margins.shape) and margins.shape[0] != t.shape[-1]:
            raise ValueError(
                "`margins` needs one number for each channel, or one for all. Received "
                f"{margins.shape[0]} margins for {t.shape[-1]} channels."
            )
        t = ops.maximum(t, margins)
        gap = ops.where(ops.logical_or(s > t, t > 0), s - t, 0.0)
        return ops.sum(ops.square(flat(gap)), axis=-1)

    @staticmethod
    def below_zero(mean: Sequence[float], deviation: Sequence[float]) -> list[float]:
        """Margins from the teacher's last normalization: the means of its negative responses.

        Args:
            mean: Mean of each channel: the `beta` of a batch normalization.
            deviation: Standard deviation of each channel: its `gamma`, of either sign.

        Returns:
            For each channel the mean of a Gaussian given that it is below 0; three deviations
            below 0 for a channel that hardly ever is.

        Example:

        >>> margins = keras_kd.losses.MarginReLUMatch.below_zero(mean=[0.0], deviation=[1.0])
        >>> round(margins[0], 4)  # minus the square root of 2 / π
        -0.7979
        """
        return [
            _mean_below_zero(float(m), abs(float(d))) for m, d in zip(mean, deviation, strict=True)
        ]


def _mean_below_zero(mean: float, deviation: float) -> float:
    if deviation == 0.0:
        return min(mean, 0.0)
    z = mean / deviation
    share = 0.5 * math.erfc(z / math.sqrt(2.0))
    if share <= 1e-3:
        return -3.0 * deviation
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    return min(mean - deviation * density / share, 0.0)
