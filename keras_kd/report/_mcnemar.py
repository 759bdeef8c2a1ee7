"""McNemar's exact test of two models' errors, and the interval that agrees with it."""

from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()
#: Of a 95 % interval: 2.5 % lie beyond either end, which is this many standard deviations away.
_TAIL = 0.025
_Z = -_NORMAL.inv_cdf(_TAIL)


def mcnemar(lost: int, won: int) -> float:
    """McNemar's exact test: how likely such a split would be if both models erred alike.

    Of the examples on which exactly one of two models is right, the first alone is right on `lost`
    and the second alone on `won`. Were they equally good, each of these would be a fair coin:

    `p = min(1, 2 · P[Binomial(lost + won, 1/2) <= min(lost, won)])`

    Args:
        lost: Number of examples that only the first model predicts rightly.
        won: Number that only the second predicts rightly.

    Returns:
        The two-sided p-value.

    Example:

    >>> keras_kd.report.mcnemar(lost=1, won=4)  # 2 · (1 + 5) / 32
    0.375

    Reference: McNemar, "Note on the Sampling Error of the Difference between Correlated
    Proportions or Percentages", Psychometrika 12, 1947; in the exact form of the sign test.
    """
    tail = float(binomial_tail(max(lost, won), lost + won, np.array([0.5]))[0])
    # Twelve digits: those that the logarithms leave, however small the number.
    return min(1.0, float(f"{2 * tail:.12g}"))


def error_change_interval(lost: int, won: int, examples: int) -> tuple[float, float]:
    """The 95 % interval of the change in the share of errors, from the first model to the second.

    With `ψ`, the share of examples on which exactly one of both is right, and `θ`, the share of
    these that are lost, the change is `ψ (2θ - 1)`. How far a `θ` and a `ψ` are from the counts, in
    standard deviations, is `z(θ)` from the exact binomial tail of `lost` among `lost + won`, and `z(ψ)`
    by Wilson's score from `lost + won` among `examples`. The interval is from the lowest to the
    highest change with `z(θ)² + z(ψ)² <= 1.96²`.

    It contains 0 exactly when it contains `θ = 1/2`, so when `mcnemar(lost, won) >= 0.05`. Where the
    models are right on the same examples, it still has the width that `ψ` may have.

    Reference: Clopper, Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case
    of the Binomial", Biometrika 26, 1934, for `θ`; Wilson, Journal of the American Statistical
    Association 22, 1927, for `ψ`.
    """
    return _lowest_change(lost, won, examples), -_lowest_change(won, lost, examples)


def _lowest_change(counted: int, others: int, examples: int) -> float:
    """The lowest `ψ (2θ - 1)`, where `θ` is the share of `counted` in `counted + others`."""
    differing = counted + others
    lowest_theta = 0.0
    if counted:
        # The test decides on which side of 1/2 the bisection goes on.
        significant = counted > others and mcnemar(others, counted) < 2 * _TAIL
        low, high = (0.5, 1.0) if significant else (0.0, 0.5)
        while high - low > 1e-10:
            middle = (low + high) / 2
            if binomial_tail(counted, differing, np.array([middle]))[0] < _TAIL:
                low = middle
            else:
                high = middle
        lowest_theta = low
    theta = np.linspace(lowest_theta, counted / max(differing, 1), 33)
    tails = np.clip(binomial_tail(counted, differing, theta), _TAIL, 0.5)
    z_of_psi = np.sqrt(np.maximum(_Z**2 - np.array([_NORMAL.inv_cdf(t) ** 2 for t in tails]), 0))
    lowest_psi, highest_psi = wilson(differing / examples, examples, z_of_psi)
    sign = 2 * theta - 1
    return float(np.min(np.where(sign > 0, sign * lowest_psi, sign * highest_psi)))


def wilson(share: float, examples: int, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of Wilson's interval of a share, `z` standard deviations away."""
    z2 = np.square(z) / examples
    half_width = np.sqrt(z2 * max(share * (1 - share), 0.0) + z2**2 / 4)
    center = share + z2 / 2
    return (
        np.maximum(0.0, (center - half_width) / (1 + z2)),
        np.minimum(1.0, (center + half_width) / (1 + z2)),
    )


def binomial_tail(k: int, n: int, p: np.ndarray) -> np.ndarray:
    """The probability of `k` or more successes in `n` trials, for each probability `p` of one."""
    if k <= 0:
        return np.ones(len(p))
    i = np.arange(k, n + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    log_ways = factorials[n] - factorials[i] - factorials[n - i]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = (
            log_ways
            + i * np.log(p)[:, None]
            + np.where(i < n, (n - i) * np.log1p(-p)[:, None], 0.0)
        )
    return np.exp(logs).sum(axis=1)
