"""How many values a mean was taken over, so that the means of several batches can be joined."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_kd._core.keras_private import mask_of, set_mask
from keras_kd._core.tensors import Tensor

#: The reductions that give a mean.
_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


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


def weighed(
    values: Tensor, masks: Sequence[Tensor], sample_weight: Tensor, reduction: str | None
) -> tuple[Tensor, Tensor]:
    """One factor for each of `values`, and how many of them count: Keras's mean of the weighted
    values is then the mean over those that count."""
    rank = len(values.shape)
    means = reduction in _MEANS
    factor = None
    counts = [spread(m, values) for m in masks if m is not None and rank > 1 and fits(m, values)]
    if sample_weight is not None:
        weight = ops.convert_to_tensor(sample_weight)
        if rank > 1 and any(size != 1 for size in weight.shape[1:]):
            counts.append(spread(weight, values))
        else:
            factor = spread(weight, values)
    given = [*counts, factor] if factor is not None else counts
    weights = math.prod(given) if given else None
    size = ops.cast(ops.size(values), values.dtype) if means else 1.0  # a sum is one number
    if not means or weights is None:
        return weights, size
    if reduction == "mean_with_sample_weight":
        return weights, ops.sum(weights)
    if not counts:
        return weights, size
    count = ops.sum(math.prod(counts))
    return weights * ops.divide_no_nan(size, count), count


class Reduced(keras.losses.Loss):
    """Keras's own reduction, over values that are there already."""

    def __init__(self, values: Tensor, reduction: str | None, dtype: Any):
        super().__init__(name="reduced", reduction=reduction, dtype=dtype)
        self.values = values

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self.values


def measured(
    loss: Any, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor
) -> tuple[Tensor, Tensor]:
    """The value of a loss of Keras's own, and how many values it is the mean of.

    Over positions, `(batch, positions, ...)`, it is the mean over those that count. Keras would
    divide by all positions under a `sample_weight` per position, and under a mask by the unmasked
    ones, whatever their weights.
    """
    positions = not keras.tree.is_nested(y_pred) and len(y_pred.shape) > 2
    as_keras = type(loss).__call__ is keras.losses.Loss.__call__
    if not (positions and as_keras and loss.reduction in _MEANS):
        return loss(y_true, y_pred, sample_weight), count_of(loss, y_true, y_pred, sample_weight)
    mask = mask_of(y_pred)
    y_true, y_pred = (
        keras.tree.map_structure(lambda x: ops.convert_to_tensor(x, dtype=loss.dtype), side)
        for side in (y_true, y_pred)
    )
    values = loss.call(y_true, y_pred)
    known = mask_of(values)  # where there is a label, of a loss with `ignore_class`
    if known is not None:
        set_mask(values, None)
    weights, count = weighed(values, [mask, known], sample_weight, loss.reduction)
    return Reduced(values, loss.reduction, loss.dtype)(values, values, weights), count
