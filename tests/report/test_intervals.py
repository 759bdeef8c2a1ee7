import numpy as np
import pytest

from keras_kd.report import _intervals, bootstrap, mcnemar, paired, proportion


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
    np.testing.assert_allclose(_intervals._T, stats.t.ppf(0.975, np.arange(1, 31)), atol=5e-5)


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


@pytest.mark.parametrize(
    "lost, won", [(0, 0), (0, 1), (1, 4), (3, 3), (10, 25), (400, 480), (0, 9), (15, 144)]
)
def test_mcnemar_is_the_exact_sign_test(lost, won):
    stats = pytest.importorskip("scipy.stats")
    wanted = stats.binomtest(lost, lost + won, 0.5).pvalue if lost + won else 1.0
    assert mcnemar(lost, won) == pytest.approx(wanted, rel=1e-9)
    assert mcnemar(lost, won) == mcnemar(won, lost)


def test_the_bootstrap_of_errors_is_that_of_drawn_examples():
    """Drawing how many there are of each difference is drawing examples."""
    rng = np.random.default_rng(1)
    before, after = (rng.random((2, 300)) < [[0.3], [0.2]]).astype(float)
    difference = after - before
    means = difference[rng.integers(0, 300, (10_000, 300))].mean(axis=1)
    change = bootstrap(before, after)
    assert change.mean == pytest.approx(difference.mean())
    assert (change.low, change.high) == pytest.approx(
        tuple(np.percentile(means, (2.5, 97.5))), abs=7e-3
    )


def test_the_bootstrap_of_measurements_is_near_the_normal_interval():
    rng = np.random.default_rng(2)
    before, after = rng.normal(0, 1, (2, 400))
    difference = after - before
    half = 1.96 * difference.std() / 20
    change = bootstrap(before, after)
    assert change.low == pytest.approx(difference.mean() - half, abs=0.012)
    assert change.high == pytest.approx(difference.mean() + half, abs=0.012)


def test_the_bootstrap_covers_the_truth():
    """19 of 20 intervals hold the true difference of -0.1; of 300, between 273 and 295."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(300):
        draw = rng.random(200)
        change = bootstrap(draw < 0.3, (draw > 0.15) & (draw < 0.35), resamples=1000)
        held += change.low <= -0.1 <= change.high
    assert 273 <= held <= 295


def test_a_seed_gives_the_same_interval():
    before, after = np.random.default_rng(0).integers(0, 2, (2, 100))
    assert bootstrap(before, after, seed=3) == bootstrap(before, after, seed=3)
    assert bootstrap(before, after, seed=3) != bootstrap(before, after, seed=4)


@pytest.mark.parametrize("before, after", [([1, 2], [1]), ([], [])])
def test_examples_must_be_pairs(before, after):
    with pytest.raises(ValueError, match="for each of the same examples"):
        bootstrap(before, after)


def test_the_interval_of_a_share_is_wilsons():
    stats = pytest.importorskip("scipy.stats")
    for successes, n in ((0, 5), (3, 5), (5, 5), (120, 125), (1, 1000)):
        wanted = stats.binomtest(successes, n).proportion_ci(method="wilson")
        assert proportion(successes, n) == pytest.approx((wanted.low, wanted.high), abs=1e-6)
    for successes, n in ((1, 0), (6, 5), (-1, 5)):
        with pytest.raises(ValueError, match="`successes` must be from 0 to `examples`"):
            proportion(successes, n)
