"""Comparisons: two ways, run from the same seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

#: Student's t at 0.975, for 1 to 30 degrees of freedom. Beyond, the last stands in: the interval is
#: then a little wider than it need be.
_T = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
)  # fmt: skip


@dataclass(frozen=True)
class Paired:
    """What changed from one way to the other, over pairs of runs.

    Args:
        mean: Mean of the differences, `after - before`.
        low: Lower end of the 95 % interval of that mean.
        high: Upper end.
        pairs: Number of pairs.
    """

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def direction(self) -> Literal["less", "more", "unclear"]:
        """Whether after is less than before, or more; unclear when the interval holds 0."""
        if self.high < 0:
            return "less"
        return "more" if self.low > 0 else "unclear"


def paired(before: Sequence[float], after: Sequence[float]) -> Paired:
    """The paired difference `after - before`, with its 95 % interval.

    Run both ways from each seed: what the seed does to both then cancels out. With the differences
    `d_i` of `n` pairs, their mean `m` and their standard deviation `s` (over `n - 1`):

    `m ± t(0.975, n - 1) · s / √n`

    One pair gives no interval: it reaches from minus to plus infinity.

    Args:
        before: One number per seed.
        after: The same of the other way, in the same order.

    Returns:
        A `Paired`.

    Raises:
        ValueError: If the two differ in length, or are empty.

    Example:

    >>> change = keras_kd.report.paired(before=[60, 58, 64], after=[30, 31, 29])
    >>> round(change.mean, 1), round(change.low, 1), round(change.high, 1), change.direction
    (-30.7, -40.7, -20.6, 'less')

    Reference: Student, "The Probable Error of a Mean", Biometrika 6(1), 1908.
    """
    if len(before) != len(after) or not len(before):
        raise ValueError(
            "`before` and `after` must have one number for each of the same seeds. "
            f"Received: {len(before)} and {len(after)}."
        )
    difference = np.subtract(after, before, dtype="float64")
    mean, pairs = float(difference.mean()), len(difference)
    if pairs == 1:
        return Paired(mean, -np.inf, np.inf, pairs)
    half = _T[min(pairs - 1, len(_T)) - 1] * float(difference.std(ddof=1)) / pairs**0.5
    return Paired(mean, mean - half, mean + half, pairs)
