"""Recovering from few bits without labels: blocks that meet the float model's, and what they win."""

import keras
import numpy as np
import pytest
from keras import layers as L

import keras_kd as kd
from keras_kd.compression import (
    FakeQuant,
    LearnedQuant,
    LearnedSteps,
    RunningRanges,
    plain,
    quantize_aware,
    recover,
)
from keras_kd.compression._graph import Graph
from keras_kd.compression._recover import _block_terms
from keras_kd.compression._side_by_side import side_by_side, without_noise
from keras_kd.compression._still import still
from tests.compression.networks import answers, images, randomised, residual, small
from tests.models import cross_entropy, nested
from tests.project import needs_keras

pytestmark = needs_keras("3.9")


def chain():
    """Layers that a rounded model splits: a separable one, and a sigmoid behind its own range."""
    x = inputs = keras.Input((8, 8, 3))
    x = L.SeparableConv2D(6, 3, name="separable")(x)
    x = L.Conv2D(5, 3, activation="sigmoid", name="gated")(x)
    x = L.Flatten(name="flat")(L.Dropout(0.5)(L.MaxPooling2D(name="pool")(x)))
    x = L.Dense(7, activation="relu6", name="hidden")(x)
    return randomised(keras.Model(inputs, L.Dense(3, name="logits")(x), name="chain"))


def two_of_each():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    x = L.Concatenate()([L.Dense(6, "relu")(a), L.Dense(6, "relu")(b)])
    x = L.Dense(8, "relu", name="both")(x)
    outputs = {
        "kind": L.Dense(3, name="kind")(x), "sure": L.Dense(1, activation="sigmoid", name="sure")(x)
    }  # fmt: skip
    return randomised(keras.Model({"a": a, "b": b}, outputs, name="two"))


def pair(model, **options):
    aware = quantize_aware(model, **options)
    teacher, _ = still(Graph(model, ""), "float_")
    teacher.trainable = False
    return aware, side_by_side(without_noise(aware), teacher, "float_")


@pytest.mark.parametrize(
    "network, blocks", [(residual, 7), (small, 2), (chain, 4), (lambda: nested("n"), 3)]
)
def test_every_block_meets_its_float_block(network, blocks):
    model = randomised(network())
    aware, both = pair(model, activation_bits=16)
    assert len(both.pairs) == blocks
    x = images(64) if len(model.input.shape) == 4 else images(64, shape=(8,))
    both.model(x, training=True)
    found = {k: keras.ops.convert_to_numpy(v) for k, v in both.model(x, training=False).items()}
    for ours, theirs in both.pairs:
        assert found[ours].std() > 0
        error = np.mean((found[ours] - found[theirs]) ** 2) / found[theirs].var()
        assert error < 2e-3, (ours, error)
    last = both.pairs[-1][1]
    assert np.allclose(found[last], answers(model, x), atol=1e-4)
    # Every layer that learns is in a block, and none of the float model's learns.
    mine = {id(v) for v in aware.trainable_variables}
    assert {id(v) for v in both.model.trainable_variables} == mine


def test_a_block_counts_by_the_spread_of_its_float_output():
    _, both = pair(small(), weight_bits=4)
    x = images(32)
    floats = both.model.predict(x, verbose=0)
    for term, (ours, theirs) in zip(_block_terms(both, x), both.pairs, strict=True):
        assert term.name == ours
        assert np.isclose(float(term.weight), 1 / np.var(floats[theirs]), rtol=1e-4)


def test_blocks_end_at_steps_of_learnt_size_too():
    _, both = pair(residual(), weight_bits=2, steps=LearnedSteps(activations=True))
    assert len(both.pairs) == 7
    shortest = {"block_steps": 1, "whole_steps": 1, "verbose": 0}
    learnt = LearnedSteps(activations=True)
    aware = recover(small(), images(32), 2, steps=learnt, **shortest)
    kinds = {type(layer) for layer in aware.layers}
    assert LearnedQuant in kinds and FakeQuant not in kinds


