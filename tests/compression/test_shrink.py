"""Shrink: widths, depths, and whose weights the student has."""

import keras
import numpy as np
import pytest
from keras import layers as L

import keras_kd
from keras_kd.compression import shrink
from tests.compression.networks import (
    answers,
    images,
    joined,
    randomised,
    recurrent,
    residual,
    small,
)
from tests.models import Subclassed, nested


def sample(model, n=64):
    rng = np.random.default_rng(1)
    shape = (n, *model.inputs[0].shape[1:])
    if model.inputs[0].dtype == "int32":
        return rng.integers(0, 20, shape).astype("int32")
    return rng.normal(size=shape).astype("float32")


@pytest.mark.parametrize("network", [residual, joined, recurrent], ids=lambda n: n.__name__)
def test_a_whole_copy_answers_as_the_teacher(network):
    teacher = network()
    x = sample(teacher)
    student = shrink(teacher, 1.0, copy_weights=True)
    assert np.array_equal(answers(student, x), answers(teacher, x))
    assert not {id(layer) for layer in student.layers} & {id(layer) for layer in teacher.layers}


def zeroed(model, channels):
    """The model in which these layers make, of the given channels, nothing at all."""
    for name, gone in channels.items():
        layer = model.get_layer(name)
        weights = layer.get_weights()
        if isinstance(layer, (L.LSTM, L.GRU)):
            gates = 4 if isinstance(layer, L.LSTM) else 3
            columns = [g * layer.units + c for g in range(gates) for c in gone]
            for w in weights:
                w[..., columns] = 0.0
        elif isinstance(layer, L.Conv2DTranspose):
            weights[0][..., gone, :] = 0.0
            weights[1][gone] = 0.0
        else:
            kernels = weights[1:] if isinstance(layer, L.SeparableConv2D) else weights
            for w in kernels:
                w[..., gone] = 0.0
        layer.set_weights(weights)
    return model


def test_without_channels_that_were_zero_the_answers_are_equal():
    half = {
        "stem": [0, 3, 4, 7], "stem_norm": [0, 3, 4, 7],  # one group by the addition
        "down0": [0, 3, 4, 7], "down0_norm": [0, 3, 4, 7],
        "deep": [], "gate": [0, 3, 4, 7],  # the gate multiplies them
        "up0": list(range(8)), "up0_norm": list(range(8)),
        "separable": [1, 3, 5, 7, 9, 11, 13, 15], "hidden": list(range(4, 12)),
    }  # fmt: skip
    teacher = zeroed(residual(), half)
    # What a depthwise layer and its norm add to a channel of zeros goes with the channel.
    for name in ("deep", "deep_norm"):
        weights = teacher.get_layer(name).get_weights()
        for w in weights:
            if w.ndim == 1:
                w[[0, 3, 4, 7]] = 0.0
        teacher.get_layer(name).set_weights(weights)
    x = sample(teacher)
    student = shrink(teacher, 0.5, copy_weights=True)
    assert student.get_layer("stem").filters == 4 and student.get_layer("logits").units == 3
    assert np.allclose(answers(student, x), answers(teacher, x), atol=1e-5)
    assert not np.allclose(answers(teacher, x), 0.0, atol=1e-2)


def test_joined_and_repeated_channels_follow():
    half = {"a": [1, 2], "up": [0, 2, 4], "conv1d": [4, 5, 6, 7]}
    teacher = zeroed(joined(), half)
    kernel, bias = teacher.get_layer("b").get_weights()  # two of it for each channel of "a"
    bias[[2, 3, 4, 5]] = 0.0
    teacher.get_layer("b").set_weights([kernel, bias])
    x = sample(teacher)
    student = shrink(teacher, 0.5, copy_weights=True)
    assert student.get_layer("rows").target_shape == (64, 3)
    assert student.get_layer("up").kernel.shape == (3, 3, 3, 6)  # out, then 2 + 4 joined
    assert np.allclose(answers(student, x), answers(teacher, x), atol=1e-5)


def test_the_units_of_recurrent_layers_follow():
    teacher = recurrent()
    x = sample(teacher)
    states = L.GRU(4, name="gru")(teacher.get_layer("lstm").output)  # a norm between would mix
    teacher = randomised(keras.Model(teacher.input, L.Dense(3, name="logits")(states)))
    zeroed(teacher, {"words": [0, 5, 2], "lstm": [1, 2, 6, 7], "gru": [0, 3]})
    student = shrink(teacher, 0.5, copy_weights=True)
    assert [student.get_layer(n).units for n in ("lstm", "gru", "logits")] == [4, 2, 3]
    assert np.allclose(answers(student, x), answers(teacher, x), atol=1e-5)


