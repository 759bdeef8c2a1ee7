"""Losses made of other losses: summed over several pairs, or weighted by who is right."""

from typing import Any

from keras import ops

from keras_kd._core.hard_labels import at, right, sound
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, finite, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss


class _Composed(Loss):
    """A loss with another inside."""

    same_shape = False

    def __init__(self, loss: Loss, **kwargs: Any):
        if not isinstance(loss, Loss):
            raise TypeError(
                "`loss` must be a loss of keras_kd.losses, for example "
                f"keras_kd.losses.FeatureMatch(). Received: {loss!r}."
            )
        super().__init__(**kwargs)
        self.loss = loss

    @property
    def on_logits(self) -> bool:  # type: ignore[override]
        return self.loss.on_logits

    @property
    def relational(self) -> bool:  # type: ignore[override]
        return self.loss.relational

    @property
    def joins_positions(self) -> bool:  # type: ignore[override]
        return self.loss.joins_positions

    def at(self, step: Tensor) -> Loss:
        held = object.__new__(type(self))
        held.__dict__.update(vars(super().at(step)), loss=self.loss.at(step))
        return held


@serializable
class SumOf(_Composed):
    """One loss, summed over several pairs of signals.

    For a projector that turns several layers into several outputs at once.

    `loss = Σ_k loss(y_true_k, y_pred_k)`

    Shapes: `y_true`, `y_pred` tuples of as many tensors, each as the loss inside wants them; the
    loss inside must give values of one shape for each pair, such as one per example.

    Args:
        loss: A loss of this package.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        TypeError: If `loss` is no loss of this package.

    Example:

    >>> loss = keras_kd.losses.SumOf(keras_kd.losses.FeatureMatch())
    >>> target, pred = ([[1.0]], [[0.0]]), ([[3.0]], [[3.0]])
    >>> round(float(loss(target, pred)), 4)  # (3 - 1)² + (3 - 0)²
    13.0

    Reference: Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021,
    arXiv:2104.09044, section 3.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        pairs = zip(_several(y_true), _several(y_pred), strict=True)
        return sum(self.loss.call(target, pred) for target, pred in pairs)


def _several(side: Any) -> list[Any]:
    return list(side) if isinstance(side, (list, tuple)) else [side]


def _confidence(logits: list[Any], labels: Tensor) -> Tensor:
    """Weights `(teachers, ...)` that sum to 1: the more, the smaller a teacher's cross-entropy."""
    costs = [sound(labels, z, -at(right(labels, z), ops.log_softmax(z, axis=-1))) for z in logits]
    if len(costs) == 1:
        return ops.ones_like(ops.stack(costs))
    return (1.0 - ops.softmax(ops.stack(costs), axis=0)) / (len(costs) - 1)


@serializable
class ConfidenceWeighted(_Composed):
    """One loss to each of several teachers' logits, weighted by how right each teacher is.

    Example by example, a teacher whose cross-entropy to the label is small counts for more; the
    weights sum to 1.

    With `CE_k` the cross-entropy of teacher k:

    `loss = Σ_k w_k · loss(y_true_k, y_pred)`, `w_k = (1 - softmax_k CE_k) / (K - 1)`

    A sum of losses: it is not the loss to the mean of the teachers, from which it differs by how
    much they disagree.

    Shapes: `y_true` a tuple: the logits `(batch, ..., classes)` of each teacher, then the labels,
    class numbers `(batch, ...)`; `y_pred` logits; one value per `(batch, ...)`.

    Args:
        loss: A loss of this package between logits, such as `SoftTarget(4.0)`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        TypeError: If `loss` is no loss of this package.

    Example:

    >>> loss = keras_kd.losses.ConfidenceWeighted(keras_kd.losses.LogitMatch())
    >>> teachers = [[0.0, 0.0]], [[0.0, 0.0]]  # equally right: half each
    >>> round(float(loss((*teachers, [0]), [[3.0, 1.0]])), 4)  # (9 + 1) / 2, twice a half
    5.0

    Reference: Zhang, Chen, Wang, "Confidence-Aware Multi-Teacher Knowledge Distillation", ICASSP
    2022, arXiv:2201.00007, section 2.
    """

    with_labels = True
    hard_labels = True
    on_logits = True
    among_classes = True

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        *logits, labels = y_true
        weights = _confidence(logits, labels)
        return sum(weights[k] * self.loss.call(z, y_pred) for k, z in enumerate(logits))


