"""Which channels count: by the weights alone, and by what they do to the loss on examples."""

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_kd.compression import L1Norm, Taylor, shrink
from keras_kd.compression._graph import Graph
from tests.compression.networks import answers, images, joined, randomised, recurrent, residual
from tests.models import cross_entropy


def by_hand(model, x, y, batch):
    """Two dense layers with a ReLU between, in float64: Σ (gradient · weight)², batch by batch."""
    w, b, v, c = (a.astype("float64") for a in model.get_weights())
    found = np.zeros(w.shape[1])
    starts = range(0, len(x), batch)
    for start in starts:
        xb, yb = x[start : start + batch].astype("float64"), y[start : start + batch]
        h = xb @ w + b
        z = np.maximum(h, 0.0) @ v + c
        p = np.exp(z - z.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        p[np.arange(len(yb)), yb] -= 1.0
        gradient = xb.T @ ((p @ v.T) * (h > 0)) / len(yb)
        found += ((gradient * w) ** 2).sum(0)
    return found


def dense(units=5, end=None):
    layers = [L.Dense(units, activation="relu", name="a"), L.Dense(3, activation=end, name="b")]
    return randomised(keras.Sequential([keras.Input((4,)), *layers]))


def scores(model, importance, name="a"):
    return importance.of(Graph(model, ""), [model.get_layer(name)])[0]


@pytest.mark.parametrize("end", [None, "softmax"])
def test_taylor_is_the_sum_of_squares_of_gradient_times_weight(end):
    model = dense(end=end)
    x = images(64, shape=(4,))
    y = np.random.default_rng(1).integers(0, 3, 64)
    before = model.get_weights()
    found = scores(model, Taylor(x, y, batch_size=16))
    assert np.allclose(found, by_hand(model, x, y, 16), rtol=1e-3)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    squared = Taylor(x, np.eye(3)[y], loss=keras.losses.MeanSquaredError(), batch_size=16)
    assert not np.allclose(scores(model, squared), found, rtol=0.1)


def test_labels_are_drawn_from_the_models_own_answers():
    model = dense()
    model.get_layer("b").set_weights([np.zeros((5, 3)), np.array([0.0, 30.0, 0.0])])  # all of 1
    model.get_layer("b").kernel.assign(0.1 * images(5, shape=(3,)))
    x = images(64, shape=(4,))
    drawn = scores(model, Taylor(x))
    assert np.allclose(drawn, scores(model, Taylor(x, np.ones(64, int))), rtol=1e-4)
    model = dense()  # less sure: the seed decides
    first, again, other = (scores(model, Taylor(x, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.allclose(first, other)


def test_a_channel_behind_which_nothing_follows_does_not_count():
    model = dense(units=4)
    kernel, bias = model.get_layer("a").get_weights()
    kernel[:, [1, 3]] *= 50.0  # the largest by far
    model.get_layer("a").set_weights([kernel, bias])
    after, end = model.get_layer("b").get_weights()
    after[[1, 3]] = 0.0
    model.get_layer("b").set_weights([after, end])
    x = images(64, shape=(4,))
    by_taylor = shrink(model, 0.5, copy_weights=True, importance=Taylor(x))
    by_norm = shrink(model, 0.5, copy_weights=True, importance=L1Norm())
    assert np.allclose(answers(by_taylor, x), answers(model, x), atol=1e-5)
    assert np.array_equal(by_taylor.get_layer("a").get_weights()[0], kernel[:, [0, 2]])
    assert np.array_equal(by_norm.get_layer("a").get_weights()[0], kernel[:, [1, 3]])


def test_the_norm_is_what_shrink_goes_by():
    model = dense(units=6)
    plain, named = (shrink(model, 0.5, copy_weights=True, importance=i) for i in (None, L1Norm()))
    for a, b in zip(plain.get_weights(), named.get_weights(), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("network", [residual, joined, recurrent], ids=lambda n: n.__name__)
def test_every_kind_of_layer_has_its_numbers(network):
    model = network()
    shape = model.inputs[0].shape[1:]
    x = images(32, shape=shape)
    if model.inputs[0].dtype == "int32":
        x = np.random.default_rng(0).integers(0, 20, (32, *shape)).astype("int32")
    student = shrink(model, 0.5, copy_weights=True, importance=Taylor(x))
    assert np.isfinite(answers(student, x)).all()
    assert student.count_params() < 0.6 * model.count_params()


def test_dropout_and_batch_statistics_play_no_part():
    def build(rate):
        x = inputs = keras.Input((4,))
        x = L.BatchNormalization(name="norm")(L.Dense(5, name="a")(x))
        x = L.Dropout(rate)(L.ReLU()(x))
        return randomised(keras.Model(inputs, L.Dense(3, name="b")(x)))

    x = images(64, shape=(4,))
    with_it, without = build(0.9), build(0.0)
    before = with_it.get_layer("norm").get_weights()
    assert np.allclose(scores(with_it, Taylor(x)), scores(without, Taylor(x)), rtol=1e-4)
    after = with_it.get_layer("norm").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_bad_input():
    x = images(64, shape=(4,))
    with pytest.raises(ValueError, match=r"needs 8 examples or more.*\[7\]"):
        Taylor(x[:7])
    with pytest.raises(ValueError, match=r"a label for each of the 64 examples. Received: 63"):
        Taylor(x, np.zeros(63))
    with pytest.raises(ValueError, match=r"Taylor\(loss=...\) needs `labels`"):
        Taylor(x, loss=cross_entropy())
    with pytest.raises(ValueError, match="`batch_size` must be a whole number of at least 1"):
        Taylor(x, batch_size=0)
    with pytest.raises(TypeError, match=r"`importance` must be .*Received: 'taylor'"):
        shrink(dense(), copy_weights=True, importance="taylor")
    with pytest.raises(ValueError, match=r"Pass copy_weights=True with it"):
        shrink(dense(), importance=Taylor(x))
    value = keras.Sequential([keras.Input((4,)), L.Dense(4, "relu"), L.Dense(1)])
    with pytest.raises(ValueError, match="one output of two classes or more"):
        shrink(value, copy_weights=True, importance=Taylor(x))
    taylor = Taylor(x, x[:, :1], loss=keras.losses.MeanSquaredError())
    assert shrink(value, copy_weights=True, importance=taylor).layers[1].units == 2