def test_the_largest_channels_are_kept_in_their_order():
    teacher = keras.Sequential([keras.Input((2,)), L.Dense(4, name="a"), L.Dense(1, name="out")])
    kernel = np.array([[1.0, -3.0, 0.0, 2.0], [1.0, 0.0, 0.5, -2.0]])  # norms 2, 3, 0.5, 4
    teacher.set_weights(
        [kernel, np.arange(4.0), np.array([[1.0], [2.0], [3.0], [4.0]]), np.ones(1)]
    )
    first, bias, last, _ = shrink(teacher, 0.5, copy_weights=True).get_weights()
    assert first.tolist() == [[-3.0, 2.0], [0.0, -2.0]]
    assert bias.tolist() == [1.0, 3.0] and last.tolist() == [[2.0], [4.0]]


def test_the_student_of_a_frozen_teacher_learns():
    teacher = small()
    teacher.get_layer("norm").trainable = False
    assert len(shrink(teacher, 0.5).trainable_weights) == 3  # what was frozen alone stays so
    keras_kd.Distiller(student=small("s"), teacher=teacher)
    assert not teacher.trainable
    assert len(shrink(teacher, 0.5).trainable_weights) == 5


def test_layers_that_are_added_choose_together():
    x = inputs = keras.Input((2,))
    a, b = L.Dense(3, name="a", use_bias=False)(x), L.Dense(3, name="b", use_bias=False)(x)
    teacher = keras.Model(inputs, L.Dense(1, name="out")(L.Add()([a, b])))
    # Over their means: a (2, 0.7, 0.3), b (0.15, 1.2, 1.65): the last two have the most.
    teacher.get_layer("a").set_weights([np.array([[20.0, 7.0, 3.0], [0.0, 0.0, 0.0]])])
    teacher.get_layer("b").set_weights([np.array([[0.1, 0.8, 1.1], [0.0, 0.0, 0.0]])])
    student = shrink(teacher, 0.34, copy_weights=True)
    assert student.get_layer("a").kernel.shape == (2, 1)
    a, b = (float(student.get_layer(n).get_weights()[0][0, 0]) for n in ("a", "b"))
    assert a == 20.0 and round(b, 1) == 0.1  # 2.15 against 1.9 and 1.95


def test_widths():
    student = shrink(residual(width=8), 0.25)
    widths = {
        n: student.get_layer(n).filters for n in ("stem", "up0", "down0", "gate", "separable")
    }
    assert widths == {"stem": 2, "up0": 4, "down0": 2, "gate": 2, "separable": 4}
    assert student.get_layer("hidden").units == 4 and student.output_shape == (None, 3)
    assert shrink(residual(width=8), 0.01).get_layer("stem").filters == 1


def test_without_copy_the_weights_are_new():
    teacher = residual()
    student = shrink(teacher, 1.0)
    assert not np.allclose(student.get_layer("up0").kernel, teacher.get_layer("up0").kernel)


def test_depth_spares_blocks_that_do_nothing():
    teacher = residual(blocks=4)
    for i in (1, 2):  # the first and the last are kept of four
        norm = teacher.get_layer(f"down{i}_norm")
        norm.gamma.assign(np.zeros(8))
        norm.beta.assign(np.zeros(8))
    x = sample(teacher)
    student = shrink(teacher, 1.0, 0.5, copy_weights=True)
    names = [layer.name for layer in student.layers]
    assert [n for n in names if n in ("add0", "add1", "add2", "add3")] == ["add0", "add3"]
    assert np.allclose(answers(student, x), answers(teacher, x), atol=1e-5)


def test_depth_of_a_plain_stack():
    def stack(i):  # how often a Dropout drops may differ from block to block
        return [L.Dense(6, activation="relu", name=f"d{i}"), L.Dropout(i / 10, name=f"drop{i}")]

    layers = [layer for i in range(5) for layer in stack(i)]
    teacher = keras.Sequential([keras.Input((3,)), *layers, L.Dense(2, name="out")])

    def dense(student):
        return [layer.name for layer in student.layers if isinstance(layer, L.Dense)]

    # d1 to d4 repeat, d0 takes another shape
    assert dense(shrink(teacher, 0.5, 0.5)) == ["d0", "d1", "d4", "out"]
    assert dense(shrink(teacher, 1.0, 0.01)) == ["d0", "d1", "out"]


