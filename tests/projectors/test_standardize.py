"""Standardized features: statistics that are given, and those gathered in training."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_kd import Distiller, Term, losses
from keras_kd.projectors import Standardize

RNG = np.random.default_rng(0)
MAPS = RNG.normal(3.0, [0.01, 1.0, 20.0], size=(10, 4, 4, 3)).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def standard(x, of=None):
    of = x if of is None else of
    axes = tuple(range(x.ndim - 1))
    return (x - of.mean(axes)) / of.std(axes)


@pytest.mark.parametrize("x", [MAPS, MAPS[:, 0], MAPS[:, 0, 0]], ids=["maps", "tokens", "vectors"])
def test_after_batches_of_any_sizes_the_statistics_are_those_of_all_data(x):
    layer = Standardize()
    for batch in (x[:1], x[1:6], x[6:]):
        last = layer(batch, training=True)
    np.testing.assert_allclose(numpy(last), standard(x)[6:], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(numpy(layer(x)), standard(x), rtol=1e-3, atol=1e-3)
    mean, variance, seen = layer.get_weights()
    assert seen == x.size // 3 and mean.shape == variance.shape == (3,)


def test_without_training_nothing_moves_and_before_it_nothing_changes():
    layer = Standardize()
    np.testing.assert_allclose(numpy(layer(MAPS)), MAPS, rtol=1e-4)
    layer(MAPS[:5], training=True)
    before = layer.get_weights()
    layer(100.0 * MAPS)
    layer(100.0 * MAPS, training=False)
    for was, now in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_given_statistics_stay():
    layer = Standardize([1.0, 2.0, 3.0], 4.0)
    expected = (MAPS - [1.0, 2.0, 3.0]) / 2.0
    np.testing.assert_allclose(numpy(layer(MAPS, training=True)), expected, rtol=1e-4)
    assert not layer.weights
    again = Standardize.from_config(layer.get_config())
    np.testing.assert_allclose(numpy(again(MAPS)), expected, rtol=1e-4)


def test_a_constant_channel_is_nearly_0():
    x = np.full((50, 2), [1000.1, 0.0], "float32")
    layer = Standardize()
    assert np.abs(numpy(layer(x, training=True))).max() < 1e-2


def test_channels_first(monkeypatch):
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    seen = numpy(Standardize()(MAPS.transpose(0, 3, 1, 2), training=True))
    np.testing.assert_allclose(seen.transpose(0, 2, 3, 1), standard(MAPS), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"mean": 0.0}, "`mean` and `variance` are given together"),
        ({"mean": 0.0, "variance": [1.0, -1.0]}, "`variance` is 0 or more"),
        ({"mean": [0.0, 1.0], "variance": 1.0}, "2 numbers for 3 channels"),
    ],
)
def test_what_will_not_do(given, message):
    with pytest.raises(ValueError, match=message):
        Standardize(**given)(MAPS)


def test_in_training_it_gathers_what_the_teacher_gives_once():
    """One pass over the data: the statistics of the teacher's output, and none from validation."""
    teacher = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    student = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    layer = Standardize()
    term = Term(losses.FeatureMatch(), target_projector=layer)
    distiller = Distiller(student=student, teacher=teacher, terms=[term])
    distiller.compile("sgd")
    assert float(layer.seen.numpy()) == 0.0
    x = RNG.normal(2.0, size=(20, 5)).astype("float32")
    distiller.fit(x, batch_size=8, validation_data=(10.0 * x,), verbose=0)
    given = teacher.predict(x, verbose=0)
    mean, variance, seen = layer.get_weights()
    assert seen == 20
    np.testing.assert_allclose(mean, given.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variance, given.var(0), rtol=1e-3)
