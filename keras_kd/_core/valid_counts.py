"""How many values a mean was taken over, so that the means of several batches can be joined."""

import math
from typing import Any

import keras
from keras import ops

from keras_kd._core.keras_private import mask_of
from keras_kd._core.tensors import Tensor


def count_of(loss: Any, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor) -> Tensor:
    """How many values a loss of Keras's own is the mean of, on one output.

    Up to a factor that is the same for every batch. Padded positions do not count, nor do labels
    that the loss ignores. With several outputs it is the number of examples; a sum counts as one.
    """
    reduction = getattr(loss, "reduction", None)
    if reduction == "sum":
        return 1.0
    if keras.tree.is_nested(y_pred):
        return ops.shape(keras.tree.flatten(y_pred)[0])[0]
    lead = ops.shape(y_pred)[:-1] or ops.shape(y_pred)
    counts = []
    mask, ignored = mask_of(y_pred), getattr(loss, "ignore_class", None)
    if mask is not None:
        counts.append(ops.cast(mask, "float32"))
    if ignored is not None and y_true is not None:
        counts.append(ops.cast(ops.reshape(ops.not_equal(y_true, ignored), lead), "float32"))
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        counts.append(ops.convert_to_tensor(sample_weight, "float32"))
    if not counts:
        return math.prod(lead)
    ones = ops.ones(lead)
    return ops.sum(math.prod(spread(count, ones) for count in counts if fits(count, ones)))


def fits(mask: Tensor, values: Tensor) -> bool:
    """Whether `mask` has the leading axes of `values`, as far as is known."""
    known = zip(mask.shape, values.shape, strict=False)
    return len(mask.shape) <= len(values.shape) and all(
        a == b or a is None or b is None for a, b in known
    )


def spread(sample_weight: Tensor, values: Tensor) -> Tensor:
    """`sample_weight` in the shape of `values`."""
    weight = ops.cast(ops.convert_to_tensor(sample_weight), values.dtype)
    while len(weight.shape) > len(values.shape):
        weight = ops.mean(weight, axis=-1)
    while len(weight.shape) < len(values.shape):
        weight = ops.expand_dims(weight, axis=-1)
    return weight * ops.ones_like(values)
