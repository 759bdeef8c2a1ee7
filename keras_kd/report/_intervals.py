"""Differences between two ways, with honest intervals: over seeds, and over examples."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from keras_kd.report._won_and_lost import of_errors, wilson

#: Fewer differences get no interval. Three, with Student's, hold the mean of exponential ones in 88
#: of 100 cases; their resamples are all of one number too often to bend it. Of four counts half of
#: the sets have the same trouble.
FEWEST = 5
#: How much smaller a tail is than 2.5 %, times the number of differences. Resamples of few numbers
#: vary too little: with whole tails, five to ten skewed differences are held in 93 of 100 cases.
_NARROW = 1.5
#: Draws of this many numbers at once.
_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Paired:
    """What changed from one way to the other, over pairs of runs or of answers.

    Args:
        mean: Mean of the differences, `after - before`.
        low: Lower end of the 95 % interval of that mean.
        high: Upper end. Where the pairs are too few to say, the interval is from minus to plus
            infinity.
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

    @property
    def too_few(self) -> bool:
        """Whether the pairs are too few to say anything but the mean."""
        return math.isinf(self.high - self.low)


def paired(
    before: Sequence[float], after: Sequence[float], *, resamples: int = 10_000, seed: int = 0
) -> Paired:
    """The paired difference `after - before` of numbers, such as errors by seed, with its interval.

    Run both ways from each seed: what the seed does to both then cancels out. The `n` differences
    with the mean `m` and the standard deviation `s` (over `n - 1`) are drawn anew, as many and with
    replacement, `resamples` times. Each draw has its own mean `m*` and deviation `s*`, and
    `t* = (m* - m) · √n / s*`. With its lower and upper quantile, the 95 % interval is

    `m - t*(upper) · s / √n` to `m - t*(lower) · s / √n`

    It bends with the skew of the differences. Of five to ten exponential ones Student's interval
    holds the mean in 88 to 91 of 100 cases, this one in 94 to 95; of normal ones, in 95 to 96
    (`benchmarks/coverage.py`). With much more skew no interval from so few keeps its promise. Each
    tail is `2.5 % · (1 - 1.5 / n)`, since draws of few numbers vary too little.

    Fewer than five differences, or such that are nearly all the same, are too few to say: the
    interval is then from minus to plus infinity.

    Args:
        before: One number per seed.
        after: The same of the other way, in the same order.
        resamples: How often to draw. Defaults to `10_000`.
        seed: Seed of the draws. Defaults to `0`.

    Returns:
        A `Paired`.

    Raises:
        ValueError: If the two differ in length, or are empty, or hold what is not finite.

    Example:

    >>> change = keras_kd.report.paired(before=[60, 58, 64, 66, 61], after=[30, 31, 29, 33, 35])
    >>> round(change.mean, 1), change.direction
    (-30.2, 'less')
    >>> keras_kd.report.paired(before=[60, 58, 64], after=[30, 31, 29]).too_few
    True

    Reference: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, section 12.5, the
    bootstrap-t interval.
    """
    difference = _differences(before, after, "seeds")
    return _studentised(difference, resamples, seed)


def bootstrap(
    before: Sequence[float], after: Sequence[float], *, resamples: int = 10_000, seed: int = 0
) -> Paired:
    """The paired difference `after - before` over the examples of one test set.

    Two models answered the same examples. The interval speaks of other test sets of this kind; of
    other seeds of the training it knows nothing (see `paired`, whose interval this is, over
    examples). Answers that are right or wrong, 0 and 1, need no draws: their interval follows from
    how many were won and lost, and it leaves out 0 exactly when `mcnemar` gives p < 0.05.

    Args:
        before: One number for each example, such as 1 for an error and 0 for none.
        after: The same of the other model, in the same order.
        resamples: How often to draw. Defaults to `10_000`.
        seed: Seed of the draws. Defaults to `0`.

    Returns:
        A `Paired`.

    Raises:
        ValueError: If the two differ in length, or are empty, or hold what is not finite.

    Example:

    >>> wrong_before = [1] * 60 + [0] * 40  # 60 errors of 100
    >>> wrong_after = [1] * 40 + [0] * 60  # 20 of them mended
    >>> change = keras_kd.report.bootstrap(wrong_before, wrong_after)
    >>> change.mean, round(change.low, 2), round(change.high, 2), change.direction
    (-0.2, -0.29, -0.12, 'less')

    Reference: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, sections 12.5 and 13.3.
    """
    difference = _differences(before, after, "examples")
    if np.isin(before, (0, 1)).all() and np.isin(after, (0, 1)).all():
        lost, won = int((difference > 0).sum()), int((difference < 0).sum())
        low, high = of_errors(lost, won, len(difference))
        return Paired(float(difference.mean()), low, high, len(difference))
    return _studentised(difference, resamples, seed)


def _differences(before: Sequence[float], after: Sequence[float], what: str) -> np.ndarray:
    if len(before) != len(after) or not len(before):
        raise ValueError(
            f"`before` and `after` must have one number for each of the same {what}. "
            f"Received: {len(before)} and {len(after)}."
        )
    difference = np.subtract(after, before, dtype="float64")
    if not np.isfinite(difference).all():
        raise ValueError(
            "`before` and `after` must be finite. Received NaN or infinite values in "
            f"{int((~np.isfinite(difference)).sum())} of {len(difference)} pairs."
        )
    return difference


def _studentised(difference: np.ndarray, resamples: int, seed: int) -> Paired:
    n, mean = len(difference), float(difference.mean())
    around = difference - mean
    # What is left of equal numbers is rounding.
    rounding = 1e-9 * float(np.abs(difference).max())
    if n < FEWEST or np.abs(around).max() <= rounding:
        return Paired(mean, -math.inf, math.inf, n)
    if n * resamples <= _AT_ONCE:
        t = _t_of(around, _draws(n, resamples, seed), rounding)
    else:
        rng, at_once = np.random.default_rng(seed), max(1, _AT_ONCE // n)
        sizes = (min(at_once, resamples - i) for i in range(0, resamples, at_once))
        t = np.concatenate([_t_of(around, rng.integers(0, n, (k, n)), rounding) for k in sizes])
    tail = 0.025 * (1 - _NARROW / n)
    cut = int(tail * resamples)
    t.partition((cut, resamples - 1 - cut))
    lower, upper = float(t[cut]), float(t[resamples - 1 - cut])
    if math.isinf(lower) or math.isinf(upper):  # too many draws of one number alone
        return Paired(mean, -math.inf, math.inf, n)
    unit = float(difference.std(ddof=1)) / n**0.5
    return Paired(mean, mean - upper * unit, mean - lower * unit, n)


@functools.lru_cache(maxsize=4)
def _draws(n: int, resamples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, n, (resamples, n))


def _t_of(around: np.ndarray, drawn: np.ndarray, rounding: float) -> np.ndarray:
    """Student's t of each draw; infinite where all numbers drawn are one."""
    n = len(around)
    means = around[drawn].mean(axis=1)
    spread = np.sqrt(np.maximum((around**2)[drawn].mean(axis=1) - means**2, 0) * n / (n - 1))
    one = spread <= 1e-6 * np.abs(around).max()
    t = means * n**0.5 / np.where(one, 1, spread)
    far = np.where(np.abs(means) <= rounding, 0, np.copysign(np.inf, means))
    return np.where(one, far, t)


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
    low, high = wilson(successes / examples, examples, np.array(1.959964))
    return float(low), float(high)
