"""Students that end in a softmax: trained on what is below it, saved as they are."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd as kd
from keras_kd._core.last_activation import last_activation
from tests.models import CLASSES, Subclassed, cross_entropy, data, equal, mlp, set_weights, values

X, Y = data(32)


def says(text, error=ValueError):
    return pytest.raises(error, match=re.escape(text))


def numpy(x):
    return keras.tree.map_structure(ops.convert_to_numpy, x)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sequential(*end, name="net"):
    return keras.Sequential(
        [keras.Input((8,)), layers.Dense(6, "relu", name="hidden"), *end], name=name
    )


def functional(*end, name="net"):
    x = inputs = keras.Input((8,))
    for layer in (layers.Dense(6, activation="relu", name="hidden"), *end):
        x = layer(x)
    return keras.Model(inputs, x, name=name)


ENDS = {
    "activation": lambda: [layers.Dense(CLASSES, activation="softmax", name="last")],
    "layer": lambda: [layers.Dense(CLASSES), layers.Softmax(name="last")],
    "activation layer": lambda: [layers.Dense(CLASSES), layers.Activation("softmax", name="last")],
    "before others": lambda: [
        layers.Dense(CLASSES, activation="softmax", name="last"), layers.Dropout(0.3),
        layers.Reshape((CLASSES,)), layers.Activation("linear", dtype="float32"),
    ],
    "of a model inside": lambda: [
        keras.Sequential([keras.Input((6,)), layers.Dense(CLASSES, activation="softmax")], name="last")
    ],
    "no bias": lambda: [layers.EinsumDense("ab,bc->ac", CLASSES, activation="softmax", name="last")],
}  # fmt: skip


@pytest.mark.parametrize("kind", [sequential, functional])
@pytest.mark.parametrize("end", list(ENDS))
def test_the_softmax_is_off_and_the_weights_are_the_same(kind, end):
    model = kind(*ENDS[end]())
    student = kd.with_logits(model)
    np.testing.assert_allclose(softmax(numpy(student(X))), numpy(model(X)), atol=1e-6)
    assert np.ptp(numpy(student(X))) > 0.1 and (numpy(student(X)) < 0).any()
    assert [id(v) for v in student.weights] == [id(v) for v in model.weights]
    assert student.name == model.name
    assert {"hidden", "last"} <= {layer.name for layer in student.layers}
    assert last_activation(student) is None


def test_an_operation_and_a_sigmoid():
    inputs = keras.Input((8,))
    model = keras.Model(inputs, ops.softmax(layers.Dense(CLASSES)(inputs)))
    np.testing.assert_allclose(softmax(numpy(kd.with_logits(model)(X))), numpy(model(X)), atol=1e-6)
    model = functional(layers.Dense(4, activation="sigmoid"))
    np.testing.assert_allclose(sigmoid(numpy(kd.with_logits(model)(X))), numpy(model(X)), atol=1e-6)


def test_several_outputs_keep_their_names_and_their_order():
    inputs = {"a": keras.Input((8,), name="a"), "b": keras.Input((8,), name="b")}
    inner_in = keras.Input((8,))
    inner = keras.Model(
        inner_in,
        [layers.Dense(2, activation="softmax")(inner_in), layers.Dense(2)(inner_in)],
        name="inner",
    )
    both = inner(inputs["b"])
    outputs = {
        "kind": layers.Dense(CLASSES, activation="softmax", name="kind")(inputs["a"]),
        "tags": layers.Activation("sigmoid", name="tags")(layers.Dense(4)(inputs["b"])),
        "size": layers.Dense(1, name="size")(inputs["a"]),
        "deep": both[0],
        "flat": both[1],
    }
    model = keras.Model(inputs, outputs, name="heads")
    student = kd.with_logits(model)
    x = {"a": X, "b": X[::-1].copy()}
    ours, theirs = numpy(student(x)), numpy(model(x))
    squash = {"kind": softmax, "tags": sigmoid, "deep": softmax}
    assert set(ours) == set(theirs)
    for name, answer in theirs.items():
        given = squash.get(name, np.asarray)(ours[name])
        np.testing.assert_allclose(given, answer, atol=1e-6, err_msg=name)
    listed = keras.Model(inputs, [outputs["kind"], outputs["tags"]])
    assert kd.with_logits(listed).output_names == listed.output_names


@pytest.mark.parametrize("end", ["activation", "activation layer"])
def test_logits_are_float32_under_mixed_precision(end):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = functional(*ENDS[end]())
    student = kd.with_logits(model)
    assert keras.backend.standardize_dtype(student(X).dtype) == "float32"
    np.testing.assert_allclose(
        softmax(numpy(student(X))), numpy(ops.cast(model(X), "float32")), atol=0.02
    )
    distiller = kd.Distiller(student=student, teacher=mlp("t"))
    distiller.compile("sgd", cross_entropy())
    distiller.fit(X, Y, verbose=0)


def trained(student):
    teacher = set_weights(mlp("teacher", 9), 2)
    distiller = kd.Distiller(student=student, teacher=teacher)
    distiller.compile(keras.optimizers.Adam(0.01), cross_entropy(), metrics=["accuracy"])
    logs = distiller.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0).history
    return distiller, logs


def test_it_trains_as_the_same_net_built_with_logits_and_the_softmax_model_is_saved(tmp_path):
    model = set_weights(sequential(layers.Dense(CLASSES, activation="softmax", name="logits")), 1)
    plain = set_weights(sequential(layers.Dense(CLASSES, name="logits")), 1)
    distiller, logs = trained(kd.with_logits(model))
    _, expected = trained(plain)
    for name, numbers in expected.items():
        np.testing.assert_allclose(logs[name], numbers, rtol=1e-5, err_msg=name)
    assert equal(values(model.variables), values(plain.variables), 1e-6)
    model.save(tmp_path / "student.keras")
    again = keras.saving.load_model(tmp_path / "student.keras")
    assert type(again) is keras.Sequential
    assert again.layers[-1].activation is keras.activations.softmax
    np.testing.assert_allclose(
        again.predict(X, verbose=0), softmax(plain.predict(X, verbose=0)), atol=1e-5
    )
    # What trained is a model of Keras alone, and comes back from a file as well.
    distiller.student.save(tmp_path / "logits.keras")
    logits = keras.saving.load_model(tmp_path / "logits.keras")
    np.testing.assert_allclose(logits.predict(X, verbose=0), plain.predict(X, verbose=0), atol=1e-5)
    assert all(type(layer).__module__.startswith("keras.") for layer in logits.layers)
    distiller.save(tmp_path / "distiller.keras")
    whole = keras.saving.load_model(tmp_path / "distiller.keras")
    np.testing.assert_allclose(
        whole.student.predict(X, verbose=0), plain.predict(X, verbose=0), atol=1e-5
    )


def test_regularizers_and_frozen_layers_stay_what_they_are():
    last = layers.Dense(CLASSES, activation="softmax", kernel_regularizer="l2")
    model = functional(last)
    student = kd.with_logits(model)
    assert len(student.losses) == len(model.losses) == 1
    last.trainable = False
    assert len(kd.with_logits(model).trainable_variables) == 2


def test_the_model_is_as_it_was():
    """No layer of it is called anew: `layer.output` stays what it was."""
    model = functional(*ENDS["activation"]())
    kd.with_logits(model)
    assert model.get_layer("hidden").output is model.get_layer("last").input
    assert model.get_layer("last").activation is keras.activations.softmax


def test_a_model_of_keras_applications():
    model = keras.applications.MobileNetV2(weights=None, classes=10, input_shape=(32, 32, 3))
    student = kd.with_logits(model)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(softmax(numpy(student(x))), numpy(model(x)), atol=1e-6)
    assert [id(v) for v in student.variables] == [id(v) for v in model.variables]
    assert student.output_names == model.output_names
    teacher = keras.Sequential([keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(10)])
    assert kd.Distiller(student=student, teacher=teacher).built


def test_what_it_cannot_do_is_said():
    with says("`model` must be a keras.Model. Received: 3 of type int.", TypeError):
        kd.with_logits(3)
    with says("'small' ends in no softmax or sigmoid that could be seen"):
        kd.with_logits(mlp("small"))
    with says("'written' is a Subclassed, whose call only Python can read"):
        kd.with_logits(Subclassed(name="written"))
    with says("Sequential 'late' does not know its input yet."):
        kd.with_logits(keras.Sequential([layers.Dense(3, activation="softmax")], name="late"))
    inside = keras.Sequential([keras.Input((8,)), layers.Dense(3, activation="softmax")], name="in")
    inputs = keras.Input((8,))
    said = inside(inputs)
    with says("'in' inside 'out' ends in a softmax that 'next' reads as well."):
        kd.with_logits(keras.Model(inputs, [said, layers.Dense(2, name="next")(said)], name="out"))


def test_the_error_for_a_student_that_ends_in_a_softmax_says_so():
    model = sequential(layers.Dense(CLASSES, activation="softmax"), name="s")
    with says(
        "student 's' ends in a softmax: 'student:output' gives probabilities. Train the model "
        "below its softmax: student=keras_kd.with_logits(student) shares its weights, and 's' can "
        "be saved afterwards as it is. Compile with a loss that has from_logits=True."
    ):
        kd.Distiller(student=model, teacher=mlp("t"))
    assert kd.Distiller(student=kd.with_logits(model), teacher=mlp("t")).built
