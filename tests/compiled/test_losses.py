"""A loss on probabilities is refused where the student gives logits; and the reverse."""

import functools
import re

import keras
import numpy as np
import pytest
from keras import layers

import keras_kd
from tests.models import CLASSES, Subclassed, cross_entropy, mlp

losses = keras.losses


def says(text):
    return pytest.raises(ValueError, match=re.escape(text))


def distiller(student=None, terms=None, **kwargs):
    student = student or mlp("small")
    return keras_kd.Distiller(student=student, teacher=mlp("large", 9), terms=terms, **kwargs)


class OwnFocal(losses.Loss):
    def __init__(self, from_logits=False):
        super().__init__(name="own")
        self.from_logits = from_logits

    def call(self, y_true, y_pred):
        return keras.ops.mean(y_pred, axis=-1)


SPARSE = "Write loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
CATEGORICAL = "Write loss=keras.losses.CategoricalCrossentropy(from_logits=True)"


@pytest.mark.parametrize(
    "loss, shown, remedy",
    [
        ("sparse_categorical_crossentropy", "'sparse_categorical_crossentropy'", SPARSE),
        ("SparseCategoricalCrossentropy", "'SparseCategoricalCrossentropy'", SPARSE),
        (losses.SparseCategoricalCrossentropy, "", SPARSE),
        (losses.sparse_categorical_crossentropy, "keras.losses.sparse_categorical_", SPARSE),
        (keras.ops.sparse_categorical_crossentropy, "", SPARSE),
        (functools.partial(losses.sparse_categorical_crossentropy, axis=-1),
         "functools.partial(", "Add from_logits=True to its arguments."),
        (losses.SparseCategoricalCrossentropy(ignore_class=-1),
         "keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)",
         "Write loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)."),
        ("crossentropy", "'crossentropy'", "keras.losses.SparseCategoricalCrossentropy(from_logits"),
        ("categorical_crossentropy", "", CATEGORICAL),
        (losses.CategoricalFocalCrossentropy(gamma=3.0), "",
         "keras.losses.CategoricalFocalCrossentropy(from_logits=True, gamma=3.0)."),
        ("categorical_focal_crossentropy", "", "CategoricalFocalCrossentropy(from_logits=True)."),
        ("bce", "'bce'", "Write loss=keras.losses.BinaryCrossentropy(from_logits=True)."),
        ("BCE", "", "BinaryCrossentropy(from_logits=True)."),
        (losses.BinaryCrossentropy(label_smoothing=0.1), "",
         "BinaryCrossentropy(from_logits=True, label_smoothing=0.1)."),
        ("binary_focal_crossentropy", "", "BinaryFocalCrossentropy(from_logits=True)."),
        ("kld", "", CATEGORICAL),
        (losses.KLDivergence(), "keras.losses.KLDivergence()", CATEGORICAL),
        (losses.Dice(), "", "loss=lambda y, z: keras.losses.dice(y, keras.ops.softmax(z))."),
        (OwnFocal(), "OwnFocal()", "Write loss=OwnFocal(from_logits=True)."),
    ],
)  # fmt: skip
def test_losses_on_probabilities(loss, shown, remedy):
    with says(f"compile() was given loss={shown}") as caught:
        distiller().compile("sgd", loss)
    assert "which reads probabilities, for 'student:output' of 'small', which gives logits: " in (
        str(caught.value)
    )
    assert "Term 'soft_target' compares them as such" in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    "loss",
    [
        cross_entropy(), losses.CategoricalCrossentropy(from_logits=True), "mse", "categorical_hinge",
        functools.partial(losses.categorical_crossentropy, from_logits=True), OwnFocal(True),
        losses.MeanSquaredError(), lambda y, z: keras.ops.mean(z, axis=-1), losses.CosineSimilarity,
    ],
)  # fmt: skip
def test_losses_that_read_logits_or_neither(loss):
    distiller().compile("sgd", loss)


def test_the_whole_message_and_nothing_compiled():
    model = distiller(terms=[keras_kd.Labels()])
    with says(
        "compile() was given loss='sparse_categorical_crossentropy', which reads probabilities, "
        "for 'student:output' of 'small', which gives logits: the last layer has no activation. "
        "Write loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
    ):
        model.compile("sgd", "sparse_categorical_crossentropy")
    assert not model.compiled


