import itertools
import math
import statistics

import numpy as np
import pytest

from keras_kd.report import _intervals, _mcnemar, bootstrap, paired, proportion

FIVE = [60, 58, 64, 66, 61], [30, 31, 29, 33, 35]


def test_the_interval_is_that_of_all_resamples():
    """Every one of the 5⁵ draws of five differences has its t; the quantiles cut 1.75 % off."""
    before, after = map(np.asarray, ([9.0, 4.0, 7.5, 8.0, 3.0], [8.5, 4.5, 3.0, 1.0, 2.0]))
    difference = after - before
    unit = difference.std(ddof=1) / 5**0.5
    t = []
    for drawn in itertools.product(difference, repeat=5):
        away, spread = statistics.fmean(drawn) - difference.mean(), statistics.stdev(drawn)
        t.append(away / (spread / 5**0.5) if spread else math.copysign(math.inf, away))
    t.sort()
    lower, upper = (
        [t[round((share + d) * 5**5)] for d in (-2e-3, 2e-3)] for share in (0.0175, 0.9825)
    )
    change = paired(before, after, resamples=100_000)
    assert change.mean == pytest.approx(difference.mean())
    # They are steps: what a draw of draws finds lies between those a little before and after.
    found = [(difference.mean() - end) / unit for end in (change.high, change.low)]
    assert lower[0] - 1e-9 <= found[0] <= lower[1] + 1e-9 < -2
    assert 2 < upper[0] - 1e-9 <= found[1] <= upper[1] + 1e-9
    assert change.pairs == 5


@pytest.mark.parametrize("chunks", ["one", "several"])
def test_of_many_differences_it_is_students(chunks, monkeypatch):
    stats = pytest.importorskip("scipy.stats")
    if chunks == "several":
        monkeypatch.setattr(_intervals, "_NUMBERS_AT_ONCE", 30_000)
    before, after = np.random.default_rng(0).normal([[50], [45]], 8, (2, 300))
    change = paired(before, after)
    wanted = stats.ttest_rel(after, before).confidence_interval(0.95)
    assert (change.low, change.high) == pytest.approx((wanted.low, wanted.high), abs=0.07)


def test_both_ways_round_it_is_the_same():
    there, back = paired(*FIVE), paired(*FIVE[::-1])
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    thrice = paired(*(3 * np.asarray(side) + 7 for side in FIVE))
    assert (thrice.low, thrice.high) == pytest.approx((3 * there.low, 3 * there.high))


def test_what_both_share_cancels_out():
    seeds = np.array([0.0, 40.0, 90.0, 10.0, 55.0])
    apart = np.array([-2.0, -3.0, -4.0, -3.5, -2.5])
    assert paired(seeds, seeds + apart).high == pytest.approx(paired([0.0] * 5, apart).high)
    assert paired(seeds, seeds + apart).direction == "less"


@pytest.mark.parametrize(
    "before, after, direction",
    [
        (*FIVE, "less"),
        (*FIVE[::-1], "more"),
        ([60, 30, 64, 50, 40], [30, 31, 62, 58, 45], "unclear"),
    ],
)
def test_direction(before, after, direction):
    change = paired(before, after)
    assert change.direction == direction and not change.too_few


@pytest.mark.parametrize(
    "before, after",
    [
        ([60], [30]),
        ([60, 58, 64, 66], [30, 31, 29, 33]),
        ([60, 58], [57, 55]),
        ([5] * 8, [5] * 8),
        (np.arange(9) + 0.3, np.arange(9) + 0.1),  # equal but for rounding
        ([0] * 6, [1, 0, 0, 0, 0, 0]),
    ],
)
def test_too_few_to_say(before, after):
    """Never an interval without width, also where the seeds agree."""
    change = paired(before, after)
    assert (change.low, change.high) == (-math.inf, math.inf)
    assert change.too_few and change.direction == "unclear"
    assert change.mean == pytest.approx(np.mean(after) - np.mean(before))


def test_numbers_must_be_finite():
    with pytest.raises(
        ValueError, match=r"must be finite. Received NaN or infinite values in 1 of 2"
    ):
        paired([1.0, math.nan], [0.0, 0.0])


@pytest.mark.parametrize("before, after", [([1, 2], [1]), ([], [])])
def test_pairs_must_be_pairs(before, after):
    with pytest.raises(ValueError, match=f"Received: {len(before)} and {len(after)}"):
        paired(before, after)


def test_over_examples_numbers_are_drawn_and_errors_are_counted():
    rng = np.random.default_rng(2)
    before, after = rng.normal(0, 1, (2, 50))
    assert bootstrap(before, after, seed=3) == paired(before, after, seed=3)
    wrong = rng.random((2, 50)) < [[0.5], [0.2]]
    lost, won = int((wrong[1] & ~wrong[0]).sum()), int((wrong[0] & ~wrong[1]).sum())
    change = bootstrap(*wrong.astype(float))
    assert (change.low, change.high) == _mcnemar.error_change_interval(lost, won, 50)
    assert change == bootstrap(*wrong) and change.mean == pytest.approx((lost - won) / 50)
    assert bootstrap([1], [0]).low >= -1 and bootstrap([1], [0]).high > 0.9


def test_a_seed_gives_the_same_interval():
    before, after = np.random.default_rng(0).normal(size=(2, 100))
    assert paired(before, after, seed=3) == paired(before, after, seed=3)
    assert paired(before, after, seed=3) != paired(before, after, seed=4)


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
