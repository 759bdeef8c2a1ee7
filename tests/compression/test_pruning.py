"""Pruning: what goes, when, and that it stays gone."""

import gzip

import keras
import numpy as np
import pytest
from keras import layers as L

import keras_kd
from keras_kd.compression import Magnitude, NOfM, Pruning, compressed_bytes, mask, sparsity
from tests.models import cross_entropy, data, mlp, nested


def value(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


def fit(model, callbacks, epochs=2, compiled="adam", **kwargs):
    x, y = data(n=48)
    model.compile(compiled, cross_entropy(), **kwargs)
    return model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks).history


def test_the_smallest_go():
    weights = np.array([[0.3, -0.1], [0.2, 4.0], [-5.0, 0.0]])
    assert mask(weights, Magnitude(0.5)).tolist() == [[1, 0], [0, 1], [1, 0]]
    assert mask(weights, Magnitude(0.5), progress=1 / 3).tolist() == [[1, 1], [1, 1], [1, 0]]
    assert mask(weights, Magnitude(0.5), progress=0.0).all()


def test_two_of_four_inputs_of_each_channel_stay():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 5))
    kept = mask(kernel, NOfM(keep=2, of=4))
    for row in range(3):
        for column in range(3):
            for channel in range(5):
                block, left = kernel[row, column, :, channel], kept[row, column, :, channel]
                assert left.sum() == 2
                assert np.abs(block[left == 1]).min() > np.abs(block[left == 0]).max()
    half = mask(kernel, NOfM(keep=2, of=4), progress=0.5)
    assert half.mean() == 0.75 and (half >= kept).all()  # on the way: some of those that go


def test_the_share_of_zeros_follows_the_cubic():
    model = mlp("student", units=100)
    sizes = [800, 300]
    history = fit(model, [Pruning(0.9, begin=2, end=20, every=1)], epochs=4)  # 6 steps each
    expected = []
    for step in (6, 12, 18, 24):
        way = min(1.0, (step - 2) / 18)
        expected.append(sum(round(0.9 * (1 - (1 - way) ** 3) * n) for n in sizes) / 1100)
    assert np.allclose(history["sparsity"], expected, atol=1e-12)
    assert sparsity(model) == expected[-1] == 0.9


class Watch(keras.callbacks.Callback):
    """After each step: which weights are zero."""

    def __init__(self, kernel):
        super().__init__()
        self.kernel, self.zeros, self.sums = kernel, [], []

    def on_train_batch_end(self, batch, logs=None):
        kernel = value(self.kernel)
        self.zeros.append(kernel == 0)
        self.sums.append(np.abs(kernel).sum())


@pytest.mark.parametrize("distilled", [True, False], ids=["distiller", "plain"])
def test_what_is_gone_stays_gone_after_every_step(distilled):
    student, teacher = mlp("student", units=16), mlp("teacher", units=16)
    before = [value(w) for w in teacher.weights]
    watch = Watch(student.get_layer("hidden").kernel)
    model = keras_kd.Distiller(student=student, teacher=teacher) if distilled else student
    history = fit(model, [Pruning(0.75, end=6, every=2), watch], epochs=2)
    counts = [zeros.sum() for zeros in watch.zeros]
    assert counts[-1] == 96 and counts == sorted(counts) and len(set(counts)) == 4, counts
    for earlier, later in zip(watch.zeros, watch.zeros[1:], strict=False):
        assert (later >= earlier).all()
    assert len(set(watch.sums)) == len(watch.sums)  # the others are trained on
    assert history["sparsity"][-1] == 0.75
    assert all((a == value(b)).all() for a, b in zip(before, teacher.weights, strict=True))


def test_two_of_four_in_training_leaves_what_has_no_fours():
    model = mlp("student", units=6, features=8)  # 8 inputs are divisible by 4, 6 are not
    fit(model, [Pruning(NOfM(keep=2, of=4))])
    blocks = value(model.get_layer("hidden").kernel).reshape(2, 4, 6)
    assert ((blocks == 0).sum(1) == 2).all()
    assert (value(model.get_layer("logits").kernel) != 0).all()