@serializable
class ConfidenceWeightedFeatures(_Composed):
    """One loss to each of several teachers' features, weighted by how right each teacher is.

    As `ConfidenceWeighted`; the mean over the teachers is taken, not the sum.

    `loss = 1/K · Σ_k w_k · loss(y_true_k, y_pred_k)`, `w_k = (1 - softmax_k CE_k) / (K - 1)`

    Shapes: `y_true` a tuple: the features of each teacher, then the logits `(batch, classes)` of
    each, then the labels, class numbers `(batch,)`; `y_pred` the features of the student, one
    tensor for all teachers or a tuple with one for each; one value per example.

    Args:
        loss: A loss of this package between features, such as `FeatureMatch()`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        TypeError: If `loss` is no loss of this package.
        ValueError: If there are not as many features as logits.

    Example:

    >>> loss = keras_kd.losses.ConfidenceWeightedFeatures(keras_kd.losses.FeatureMatch())
    >>> features, logits = ([[0.0]], [[2.0]]), ([[0.0, 0.0]], [[0.0, 0.0]])
    >>> round(float(loss((*features, *logits, [0]), [[3.0]])), 4)  # (9 / 2 + 1 / 2) / 2
    2.5

    Reference: Zhang, Chen, Wang, "Confidence-Aware Multi-Teacher Knowledge Distillation", ICASSP
    2022, arXiv:2201.00007, section 2.
    """

    with_labels = True
    on_logits = True

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        *both, labels = y_true
        count = len(both) // 2
        if len(both) != 2 * count or not count:
            raise ValueError(
                "The target holds the features of each teacher, then the logits of each, then the "
                f"labels. Received {len(both)} signals before the labels."
            )
        weights = _confidence(both[count:], labels)
        preds = _several(y_pred) * (1 if isinstance(y_pred, (list, tuple)) else count)
        total = 0.0
        for k, (features, pred) in enumerate(zip(both[:count], preds, strict=True)):
            cost = self.loss.call(features, pred)
            total += weights[k] * ops.mean(ops.reshape(cost, (ops.shape(cost)[0], -1)), axis=-1)
        return total / count


@serializable
class LabelledTarget(Loss):
    """Cross-entropy to the labels and soft targets at once.

    For logits that learn from both through one projector, such as the classifier of a shallow
    layer. For a student's own output, `keras_kd.recipes.hinton` has a term for each.

    `loss = (1 - alpha) · -log softmax(y_pred)[label] + alpha · T² · Σ_c p_c · (log p_c - log q_c)`

    with `p = softmax(y_true / T)` and `q = softmax(y_pred / T)`.

    Shapes: `y_true` a pair: logits `(batch, ..., classes)` and class numbers `(batch, ...)`;
    `y_pred` logits; one value per `(batch, ...)`.

    Args:
        alpha: Share of the soft targets. Defaults to `0.3`.
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `3.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0, or the labels are not hard.

    Example:

    >>> loss = keras_kd.losses.LabelledTarget(alpha=0.5, temperature=1.0)
    >>> round(float(loss(([[2.0, 0.0]], [0]), [[0.0, 0.0]])), 4)  # half of ln 2, half of .3278
    0.5105

    Reference: Zhang et al., "Be Your Own Teacher: Improve the Performance of Convolutional Neural
    Networks via Self Distillation", ICCV 2019, arXiv:1905.08094, section 3.
    """

    with_labels = True
    hard_labels = True
    on_logits = True
    among_classes = True
    same_shape = False

    def __init__(self, alpha: Number = 0.3, temperature: Number = 3.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.alpha = finite(alpha, "alpha")
        self.temperature = positive(temperature, "temperature")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        logits, labels = y_true
        hard = -at(right(labels, y_pred), ops.log_softmax(y_pred, axis=-1))
        log_p = ops.log_softmax(logits / self.temperature, axis=-1)
        log_q = ops.log_softmax(y_pred / self.temperature, axis=-1)
        soft = self.temperature**2 * ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)
        return (1.0 - self.alpha) * hard + self.alpha * soft


@serializable
class CurriculumTarget(Loss):
    """Soft targets at a temperature that comes with the prediction.

    For a temperature that is trained, by a projector such as `keras_kd.projectors.Temperature`.

    With `p = softmax(y_true / T)` and `q = softmax(y_pred / T)`:

    `loss = T² · Σ_c p_c · (log p_c - log q_c)`

    Shapes: `y_true` logits `(batch, ..., classes)`; `y_pred` a pair: logits of the same shape, and
    `T`, a scalar or of a shape that broadcasts to `(batch, ...)`; one value per `(batch, ...)`.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.CurriculumTarget()
    >>> round(float(loss([[2.0, 0.0]], ([[0.0, 0.0]], 1.0))), 4)  # SoftTarget's at T = 1
    0.3278

    Reference: Li et al., "Curriculum Temperature for Knowledge Distillation", AAAI 2023,
    arXiv:2211.16231, section 3.
    """

    on_logits = True
    same_shape = False

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        logits, temperature = y_pred
        inside = temperature if len(temperature.shape) == 0 else temperature[..., None]
        log_p = ops.log_softmax(y_true / inside, axis=-1)
        log_q = ops.log_softmax(logits / inside, axis=-1)
        return temperature**2 * ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


@serializable
class MaskedGeneration(Loss):
    """Sum of squared differences between a generated map and the target's.

    For a map that a projector generates from a part of the learner's positions, such as
    `keras_kd.projectors.MaskedGenerator`; by the sum over the elements, not their mean, which is
    why the usual weight is small.

    `loss = Σ (y_pred - y_true)²`

    Shapes: `y_true`, `y_pred` `(batch, ...)`; one value per example.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.MaskedGeneration()
    >>> round(float(loss([[1.0, 2.0]], [[2.0, 5.0]])), 4)  # 1² + 3²
    10.0

    Reference: Yang et al., "Masked Generative Distillation", ECCV 2022, arXiv:2205.01529,
    section 3.
    """

    joins_positions = True

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        gap = ops.square(y_pred - y_true)
        return ops.sum(ops.reshape(gap, (ops.shape(gap)[0], -1)), axis=-1)
