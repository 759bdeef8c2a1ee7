"""The students that the command names: those of `keras_kd.students` for images, for its runs."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import students
from keras_kd.cli import _students
from keras_kd.cli._commands import _DISTILL
from keras_kd.cli._options import STUDENTS

LADDER = ("tiny", "small", "medium", "large")


def norms(model):
    return [n for n in model.layers if isinstance(n, keras.layers.BatchNormalization)]


def test_the_options_name_all_that_can_be_built():
    of_images = [n for n in students.names() if n.split("-")[0] not in ("text", "table")]
    assert sorted(STUDENTS) == sorted(of_images)
    assert all(name in _DISTILL for name in STUDENTS)


def test_a_name_of_no_image_is_refused():
    with pytest.raises(ValueError, match=r"No student 'text-tiny'\. Expected a .keras file or"):
        _students.build("text-tiny", (28, 28, 1), 10, 0, 30)


@pytest.mark.parametrize("name", STUDENTS)
def test_a_seed_gives_the_same_weights(name):
    one, same, other = (_students.build(name, (32, 32, 1), 10, seed, 30) for seed in (1, 1, 2))
    assert one.output_shape == (None, 10)
    for a, b in zip(one.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_the_weights_of_the_ladder_are_those_that_the_help_names():
    counts = [_students.build(n, (32, 32, 3), 10, 0, 30).count_params() for n in LADDER]
    assert counts == [28_738, 117_978, 510_578, 1_381_354]
    for said in (
        "28 thousand",
        "118 thousand",
        "510 thousand",
        "1.4 million",
        "79 thousand",
        "0.2 million",
    ):
        assert said in _DISTILL
    small = [_students.build(f"cnn-{n}", (28, 28, 1), 10, 0, 30) for n in ("small", "medium")]
    assert [m.count_params() for m in small] == [6_386, 61_402]


@pytest.mark.parametrize("steps, momentum", [(1, 0.7), (17, 0.838), (34, 0.916), (1000, 0.99)])
def test_running_averages_fit_the_steps_of_an_epoch(steps, momentum):
    assert _students.momentum_for(steps) == momentum
    for name in ("tiny", "cnn-small"):
        model = _students.build(name, (28, 28, 1), 10, 0, steps)
        assert norms(model) and all(n.momentum == momentum for n in norms(model))


def test_a_small_set_is_seen_in_inference_after_one_epoch():
    """At Keras's momentum of 0.99 the validation would stay at chance."""
    data = keras_kd.data.load("digits")
    x, y = data.x_train[:320], data.y_train[:320]
    accuracies = {}
    for momentum in (_students.momentum_for(10), 0.99):
        student = _students.build("cnn-small", (8, 8, 1), 10, 0, 10)
        for norm in norms(student):
            norm.momentum = momentum
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        student.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
        history = student.fit(x, y, batch_size=32, epochs=3, verbose=0, validation_data=data.test)
        accuracies[momentum] = history.history["val_accuracy"][-1]
    assert accuracies[_students.momentum_for(10)] > accuracies[0.99] + 0.2
