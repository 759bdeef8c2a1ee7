"""Intervals over runs hold the true mean in 95 of 100 cases, give or take 1.5.

Fixed draws of benchmarks/coverage.py, which prints all of them, beside Student's interval.
"""

import os

import pytest

from tests.test_benchmarks import script

coverage = script("coverage")
SPREADS = ["normal", "exponential", "lognormal, σ = 0.5", "counts, normal, σ = 5"]
SLOW = bool(os.environ.get("KERAS_KD_SLOW"))


@pytest.mark.parametrize("runs", range(5, 11) if SLOW else (5, 10))
@pytest.mark.parametrize("spread", SPREADS, ids=range(len(SPREADS)))
def test_intervals_over_runs_hold_the_mean(spread, runs):
    _, silent, held = coverage.over_runs(spread, runs, repeats=3000, resamples=2000)
    noise = (0.95 * 0.05 / 3000) ** 0.5  # of the simulation itself
    assert abs(held - 0.95) <= 0.015 + noise
    assert silent < 0.05


def test_of_fewer_runs_nothing_is_said():
    for runs in (3, 4):
        assert coverage.paired([0.0] * runs, range(runs)).too_few


@pytest.mark.parametrize("examples", [100, 1000])
@pytest.mark.parametrize("lost", [0.5, 0.6])
def test_claims_over_examples_stand_beside_a_small_p(examples, lost):
    found = coverage.over_examples(examples, 0.05, lost, repeats=400)
    claims, beside, held = found["ours"]
    assert beside == 0 and held >= 0.935
    if lost == 0.5:
        assert claims <= 0.05
    assert found["percentile"][1] > 0  # by percentiles of the bootstrap some do not