def test_averages_of_weights_are_pruned_too():
    model = mlp("student")
    adam = keras.optimizers.Adam(use_ema=True, ema_momentum=0.9)
    fit(model, [Pruning(0.5)], compiled=adam)
    assert sparsity(model) == 33 / 66  # 48 and 18 weights


def test_a_model_that_the_first_batch_builds():
    model = keras.Sequential([L.Dense(6), L.Dense(3)])
    fit(model, [Pruning(0.5)])
    assert sparsity(model) == 0.5


def test_layers_by_their_path():
    model = nested("student")
    fit(model, [Pruning(0.5, layers=["backbone/deep"])])
    assert (value(model.get_layer("backbone").get_layer("deep").kernel) == 0).mean() == 0.5
    assert (value(model.get_layer("stem").kernel) != 0).all()


def test_which_kernels_are_pruned():
    x = inputs = keras.Input((8, 8, 2))
    x = L.SeparableConv2D(4, 3, name="separable")(L.DepthwiseConv2D(3, name="depthwise")(x))
    x = L.LSTM(3, name="lstm")(L.Reshape((16, 4))(x))
    model = keras.Model(inputs, L.BatchNormalization(name="norm")(x))
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    assert sparsity(model) == 1.0
    model.get_layer("lstm").cell.recurrent_kernel.assign(np.ones((3, 12)))
    assert np.isclose(sparsity(model), 1 - 36 / (36 + 48 + 8))  # recurrent, kernel, pointwise


def test_compressed_size():
    model = mlp("student", units=200)
    raw = b"".join(w.tobytes() for w in model.get_weights())
    assert compressed_bytes(model) == len(gzip.compress(raw, 9))
    whole = compressed_bytes(model)
    fit(model, [Pruning(0.9)])
    assert compressed_bytes(model) < 0.35 * whole


def test_bad_input():
    with pytest.raises(ValueError, match=r"`sparsity` must be in \(0, 1\). Received: sparsity=80"):
        Pruning(80)
    with pytest.raises(ValueError, match=r"`end` must be after `begin`. Received: begin=5, end=5"):
        Pruning(0.5, begin=5, end=5)
    with pytest.raises(ValueError, match="`every` must be a whole number of at least 1"):
        Pruning(0.5, every=0)
    with pytest.raises(ValueError, match="`keep` must be a whole number from 1 to 3"):
        NOfM(keep=4, of=4)
    with pytest.raises(ValueError, match=r"No layer 'hiden' .* Did you mean 'hidden'"):
        fit(mlp("student"), [Pruning(0.5, layers=["hiden"])])
    with pytest.raises(
        ValueError, match=r"layer 'logits', \(6, 3\) in a Dense, cannot have .*NOfM"
    ):
        fit(mlp("student"), [Pruning(NOfM(), layers=["logits"])])
    with pytest.raises(ValueError, match="Nothing to prune: no layer of 'student'"):
        fit(keras.Sequential([keras.Input((8,)), L.Rescaling(2.0)], name="student"), [Pruning()])
    with pytest.warns(UserWarning, match="ended at step 12, and `end` is 100"):
        fit(mlp("student"), [Pruning(0.5, end=100)])


@pytest.mark.skipif(keras.config.backend() == "torch", reason="torch takes one step at a time")
def test_several_steps_at_once():
    with pytest.raises(ValueError, match=r"Compile with steps_per_execution=1. Received: 2"):
        fit(mlp("student"), [Pruning(0.5)], steps_per_execution=2)


def test_a_generator_of_unknown_length_needs_an_end():
    def batches():
        while True:
            yield data(n=8)

    model = mlp("student")
    model.compile("sgd", cross_entropy())
    pruning = Pruning(0.5)
    pruning.set_model(model)
    pruning.set_params({"epochs": 2, "steps": None})
    with pytest.raises(ValueError, match="needs `end`"):
        pruning.on_train_begin()
