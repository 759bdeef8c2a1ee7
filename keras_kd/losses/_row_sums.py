"""A pass over logits that are made a block of rows at a time: values, and gradients by the factors."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_kd._core.factors import KINDS
from keras_kd._core.tensors import Tensor
from keras_kd.losses._custom_gradients import Formula

#: A block of products has about so many logits, but no fewer than so many rows: with fewer, a
#: product of matrices reads more weights than it computes with. Nor fewer than a share of the
#: features: the gradient by the kernel stands whole, and a block is then as small a share of it.
_BLOCK, _FEWEST, _SHARE = 2**21, 64, 8
#: A formula has several arrays in hand: within a block it takes about so many logits at a time,
#: or so small a share of the block.
_PART, _PARTS = 2**19, 16
#: The gradient by the kernel takes what a block adds in so many pieces, where not in place.
_PIECES = 4


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
    features, classes = pred.kernel.shape
    most = max(_FEWEST, _BLOCK // classes, features // _SHARE)
    length = _rows_at_once(_product(pred.hidden.shape[:-1]), most)
    part = _rows_at_once(length, max(1, _PART // classes, length // _PARTS))
    part = part if length % part == 0 else length
    blocks, beyond = _blocks((hidden, weights, rows), length)

    def block(hidden: Tensor, weight: Tensor, rows: Any, beyond: Tensor) -> Any:
        weight = ops.where(beyond, 0.0, weight)
        hidden, rows = keras.tree.map_structure(
            lambda x: _only(x, ops.not_equal(weight, 0.0)), (hidden, rows)
        )
        parts = _each(lambda x: _cut(x, part), (made(rows), weight))

        def step(i: Any, carried: Any) -> Any:
            values, logits = carried
            target, weight = _each(lambda x: x[i], parts)
            counts, here = ops.not_equal(weight, 0.0), logits[i]
            values = _put(values, i, ops.where(counts, value(target, here), 0.0))
            if not slopes:
                return values, logits
            slope = gradient(target, here)
            slope = slope * ops.expand_dims(weight, -1)
            return values, _put(logits, i, pred.by_product(_only(slope, counts), here))

        logits = _cut(pred.logits(hidden), part)  # each part gives way to its gradient
        start = ops.zeros_like(logits[..., 0]), logits
        del logits
        values, slope = _looped(length // part, step, start)
        values = ops.reshape(values, (length,))
        if not slopes:
            return (values,), ()
        slope = ops.reshape(slope, (length, classes))
        return (values, ops.matmul(slope, ops.transpose(pred.kernel))), (hidden, slope)

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
    number, *rest = ops.shape(first)
    shapes = [rest[:-1], rest] if slopes else [rest[:-1]]
    found = [ops.zeros((number, *shape), first.dtype) for shape in shapes]
    sums = [ops.zeros_like(x) for x in (pred.kernel, pred.bias)] if slopes else []

    def step(i: Any, carried: Any) -> Any:
        found, sums = carried
        rows, parts = at(i)
        found = [_put(whole, i, part) for whole, part in zip(found, rows, strict=True)]
        if slopes:
            sums = [_added(sums[0], *parts), sums[1] + ops.sum(parts[1], axis=0)]
        return found, sums

    return _looped(number, step, (found, sums))


def _each(function: Callable[[Any], Any], tree: Any) -> Any:
    """The function of each tensor, in tuples as they were."""
    if isinstance(tree, tuple):
        return tuple(_each(function, x) for x in tree)
    return function(tree)


def _looped(count: Any, step: Callable[[Any, Any], Any], carried: Any) -> Any:
    """`step(i, carried)` for each number. (On torch `ops.fori_loop` holds what it was given until the
    next collection: a block of logits.)"""
    if keras.config.backend() != "torch":
        return ops.fori_loop(0, count, step, carried)
    for i in range(count):
        carried = step(i, carried)
    return carried


def _put(whole: Tensor, i: Any, part: Tensor) -> Tensor:
    """`whole` with `part` in place `i`; `whole` itself is used up."""
    if keras.config.backend() == "torch":
        whole[i] = part
        return whole
    return ops.scatter_update(whole, ops.reshape(i, (1, 1)), ops.expand_dims(part, 0))


def _added(whole: Tensor, hidden: Tensor, slope: Tensor) -> Tensor:
    """`whole + hiddenᵀ · slope`, without another array as large; `whole` itself is used up."""
    hidden = ops.transpose(hidden)
    if keras.config.backend() == "torch":
        return whole.addmm_(hidden, slope)
    features, rows = hidden.shape
    pieces = math.gcd(features, _PIECES)
    hidden = ops.reshape(hidden, (pieces, -1, rows))

    def step(i: Any, whole: Tensor) -> Tensor:
        return _put(whole, i, whole[i] + ops.matmul(hidden[i], slope))

    sums = _looped(pieces, step, ops.reshape(whole, (pieces, -1, whole.shape[-1])))
    return ops.reshape(sums, whole.shape)


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
    return ops.where(counts, x, ops.zeros((), x.dtype))


def _product(sizes: Any) -> int | None:
    """The product of the sizes; `None` when one is known at run time only."""
    product = 1
    for size in sizes:
        if not isinstance(size, int):
            return None
        product *= size
    return product


def _rows_at_once(rows: int | None, most: int) -> int:
    """How many rows make a block: of those that leave nothing over, if there are such."""
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
