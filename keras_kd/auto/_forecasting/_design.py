"""Where short runs are made: sizes, examples and epochs, spread so that each can be told apart."""

from collections.abc import Sequence

import numpy as np

from keras_kd._core.optional import require

#: So many designs are drawn, and the one that tells the slopes apart best is taken.
_DRAWN = 400

Point = tuple[int, int, int]  # place of the student, examples, epochs


def design(
    runs: int,
    sizes: Sequence[int],
    examples: tuple[int, int],
    epochs: tuple[int, int],
    seed: int,
) -> list[Point]:
    """`runs` points, the largest corner first.

    The corner is nearest to what is forecast. The others are a Latin hypercube in the logarithms
    (every level of each axis once), of many drawn the one with the largest determinant of the
    information about the slopes.

    Args:
        runs: How many.
        sizes: Parameters of the students, in any order.
        examples: The fewest and the most.
        epochs: The fewest and the most.
        seed: Of the draws.
    """
    require("scipy", extra="tune", purpose="keras_kd.auto.forecast plans its runs")
    from scipy.stats import qmc

    logs = np.log(np.asarray(sizes, "float64"))
    best: tuple[float, list[Point]] | None = None
    for draw in range(_DRAWN):
        cube = qmc.LatinHypercube(3, rng=np.random.default_rng([seed, draw])).random(runs - 1)
        points = {(int(logs.argmax()), examples[1], epochs[1])}
        found = [(int(logs.argmax()), examples[1], epochs[1])]
        for share in cube:
            point = (
                int(np.abs(logs - _between(logs.min(), logs.max(), share[0])).argmin()),
                round(np.exp(_between(np.log(examples[0]), np.log(examples[1]), share[1]))),
                round(np.exp(_between(np.log(epochs[0]), np.log(epochs[1]), share[2]))),
            )
            points.add(point)
            found.append(point)
        if len(points) < runs and draw < _DRAWN - 1 and best is not None:
            continue  # the same point twice
        told = information([(sizes[place], n, e) for place, n, e in found])
        if best is None or told > best[0]:
            best = told, found
    assert best is not None
    return best[1]


def _between(low: float, high: float, share: float) -> float:
    return low + share * (high - low)


def information(points: Sequence[tuple[float, float, float]]) -> float:
    """How well points tell the level and the three slopes apart: the determinant's logarithm,
    each axis on a scale from 0 to 1."""
    x = np.log(np.asarray(points, "float64"))
    spread = np.ptp(x, axis=0)
    x = (x - x.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    x = np.column_stack([np.ones(len(x)), x])
    return float(np.linalg.slogdet(x.T @ x + 1e-9 * np.eye(x.shape[1]))[1])