@pytest.mark.parametrize("bits, steps", [(2, LearnedSteps), (3, RunningRanges)])
def test_two_bits_learn_their_steps(bits, steps):
    aware = recover(small(), images(32), bits, block_steps=1, whole_steps=1, verbose=0)
    assert {type(layer.steps) for layer in aware.layers if hasattr(layer, "steps")} == {steps}


def test_a_block_sees_nothing_of_the_errors_before_it():
    aware, both = pair(small(), weight_bits=2)
    x = images(16)
    both.model(x, training=True)
    before = both.model.predict(x, verbose=0)
    aware.get_layer("conv").kernel.assign(np.zeros((3, 3, 3, 8), "float32"))
    after = both.model.predict(x, verbose=0)
    assert not np.allclose(after["block_1"], before["block_1"])
    assert np.array_equal(after["block_2"], before["block_2"])


@pytest.fixture(scope="module")
def trained():
    data = kd.data.load("digits")
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((8, 8, 1))
    for channels, strides in ((12, 1), (24, 2)):
        x = L.Conv2D(channels, 3, strides, padding="same", use_bias=False)(x)
        x = L.ReLU()(L.BatchNormalization(momentum=0.8)(x))
    x = L.GlobalAveragePooling2D()(L.Dropout(0.1)(x))
    model = keras.Model(inputs, L.Dense(10)(x))
    model.compile(keras.optimizers.Adam(0.01), cross_entropy())
    model.fit(data.x_train, data.y_train, epochs=6, verbose=0)
    return model, data


def divergence(model, other, x):
    p, q = (np.asarray(keras.ops.log_softmax(answers(m, x)), "float64") for m in (model, other))
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def rounded(model, x, bits):
    aware = quantize_aware(model, weight_bits=bits)
    aware(x, training=True)
    return aware


def test_it_wins_back_what_rounding_loses(trained):
    model, data = trained
    weights = [w.copy() for w in model.get_weights()]
    x, few = data.x_test, data.x_train[:128]
    lost = divergence(model, rounded(model, few, 3), x)
    whole = recover(model, few, 3, block_steps=0, whole_steps=100, verbose=0)
    both = recover(model, few, 3, block_steps=100, whole_steps=100, verbose=0)
    assert lost > 0.2
    assert divergence(model, whole, x) < lost / 3
    assert divergence(model, both, x) < lost / 3
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    assert model.trainable and all(layer.trainable for layer in model.layers)


def test_it_is_a_model_like_those_of_quantize_aware(trained, tmp_path):
    model, data = trained
    aware = recover(model, data.x_train[:64], block_steps=5, whole_steps=5, verbose=0)
    for layer in plain(aware).layers:
        if layer.weights:
            kernel = layer.get_weights()[0]
            assert all(len(np.unique(kernel[..., c])) <= 15 for c in range(kernel.shape[-1]))
    assert any(isinstance(layer, L.Dropout) for layer in aware.layers)  # for who trains it on
    aware.save(tmp_path / "aware.keras")
    again = keras.saving.load_model(tmp_path / "aware.keras")
    assert np.allclose(answers(again, data.x_test[:8]), answers(aware, data.x_test[:8]), atol=1e-5)


def test_a_seed_gives_the_same_weights_and_another_others(trained):
    model, data = trained
    found = [
        recover(model, data.x_train[:64], block_steps=4, whole_steps=4, verbose=0, seed=seed)
        for seed in (1, 1, 2)
    ]
    first, second, third = (aware.get_weights() for aware in found)
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(first, second, strict=True))
    assert not all(np.allclose(a, b, atol=1e-6) for a, b in zip(first, third, strict=True))


def test_layers_may_have_bits_of_their_own():
    model = small()
    options = {"block_steps": 2, "whole_steps": 2, "verbose": 0}
    aware = recover(model, images(32), 3, layer_bits={"conv": 8, "logits": None}, **options)
    kernel = plain(aware).get_layer("conv").get_weights()[0]
    assert 7 < len(np.unique(kernel[..., 0])) <= 255
    assert type(aware.get_layer("logits")) is L.Dense


