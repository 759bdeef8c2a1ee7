"""Geometry that the losses share: unit vectors, distances, angles; never a NaN, at zero either."""

from typing import Any

from keras import ops

#: A vector shorter than this counts as zero.
_SHORT = 1e-12


def length(x: Any, axis: Any = -1, keepdims: bool = False) -> Any:
    """Euclidean length, at least 1e-12; its gradient at zero is zero."""
    return ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis, keepdims), _SHORT**2))


def unit(x: Any, axis: Any = -1) -> Any:
    """`x` divided by its length; zero stays zero."""
    return x / length(x, axis, keepdims=True)


def flat(x: Any) -> Any:
    """One row per example: `(batch, ...)` -> `(batch, features)`."""
    return ops.reshape(x, (ops.shape(x)[0], -1))


def huber(x: Any) -> Any:
    """Half the square up to 1, linear beyond."""
    size = ops.abs(x)
    return ops.where(size < 1.0, 0.5 * ops.square(x), size - 0.5)


def squared_distances(x: Any) -> Any:
    """Squared Euclidean distances between the rows of `x`, `(batch, batch)`.

    By differences, row after row: exact for near and equal rows, where the Gram matrix would
    cancel, and of memory batch² + batch · features. The gradient has a closed form.
    """

    @ops.custom_gradient
    def rows(x: Any) -> Any:
        def grad(*args: Any, upstream: Any = None) -> Any:
            up = args[0] if upstream is None else upstream
            both = up + ops.transpose(up)
            return 2.0 * (x * ops.sum(both, axis=1, keepdims=True) - ops.matmul(both, x))

        return ops.map(lambda row: ops.sum(ops.square(x - row), axis=-1), x), grad

    return rows(x)


def angle_gap(target: Any, pred: Any) -> Any:
    """Huber of the difference of all angles at each vertex, `(batch,)`, mean over the pairs.

    `target` and `pred` are squared distances `(batch, batch)`: by the law of cosines they hold
    every angle, `cos ∠jik = (d²_ij + d²_ik - d²_jk) / (2 d_ij d_ik)`. One vertex at a time, forth
    and back, so memory stays at batch². An angle with a side of length zero has cosine zero.
    """
    target = ops.stop_gradient(target)

    def inverse(row: Any) -> Any:
        there = row > _SHORT**2
        return ops.where(there, ops.rsqrt(ops.where(there, row, 1.0)), 0.0)

    def cosines(row: Any, squares: Any) -> Any:
        near = inverse(row)
        sides = 0.5 * (row[:, None] + row[None, :] - squares)
        return sides * near[:, None] * near[None, :]

    @ops.custom_gradient
    def vertices(pred: Any) -> Any:
        def gap(rows: Any) -> Any:
            return cosines(rows[1], pred) - cosines(rows[0], target)

        def value(rows: Any) -> Any:
            return ops.mean(huber(gap(rows)))

        def grad(*args: Any, upstream: Any = None) -> Any:
            up = args[0] if upstream is None else upstream
            count = ops.shape(pred)[0]
            pairs = ops.cast(count, pred.dtype) ** 2

            def back(i: Any, total: Any) -> Any:
                own, rows = pred[i], ops.stack([target[i], pred[i]])
                near = inverse(own)
                slope = ops.clip(gap(rows), -1.0, 1.0) * up[i] / pairs
                far = slope * near[:, None] * near[None, :]
                sides = ops.sum(far, axis=1) - ops.square(near) * ops.sum(
                    slope * cosines(own, pred), axis=1
                )
                here = ops.cast(ops.equal(ops.arange(count), i), pred.dtype)
                return total - 0.5 * far + here[:, None] * sides[None, :]

            return ops.fori_loop(0, count, back, ops.zeros_like(pred))

        return ops.map(value, ops.stack([target, pred], axis=1)), grad

    return vertices(pred)
