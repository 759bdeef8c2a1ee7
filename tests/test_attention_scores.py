"""Attention scores of Keras's own layers, which a fused kernel hides: their softmax is what the layer
gives when it is asked for its attention."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_kd.taps import Tap

LENGTH, WIDTH = 5, 8
X = np.random.default_rng(0).normal(size=(3, LENGTH, WIDTH)).astype("float32")
MASK = np.arange(LENGTH) < np.array([[5], [3], [4]])
KINDS = {
    "heads": lambda: layers.MultiHeadAttention(2, 3, name="attention"),
    "grouped heads": lambda: layers.GroupQueryAttention(6, 4, 2, name="attention"),
    "with dropout": lambda: layers.MultiHeadAttention(2, 3, dropout=0.5, name="attention"),
}


def near(found, wanted):
    found, wanted = map(ops.convert_to_numpy, (found, wanted))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def signals(attention, **options):
    inputs = keras.Input((LENGTH, WIDTH))
    model = keras.Model(inputs, attention(inputs, inputs, **options))
    tap = Tap("student", model, {"attention/scores": "a test"})
    return tap(X, training=False)[1]["student:attention/scores"]


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("kind", KINDS)
def test_their_softmax_is_the_attention(kind, causal):
    attention = KINDS[kind]()
    scores = signals(attention, use_causal_mask=causal)
    _, wanted = attention(X, X, use_causal_mask=causal, return_attention_scores=True)
    assert scores.shape == wanted.shape
    near(ops.softmax(scores, axis=-1), wanted)


def test_a_mask_is_in_them():
    attention = KINDS["heads"]()
    seen = np.broadcast_to(MASK[:, None, :], (3, LENGTH, LENGTH))
    inputs, mask = keras.Input((LENGTH, WIDTH)), keras.Input((LENGTH, LENGTH), dtype="bool")
    model = keras.Model([inputs, mask], attention(inputs, inputs, attention_mask=mask))
    tap = Tap("student", model, {"attention/scores": "a test"})
    scores = tap([X, seen], training=False)[1]["student:attention/scores"]
    _, wanted = attention(X, X, attention_mask=seen, return_attention_scores=True)
    near(ops.softmax(scores, axis=-1), wanted)
    hidden = np.broadcast_to(~MASK[:, None, None, :], scores.shape)
    assert ops.convert_to_numpy(scores)[hidden].max() < -1e8
