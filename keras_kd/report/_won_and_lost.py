"""Two models, right or wrong about the same examples: the test, and the interval that is its dual."""

from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()
#: The interval is one of 95 %: either end leaves out 2.5 %, at this many standard deviations.
_TAIL = 0.025
_FAR = -_NORMAL.inv_cdf(_TAIL)


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
    tail = float(at_least(max(lost, won), lost + won, np.array([0.5]))[0])
    # Twelve digits: those that the logarithms leave, however small the number.
    return min(1.0, float(f"{2 * tail:.12g}"))


def of_errors(lost: int, won: int, examples: int) -> tuple[float, float]:
    """The 95 % interval of the change in the share of errors, from the first model to the second.

    With `ψ`, the share of examples on which exactly one of both is right, and `θ`, the share of
    these that are lost, the change is `ψ (2θ - 1)`. What was counted says how far a `θ` and a `ψ`
    are from it, in standard deviations: `z(θ)` from the exact binomial tail of `lost` among
    `lost + won`, `z(ψ)` by Wilson's score from `lost + won` among `examples`. The interval is from
    the least to the largest change with `z(θ)² + z(ψ)² <= 1.96²`.

    It holds 0 exactly when it holds `θ = 1/2`, so when `mcnemar(lost, won) >= 0.05`. Where no
    example tells the models apart it still has the width that `ψ` may have.

    Reference: Clopper, Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case
    of the Binomial", Biometrika 26, 1934, for `θ`; Wilson, Journal of the American Statistical
    Association 22, 1927, for `ψ`.
    """
    return _least(lost, won, examples), -_least(won, lost, examples)


def _least(more: int, less: int, examples: int) -> float:
    """The least `ψ (2θ - 1)`, when `more` of `more + less` are those that `θ` is the share of."""
    differ = more + less
    least = 0.0
    if more:
        # The test decides on which side of 1/2 the bisection goes on.
        sure = more > less and mcnemar(less, more) < 2 * _TAIL
        low, high = (0.5, 1.0) if sure else (0.0, 0.5)
        while high - low > 1e-10:
            middle = (low + high) / 2
            if at_least(more, differ, np.array([middle]))[0] < _TAIL:
                low = middle
            else:
                high = middle
        least = low
    shares = np.linspace(least, more / max(differ, 1), 33)
    tails = np.clip(at_least(more, differ, shares), _TAIL, 0.5)
    left = np.sqrt(np.maximum(_FAR**2 - np.array([_NORMAL.inv_cdf(t) ** 2 for t in tails]), 0))
    few, many = wilson(differ / examples, examples, left)
    away = 2 * shares - 1
    return float(np.min(np.where(away > 0, away * few, away * many)))


def wilson(share: float, examples: int, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of Wilson's interval of a share, `z` standard deviations away."""
    z2 = np.square(z) / examples
    half = np.sqrt(z2 * max(share * (1 - share), 0.0) + z2**2 / 4)
    middle = share + z2 / 2
    return (
        np.maximum(0.0, (middle - half) / (1 + z2)),
        np.minimum(1.0, (middle + half) / (1 + z2)),
    )


def at_least(k: int, n: int, p: np.ndarray) -> np.ndarray:
    """The chance of `k` or more successes of `n`, for each probability of one."""
    if k <= 0:
        return np.ones(len(p))
    i = np.arange(k, n + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    ways = factorials[n] - factorials[i] - factorials[n - i]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = ways + i * np.log(p)[:, None] + np.where(i < n, (n - i) * np.log1p(-p)[:, None], 0.0)
    return np.exp(logs).sum(axis=1)
