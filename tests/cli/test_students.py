"""The named students: their shapes, their running averages, and that they become int8 files."""

import os

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd.cli import _students
from keras_kd.cli._commands import _DISTILL
from keras_kd.cli._options import STUDENTS

LADDER = ("tiny", "small", "medium", "large")
slow = pytest.mark.skipif(
    not os.environ.get("KERAS_KD_SLOW"), reason="minutes of conversions: set KERAS_KD_SLOW=1"
)
litert = pytest.mark.skipif(
    keras.config.backend() != "tensorflow" and not os.environ.get("KERAS_KD_SLOW"),
    reason="the same on each backend: set KERAS_KD_SLOW=1",
)


def norms(model):
    return [n for n in model.layers if isinstance(n, keras.layers.BatchNormalization)]


def test_the_options_name_all_that_can_be_built():
    assert tuple(_students._BUILDERS) == STUDENTS
    assert all(name in _DISTILL for name in STUDENTS)


@pytest.mark.parametrize("name", STUDENTS)
def test_a_seed_gives_the_same_weights(name):
    one, same, other = (_students.build(name, (28, 28, 1), 10, seed, 30) for seed in (1, 1, 2))
    assert one.output_shape == (None, 10)
    for a, b in zip(one.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_the_weights_of_the_ladder_are_those_that_the_help_names():
    counts = [_students.build(n, (32, 32, 3), 10, 0, 30).count_params() for n in LADDER]
    assert counts == [28_738, 117_978, 510_578, 1_381_354]
    for said in ("28 thousand", "118 thousand", "510 thousand", "1.4 million"):
        assert said in _DISTILL
    small = [_students.build(f"cnn-{n}", (28, 28, 1), 10, 0, 30) for n in ("small", "medium")]
    assert [m.count_params() for m in small] == [6_386, 61_402]


@pytest.mark.parametrize("side", [8, 28, 32, 48, 64, 96, 128, 160, 192, 224])
def test_strides_follow_the_size_of_the_image(side):
    model = _students.build("tiny", (side, side, 3), 4, 0, 30)
    last = model.get_layer("head").output.shape[1:3]
    assert last[0] == last[1] and 4 <= last[0] <= 8
    wide = _students.build("tiny", (side, 2 * side, 3), 4, 0, 30)
    assert wide.get_layer("head").output.shape[1] == last[0]


def test_images_of_any_size_cost_about_the_same_in_weights():
    counts = {s: _students.build("small", (s, s, 3), 10, 0, 30).count_params() for s in (28, 224)}
    assert counts[28] == counts[224]


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


def exported(name, side, path):
    """The proof of an int8 file of a student that has been taught the digits for a moment."""
    data = keras_kd.data.load("digits")
    x, y = data.x_train[:512], data.y_train[:512]
    if side != 8:
        x = keras.ops.convert_to_numpy(keras.ops.image.resize(x[:256], (side, side)))
        y = y[:256]
    student = _students.build(name, x.shape[1:], 10, 0, 8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile(keras.optimizers.Adam(0.01), loss)
    student.fit(x, y, batch_size=64, epochs=5, verbose=0)
    return keras_kd.export(
        student, path, quantization="int8", integer_io=True, calibration=x, examples=x, labels=y
    )


@litert
def test_the_smallest_is_an_int8_file(tmp_path):
    proof = exported("tiny", 8, tmp_path / "tiny.tflite")
    assert proof.integer_operators == 1.0
    assert proof.agreeing / proof.examples > 0.95
    assert proof.bytes < 28_594 * 2.5  # a byte for each weight, and what the file says of them


@slow
@pytest.mark.parametrize("side", [28, 64, 224])
@pytest.mark.parametrize("name", STUDENTS[:6])
def test_each_is_an_int8_file_at_each_size(name, side, tmp_path):
    if name.startswith("cnn") and side == 224:
        pytest.skip("for small images")
    proof = exported(name, side, tmp_path / "student.tflite")
    assert proof.integer_operators == 1.0
    assert proof.agreeing / proof.examples > 0.9
