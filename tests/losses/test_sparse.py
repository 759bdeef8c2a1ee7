"""Losses of the largest logits: what holds for any logits, and whatever is left over."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_kd import losses
from keras_kd._trainers._programs import value_and_gradient

from . import oracles
from .cases import largest_of

CLASSES = 9
DENSE = [
    (losses.SparseSoftTarget(1.0), oracles.soft_target, {}),
    (losses.SparseReverseKL(1.0), oracles.reverse_kl, {}),
    (losses.SparseJensenShannon(0.3), oracles.jensen_shannon, {"beta": 0.3}),
    (losses.SparseJensenShannon(0.0), oracles.jensen_shannon, {"beta": 0.0}),
    (losses.SparseJensenShannon(1.0), oracles.jensen_shannon, {"beta": 1.0}),
]
each = pytest.mark.parametrize(
    ("loss", "dense", "constants"), DENSE, ids=lambda x: getattr(x, "name", "")
)
seeds = st.integers(0, 2**32 - 1)


def both(seed, size):
    rng = np.random.default_rng(seed)
    return (size * rng.normal(size=(3, CLASSES)).astype("float32") for _ in range(2))


@each
@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=seeds, size=st.sampled_from([0.01, 1.0, 10.0, 100.0]), k=st.integers(1, CLASSES))
def test_they_are_divergences_whatever_is_left_over(loss, dense, constants, seed, size, k):
    """Never below 0, not above the dense one (but for the rounding of a rest near 0), finite with
    their gradients, 0 where both agree; of sharp logits the rest is nothing at all."""
    t, s = both(seed, size)
    target = largest_of(t, k, 1.0)
    value, slope = value_and_gradient(lambda t, s: loss(target, s), t, s)
    whole = np.mean(oracles.per_row(dense)(t, s, temperature=1.0, **constants))
    assert value >= -1e-6
    rest = 1.0 - np.exp(np.asarray(target[0], "float64") - target[2][:, None]).sum(axis=-1)
    if k == CLASSES or rest.min() > 1e-3:
        assert value <= whole + 1e-3 * (1.0 + whole)
    assert np.all(np.isfinite(slope))
    assert abs(float(loss(target, t))) < 1e-5 * (1 + size)  # of large logits less is known


@each
@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=seeds)
def test_of_all_logits_they_are_the_dense_ones(loss, dense, constants, seed):
    t, s = both(seed, 2.0)
    whole = np.mean(oracles.per_row(dense)(t, s, temperature=1.0, **constants))
    np.testing.assert_allclose(loss(largest_of(t, CLASSES, 1.0), s), whole, rtol=1e-5, atol=1e-6)


@each
def test_rounding_of_what_was_stored_makes_no_rest_below_nothing(loss, dense, constants):
    """A log-sum-exp that was rounded down leaves less than 0 for the rest."""
    t, s = both(0, 3.0)
    values, classes, total = largest_of(t, CLASSES - 1, 1.0)
    target = values, classes, total - 0.01
    value, slope = value_and_gradient(lambda t, s: loss(target, s), t, s)
    assert np.isfinite(value) and np.all(np.isfinite(slope))
    assert np.all(np.isfinite(ops.convert_to_numpy(loss(target, 1e4 * s))))


@each
def test_what_fills_a_row_up_counts_for_nothing(loss, dense, constants):
    t, s = both(1, 1.0)
    values, classes, total = largest_of(t, 2, 1.0)
    filled = (
        np.concatenate([values, np.full((3, 2), -1e4, "float32")], axis=1),
        np.concatenate([classes, classes[:, :1], classes[:, :1]], axis=1),
        total,
    )
    found = [
        value_and_gradient(lambda t, s, x=x: loss(x, s), t, s)
        for x in (filled, (values, classes, total))
    ]
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-6)


@pytest.mark.parametrize("gap", [0.0, 60.0, 75.0, 120.0, 1e4])
def test_a_student_that_rules_the_rest_out_still_learns_of_it(gap):
    """In some rows of a batch: a sum of exponentials that far below would be none in float32."""
    t, s = both(5, 1.0)
    loss, target = losses.SparseSoftTarget(1.0), largest_of(t, 2, 1.0)
    rows = np.arange(3)[:, None]
    s[:2][rows[:2], target[1][:2]] += np.float32(gap)
    value, slope = value_and_gradient(lambda t, s: loss(target, s), t, s)
    p = np.exp(np.asarray(target[0], "float64") - target[2][:, None])
    known = np.zeros(s.shape, bool)
    known[rows, target[1]] = True
    apart = [np.where(known, -np.inf, s.astype("float64")), s.astype("float64")]
    of_rest, of_all = (np.logaddexp.reduce(x, axis=1, keepdims=True) for x in apart)
    p_rest = 1.0 - p.sum(axis=1, keepdims=True)
    log_q = np.take_along_axis(apart[1], target[1], 1) - of_all
    both_parts = (p * (np.log(p) - log_q)).sum(1), p_rest * (np.log(p_rest) - of_rest + of_all)
    np.testing.assert_allclose(value, np.mean(both_parts[0] + both_parts[1][:, 0]), rtol=1e-5)
    expected = np.exp(apart[1] - of_all) - p_rest * np.exp(apart[0] - of_rest)
    expected[rows, target[1]] -= p
    np.testing.assert_allclose(slope, expected / 3, rtol=1e-4, atol=1e-6)
