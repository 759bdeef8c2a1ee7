"""Predictions and labels in one form: log-probabilities of two classes or more, and one-hot rows.

One logit is a choice between two classes, of which the first has the logit 0. A row of yes-no
questions is a row of such choices. So every formula is written once, for classes.
"""

from keras import ops

from keras_kd._core.messages import shape_of
from keras_kd._core.tensors import Tensor

#: Stands for minus infinity where an infinite number would make a NaN.
NEVER = -1e30


def log_probabilities(predictions: Tensor, from_logits: bool, multi_label: bool) -> Tensor:
    """`(batch, ..., classes)`, always two classes or more; `(batch, labels, 2)` for many labels."""
    if len(predictions.shape) < 2:
        raise ValueError(
            "Predictions have the shape (batch, ..., classes), or (batch, 1) for a single logit. "
            f"Received predictions of shape {shape_of(predictions)}."
        )
    if multi_label:
        predictions = ops.expand_dims(predictions, axis=-1)
    single = predictions.shape[-1] == 1
    if from_logits:
        if not single:
            return ops.log_softmax(predictions, axis=-1)
        # log σ(x) = -softplus(-x), and log(1 - σ(x)) = -softplus(x).
        return ops.concatenate([-ops.softplus(predictions), -ops.softplus(-predictions)], axis=-1)
    if single:
        predictions = ops.concatenate([1.0 - predictions, predictions], axis=-1)
    return ops.log(ops.maximum(predictions, 1e-30))


def one_hot(labels: Tensor, log_p: Tensor) -> Tensor:
    """The labels in the shape of `log_p`: class numbers, one-hot or mixed rows, yes or no."""
    labels = ops.convert_to_tensor(labels)
    rank, classes = len(log_p.shape), log_p.shape[-1]
    if len(labels.shape) == rank and labels.shape[-1] == classes and classes > 1:
        return ops.cast(labels, log_p.dtype)
    if len(labels.shape) == rank and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, axis=-1)
    if len(labels.shape) != rank - 1:
        raise ValueError(
            "Labels are class numbers of shape (batch, ...), or rows of the predictions' shape. "
            f"Received labels of shape {shape_of(labels)} for predictions of {classes} classes of "
            f"shape {shape_of(log_p)}."
        )
    if classes == 2:
        yes = ops.cast(labels, log_p.dtype)
        return ops.stack([1.0 - yes, yes], axis=-1)
    return ops.one_hot(ops.cast(labels, "int32"), classes, dtype=log_p.dtype)


def log_odds_of_first(log_p: Tensor) -> Tensor:
    """`log(p / (1 - p))` of the largest probability, exact also when it is nearly 1."""
    classes = log_p.shape[-1]
    first = ops.one_hot(ops.argmax(log_p, axis=-1), classes, dtype=log_p.dtype)
    others = ops.logsumexp(ops.where(first > 0, NEVER, log_p), axis=-1)
    return ops.max(log_p, axis=-1) - others
