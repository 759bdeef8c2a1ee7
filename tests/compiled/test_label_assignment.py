"""Labels of one output of several: its loss, its labels, its weights."""

import re

import keras
import numpy as np
import pytest
from keras import layers

import keras_kd
from tests.models import cross_entropy

N = 12


def two_outputs(name, as_list=False):
    x = keras.Input((4,))
    h = layers.Dense(5, activation="relu", name="hidden")(x)
    kind, box = layers.Dense(3, name="kind")(h), layers.Dense(2, name="box")(h)
    return keras.Model(x, [kind, box] if as_list else {"kind": kind, "box": box}, name=name)


def labelled():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 4)).astype("float32")
    return x, {"kind": np.arange(N) % 3, "box": rng.normal(size=(N, 2)).astype("float32")}


def distiller(output, as_list=False, more=()):
    terms = keras_kd.recipes.hinton(
        pred=f"student:{output}", target=f"teacher:{output}", alpha=0.25
    )
    student, teacher = two_outputs("s", as_list), two_outputs("t", as_list)
    return keras_kd.Distiller(student=student, teacher=teacher, terms=[*terms, *more])


def log_p(model, x):
    said = model.predict(x, verbose=0)
    logits = said["kind"] if isinstance(said, dict) else said[0]
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    "output, as_list, by, loss",
    [
        ("output/kind", False, "dict", {"kind": cross_entropy()}),
        ("output/kind", False, "dict", cross_entropy()),
        ("output/kind", False, "alone", cross_entropy()),
        ("kind", False, "dict", {"kind": cross_entropy()}),
        ("output/0", True, "dict", {"kind": cross_entropy()}),
        ("output/0", True, "list", [cross_entropy(), None]),
        ("output/0", True, "list", cross_entropy()),
    ],
)
def test_one_output_learns_from_its_own_labels(output, as_list, by, loss):
    x, y = labelled()
    weights = np.linspace(0.5, 2, N).astype("float32")
    of_both = {"kind": weights, "box": np.ones(N, "float32")}
    model = distiller(output, as_list)
    model.compile(keras.optimizers.SGD(0.0), loss)
    rows = -log_p(model.student, x)[range(N), y["kind"]]
    give = {"dict": lambda v: v, "list": lambda v: [v["kind"], v["box"]], "alone": lambda v: v["kind"]}  # fmt: skip
    logs = model.fit(x, give[by](y), batch_size=N, verbose=0).history
    assert logs["labels"][0] == pytest.approx(rows.mean(), rel=1e-5)
    assert logs["loss"][0] == pytest.approx(
        0.75 * logs["labels"][0] + 0.25 * logs["soft_target"][0], rel=1e-5
    )
    if by == "dict" and not as_list:
        weighted = model.evaluate(x, y, sample_weight=of_both, verbose=0, return_dict=True)
        assert weighted["labels"] == pytest.approx((rows * weights).mean(), rel=1e-5)


def test_each_output_by_a_term_of_its_own_is_saved_and_goes_on(tmp_path):
    x, y = labelled()
    boxes = keras_kd.Labels(2.0, pred="student:output/box", name="labels_box")
    model = distiller("output/kind", more=[boxes])
    model.compile(
        "sgd", {"kind": cross_entropy(), "box": "mse"}, loss_weights={"kind": 1, "box": 3}
    )
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    said = model.student.predict(x, verbose=0)
    assert logs["labels_box"] == pytest.approx(3 * np.mean((said["box"] - y["box"]) ** 2), rel=1e-5)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "d.keras")
    again = keras.saving.load_model(tmp_path / "d.keras")
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    assert again.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-5)


def says(text):
    return pytest.raises(ValueError, match=re.escape(text))


@pytest.mark.parametrize("output", ["output/kind", "kind"])
def test_a_loss_that_nothing_would_apply(output):
    with says(
        "compile() was given a loss for output 'box', but no Labels among the terms learns from "
        f"its labels ('student:{output}'), so nothing would apply it. Add "
        "keras_kd.Labels(pred='student:output/box', name='labels_box') to the terms"
    ):
        distiller(output).compile("sgd", {"kind": cross_entropy(), "box": "mse"})


def test_a_loss_or_labels_that_are_not_there():
    x, y = labelled()
    model = distiller("output/kind")
    with says("learns from the labels of output 'kind', and the `loss` given to compile() holds"):
        model.compile("sgd", {"box": "mse"})
    with says("Term 'labels' applies the loss given to compile() for 'student:output/kind', and"):
        model.compile("sgd", {"kind": None})
    model.compile("sgd", cross_entropy())
    with says("learns from the labels of output 'kind', and `y` holds 'box'"):
        model.fit(x, {"box": y["box"]}, verbose=0)


def test_labels_by_output_for_a_layer_that_is_none():
    terms = [keras_kd.Labels(pred="student:hidden")]
    model = keras_kd.Distiller(student=two_outputs("s"), terms=terms)
    with says("learns at a layer that is no output of 's', so the `loss` given to compile() by"):
        model.compile("sgd", {"kind": cross_entropy()})
