"""Calls as people know them from elsewhere: each error says what to write, and that works."""

import re

import keras
import pytest

import keras_kd
from tests.models import cross_entropy, data, mlp

SOFT = keras_kd.losses.SoftTarget
RECIPE = "terms=keras_kd.recipes.hinton(temperature=4.0, alpha=0.9)"


def says(text, error=TypeError):
    return pytest.raises(error, match=re.escape(text))


def test_models_without_a_name():
    with says(
        "keras_kd.Distiller(student=..., teacher=..., terms=[...]). Received 2 without a name"
    ):
        keras_kd.Distiller(mlp("s"), mlp("t"))


def test_addresses_without_a_name():
    with says("keras_kd.Term(loss, pred='student:output', target='teacher:output')"):
        keras_kd.Term(SOFT(), "student:output")


@pytest.mark.parametrize("name", ["temperature", "alpha"])
def test_numbers_of_the_recipe(name):
    with says(f"Distiller() takes no `{name}`.") as caught:
        keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"), **{name: 0.5})
    assert RECIPE in str(caught.value)
    model = keras_kd.Distiller(
        student=mlp("s"),
        teacher=mlp("t"),
        terms=keras_kd.recipes.hinton(temperature=4.0, alpha=0.9),
    )
    with says(f"compile() takes no `{name}`."):
        model.compile("sgd", cross_entropy(), **{name: 0.5})


@pytest.mark.parametrize(
    "name, instead",
    [
        ("student_loss_fn", "The loss on the labels is `loss`: compile(optimizer, loss=...)."),
        ("distillation_loss_fn", "keras_kd.Term(keras_kd.losses.SoftTarget(4.0), weight=0.9)"),
    ],
)
def test_losses_by_their_names_in_the_keras_example(name, instead):
    model = keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"))
    with says(f"compile() takes no `{name}`.") as caught:
        model.compile("sgd", **{name: cross_entropy()})
    assert instead in str(caught.value)


def test_several_students_or_teachers_and_no_terms():
    students, teachers = {"a": mlp("a"), "b": mlp("b")}, {"big": mlp("t"), "old": mlp("o")}
    with says("terms=keras_kd.recipes.mutual('a', 'b')", ValueError):
        keras_kd.Distiller(student=students)
    keras_kd.Distiller(student=students, terms=keras_kd.recipes.mutual("a", "b"))
    term = "keras_kd.Term(keras_kd.losses.SoftTarget(4.0), target='{}:output')"
    both = f"terms=[keras_kd.Labels(), {term.format('big')}, {term.format('old')}]"
    with says(both, ValueError):
        keras_kd.Distiller(student=mlp("s"), teacher=teachers)
    terms = eval(both.partition("=")[2], {"keras_kd": keras_kd})
    keras_kd.Distiller(student=mlp("s"), teacher=teachers, terms=terms)


def test_a_layer_in_place_of_its_address():
    layer = mlp("s").layers[0]
    with says("pred='student:hidden'"):
        keras_kd.Term(SOFT(), pred=layer)
    with says("target='teacher:hidden'"):
        keras_kd.Term(SOFT(), target=layer)
    with says("pred='student:hidden'"):
        keras_kd.Labels(pred=layer)


@pytest.mark.parametrize("loss", [cross_entropy(), "mse"], ids=["object", "name"])
def test_a_loss_given_to_labels(loss):
    with says(
        "Labels() applies the loss that is given to compile(): compile(optimizer, loss=...)."
    ):
        keras_kd.Labels(loss)


@pytest.mark.parametrize("given", [lambda: SOFT(2.0), lambda: [SOFT(2.0)]], ids=["one", "list"])
def test_a_loss_between_logits_for_the_labels(given):
    model = keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"))
    with says(
        "loss=SoftTarget(...), which compares logits with logits, and the labels", ValueError
    ):
        model.compile("sgd", given())
    numbers = keras_kd.Distiller(student=mlp("n"), terms=[keras_kd.Labels()])
    numbers.compile("sgd", keras_kd.losses.FeatureMatch())  # numbers may be labels
    x, _ = data()
    numbers.fit(x, keras.ops.convert_to_numpy(mlp("t")(x)), verbose=0)