def test_a_student_that_only_data_can_tell_is_asked_of_its_terms():
    """No term says that they are logits, so they may be anything."""
    soft = [keras_kd.Labels(), keras_kd.Term(keras_kd.losses.FeatureMatch())]
    distiller(Subclassed(), soft).compile("sgd", "sparse_categorical_crossentropy")
    with says("Term 'soft_target' compares them as such"):
        distiller(Subclassed()).compile("sgd", "sparse_categorical_crossentropy")


def heads():
    x = keras.Input((8,))
    outputs = {
        "kind": layers.Dense(CLASSES, name="kind")(x),
        "flag": layers.Dense(1, activation="sigmoid", name="flag")(x),
        "size": layers.Dense(1, name="size")(x),
    }
    return keras.Model(x, outputs, name="heads")


def alone(student, *labels):
    return keras_kd.Distiller(student=student, terms=[keras_kd.Labels(), *labels])


def test_each_output_is_told_apart():
    good = {"kind": cross_entropy(), "flag": "binary_crossentropy", "size": "mse"}
    alone(heads()).compile("sgd", good)
    with says("for 'student:output/kind' of 'heads'"):
        alone(heads()).compile("sgd", {**good, "kind": "sparse_categorical_crossentropy"})
    with says(
        "loss=keras.losses.BinaryCrossentropy(from_logits=True), which reads logits, for "
        "'student:output/flag' of 'heads', which ends in a sigmoid and gives probabilities."
    ):
        alone(heads()).compile("sgd", {**good, "flag": losses.BinaryCrossentropy(from_logits=True)})


@pytest.mark.parametrize("as_list", [list, tuple])
def test_lists_of_outputs(as_list):
    x = keras.Input((8,))
    named = [layers.Dense(1, activation="sigmoid", name="flag")(x), layers.Dense(3, name="kind")(x)]
    student = keras.Model(x, named, name="s")
    with says("for 'student:output/1' of 's'"):
        alone(student).compile("sgd", as_list(["bce", "categorical_crossentropy"]))
    with says("for 'student:output/1' of 's'"):
        alone(student).compile("sgd", {"flag": "bce", "kind": "categorical_crossentropy"})
    one = keras_kd.Distiller(student=student, terms=[keras_kd.Labels(pred="student:output/1")])
    with says("for 'student:output/1' of 's'"):
        one.compile("sgd", "categorical_crossentropy")


def test_the_second_of_two_students():
    x = keras.Input((8,))
    soft = keras.Model(x, layers.Dense(CLASSES, activation="softmax")(x), name="soft")
    terms = [keras_kd.Labels(pred="b:output"), keras_kd.Labels(pred="a:output")]
    model = keras_kd.Distiller(student={"a": mlp("small"), "b": soft}, terms=terms)
    with says("for 'a:output' of 'small'"):
        model.compile("sgd", "sparse_categorical_crossentropy")
    with says("for 'b:output' of 'soft', which ends in a softmax"):
        model.compile("sgd", cross_entropy())


def test_a_layer_that_is_no_output():
    model = keras_kd.Distiller(
        student=mlp("small"), terms=[keras_kd.Labels(pred="student:logits", name="l")]
    )
    with says("for 'student:output' of 'small'"):  # the layer that is the output
        model.compile("sgd", "sparse_categorical_crossentropy")
    x = keras.Input((8,))
    aux = layers.Dense(CLASSES, name="aux")(x)
    student = keras.Model(x, layers.Dense(CLASSES, name="last")(layers.ReLU()(aux)), name="two")
    model = keras_kd.Distiller(student=student, terms=[keras_kd.Labels(pred="student:aux")])
    with says("for 'student:aux' of 'two'"):
        model.compile("sgd", "sparse_categorical_crossentropy")


def test_students_that_end_in_a_softmax_and_regressors():
    x = keras.Input((8,))
    soft = keras.Model(x, layers.Dense(CLASSES, activation="softmax")(x))
    alone(soft).compile("sgd", "sparse_categorical_crossentropy")
    number = keras.Model(x, layers.Dense(1)(x))
    alone(number).compile("sgd", "mse", metrics=["mae", "accuracy"])
    numbers = np.ones((4, 8), "float32")
    alone(number).compile("sgd", ["mse"])
    assert np.isfinite(number.predict(numbers, verbose=0)).all()
