"""Layers that are called what a model's own signals are called."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import procedures, stores
from keras_kd.data import Part
from tests.models import set_weights

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4)).astype("float32")
Y = RNG.integers(0, 3, 8)


def scaled(name, own="output", seed=0):
    """A model whose layer `own` is not the last one: its answer is ten times as large."""
    layers = [
        keras.layers.Dense(5, activation="relu", name="hidden"),
        keras.layers.Dense(3, name=own),
        keras.layers.Rescaling(10.0),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers], name=name)
    set_weights(model, seed)
    return model


def values(terms):
    distiller = keras_kd.Distiller(
        student=scaled("s", seed=1), teacher=scaled("t", seed=2), terms=terms
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile("sgd", loss)
    return distiller.evaluate(X, Y, verbose=0, return_dict=True)


def hint(path="hidden", name="hint"):
    loss = keras_kd.losses.FeatureMatch()
    return keras_kd.Term(loss, pred=f"student:{path}", target=f"teacher:{path}", name=name)


def test_output_means_the_model_whatever_else_is_asked_for():
    alone = values(keras_kd.recipes.hinton())
    beside = values([*keras_kd.recipes.hinton(), hint()])
    assert beside["soft_target"] == pytest.approx(alone["soft_target"], rel=1e-5)
    assert beside["labels"] == pytest.approx(alone["labels"], rel=1e-5)


def test_a_layer_of_that_name_has_an_address_of_its_own():
    both = values([keras_kd.Labels(), hint("output", "answer"), hint("./output", "layer")])
    assert both["answer"] == pytest.approx(100.0 * both["layer"], rel=1e-4)
    with pytest.raises(ValueError, match=r"'\./output'"):
        values([keras_kd.Labels(), hint("outptu")])


def test_jvp_means_the_derivative():
    names = {"own": "jvp"}
    student, teacher = scaled("s", **names, seed=1), scaled("t", **names, seed=2)
    terms = keras_kd.recipes.sobolev(labels_weight=0)
    with_hint = [*terms, hint("./jvp")]
    said = []
    for listed in (terms, with_hint):
        distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=listed)
        distiller.compile("sgd")
        said.append(distiller.evaluate(X, verbose=0, return_dict=True)["jacobian_match"])
    assert said[0] == pytest.approx(said[1], rel=1e-5)


def test_a_store_holds_what_the_model_returns(tmp_path):
    teacher = scaled("t", seed=2)
    part = Part(X, Y, np.arange(8))
    stores.write(teacher, part, tmp_path / "store", addresses=("output", "hidden", "./output"))
    inputs, *_ = next(iter(stores.read(tmp_path / "store", part, batch_size=8)))
    kept = {a: keras.ops.convert_to_numpy(v) for a, v in inputs["signals"].items()}
    expected = teacher.predict(X, verbose=0)
    np.testing.assert_allclose(kept["teacher:output"], expected, rtol=1e-2)
    np.testing.assert_allclose(kept["teacher:./output"] * 10.0, expected, rtol=1e-2)


def test_layers_are_suggested_by_the_address_that_they_have():
    found = procedures.hint_layers(scaled("s"), scaled("t"))
    assert "student:output" not in found["pred"]
    terms = keras_kd.recipes.fitnets(**found)
    keras_kd.Distiller(student=scaled("s"), teacher=scaled("t"), terms=terms)
