"""Large logits are gone through in blocks, and it cannot be seen in what comes out."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_kd._trainers._programs import value_and_gradient
from keras_kd.losses import _custom_gradients

from .cases import CASES, contract_of
from .test_contract import inputs

IN_BLOCKS = ["SoftTarget", "SoftTarget-positions", "ReverseKL", "JensenShannon-0.5",
             "SparseSoftTarget", "SparseSoftTarget-all", "SampledSoftTarget"]  # fmt: skip


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
    assert len(seen) == 2  # forth and back
    np.testing.assert_allclose(value, whole[0], rtol=1e-6)
    np.testing.assert_allclose(slope, whole[1], rtol=1e-5, atol=1e-7)


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
            value = tf.reduce_sum(_custom_gradients.forward_kl(t, s, 2.0))
        return value, tape.gradient(value, s)

    value, slope = both(t, s)
    p, q = (ops.softmax(x / 2.0, axis=-1) for x in (t, s))
    np.testing.assert_allclose(value, np.sum(p * np.log(p / q)), rtol=1e-5)
    np.testing.assert_allclose(slope, (q - p) / 2.0, atol=1e-6)
