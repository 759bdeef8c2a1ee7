"""Losses between the insides of transformers."""

from typing import Any

from keras import ops

from keras_kd._core.messages import shape_of
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import finite
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss


@serializable
class HiddenStateMatch(Loss):
    """Mean squared difference of two sequences of hidden states, over the positions that count.

    `FeatureMatch` for sequences. When the widths differ, give the term a linear projector.

    `loss = mean over features of (y_pred - y_true)²`

    Shapes: `y_true`, `y_pred` `(batch, positions, features)`; one value per position.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.HiddenStateMatch()
    >>> teacher, student = np.zeros((1, 2, 1)), np.array([[[3.0], [5.0]]])
    >>> round(float(loss(teacher, student, sample_weight=[[1.0, 0.0]])), 4)  # the first alone
    9.0

    Reference: Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding",
    Findings of EMNLP 2020, arXiv:1909.10351, section 3.1.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.mean(ops.square(y_pred - y_true), axis=-1)


@serializable
class AttentionScoreMatch(Loss):
    """Mean squared difference of attention scores, before their softmax.

    Who looks at whom, layer by layer. Both networks need the same number of heads.

    With scores at `masked_below` or lower set to 0, for those are masked, not looked at:

    `loss = mean over heads, queries and keys of (y_pred - y_true)²`

    Under a mask of the prediction, `(batch, positions)`, the mean is over the queries and keys
    that are not padding.

    Shapes: `y_true`, `y_pred` `(batch, heads, queries, keys)`; one value per example.

    Args:
        masked_below: Scores from here down are masks. Defaults to `-100.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `masked_below` is not finite.

    Example:

    >>> loss = keras_kd.losses.AttentionScoreMatch()
    >>> teacher, student = [[[[1.0, -1e4]]]], [[[[4.0, -1e9]]]]
    >>> round(float(loss(teacher, student)), 4)  # (3² + 0) / 2
    4.5

    Reference: Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding",
    Findings of EMNLP 2020, arXiv:1909.10351, section 3.1.
    """

    reads_mask = True

    def __init__(self, masked_below: float = -100.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.masked_below = finite(masked_below, "masked_below")

    def call(self, y_true: Tensor, y_pred: Tensor, mask: Tensor = None) -> Tensor:
        t = ops.where(y_true <= self.masked_below, 0.0, y_true)
        s = ops.where(y_pred <= self.masked_below, 0.0, y_pred)
        gap = ops.mean(ops.square(s - t), axis=1)
        if mask is None:
            return ops.mean(gap, axis=(1, 2))
        valid = ops.cast(mask, gap.dtype)
        pairs = valid[:, :, None] * valid[:, None, :]
        return ops.divide_no_nan(ops.sum(gap * pairs, axis=(1, 2)), ops.sum(pairs, axis=(1, 2)))


@serializable
class RelationMatch(Loss):
    """Divergence between the relations that the positions of a sequence have to one another.

    Queries and keys of the last layer give its attention; values with themselves give a relation
    of their own. Only the number of heads must agree, not their widths, so no projector is
    needed.

    With `A = softmax(a bᵀ / √width)` for a pair `(a, b)`, `(queries, keys)` or
    `(values, values)`, each row a distribution over the keys:

    `loss = mean over heads of Σ_key A_true · (log A_true - log A_pred)`

    Shapes: `y_true`, `y_pred` are pairs of tensors `(batch, heads, positions, width)`; one value
    per query, `(batch, positions)`. Padded keys are left out: those where the mask of the
    prediction is 0, or a third tensor of the target, `(batch, positions)`.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If the numbers of heads differ.

    Example:

    >>> loss = keras_kd.losses.RelationMatch()
    >>> one, keys = np.array([[[[1.0]]]]), np.array([[[[2.0], [0.0]]]])  # scores (2, 0)
    >>> student = np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 2, 1))  # scores (0, 0)
    >>> round(float(loss((one, keys), student)), 4)  # ln 2 minus the entropy of (.881, .119)
    0.3278

    Reference: Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic
    Compression of Pre-Trained Transformers", NeurIPS 2020, arXiv:2002.10957, section 3.
    """

    same_shape = False
    reads_mask = True

    def call(self, y_true: Tensor, y_pred: Tensor, mask: Tensor = None) -> Tensor:
        a, b, *valid = y_true
        if mask is not None:
            valid = [*valid, mask]
        if a.shape[1] != y_pred[0].shape[1]:
            raise ValueError(
                "Relations are compared head by head. Received "
                f"{a.shape[1]} heads in the target, shape {shape_of(a)}, and "
                f"{y_pred[0].shape[1]} in the prediction, shape {shape_of(y_pred[0])}. "
                "Split the student's last layer into the teacher's number of heads."
            )
        log_p, log_q = _relation(a, b, valid), _relation(y_pred[0], y_pred[1], valid)
        return ops.mean(ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1), axis=1)


def _relation(a: Tensor, b: Tensor, valid: list[Any]) -> Tensor:
    scores = ops.matmul(a, ops.transpose(b, (0, 1, 3, 2))) / a.shape[-1] ** 0.5
    for mask in valid:
        scores = ops.where(ops.cast(mask, "bool")[:, None, None, :], scores, -1e9)
    return ops.log_softmax(scores, axis=-1)
