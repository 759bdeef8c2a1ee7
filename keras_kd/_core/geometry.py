"""Geometry that the losses share: unit vectors, distances, angles.

Never a NaN, at zero either, and no gradient without bound: what is divided by a length has a
gradient that grows as the length shrinks, so a row without variation (a blank image, dead ReLUs)
would pull a million times as hard as all the others. `bounded` and `fading` keep the value and
bound that.
"""

from typing import Any

from keras import ops

from keras_kd._core.tensors import Tensor

#: A vector shorter than this counts as zero.
_SHORT = 1e-12
#: A row shorter than this share of the batch's mean length is faint: a blank example, not a small
#: one, and what direction it has is left to itself.
FAINT = 0.1
#: A mean length below this counts as this, for a whole batch may be blank.
_ALL_FAINT = 1e-5


def square(x: Tensor, axis: Any = -1, keepdims: bool = False) -> Tensor:
    """Squared Euclidean length."""
    return ops.sum(ops.square(x), axis, keepdims)


def length(x: Tensor, axis: Any = -1, keepdims: bool = False) -> Tensor:
    """Euclidean length, at least 1e-12; its gradient at zero is zero."""
    return _root(square(x, axis, keepdims))


def unit(x: Tensor, axis: Any = -1, faint: float = FAINT) -> Tensor:
    """`x` divided by its length; zero stays zero, and has no gradient."""
    squared = square(x, axis, keepdims=True)
    return fading(x / _root(squared), squared, faint)


def _root(squared: Tensor) -> Tensor:
    return ops.sqrt(ops.maximum(squared, _SHORT**2))


def fading(x: Tensor, squared: Tensor, faint: float = FAINT, of: Any = None) -> Tensor:
    """`x`, one row or value for each of `squared`, without what is steep in its gradient.

    For rows that were divided by their lengths, of which `squared` are the squares. Where a length
    is below `faint` times `of`, the gradient fades out with the square of the length: it is never
    above that of a row of length `faint · of`, and 0 at 0. Left out, `of` is the mean length of
    the rows, so that the bound knows no unit.
    """
    return bounded(x, _presence(ops.stop_gradient(squared), faint, of))


def _presence(squared: Tensor, faint: float = FAINT, of: Any = None) -> Tensor:
    """1 for a row that is not faint, and towards 0 as its length does."""
    if of is None:
        of = ops.maximum(ops.mean(ops.sqrt(squared)), _ALL_FAINT)
    return squared / ops.square(faint * of)


def bounded(x: Tensor, share: Tensor) -> Tensor:
    """`x`, with its gradient times `share`, where that is below 1.

    By a product and not by `where`: a branch that is not taken has its gradient taken all the same,
    and an infinite one times zero is no number.
    """
    share = ops.minimum(ops.stop_gradient(share), 1.0)
    return share * x + (1.0 - share) * ops.stop_gradient(x)


def flat(x: Tensor) -> Tensor:
    """One row per example: `(batch, ...)` -> `(batch, features)`."""
    return ops.reshape(x, (ops.shape(x)[0], -1))


def huber(x: Tensor) -> Tensor:
    """Half the square up to 1, linear beyond."""
    size = ops.abs(x)
    return ops.where(size < 1.0, 0.5 * ops.square(x), size - 0.5)


def squared_distances(x: Tensor) -> Tensor:
    """Squared Euclidean distances between the rows of `x`, `(batch, batch)`.

    By differences, row after row: exact for near and equal rows, where the Gram matrix would
    cancel, and of memory batch² + batch · features. The gradient has a closed form.
    """

    @ops.custom_gradient
    def rows(x: Tensor) -> Tensor:
        def grad(*args: Any, upstream: Any = None) -> Any:
            up = args[0] if upstream is None else upstream
            both = up + ops.transpose(up)
            return 2.0 * (x * ops.sum(both, axis=1, keepdims=True) - ops.matmul(both, x))

        return ops.map(lambda row: ops.sum(ops.square(x - row), axis=-1), x), grad

    return rows(x)


def angle_gap(target: Tensor, pred: Tensor) -> Tensor:
    """Huber of the difference of all angles at each vertex, `(batch,)`, mean over the pairs.

    `target` and `pred` are squared distances `(batch, batch)`: by the law of cosines they hold
    every angle, `cos ∠jik = (d²_ij + d²_ik - d²_jk) / (2 d_ij d_ik)`. One vertex at a time, forth
    and back, so memory stays at batch². An angle with a side of length zero has cosine zero, and
    the gradient of one with a faint side fades out with it.
    """
    target = ops.stop_gradient(target)

    def inverse(row: Tensor) -> Tensor:
        there = row > _SHORT**2
        return ops.where(there, ops.rsqrt(ops.where(there, row, 1.0)), 0.0)

    def cosines(row: Tensor, squares: Any) -> Tensor:
        near = inverse(row)
        sides = 0.5 * (row[:, None] + row[None, :] - squares)
        return sides * near[:, None] * near[None, :]

    @ops.custom_gradient
    def vertices(pred: Tensor) -> Tensor:
        def gap(rows: Tensor) -> Tensor:
            return cosines(rows[1], pred) - cosines(rows[0], target)

        def value(rows: Tensor) -> Tensor:
            return ops.mean(huber(gap(rows)))

        def grad(*args: Any, upstream: Any = None) -> Any:
            up = args[0] if upstream is None else upstream
            count = ops.shape(pred)[0]
            pairs = ops.cast(count, pred.dtype) ** 2
            present = ops.minimum(_presence(pred), 1.0)

            def back(i: Any, total: Tensor) -> Tensor:
                own, rows = pred[i], ops.stack([target[i], pred[i]])
                near = inverse(own)
                gradient = ops.clip(gap(rows), -1.0, 1.0) * up[i] / pairs
                gradient = gradient * present[i][:, None] * present[i][None, :]
                far = gradient * near[:, None] * near[None, :]
                sides = ops.sum(far, axis=1) - ops.square(near) * ops.sum(
                    gradient * cosines(own, pred), axis=1
                )
                here = ops.cast(ops.equal(ops.arange(count), i), pred.dtype)
                return total - 0.5 * far + here[:, None] * sides[None, :]

            return ops.fori_loop(0, count, back, ops.zeros_like(pred))

        return ops.map(value, ops.stack([target, pred], axis=1)), grad

    return vertices(pred)
