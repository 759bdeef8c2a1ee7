"""Large logits are gone through in blocks, and it cannot be seen in what comes out."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_kd import losses
from keras_kd._trainers._programs import value_and_gradient
from keras_kd.losses import _custom_gradients, _sparse

from .cases import CASES, contract_of, largest_of
from .test_contract import inputs

IN_BLOCKS = ["SoftTarget", "SoftTarget-positions", "ReverseKL", "JensenShannon-0.5", "SkewKL",
             "SkewReverseKL", "StandardizedSoftTarget", "DecoupledSoftTarget",
             "DecoupledSoftTarget-positions", "NormalizedTarget", "WeightedSoftTarget",
             "SparseSoftTarget", "SparseSoftTarget-all", "SampledSoftTarget"]  # fmt: skip
#: How often a loss goes through its blocks, when not once forth and once back.
TIMES = {"StandardizedSoftTarget": 3, "WeightedSoftTarget": 4}


@pytest.mark.parametrize("case", [c for c in CASES if str(c) in IN_BLOCKS], ids=str)
def test_blocks_give_what_the_whole_gives(case, monkeypatch):
    target, pred = inputs(case)
    loss, shares = case.build(reduction=None), contract_of(case).shares()
    seen = []

    def total(t, s):
        values = loss(t, s)
        return ops.sum(values * ops.convert_to_tensor(shares))

    whole = value_and_gradient(total, target, pred)
    monkeypatch.setattr(_custom_gradients, "_LARGE", 10)
    monkeypatch.setattr(_custom_gradients, "_BLOCK", 2 * pred.shape[-1])
    mapped = _custom_gradients._mapped
    monkeypatch.setattr(_custom_gradients, "_mapped", lambda f, xs: seen.append(1) or mapped(f, xs))
    value, slope = value_and_gradient(total, target, pred)
    assert len(seen) == TIMES.get(case.loss.__name__, 2)
    np.testing.assert_allclose(value, whole[0], rtol=1e-6)
    np.testing.assert_allclose(slope, whole[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("large", "times"), [(2**24, 1), (10, 2)])
def test_exponentials_of_the_logits_are_taken_once_and_kept(monkeypatch, large, times):
    """Value and gradient need the same ones; of large logits none are kept."""
    taken, exponentials = [], _sparse._exponentials
    monkeypatch.setattr(_custom_gradients, "_LARGE", large)
    monkeypatch.setattr(_sparse, "_exponentials", lambda *x: taken.append(1) or exponentials(*x))
    monkeypatch.setattr(_custom_gradients, "_mapped", lambda f, xs: f(xs))
    t, s = np.random.default_rng(0).normal(size=(2, 4, 7)).astype("float32")
    loss = losses.SparseSoftTarget(2.0)
    value_and_gradient(lambda t, s: loss(t, s), largest_of(t, 3, 2.0), s)
    assert len(taken) == times


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ((128, 1000), None),
        ((None, 1000), None),
        ((8, 512, 50_000), 8),
        ((None, 512, 50_000), 8),  # parts of one example
        ((4000, 50_000), 10),
        ((7, 11, 13_000_000), 1),
        ((None, None, 10**8), 1),
        ((None, 512, None), None),
    ],
)
def test_a_block_divides_the_rows(shape, rows):
    assert _custom_gradients._rows_at_once(shape) == rows


def test_a_batch_whose_size_only_the_run_tells(monkeypatch):
    if keras.config.backend() != "tensorflow":
        pytest.skip("every shape is known when this backend computes")
    import tensorflow as tf

    monkeypatch.setattr(_custom_gradients, "_LARGE", 10)
    monkeypatch.setattr(_custom_gradients, "_BLOCK", 10)
    t, s = np.random.default_rng(0).normal(size=(2, 4, 6, 5)).astype("float32")
    spec = tf.TensorSpec((None, 6, 5))

    @tf.function(input_signature=[spec, spec])
    def both(t, s):
        with tf.GradientTape() as tape:
            tape.watch(s)
            value = tf.reduce_sum(
                _custom_gradients.with_gradient(_custom_gradients.forward_kl(2.0), t, s)
            )
        return value, tape.gradient(value, s)

    value, slope = both(t, s)
    p, q = (ops.softmax(x / 2.0, axis=-1) for x in (t, s))
    np.testing.assert_allclose(value, np.sum(p * np.log(p / q)), rtol=1e-5)
    np.testing.assert_allclose(slope, (q - p) / 2.0, atol=1e-6)


def divergence(log_p, log_q):
    return ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


def mixture(log_a, log_b, share):
    return ops.logaddexp(log_a + np.log(1.0 - share), log_b + np.log(share))


def skew(t, s):
    return divergence(t, mixture(s, t, 0.1))


def skew_reverse(t, s):
    return divergence(s, mixture(t, s, 0.1))


def standardized(x):
    """Rows that are not faint."""
    centered = x - ops.mean(x, axis=-1, keepdims=True)
    return centered / (1e-7 + ops.std(x, axis=-1, keepdims=True) * (20 / 19) ** 0.5)


RIGHT = np.arange(12).reshape(3, 4)
ELSEWHERE = np.array([[[c for c in range(20) if c != y] for y in row] for row in RIGHT])


def of_right(x):
    return ops.take_along_axis(x, ops.convert_to_tensor(RIGHT[..., None]), axis=-1)[..., 0]


def others(x):
    return ops.take_along_axis(x, ops.convert_to_tensor(ELSEWHERE), axis=-1)


def soft(x):
    return ops.log_softmax(x / 2.0, axis=-1)


def decoupled(t, s):
    p, q = (of_right(ops.softmax(x / 2.0, axis=-1)) for x in (t, s))
    sure = p * ops.log(p / q) + (1.0 - p) * ops.log((1.0 - p) / (1.0 - q))
    return 4.0 * (1.5 * sure + 8.0 * divergence(soft(others(t)), soft(others(s))))


def normalized(t, s):
    right = -ops.exp(of_right(ops.log_softmax(t))) * of_right(ops.log_softmax(s))
    apart = ops.sum(ops.exp(soft(others(t))) * soft(others(s)), axis=-1)
    return right - 1.5 * 4.0 * apart


def weighted(t, s):
    behind = of_right(ops.log_softmax(s)) / (of_right(ops.log_softmax(t)) - 1e-7)
    weight = ops.stop_gradient(1.0 - ops.exp(-behind))
    return -2.25 * 4.0 * weight * ops.sum(ops.exp(soft(t)) * soft(s), axis=-1)


@pytest.mark.parametrize("half", [None, "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("loss", "plain", "labels"),
    [
        (losses.SkewKL(0.1, 2.0), lambda t, s: skew(soft(t), soft(s)), False),
        (losses.SkewReverseKL(0.1, 2.0), lambda t, s: skew_reverse(soft(t), soft(s)), False),
        (
            losses.StandardizedSoftTarget(2.0),
            lambda t, s: 4.0 * divergence(soft(standardized(t)), soft(standardized(s))),
            False,
        ),
        (losses.DecoupledSoftTarget(1.5, 8.0, 2.0), decoupled, True),
        (losses.NormalizedTarget(1.5, 2.0), normalized, True),
        (losses.WeightedSoftTarget(2.25, 2.0), weighted, True),
    ],
    ids=lambda x: x.name if isinstance(x, losses.Loss) else "",
)
def test_it_is_what_automatic_differentiation_gives(loss, plain, labels, half):
    """Of the formula, written plainly; with a mask and weights, from 16-bit logits too."""
    rng = np.random.default_rng(3)
    t, s = (rng.normal(size=(3, 4, 20)).astype("float32") * 2.0 for _ in "ts")
    if half is not None:  # numbers that 16 bits hold, so that both sides take the same
        t, s = (ops.convert_to_numpy(ops.cast(ops.cast(x, half), "float32")) for x in (t, s))
    weight = np.array([[1.0, 0.5, 0.0, 2.0], [0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0]], "float32")

    def ours(t, s):
        target = ops.cast(t, half) if half else t
        pred = ops.cast(s, half) if half else s
        return loss((target, RIGHT) if labels else target, pred, weight)

    weights = ops.convert_to_tensor(weight)
    value, slope = value_and_gradient(ours, t, s)
    want, want_slope = value_and_gradient(
        lambda t, s: ops.sum(plain(t, s) * weights) / weight.sum(), t, s
    )
    np.testing.assert_allclose(value, want, rtol=1e-6, atol=1e-6)
    rough = {None: 0.0, "float16": 1e-3, "bfloat16": 8e-3}[half]  # the gradient comes in 16 bits
    np.testing.assert_allclose(slope, want_slope, rtol=rough, atol=1e-6)
