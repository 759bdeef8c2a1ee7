"""Differences between two ways, with honest intervals: over seeds, and over examples."""

import math
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
    """What changed from one way to the other, over pairs of runs or of answers.

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


def bootstrap(
    before: Sequence[float], after: Sequence[float], *, resamples: int = 10_000, seed: int = 0
) -> Paired:
    """The paired difference `after - before` over the examples of one test set, by the bootstrap.

    Two models answered the same examples. The examples are drawn anew, as many and with
    replacement, `resamples` times; each time the mean difference is taken. The interval is from
    the 2.5th to the 97.5th percentile of these means. It speaks of other test sets of this kind;
    of other seeds of the training it knows nothing (see `paired`). Where no example tells the two
    apart it has no width: that says that this test set shows no difference, not that there is none.

    Args:
        before: One number for each example, such as 1 for an error and 0 for none.
        after: The same of the other model, in the same order.
        resamples: How often to draw. Defaults to `10_000`.
        seed: Seed of the draws. Defaults to `0`.

    Returns:
        A `Paired`.

    Raises:
        ValueError: If the two differ in length, or are empty.

    Example:

    >>> wrong_before = [1] * 60 + [0] * 40  # 60 errors of 100
    >>> wrong_after = [1] * 40 + [0] * 60  # 20 of them mended
    >>> change = keras_kd.report.bootstrap(wrong_before, wrong_after)
    >>> change.mean, round(change.low, 2), round(change.high, 2), change.direction
    (-0.2, -0.28, -0.12, 'less')

    Reference: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3.
    """
    _check_pairs(before, after)
    rng = np.random.default_rng(seed)
    difference = np.subtract(after, before, dtype="float64")
    n = len(difference)
    values, counts = np.unique(difference, return_counts=True)
    if len(values) <= 64:  # drawing examples is drawing how many there are of each value
        means = rng.multinomial(n, counts / n, size=resamples) @ values / n
    else:
        at_once = max(1, 4_000_000 // n)
        draws = (min(at_once, resamples - i) for i in range(0, resamples, at_once))
        means = np.concatenate([difference[rng.integers(0, n, (k, n))].mean(axis=1) for k in draws])
    low, high = np.percentile(means, (2.5, 97.5))
    return Paired(float(difference.mean()), float(low), float(high), n)


def proportion(successes: float, examples: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson.

    With the share `p` of `n` examples and `z = 1.96`:

    `(p + z²/2n ± z · √(p(1 - p)/n + z²/4n²)) / (1 + z²/n)`

    It holds its promise for few examples and for shares near 0 and 1 too.

    Args:
        successes: On how many examples it was so.
        examples: How many there are.

    Returns:
        The lower and the upper end.

    Raises:
        ValueError: If there are no examples, or fewer than successes.

    Example:

    >>> low, high = keras_kd.report.proportion(120, 125)
    >>> round(low, 3), round(high, 3)
    (0.91, 0.983)

    Reference: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22, 1927.
    """
    if examples < 1 or not 0 <= successes <= examples + 1e-9:
        raise ValueError(
            "`successes` must be from 0 to `examples`, and `examples` at least 1. "
            f"Received: successes={successes!r}, examples={examples!r}."
        )
    share, z2 = successes / examples, 1.959964**2 / examples
    half = math.sqrt(z2 * max(share * (1 - share), 0) + z2**2 / 4)
    middle = share + z2 / 2
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))


def mcnemar(lost: int, won: int) -> float:
    """McNemar's exact test: how likely such a split would be if both models erred alike.

    Of the examples on which exactly one of two models is right, the first alone is right on `lost`
    and the second alone on `won`. Were they equally good, each of these would be a fair coin:

    `p = min(1, 2 · P[Binomial(lost + won, 1/2) <= min(lost, won)])`

    Args:
        lost: Number of examples that only the first model answers rightly.
        won: Number that only the second answers rightly.

    Returns:
        The two-sided p-value.

    Example:

    >>> keras_kd.report.mcnemar(lost=1, won=4)  # 2 · (1 + 5) / 32
    0.375

    Reference: McNemar, "Note on the Sampling Error of the Difference between Correlated
    Proportions or Percentages", Psychometrika 12, 1947; in the exact form of the sign test.
    """
    n, fewer = lost + won, min(lost, won)
    if n == 0:
        return 1.0
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
        for k in range(fewer + 1)
    ]
    # Twelve digits: those that the logarithms leave, however small the number.
    return min(1.0, float(f"{2 * math.fsum(map(math.exp, logs)):.12g}"))


def _check_pairs(before: Sequence[float], after: Sequence[float]) -> None:
    if len(before) != len(after) or not len(before):
        raise ValueError(
            "`before` and `after` must have one number for each of the same examples. "
            f"Received: {len(before)} and {len(after)}."
        )
