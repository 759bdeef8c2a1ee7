"""Hard labels, as the losses need them that look at the right class apart from the others."""

from keras import ops

from keras_kd._core.messages import shape_of
from keras_kd._core.tensors import Tensor

#: Stands for minus infinity where an infinite number would make a NaN.
NEVER = -1e30


def hard(labels: Tensor, logits: Tensor) -> Tensor:
    """`labels` as integers, one per row of `logits`; one-hot rows become the classes they are."""
    rank = len(logits.shape)
    if is_one_hot(labels, logits):
        return ops.cast(ops.argmax(labels, axis=-1), "int32")
    if len(labels.shape) == rank and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, axis=-1)
    if len(labels.shape) != rank - 1:
        raise ValueError(
            "The labels must be hard: one class number per row of logits, shape "
            f"{shape_of(logits)[:-1]}, or one-hot rows, shape {shape_of(logits)}. Received labels "
            f"of shape {shape_of(labels)} for logits of shape {shape_of(logits)}. For mixed labels "
            "(MixUp, CutMix, smoothing) take a loss that needs none, such as "
            "keras_kd.losses.SoftTarget."
        )
    return ops.cast(labels, "int32")


def is_one_hot(labels: Tensor, logits: Tensor) -> bool:
    """Whether `labels` have the shape of one-hot rows; their values are not looked at."""
    same_rank = len(labels.shape) == len(logits.shape)
    return same_rank and labels.shape[-1] == logits.shape[-1] and labels.shape[-1] != 1


def mixed(labels: Tensor) -> Tensor:
    """True where a row is not exactly one-hot: mixed or smoothed, so that no class is the right
    one."""
    labels = ops.cast(labels, "float32")
    one = ops.equal(ops.max(labels, axis=-1), 1.0)
    rest = ops.equal(ops.sum(ops.abs(labels), axis=-1), 1.0)
    return ops.logical_not(ops.logical_and(one, rest))


def sound(labels: Tensor, logits: Tensor, values: Tensor) -> Tensor:
    """`values`, NaN where the labels name no right class: no number would be right there."""
    if not is_one_hot(labels, logits):
        return values
    return ops.where(mixed(labels), float("nan"), values)


def right(labels: Tensor, logits: Tensor) -> Tensor:
    """True at the right class of each row of `logits`, false elsewhere."""
    classes = ops.arange(logits.shape[-1], dtype="int32")
    return ops.equal(ops.expand_dims(hard(labels, logits), -1), classes)


def at(mask: Tensor, values: Tensor) -> Tensor:
    """The value where `mask` is true, one per row."""
    return ops.sum(ops.where(mask, values, 0.0), axis=-1)


def log_softmax_of_others(mask: Tensor, logits: Tensor) -> Tensor:
    """Log-softmax over the classes where `mask` is false; 0 where it is true."""
    return ops.where(mask, 0.0, ops.log_softmax(ops.where(mask, NEVER, logits), axis=-1))


def softmax_of_others(mask: Tensor, logits: Tensor) -> Tensor:
    """Softmax over the classes where `mask` is false; 0 where it is true."""
    return ops.where(mask, 0.0, ops.softmax(ops.where(mask, NEVER, logits), axis=-1))
