"""Labels that cannot be right are told of on every backend, before they do harm."""

import re

import keras
import numpy as np
import pytest

import keras_kd
from tests.models import CLASSES, cross_entropy, mlp, set_weights

N = 40
BINARY = keras.losses.BinaryCrossentropy(from_logits=True)
CATEGORICAL = keras.losses.CategoricalCrossentropy(from_logits=True)


class Batches(keras.utils.PyDataset):
    """Labels that come batch by batch."""

    def __init__(self, x, y, size=16):
        super().__init__()
        self.x, self.y, self.size = x, y, size

    def __len__(self):
        return -(-len(self.x) // self.size)

    def __getitem__(self, index):
        rows = slice(index * self.size, (index + 1) * self.size)
        return self.x[rows], self.y[rows]


def says(text):
    return pytest.raises(ValueError, match=re.escape(text))


def labelled():
    x = np.random.default_rng(0).normal(size=(N, 8)).astype("float32")
    return x, (np.arange(N) % CLASSES).astype("int32")


def compiled(loss, terms=None):
    student, teacher = set_weights(mlp("s"), 1), set_weights(mlp("t", 9), 2)
    model = keras_kd.Distiller(student=student, teacher=teacher, terms=terms)
    model.compile("sgd", loss)
    return model


@pytest.mark.parametrize("wrong, value", [(-1, -1), (CLASSES, CLASSES)])
def test_no_class_of_that_number(wrong, value):
    x, y = labelled()
    y[30] = wrong
    model = compiled(cross_entropy())
    with says(
        f"Term 'labels' takes class numbers from 0 to 2 for 'student:output', and `y` holds {value} "
        "in row 30. If rows without a label are marked so, write loss=keras.losses."
        "SparseCategoricalCrossentropy(ignore_class=-1, from_logits=True)"
    ):
        model.fit(x, y, verbose=0)
    assert int(model._step.numpy()) == 0
    with says("`y` holds"):
        model.fit(x[:9], y[:9], validation_data=(x, y), verbose=0)
    assert int(model._step.numpy()) == 0
    with says("`y` holds"):
        model.evaluate(x, y, verbose=0)
    with says("Term 'labels' takes class numbers from 0 to 2 for 'student:output'"):
        model.fit(Batches(x, y), verbose=0)
    with says("Term 'labels' takes class numbers from 0 to 2 for 'student:output'"):
        model.evaluate(Batches(x, y), verbose=0)


def test_labels_to_leave_out_are_right():
    x, y = labelled()
    y[7:] = -1
    model = compiled(cross_entropy(ignore_class=-1))
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
    y[8] = 5
    with says(
        "from 0 to 2 for 'student:output', or -1 where there is no label, and `y` holds 5 in"
    ):
        model.fit(x, y, verbose=0)


def test_yes_or_no_as_minus_one_and_one():
    x, y = labelled()
    signs = np.where(y[:, None] == np.arange(CLASSES), 1, -1).astype("float32")
    model = compiled(BINARY, keras_kd.recipes.binary())
    with says("takes labels from 0 to 1, and `y` holds -1.0 in row 0. Give rows without a label a"):
        model.fit(x, signs, verbose=0)
    with says("and the labels hold others in 1 of 1 batches, first in batch 0 (counted from 0)"):
        model.fit(Batches(x, signs), verbose=0)
    assert np.isfinite(model.fit(x, (signs > 0).astype("float32"), verbose=0).history["loss"]).all()


def test_several_labels_for_one_example_under_one_softmax():
    x, y = labelled()
    one = np.eye(CLASSES, dtype="float32")[y]
    several = one.copy()
    several[5] = 1.0
    with pytest.warns(UserWarning, match="each column of 'student:output' is a yes-no question"):
        model = compiled(BINARY)
    assert np.isfinite(model.fit(x, one, verbose=0).history["loss"]).all()
    with says(
        "`y` holds [1.0, 1.0, 1.0] in row 5: several labels for one example, as keras.losses."
    ):
        model.fit(x, several, verbose=0)
    with says("Take keras_kd.recipes.binary(), or keras_kd.losses.BinarySoftTarget in that term"):
        model.fit(Batches(x, several), verbose=0)
    model = compiled(BINARY, keras_kd.recipes.binary())
    assert np.isfinite(model.fit(x, several, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("recipe", ["dkd", "nkd", "wsld"])
def test_exact_one_hot_labels_are_the_classes_they_are(recipe):
    x, y = labelled()
    one_hot = np.eye(CLASSES, dtype="float32")[y]
    terms = getattr(keras_kd.recipes, recipe)
    numbers = compiled(cross_entropy(), terms()).evaluate(x, y, verbose=0, return_dict=True)
    model = compiled(CATEGORICAL, terms())
    assert model.evaluate(x, one_hot, verbose=0, return_dict=True) == pytest.approx(
        numbers, rel=1e-5
    )
    mixed = one_hot.copy()
    mixed[20] = 0.9 * mixed[20] + 0.1 * mixed[21]
    with says("needs the one right class of each example for 'student:output': its number, or an"):
        model.fit(x, mixed, verbose=0)
    assert int(model._step.numpy()) == 0
    with says("For mixed labels (MixUp, CutMix, smoothing) take a loss that needs none"):
        model.fit(Batches(x, mixed), verbose=0)


def test_a_term_on_one_output_reads_its_own_labels():
    x = keras.Input((8,))
    ends = [
        keras.Model(x, {k: keras.layers.Dense(3, name=k)(x) for k in ("kind", "size")}, name=name)
        for name in ("s", "t")
    ]
    terms = keras_kd.recipes.dkd(pred="student:output/kind", target="teacher:output/kind")
    model = keras_kd.Distiller(student=ends[0], teacher=ends[1], terms=terms)
    model.compile("sgd", {"kind": cross_entropy()})
    x, y = labelled()
    got = model.evaluate(x, {"kind": y, "size": 0 * y}, verbose=0, return_dict=True)
    logits = (end.predict(x, verbose=0)["kind"] for end in ends)
    student, teacher = logits
    expected = keras_kd.losses.DecoupledSoftTarget()((teacher, y), student)
    assert got["decoupled_soft_target"] == pytest.approx(float(expected), rel=1e-4)
    with says("`y` holds 9 in row 3"):
        model.fit(x, {"kind": np.where(np.arange(N) == 3, 9, y), "size": y}, verbose=0)


def test_the_recipe_for_several_labels_is_what_its_formula_says():
    x, y = labelled()
    several = np.maximum(np.eye(CLASSES, dtype="float32")[y], np.eye(CLASSES)[(y + 1) % CLASSES])
    model = compiled(BINARY, keras_kd.recipes.binary(temperature=2.0, alpha=0.25))
    logs = model.evaluate(x, several.astype("float32"), verbose=0, return_dict=True)
    s, t = (m.predict(x, verbose=0).astype("float64") for m in (model.student, model.teacher))
    hard = np.mean(np.logaddexp(0, s) - several * s)
    p, q = (1 / (1 + np.exp(-z / 2.0)) for z in (t, s))
    soft = 4.0 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum(axis=1).mean()
    assert logs["loss"] == pytest.approx(0.75 * hard + 0.25 * soft, rel=1e-5)
