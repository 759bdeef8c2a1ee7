import itertools

import numpy as np
import pytest

from keras_kd.report import mcnemar
from keras_kd.report._mcnemar import error_change_interval

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize(
    "lost, won", [(0, 0), (0, 1), (1, 4), (3, 3), (10, 25), (400, 480), (0, 9), (15, 144)]
)
def test_mcnemar_is_the_exact_sign_test(lost, won):
    wanted = stats.binomtest(lost, lost + won, 0.5).pvalue if lost + won else 1.0
    assert mcnemar(lost, won) == pytest.approx(wanted, rel=1e-9)
    assert mcnemar(lost, won) == mcnemar(won, lost)


def region(lost, won, n):
    """Least and largest ψ (2θ - 1) over a fine grid of both, with scipy's tails and Wilson by hand."""
    theta, psi = np.linspace(0, 1, 1201)[:, None], np.linspace(0, 1, 4001)[None, :]
    differ = lost + won
    tails = (stats.binom.sf(lost - 1, differ, theta), stats.binom.cdf(lost, differ, theta))
    z2 = stats.norm.isf(np.clip(np.minimum(*tails), 1e-12, 0.5)) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        z2 = z2 + np.nan_to_num((differ / n - psi) ** 2 / (psi * (1 - psi) / n), nan=0.0)
    inside = (psi * (2 * theta - 1))[z2 <= stats.norm.isf(0.025) ** 2]
    return inside.min(), inside.max()


@pytest.mark.parametrize(
    "lost, won, n", [(0, 4, 100), (3, 12, 200), (9, 9, 60), (1, 0, 8), (0, 0, 30), (30, 2, 40)]
)
def test_the_interval_is_that_of_the_region(lost, won, n):
    assert error_change_interval(lost, won, n) == pytest.approx(region(lost, won, n), abs=2e-3)


def test_it_leaves_out_0_exactly_when_the_test_says_so():
    few = itertools.product(range(14), repeat=2)
    near = [(lost, m - lost) for m in (50, 101, 400) for lost in range(m // 2 - 25, m // 2)]
    for lost, won in [*few, *near]:
        low, high = error_change_interval(lost, won, 500)
        assert low < (lost - won) / 500 < high
        significant = mcnemar(lost, won) < 0.05
        assert (low > 0 or high < 0) == significant, (lost, won)
        assert significant == (low > 0 if lost > won else high < 0)


@pytest.mark.parametrize("lost, won, n", [(0, 0, 1), (1, 0, 1), (0, 5, 5), (0, 0, 1000)])
def test_it_never_is_without_width(lost, won, n):
    low, high = error_change_interval(lost, won, n)
    assert -1 <= low < high <= 1 and high - low > 1.5 / n
    assert (-high, -low) == error_change_interval(won, lost, n)


@pytest.mark.parametrize("theta", [0.5, 0.7, 1.0])
@pytest.mark.parametrize("psi", [0.05, 0.15])
def test_it_holds_the_truth_in_95_of_100_cases(theta, psi):
    """Exactly, summed over all that may be counted among 100 examples."""
    held = 0.0
    for differ in range(40):
        for lost in range(differ + 1):
            chance = stats.binom.pmf(differ, 100, psi) * stats.binom.pmf(lost, differ, theta)
            if chance > 1e-4:
                low, high = error_change_interval(lost, differ - lost, 100)
                held += chance * (low <= psi * (2 * theta - 1) <= high)
    assert 0.95 <= held <= 0.995
