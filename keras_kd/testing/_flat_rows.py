"""Batches with rows that do not vary, as blank images and dead ReLUs make them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_kd._core.tensors import Tensor
from keras_kd.testing._case import EXAMPLES, Contract

#: The example that is made flat.
ROW = 1


class Flat(NamedTuple):
    """A batch with flat rows, and one like it whose rows vary."""

    kind: str
    target: Any
    pred: Any
    ordinary: Any  # the prediction with a random row, as large, where the other has a flat one
    faint: bool = False  # the row does vary, and hardly


def batches(case: Contract, seed: int = 0) -> Iterator[Flat]:
    """Every kind of flat batch that the losses have to stand."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.normal(size=shape).astype("float32")

    target, pred = case.make(draw)
    _, other = case.make(draw)

    for name, value in (("zero", 0.0), ("0.1", 0.1), ("100", 100.0)):
        size = abs(value) or 1.0
        ordinary = _row(pred, lambda x, size=size: size * draw(*x.shape))
        flat = _row(pred, lambda x, value=value: np.full_like(x, value))
        yield Flat(f"a row of {name}", target, flat, ordinary)
        if _row_of(case, target) is not None:
            both = _row(target, lambda x, value=value: np.full_like(x, value))
            yield Flat(f"a row of {name} on both sides", both, flat, ordinary)
        whole = keras.tree.map_structure(lambda x, value=value: _whole(x, value), pred)
        many = keras.tree.map_structure(lambda x, size=size: _all(x, size * x), pred)
        yield Flat(f"a batch of {name}", target, whole, many)

    noise = 1e-6 * draw(*np.shape(_leaf(pred))[1:])
    yield Flat(
        "a row of 100 and rounding", target,
        _row(pred, lambda x: (100.0 + 100.0 * np.resize(noise, x.shape)).astype("float32")),
        _row(pred, lambda x: 100.0 * draw(*x.shape)), faint=True,
    )  # fmt: skip
    yield Flat("dead channels", target, keras.tree.map_structure(_dead, pred), pred)
    yield Flat("two equal rows", target, _row(pred, None, copied=ROW + 1), pred)
    near = _row(pred, None, copied=ROW + 1)
    near = keras.tree.map_structure(lambda x, y: _all(x, x + np.float32(1e-5) * y), near, other)
    yield Flat("two nearly equal rows", target, near, pred, faint=True)
    same = keras.tree.map_structure(lambda x: _all(x, np.repeat(x[:1], len(x), axis=0)), pred)
    yield Flat("a batch of equal rows", target, same, pred)
    if case.identity is not None:
        equal = case.identity(target)
        yield Flat("equal to the target", target, equal, pred)
        one = keras.tree.map_structure(_with_row, pred, _like(pred, equal))
        yield Flat("one row equal to the target", target, one, pred)
    for size in (0.1, 1e-2, 1e-4, 1e-8, 1e-20):
        faint = keras.tree.map_structure(_with_row, pred, _scaled(other, size))
        yield Flat(f"a row of size {size:g}", target, faint, pred, faint=True)


def _per_example(x: Tensor) -> bool:
    """Variances, temperatures and the like have fewer rows than the batch; labels are integers."""
    return np.ndim(x) > 0 and len(x) >= EXAMPLES and np.issubdtype(np.asarray(x).dtype, np.floating)


def _leaf(tree: Any) -> Any:
    return next(x for x in keras.tree.flatten(tree) if _per_example(x))


def _row(tree: Any, make: Any, copied: int | None = None) -> Any:
    """`tree` with another example at `ROW`."""

    def change(x):
        if not _per_example(x):
            return x
        x = x.copy()
        x[ROW] = x[copied] if copied is not None else make(x[ROW])
        return x

    return keras.tree.map_structure(change, tree)


def _row_of(case: Contract, target: Tensor) -> Tensor:
    """None where the target's tensors belong together, or none of them is a tensor of numbers."""
    if case.loss.__name__ in ("SparseSoftTarget", "SampledSoftTarget"):
        return None
    return next((x for x in keras.tree.flatten(target) if _per_example(x)), None)


def _all(x: Tensor, changed: Any) -> Tensor:
    return changed if _per_example(x) else x


def _whole(x: Tensor, value: float) -> Tensor:
    return np.full_like(x, value) if _per_example(x) else x


def _dead(x: Tensor) -> Tensor:
    if not _per_example(x) or np.ndim(x) < 2:
        return x
    x = x.copy()
    x[..., -1] = 0.0
    return x


def _with_row(x: Tensor, y: Tensor) -> Tensor:
    if not _per_example(x) or np.shape(x) != np.shape(y):
        return x
    x = x.copy()
    x[ROW] = y[ROW]
    return x


def _scaled(tree: Any, size: float) -> Any:
    return keras.tree.map_structure(
        lambda x: (size * x).astype("float32") if _per_example(x) else x, tree
    )


def _like(pred: Tensor, other: Tensor) -> Tensor:
    """`other` where it has the structure of `pred`; else `pred` itself."""
    try:
        keras.tree.assert_same_structure(pred, other)
    except (ValueError, TypeError):
        return pred
    return other