@pytest.mark.skipif(keras.config.backend() == "jax", reason="jax compiles each new shape: minutes")
def test_networks_of_keras_applications():
    teacher = keras.applications.MobileNetV3Small(
        (32, 32, 3), alpha=0.35, weights=None, classes=4, dropout_rate=0.0
    )
    student = shrink(teacher, 0.5, copy_weights=True)
    assert student.count_params() < 0.35 * teacher.count_params()
    assert answers(student, images(2, shape=(32, 32, 3))).shape == (2, 4)


def test_nested_models_are_laid_out_flat():
    teacher = nested("teacher")
    student = shrink(teacher, 0.5, copy_weights=True)
    assert [layer.name for layer in student.layers[1:]] == ["stem", "deep", "logits"]
    x = sample(teacher)
    whole = shrink(teacher, 1.0, copy_weights=True)
    assert np.array_equal(answers(whole, x), answers(teacher, x))


def test_attention_keeps_its_width():
    x = inputs = keras.Input((5, 8))
    x = L.Add()([x, L.MultiHeadAttention(2, 4, name="attention")(x, x)])
    y = L.Dense(16, activation="gelu", name="up")(x)
    x = L.Add()([x, L.Dense(8, name="down")(y)])
    teacher = randomised(keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling1D()(x))))
    student = shrink(teacher, 0.5, copy_weights=True)
    assert (student.get_layer("up").units, student.get_layer("down").units) == (8, 8)
    assert np.isfinite(answers(student, sample(teacher))).all()


def test_a_shared_layer_is_one_layer():
    x = inputs = keras.Input((4,))
    shared, relu = L.Dense(8, name="shared"), L.ReLU()
    x = relu(L.Dense(8, name="first")(x))
    x = relu(L.Dense(6, name="other")(shared(shared(x))))  # a layer without weights, of any size
    teacher = randomised(keras.Model(inputs, L.Dense(2, name="out")(x)))
    x = sample(teacher)
    assert np.array_equal(answers(shrink(teacher, 1.0, copy_weights=True), x), answers(teacher, x))
    assert shrink(teacher, 0.5).get_layer("shared").kernel.shape == (4, 4)


def test_it_learns_from_its_teacher():
    teacher = small("teacher")
    student = shrink(teacher, 0.5, copy_weights=True)
    terms = [keras_kd.Term(keras_kd.losses.SoftTarget())]
    distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=terms)
    distiller.compile(keras.optimizers.Adam(0.01))
    losses = distiller.fit(images(32), batch_size=16, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@keras.saving.register_keras_serializable(package="tests")
class Unknown(L.Layer):
    def call(self, x):
        return x * 2.0


def test_bad_input():
    with pytest.raises(ValueError, match=r"`width` must be in \(0, 1\]. Received: width=2"):
        shrink(residual(), 2)
    with pytest.raises(ValueError, match=r"`depth` must be in \(0, 1\]. Received: depth=0"):
        shrink(residual(), depth=0)
    with pytest.raises(ValueError, match="no block of layers comes twice"):
        shrink(residual(blocks=1), depth=0.5)
    with pytest.raises(ValueError, match="one another is 2 times, too few to drop one"):
        shrink(residual(blocks=2), depth=0.9)
    with pytest.raises(ValueError, match="'subclassed' of class Subclassed is written as a class"):
        shrink(Subclassed(name="subclassed"))
    with pytest.raises(ValueError, match="Sequential is not built"):
        shrink(keras.Sequential([L.Dense(2)]))
    with pytest.raises(TypeError, match=r"a keras.Model. Received: 'teacher'"):
        shrink("teacher")
    custom = keras.Sequential([keras.Input((4,)), L.Dense(4), Unknown(name="odd"), L.Dense(2)])
    with pytest.raises(ValueError, match="Layer 'odd' of class Unknown is not known to shrink"):
        shrink(custom)
    x = sample(custom)
    whole = shrink(custom, 1.0, copy_weights=True)
    assert np.array_equal(answers(whole, x), answers(custom, x))
    with pytest.raises(ValueError, match="narrows nothing"):
        shrink(keras.Sequential([keras.Input((4,)), L.Dense(2)]))
