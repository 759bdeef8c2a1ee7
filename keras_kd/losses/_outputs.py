"""Losses on outputs: the predicted class, the raw logits, numbers, a made-up teacher."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.geometry import length
from keras_kd._core.hard_labels import at, right
from keras_kd._core.messages import shape_of
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, finite, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss


@serializable
class HardTarget(Loss):
    """Cross-entropy to the class that the teacher finds likeliest.

    The teacher as a labeller: no temperature to choose, and it goes well with strong augmentation,
    where the teacher labels what is left in the picture.

    `loss = -log softmax(y_pred)[argmax y_true]`

    Shapes: `y_true`, `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.HardTarget()
    >>> round(float(loss([[2.0, 1.0]], [[0.0, 0.0]])), 4)  # ln 2
    0.6931

    Reference: Touvron et al., "Training data-efficient image transformers & distillation through
    attention", ICML 2021, arXiv:2012.12877, section 4.
    """

    on_logits = True
    among_classes = True

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        chosen = ops.expand_dims(ops.argmax(y_true, axis=-1), -1)
        mask = ops.equal(chosen, ops.arange(y_pred.shape[-1], dtype=chosen.dtype))
        return -at(mask, ops.log_softmax(y_pred, axis=-1))


@serializable
class LogitMatch(Loss):
    """Mean squared difference of the logits.

    The limit of soft targets at a high temperature, except that a constant added to all logits
    counts here.

    `loss = mean over classes of (y_pred - y_true)²`

    Shapes: `y_true`, `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.LogitMatch()
    >>> round(float(loss([[1.0, 2.0]], [[1.0, 4.0]])), 4)  # (0 + 4) / 2
    2.0

    Reference: Ba, Caruana, "Do Deep Nets Really Need to be Deep?", NIPS 2014, arXiv:1312.6184,
    section 3.2; Kim et al., "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in
    Knowledge Distillation", IJCAI 2021, arXiv:2105.08919, section 3.
    """

    on_logits = True

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.mean(ops.square(y_pred - y_true), axis=-1)


@serializable
class RegressionMatch(Loss):
    """Squared error to the labels, counted only until the student is better than its teacher.

    For regression, where a teacher's number may be anywhere: it serves as a bound to reach, not
    as a value to copy. Once the student beats it by the margin, the loss is 0 and the labels'
    own term is left to itself.

    With `e(x) = Σ (x - label)²` over the last axis:

    `loss = e(y_pred) if e(y_pred) + margin > e(teacher), else 0`

    This is the paper's sign: the loss goes on until the student is better by the margin. For a
    loss that counts only where the student is worse by more than a margin, give that margin below
    0.

    Shapes: `y_true` is a pair: the teacher's numbers and the labels; all three are
    `(batch, ..., numbers)`, or the labels `(batch, ...)` when there is one number; one value per
    `(batch, ...)`.

    Args:
        margin: By how much the student has to beat the teacher to be let off; below 0, by how
            much it may stay behind. Defaults to `0.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `margin` is not finite, or the labels' shape is not the prediction's.

    Example:

    >>> teacher, labels = [[1.0], [3.0]], [[0.0], [0.0]]
    >>> student = [[2.0], [2.0]]  # worse than the teacher on the first example, better on the second
    >>> loss = keras_kd.losses.RegressionMatch()
    >>> round(float(loss((teacher, labels), student)), 4)  # (4 + 0) / 2
    2.0

    Reference: Chen et al., "Learning Efficient Object Detection Models with Knowledge
    Distillation", NIPS 2017, section 3.3.
    """

    with_labels = True
    without_labels = (
        "To learn from the teacher's numbers alone, by their squared error or a Huber loss: "
        "terms=keras_kd.recipes.regression(alpha=1.0)."
    )

    def __init__(self, margin: Number = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.margin = finite(margin, "margin")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        teacher, labels = y_true
        if len(labels.shape) == len(y_pred.shape) - 1 and y_pred.shape[-1] == 1:
            labels = ops.expand_dims(labels, -1)
        if shape_of(labels) != shape_of(y_pred):
            raise ValueError(
                "The labels must have the prediction's shape. Received labels of shape "
                f"{shape_of(labels)} for a prediction of shape {shape_of(y_pred)}."
            )
        error = ops.sum(ops.square(y_pred - labels), axis=-1)
        bound = ops.sum(ops.square(teacher - labels), axis=-1)
        return ops.where(error + self.margin > bound, error, 0.0)


@serializable
class VirtualTarget(Loss):
    """Soft target without a teacher: one made up from the labels, nearly always right.

    Label smoothing seen as distillation. Costs nothing, and shows what of a gain is due to
    softness alone.

    The made-up teacher gives the right class the probability `correct` and shares the rest among
    the others; with `p` its softened probabilities, `softmax(log(...) / T)`, and
    `q = softmax(y_pred / T)`:

    `loss = T² · Σ_c p_c · (log p_c - log q_c)`

    Shapes: `y_true` class numbers `(batch, ...)`; `y_pred` logits `(batch, ..., classes)`; one
    value per `(batch, ...)`.

    Args:
        correct: Probability of the right class, between 0 and 1. Defaults to `0.99`.
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `20.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `correct` is not between 0 and 1, `temperature` is not above 0, the labels
            are not hard, or there is one class only.

    Example:

    >>> loss = keras_kd.losses.VirtualTarget(correct=0.9, temperature=1.0)
    >>> round(float(loss([0], [[0.0, 0.0]])), 4)  # .9 ln(.9/.5) + .1 ln(.1/.5)
    0.3681

    Reference: Yuan et al., "Revisiting Knowledge Distillation via Label Smoothing
    Regularization", CVPR 2020, arXiv:1909.11723, section 4 (teacher-free, with a made-up teacher).
    """

    hard_labels = True
    on_logits = True
    among_classes = True
    same_shape = False

    def __init__(self, correct: Number = 0.99, temperature: Number = 20.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.correct = positive(correct, "correct")
        if isinstance(correct, (int, float)) and correct >= 1:
            raise ValueError(
                "`correct` is a probability and lies between 0 and 1, both excluded. "
                f"Received: correct={correct!r}."
            )
        self.temperature = positive(temperature, "temperature")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        mask = right(y_true, y_pred)
        correct = ops.cast(self.correct, y_pred.dtype)
        others = (1.0 - correct) / (y_pred.shape[-1] - 1)
        made_up = ops.where(mask, ops.log(correct), ops.log(others))
        log_p = ops.log_softmax(made_up / self.temperature, axis=-1)
        log_q = ops.log_softmax(y_pred / self.temperature, axis=-1)
        return self.temperature**2 * ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


@serializable
class Diversity(Loss):
    """Minus the mean distance from the softened probabilities of others: keeps them apart.

    For several students or ensemble members that learn together and would become one; a small
    weight will do. It is never above 0 and is lowest where the distributions do not overlap.

    With `q = softmax(y_pred / T)` and `p_k = softmax(y_true_k / T)` of the K others:

    `loss = -mean over k of ‖q - p_k‖`

    At equal distributions the distance has no direction, and the gradient is 0.

    Shapes: `y_true` logits `(batch, ..., classes)` of one other, or a tuple of several; `y_pred`
    logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0.

    Example:

    >>> loss = keras_kd.losses.Diversity()
    >>> round(float(loss([[50.0, 0.0]], [[0.0, 50.0]])), 4)  # (1, 0) and (0, 1): the square root of 2
    -1.4142

    Reference: Lan, Zhu, Gong, "Knowledge Distillation by On-the-Fly Native Ensemble", NeurIPS
    2018, arXiv:1806.04606, for members that learn together; the distance is the Euclidean one
    between softened probabilities.
    """

    on_logits = True
    among_classes = True
    several = True

    def __init__(self, temperature: Number = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.temperature = positive(temperature, "temperature")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        q = ops.softmax(y_pred / self.temperature, axis=-1)
        others = [ops.softmax(t / self.temperature, axis=-1) for t in keras.tree.flatten(y_true)]
        return -ops.mean(ops.stack([length(q - p) for p in others]), axis=0)
