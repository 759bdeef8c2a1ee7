"""Data that proves nothing: of another scale, too little, or the very calibration data."""

import warnings

import keras
import numpy as np
import pytest

from keras_kd.exporting._calibration import calibration_of, share_in
from keras_kd.exporting._data import examples_of
from keras_kd.exporting._examples import data_of
from keras_kd.exporting._preprocessing import NOTHING, preprocessing_of
from keras_kd.exporting._trained_scale import check_scale

layers = keras.layers
X = np.random.default_rng(0).normal(2.0, 3.0, (400, 5)).astype("float32")


@pytest.fixture(scope="module")
def remembering():
    """A student whose BatchNormalization has seen `X`, most of its channels dead."""
    model = keras.Sequential(
        [keras.Input((5,), name="x"), layers.Dense(6), layers.BatchNormalization(momentum=0.0)]
    )
    kernel = keras.ops.convert_to_numpy(model.layers[0].kernel).copy()
    kernel[:, 2:] = 0
    model.layers[0].kernel.assign(kernel)
    model(X, training=True)
    model.layers[1].gamma.assign([0.5, -2.0, 1.0, 3.0, 1.0, 1.0])
    model.layers[1].beta.assign([50.0, -200.0, 1.0, -5.0, 0.0, 0.0])
    return model


def plain():
    return keras.Sequential([keras.Input((5,), name="x"), layers.Dense(4)])


def data(student, examples=None, calibration=None, labels=None, told=NOTHING):
    return data_of(student, examples, labels, calibration, batches=8, told=told, seed=0)


def test_a_part_is_held_out_and_no_range_is_read_off_it():
    found = calibration_of(plain(), X, 2, 0, hold_out=True)
    kept, ranges = (part.inputs["x"] for part in (found.held_out, found.ranges))
    assert (len(kept), len(ranges)) == (100, 64)
    assert share_in(found.held_out, found.ranges) == 0.0
    rows = {row.tobytes() for row in X}
    assert {row.tobytes() for row in (*kept, *ranges)} <= rows
    large = calibration_of(plain(), np.tile(X, (10, 1)), 8, 0, hold_out=True)
    assert len(large.held_out.inputs["x"]) == 256
    of_batches = calibration_of(plain(), iter([X[:40], X[40:80]]), 2, 0, hold_out=True)
    assert [len(part.inputs["x"]) for part in of_batches] == [60, 20]
    assert calibration_of(plain(), X, 2, 0).held_out is None
    with pytest.raises(ValueError, match=r"has 15 examples: too few .* at least 16"):
        calibration_of(plain(), X[:15], 2, 0)


def test_share_of_calibration_data():
    student = plain()
    some, other = (examples_of(student, x, None, 0) for x in (X[:100], X[75:175]))
    assert share_in(some, other) == 0.25
    assert share_in(some, some) == 1.0


def test_what_the_examples_are(remembering):
    held = data(remembering, calibration=X)
    assert held.proven_on == "held_out" and len(held.examples.inputs["x"]) == 100
    assert data(remembering, X[:50], X[100:]).proven_on == "examples"
    assert data(remembering, X[:50]).proven_on == "examples"
    assert data(plain()).proven_on == "random"
    with pytest.warns(UserWarning, match=r"Most of `examples` are calibration data"):
        assert data(remembering, X, X).proven_on == "calibration"


def test_a_warning_where_nothing_knows_the_scale(remembering):
    with pytest.warns(UserWarning, match=r"Nothing tells whether `calibration` is scaled as"):
        data(plain(), calibration=X)
    told = preprocessing_of("numbers in [-20, 20]", plain())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        data(remembering, calibration=X)  # its averages do
        data(plain(), calibration=X, told=told)  # the range does
        data(plain(), X[:50], X[100:])  # other examples do


def test_data_of_another_scale_than_in_training(remembering):
    for factor, times in ((1000, r"[\d,]{3,}"), (1 / 1000, r"1/[\d,]{3,}")):
        words = rf"`calibration` is of another scale .*'batch_norm\w*' .* spread {times} times"
        with pytest.raises(ValueError, match=words):
            data(remembering, calibration=factor * X)
        with pytest.raises(ValueError, match=r"^`examples` is of another scale"):
            data(remembering, examples=factor * X)
    with pytest.raises(ValueError, match=r"^`preprocessing` says .*`calibration` runs from"):
        data(plain(), calibration=X, told=preprocessing_of("in [0, 1]", plain()))


def test_who_knows_a_scale(remembering):
    def knows(student, x=X):
        return check_scale(student, examples_of(student, x, None, 0), "examples")

    assert knows(remembering) and knows(remembering, 5 * X) and knows(remembering, X / 5)
    assert not knows(plain())
    fresh = keras.Sequential([keras.Input((5,), name="x"), layers.BatchNormalization()])
    assert not knows(fresh, 1000 * X)  # it has seen nothing yet
    adapted = layers.Normalization(mean=[2.0] * 5, variance=[9.0] * 5)
    student = keras.Sequential([keras.Input((5,), name="x"), adapted])
    assert knows(student)
    with pytest.raises(
        ValueError, match=r"at its layer 'normalization\w*' numbers spread 1,\d\d\d"
    ):
        knows(student, 1000 * X)


def test_random_examples_lie_in_the_range_that_was_told():
    told = preprocessing_of("numbers in [-3, 3]", plain())
    x = data(plain(), told=told).examples.inputs["x"]
    assert -3 <= x.min() < -2.9 and 2.9 < x.max() <= 3
