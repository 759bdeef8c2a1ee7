import numpy as np
import pytest

from keras_kd.report import _compare, paired


def test_the_interval_is_students():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for n in (2, 3, 5, 17, 31):
        before, after = rng.normal(50, 8, n), rng.normal(45, 5, n)
        change = paired(before, after)
        wanted = stats.ttest_rel(after, before).confidence_interval(0.95)
        assert change.mean == pytest.approx(after.mean() - before.mean())
        assert (change.low, change.high) == pytest.approx((wanted.low, wanted.high), rel=1e-4)
        assert change.pairs == n


def test_the_quantiles():
    stats = pytest.importorskip("scipy.stats")
    np.testing.assert_allclose(_compare._T, stats.t.ppf(0.975, np.arange(1, 31)), atol=5e-5)


def test_beyond_the_quantiles_the_interval_is_a_little_wide():
    stats = pytest.importorskip("scipy.stats")
    before = np.zeros(100)
    after = np.random.default_rng(0).normal(size=100)
    wanted = stats.ttest_rel(after, before).confidence_interval(0.95)
    change = paired(before, after)
    ratio = (change.high - change.low) / (wanted.high - wanted.low)
    assert 1.0 < ratio < 1.05


def test_by_hand():
    """Differences -30, -27, -35: mean -92/3, variance 49/3, half 4.3027 · √(49/9)."""
    change = paired([60, 58, 64], [30, 31, 29])
    assert change.mean == pytest.approx(-92 / 3)
    assert change.high - change.mean == pytest.approx(4.3027 * 7 / 3)
    assert change.mean - change.low == pytest.approx(4.3027 * 7 / 3)


def test_what_both_share_cancels_out():
    seeds = np.array([0.0, 40.0, 90.0, 10.0])
    change = paired(50 + seeds, 47 + seeds)
    assert (change.low, change.mean, change.high) == pytest.approx((-3, -3, -3))
    assert change.direction == "less"


@pytest.mark.parametrize(
    "before, after, direction",
    [
        ([60, 58, 64], [30, 31, 29], "less"),
        ([30, 31, 29], [60, 58, 64], "more"),
        ([60, 30, 64], [30, 31, 62], "unclear"),
        ([5, 5, 5], [5, 5, 5], "unclear"),
        ([60], [30], "unclear"),
    ],
)
def test_direction(before, after, direction):
    assert paired(before, after).direction == direction


@pytest.mark.parametrize("before, after", [([1, 2], [1]), ([], [])])
def test_pairs_must_be_pairs(before, after):
    with pytest.raises(ValueError, match=f"Received: {len(before)} and {len(after)}"):
        paired(before, after)
