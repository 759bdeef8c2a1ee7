"""Paired differences with 95 % intervals, over seeds or over examples."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from keras_kd.report._mcnemar import error_change_interval, wilson

#: Fewer differences get no interval. Of three exponential ones, Student's contains the mean in 88 of
#: 100 cases, and too many resamples repeat one number for the bootstrap; of four counts, half of the
#: sets have the same fault.
FEWEST_PAIRS = 5
#: How much smaller a tail is than 2.5 %, times the number of differences. Resamples of few numbers
#: vary too little: with whole tails, the interval of five to ten skewed differences contains the
#: mean in 93 of 100 cases.
_TAIL_CORRECTION = 1.5
#: How many numbers are resampled at once, which bounds the memory.
_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Paired:
    """What changed from one model to another, over pairs of runs or of predictions.

    Args:
        mean: Mean of the differences, `after - before`.
        low: Lower end of the 95 % interval of that mean.
        high: Upper end. Where the pairs are too few, the interval is from minus to plus
            infinity.
        pairs: Number of pairs.
    """

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def direction(self) -> Literal["less", "more", "unclear"]:
        """Whether after is less than before, or more; unclear when the interval contains 0."""
        if self.high < 0:
            return "less"
        return "more" if self.low > 0 else "unclear"

    @property
    def too_few(self) -> bool:
        """Whether the pairs are too few, or too much alike, for an interval."""
        return math.isinf(self.high - self.low)


def paired(
    before: Sequence[float], after: Sequence[float], *, resamples: int = 10_000, seed: int = 0
) -> Paired:
    """The paired difference `after - before` of numbers, such as errors by seed, with its interval.

    Train both models from each seed: what the seed does to both then cancels out. The `n` differences
    with the mean `m` and the standard deviation `s` (over `n - 1`) are drawn anew, as many and with
    replacement, `resamples` times. Each draw has its own mean `m*` and deviation `s*`, and
    `t* = (m* - m) · √n / s*`. With its lower and upper quantile, the 95 % interval is

    `m - t*(upper) · s / √n` to `m - t*(lower) · s / √n`

    It bends with the skew of the differences. Of five to ten exponential ones Student's interval
    contains the mean in 88 to 91 of 100 cases, this one in 94 to 95; of normal ones, in 95 to 96
    (`benchmarks/coverage.py`). With much more skew no interval from so few reaches 95 of 100. Each
    tail is `2.5 % · (1 - 1.5 / n)`, since draws of few numbers vary too little.

    Fewer than five differences, or such that are nearly all the same, have no interval: it is
    then from minus to plus infinity.

    Args:
        before: One number per seed.
        after: The same of the other model, in the same order.
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
    return studentized_interval(difference, resamples, seed)


def bootstrap(
    before: Sequence[float], after: Sequence[float], *, resamples: int = 10_000, seed: int = 0
) -> Paired:
    """The paired difference `after - before` over the examples of one test set.

    Two models predicted the same examples. The interval is about other test sets of this kind, not
    about other seeds of the training (for those see `paired`, whose interval this is, over
    examples). Predictions that are right or wrong, 0 and 1, need no draws: their interval follows
    from how many were lost and won, and it leaves out 0 exactly when `mcnemar` gives p < 0.05.

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
    >>> wrong_after = [1] * 40 + [0] * 60  # 20 of them corrected
    >>> change = keras_kd.report.bootstrap(wrong_before, wrong_after)
    >>> change.mean, round(change.low, 2), round(change.high, 2), change.direction
    (-0.2, -0.29, -0.12, 'less')

    Reference: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, sections 12.5 and 13.3.
    """
    difference = _differences(before, after, "examples")
    if np.isin(before, (0, 1)).all() and np.isin(after, (0, 1)).all():
        lost, won = int((difference > 0).sum()), int((difference < 0).sum())
        low, high = error_change_interval(lost, won, len(difference))
        return Paired(float(difference.mean()), low, high, len(difference))
    return studentized_interval(difference, resamples, seed)


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


def studentized_interval(difference: np.ndarray, resamples: int = 10_000, seed: int = 0) -> Paired:
    """The mean of numbers with its interval, as `paired` says."""
    n, mean = len(difference), float(difference.mean())
    centered = difference - mean
    # Deviations of equal numbers from their mean are rounding alone.
    rounding = 1e-9 * float(np.abs(difference).max())
    if n < FEWEST_PAIRS or np.abs(centered).max() <= rounding:
        return Paired(mean, -math.inf, math.inf, n)
    if n * resamples <= _NUMBERS_AT_ONCE:
        t = _t_statistics(centered, _resampled_indices(n, resamples, seed), rounding)
    else:
        rng, at_once = np.random.default_rng(seed), max(1, _NUMBERS_AT_ONCE // n)
        sizes = (min(at_once, resamples - i) for i in range(0, resamples, at_once))
        t = np.concatenate(
            [_t_statistics(centered, rng.integers(0, n, (k, n)), rounding) for k in sizes]
        )
    tail = 0.025 * (1 - _TAIL_CORRECTION / n)
    cut = int(tail * resamples)
    t.partition((cut, resamples - 1 - cut))
    lower, upper = float(t[cut]), float(t[resamples - 1 - cut])
    if math.isinf(lower) or math.isinf(upper):  # too many draws repeat one number
        return Paired(mean, -math.inf, math.inf, n)
    standard_error = float(difference.std(ddof=1)) / n**0.5
    return Paired(mean, mean - upper * standard_error, mean - lower * standard_error, n)


@functools.lru_cache(maxsize=4)
def _resampled_indices(n: int, resamples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, n, (resamples, n))


def _t_statistics(centered: np.ndarray, indices: np.ndarray, rounding: float) -> np.ndarray:
    """Student's t of each draw; infinite where all the numbers drawn are equal."""
    n = len(centered)
    means = centered[indices].mean(axis=1)
    spread = np.sqrt(np.maximum((centered**2)[indices].mean(axis=1) - means**2, 0) * n / (n - 1))
    constant = spread <= 1e-6 * np.abs(centered).max()
    t = means * n**0.5 / np.where(constant, 1, spread)
    limit = np.where(np.abs(means) <= rounding, 0, np.copysign(np.inf, means))
    return np.where(constant, limit, t)


def proportion(successes: float, examples: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson.

    With the share `p` of `n` examples and `z = 1.96`:

    `(p + z²/2n ± z · √(p(1 - p)/n + z²/4n²)) / (1 + z²/n)`

    It stays close to 95 % for few examples and for shares near 0 and 1 too.

    Args:
        successes: Number of examples that are counted.
        examples: Number of all examples.

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