def test_a_model_that_was_a_teacher_learns_too():
    model = small()
    model.trainable = False
    aware = recover(model, images(32), 2, block_steps=3, whole_steps=3, verbose=0)
    before = quantize_aware(model, weight_bits=2).get_layer("conv").kernel
    assert not np.allclose(aware.get_layer("conv").kernel, before)
    assert not model.trainable


def test_probabilities_are_compared_as_logits():
    body = small()
    model = keras.Model(body.input, L.Softmax(name="p")(body.output))
    aware = recover(model, images(64), 8, block_steps=0, whole_steps=60, verbose=0)
    assert np.allclose(answers(aware, images(8)).sum(-1), 1.0, atol=0.02)
    assert np.abs(answers(aware, images(64)) - answers(model, images(64))).mean() < 0.01


def test_several_inputs_and_outputs():
    model = two_of_each()
    x = {"a": images(64, shape=(4,)), "b": images(64, seed=1, shape=(4,))}
    aware = recover(model, x, 8, block_steps=20, whole_steps=20, verbose=0)
    mine, wanted = (m.predict(x, verbose=0) for m in (aware, model))
    assert np.abs(mine["kind"] - wanted["kind"]).mean() < 0.05 * np.abs(wanted["kind"]).mean()
    assert np.abs(mine["sure"] - wanted["sure"]).mean() < 0.02


def test_terms_of_ones_own():
    model = keras.Sequential([keras.Input((8,)), L.Dense(6, "relu"), L.Dense(1)])
    x = images(64, shape=(8,))
    with pytest.raises(ValueError, match=r"has one number, which says nothing of classes. Pass te"):
        recover(model, x, verbose=0)
    terms = [kd.Term(kd.losses.FeatureMatch())]
    aware = recover(model, x, 8, terms=terms, block_steps=0, whole_steps=60, verbose=0)
    assert np.abs(answers(aware, x) - answers(model, x)).mean() < 0.05


def test_progress_is_shown_and_not(capsys):
    recover(small(), images(32), block_steps=2, whole_steps=2, verbose=0)
    assert capsys.readouterr().out == ""
    recover(small(), images(32), block_steps=2, whole_steps=2)
    said = capsys.readouterr().out
    assert "recover: 2 blocks" in said and "recover: whole" in said and "2/2" in said


@pytest.mark.parametrize(
    "x, expected",
    [
        (images(31), r"needs 32 images or more.*\(31, 8, 8, 3\)"),
        (np.ones((64, 8, 8, 3), "float32"), "All `images` are alike"),
        (np.where(images(64) > 3, np.nan, 1.0), "`images` hold NaN"),
        (images(64, shape=(8, 8, 1)), r"do not fit the inputs of 'small': \(None, 8, 8, 3\)"),
        ((images(64), np.zeros(64, int)), r"without labels. Received a tuple of two"),
        (np.zeros(64, int), r"do not fit .* \(They come without labels.\)"),
        ([images(64), np.zeros(64, int)], r"do not fit .* \(64,\)"),
    ],
)
def test_images_that_cannot_be(x, expected):
    with pytest.raises(ValueError, match=expected):
        recover(small(), x)


def test_other_bad_input():
    with pytest.raises(TypeError, match="`images` must be an array"):
        recover(small(), (images(1) for _ in range(64)))
    with pytest.raises(ValueError, match=r"quantised already. Begin from the float student"):
        recover(quantize_aware(small()), images(64))
    with pytest.raises(ValueError, match=r"`bits` must be a whole number from 2 to 8"):
        recover(small(), images(64), 1)
    with pytest.raises(ValueError, match="both 0: there is nothing to learn in"):
        recover(small(), images(64), whole_steps=0, block_steps=0)
    with pytest.raises(ValueError, match="`learning_rate` must be a number above 0"):
        recover(small(), images(64), learning_rate=float("inf"))
