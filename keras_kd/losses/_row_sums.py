"""A pass over logits that are made a block of rows at a time: values, and gradients by the factors."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_kd._core.factors import KINDS
from keras_kd._core.tensors import Tensor
from keras_kd.losses._custom_gradients import Formula

#: A block has about so many logits, but no fewer than so many rows: with fewer, a product of
#: matrices reads more weights than it computes with.
_BLOCK, _FEWEST = 2**21, 32


def swept(
    formula: Formula, target: Any, pred: Any, weights: Tensor, *, slopes: bool = True
) -> tuple[Tensor, tuple[Any, ...]]:
    """Each row's value; and the gradients of `Σ weight · value` by each factor of `pred`.

    A row of weight 0 takes no part, whatever stands in it.
    """
    value, gradient = formula
    rows, made = _by_row(target)
    shape, lead = ops.shape(pred.hidden), len(pred.hidden.shape) - 1
    hidden, weights, rows = keras.tree.map_structure(
        lambda x: ops.reshape(x, (-1, *x.shape[lead:])), (pred.hidden, weights, rows)
    )
    length = _rows_at_once(_product(pred.hidden.shape[:-1]), pred.kernel.shape[-1])
    blocks, beyond = _blocks((hidden, weights, rows), length)

    def block(hidden: Tensor, weight: Tensor, rows: Any, beyond: Tensor) -> Any:
        weight = ops.where(beyond, 0.0, weight)
        counts = ops.not_equal(weight, 0.0)
        hidden, rows = keras.tree.map_structure(lambda x: _only(x, counts), (hidden, rows))
        logits, target = pred.logits(hidden), made(rows)
        values = ops.where(counts, value(target, logits), 0.0)
        if not slopes:
            return (values,), ()
        slope = gradient(target, logits)
        del target
        slope = pred.by_product(_only(slope * ops.expand_dims(weight, -1), counts), logits)
        del logits
        by_hidden = ops.matmul(slope, ops.transpose(pred.kernel))
        return (values, by_hidden), (hidden, slope)

    found, sums = _summed(block, (*blocks, beyond), pred, slopes)
    found = [ops.reshape(x, (-1, *x.shape[2:]))[: ops.shape(hidden)[0]] for x in found]
    values = ops.reshape(found[0], shape[:-1])
    if not slopes:
        return values, ()
    gradients = (ops.reshape(found[1], shape), *sums)
    return values, (*gradients, *(ops.zeros_like(x) for x in pred[3:]))


def _summed(block: Callable[..., Any], blocks: Any, pred: Any, slopes: bool) -> Any:
    """What the blocks give, side by side; and the gradients by kernel and bias, summed up."""
    count = keras.tree.flatten(blocks)[0].shape[0]

    def at(i: Any) -> Any:
        return block(*keras.tree.map_structure(lambda x: x[i], blocks))

    if count == 1:
        rows, parts = at(0)
        alone = [ops.expand_dims(x, 0) for x in rows]
        if not slopes:
            return alone, ()
        return alone, (ops.matmul(ops.transpose(parts[0]), parts[1]), ops.sum(parts[1], axis=0))
    first = blocks[0]
    shapes = [first.shape[1:-1], first.shape[1:]] if slopes else [first.shape[1:-1]]
    number = ops.shape(first)[0]
    found = [ops.zeros((number, *shape), first.dtype) for shape in shapes]
    sums: Any = [ops.zeros_like(x) for x in (pred.kernel, pred.bias)] if slopes else []
    if keras.config.backend() == "torch":  # in place: a sum is as large as the kernel
        for i in range(number):
            rows, parts = at(i)
            for whole, part in zip(found, rows, strict=True):
                whole[i] = part
            if slopes:
                sums[0].addmm_(ops.transpose(parts[0]), parts[1])
                sums[1] += ops.sum(parts[1], axis=0)
        return found, sums

    def body(i: Any, carried: Any) -> Any:
        found, sums = carried
        rows, parts = at(i)
        where = ops.reshape(i, (1, 1))
        found = [
            ops.scatter_update(whole, where, ops.expand_dims(part, 0))
            for whole, part in zip(found, rows, strict=True)
        ]
        if slopes:
            product = ops.matmul(ops.transpose(parts[0]), parts[1])
            sums = [sums[0] + product, sums[1] + ops.sum(parts[1], axis=0)]
        return found, sums

    return ops.fori_loop(0, number, body, (found, sums))


def _by_row(target: Any) -> tuple[Any, Callable[[Any], Any]]:
    """What of a target goes with the rows, and what makes the formula's target of some of them."""
    if isinstance(target, KINDS):
        return target.hidden, target.logits
    if isinstance(target, tuple):
        parts = [_by_row(part) for part in target]
        return (
            tuple(rows for rows, _ in parts),
            lambda given: tuple(make(x) for (_, make), x in zip(parts, given, strict=True)),
        )
    return target, lambda given: given


def _only(x: Tensor, counts: Tensor) -> Tensor:
    """`x` with zeros in the rows that do not count; class numbers stay."""
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        return x
    while len(counts.shape) < len(x.shape):
        counts = ops.expand_dims(counts, -1)
    return ops.where(counts, x, ops.zeros_like(x))


def _product(sizes: Any) -> int | None:
    """The product of the sizes; `None` when one is known at run time only."""
    product = 1
    for size in sizes:
        if not isinstance(size, int):
            return None
        product *= size
    return product


def _rows_at_once(rows: int | None, classes: int) -> int:
    """How many rows make a block: of those that leave nothing over, if there are such."""
    most = max(_FEWEST, _BLOCK // classes)
    if rows is None:
        return most
    if rows <= most:
        return max(rows, 1)
    even = [n for n in range(most // 2, most + 1) if rows % n == 0]
    return max(even, default=most)


def _blocks(tree: Any, length: int) -> tuple[Any, Tensor]:
    """Blocks of `length` rows; the last may go beyond the end, where the last row stands again."""
    first = keras.tree.flatten(tree)[0]
    rows = first.shape[0]
    if rows is not None and rows % length == 0:
        beyond = ops.zeros((rows // length, length), "bool")
        whole = keras.tree.map_structure(lambda x: _cut(x, length), tree)
        return whole, beyond
    rows = ops.shape(first)[0]
    place = ops.arange((rows + length - 1) // length * length, dtype="int32")
    source = ops.minimum(place, rows - 1)
    whole = keras.tree.map_structure(lambda x: _cut(ops.take(x, source, axis=0), length), tree)
    return whole, _cut(place >= rows, length)


def _cut(x: Tensor, length: int) -> Tensor:
    return ops.reshape(x, (-1, length, *x.shape[1:]))
