"""Learnt step sizes against the paper's formulas in float64."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd.compression import (
    FakeQuant,
    GridDense,
    LearnedQuant,
    LearnedSteps,
    RunningRanges,
    plain,
    quantize_aware,
)
from keras_kd.compression._learned_steps import LearnedWeightStep, on_steps
from tests.compression.networks import answers, images, residual, small
from tests.gradients import gradient
from tests.models import cross_entropy
from tests.project import needs_keras

pytestmark = needs_keras("3.9")
array = keras.ops.convert_to_numpy


def oracle(x, step, low, high, size, upstream):
    """Section 2 of the paper: the value, and what comes back to `x` and to the step."""
    out, to_x, to_step = np.zeros_like(x), np.zeros_like(x), 0.0
    for place in np.ndindex(x.shape):
        v = x[place] / step
        if v <= -low:
            out[place], slope = -low * step, -low
        elif v >= high:
            out[place], slope = high * step, high
        else:
            out[place], slope = np.round(v) * step, np.round(v) - v
            to_x[place] = upstream[place]
        to_step += upstream[place] * slope
    return out, to_x, to_step / np.sqrt(size * high)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("signed", [True, False])
def test_value_and_gradients_are_the_papers(bits, signed):
    rng = np.random.default_rng(bits)
    low, high = (2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    x = rng.normal(0, 1, (30, 7))
    upstream = rng.normal(0, 1, x.shape)
    step = 2.3 / high  # some values lie outside
    args = float(low), float(high), x.size
    wanted, to_x, to_step = oracle(x, step, *args, upstream)
    x32, up32 = x.astype("float32"), upstream.astype("float32")

    def total(x, step):
        return keras.ops.sum(keras.ops.multiply(on_steps(x, step, *args), up32))

    came = on_steps(keras.ops.convert_to_tensor(x32), keras.ops.convert_to_tensor(step), *args)
    assert np.allclose(keras.ops.convert_to_numpy(came), wanted, atol=1e-5)
    held = keras.ops.convert_to_tensor(np.float32(step))
    assert np.allclose(gradient(lambda x: total(x, held), x32), to_x, atol=1e-5)
    tensor = keras.ops.convert_to_tensor(x32)
    found = gradient(lambda s: total(tensor, s), np.float32([step]).reshape(()))
    assert np.allclose(found, to_step, rtol=2e-3, atol=1e-4)
    assert 0.0 < (to_x == 0).mean() < 0.9


def test_the_first_step_of_each_channel():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 5)) * np.array([0.1, 1, 5, 30, 0])
    kernel[0] = 0.0  # pruned weights say nothing of how large the others are
    layer = LearnedWeightStep(4, (-1,))
    layer.build(kernel.shape)
    layer.begin(kernel)
    step = keras.ops.convert_to_numpy(layer.step)
    wanted = 2 * np.abs(kernel[1:]).mean((0, 1, 2)) / np.sqrt(7)
    wanted = np.minimum(wanted, np.abs(kernel).max((0, 1, 2)) / 7)  # what a file can hold
    assert step.shape == (1, 1, 1, 5)
    assert np.allclose(step.ravel()[:4], wanted[:4], rtol=1e-5) and step.ravel()[4] < 1e-6
    rounded = keras.ops.convert_to_numpy(layer(kernel.astype("float32"))) / step
    assert np.abs(rounded[..., :4]).max() <= 7 + 1e-4
    assert np.allclose(rounded, np.round(rounded), atol=1e-3)


@pytest.mark.parametrize(("shift", "below"), [(0.0, 8.0), (9.0, 0.0)])
def test_the_first_batch_sets_an_activations_step(shift, below):
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32") + shift
    layer = LearnedQuant(4)
    layer(x, training=True)
    high = 15 - below
    assert np.isclose(float(array(layer.step)), 2 * np.abs(x).mean() / np.sqrt(high), rtol=1e-5)
    step = float(array(layer.step))
    assert np.allclose(layer.range(), (-below * step, high * step))
    layer(100 * x, training=True)
    layer(100 * x, training=False)
    assert float(array(layer.step)) == step  # from then on it learns


def test_steps_learn_from_a_teacher_and_go_into_the_file(tmp_path):
    teacher, student = residual("teacher"), residual("student", width=4)
    steps = LearnedSteps(activations=True)
    aware = quantize_aware(student, weight_bits=3, activation_bits=4, steps=steps)
    x, y = images(32), np.arange(32) % 3
    distiller = kd.Distiller(student=aware, teacher=teacher)
    distiller.compile(keras.optimizers.Adam(1e-3), cross_entropy())
    losses = distiller.fit(x, y, batch_size=16, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    changes = [w for w in aware.trainable_weights if w.path.endswith("change")]
    assert len(changes) > 10
    for change in changes:
        assert np.abs(keras.ops.convert_to_numpy(change)).max() > 0, change.path
    with_ranges = plain(aware, keep_ranges=True)
    assert any(isinstance(layer, FakeQuant) for layer in with_ranges.layers)
    assert not any(isinstance(layer, LearnedQuant) for layer in with_ranges.layers)
    assert np.abs(answers(with_ranges, x) - answers(aware, x)).mean() < 0.02 * np.ptp(
        answers(aware, x)
    )
    kernel = plain(aware).get_layer("stem").get_weights()[0]
    for channel in np.moveaxis(kernel, -1, 0):
        assert len(np.unique(channel.round(6))) <= 7
    aware.save(tmp_path / "aware.keras")
    again = keras.saving.load_model(tmp_path / "aware.keras")
    assert np.array_equal(answers(again, x), answers(aware, x))


@pytest.mark.parametrize("bits", [2, 4])
def test_the_largest_weight_lies_on_the_last_step(bits):
    layer = LearnedWeightStep(bits, (-1,))
    kernel = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
    layer.build(kernel.shape)
    layer.begin(kernel)
    most = 2 ** (bits - 1) - 1
    for change in (0.0, 2.0, -0.5):
        layer.change.assign(keras.ops.full(layer.change.shape, change))
        rounded = keras.ops.convert_to_numpy(layer(kernel))
        last = np.abs(rounded).max(0)
        places = rounded / last * most
        assert np.allclose(places, np.round(places), atol=1e-4)
        assert (last <= np.abs(kernel).max(0) * (1 + 1e-6)).all()
    assert (last < np.abs(kernel).max(0)).all()  # of half the size: clipped
    found = gradient(lambda k: keras.ops.sum(layer(k)), kernel)
    assert ((found == 0) == (np.abs(kernel) > last)).mean() > 0.99


def test_activations_have_running_ranges_unless_asked():
    kinds = []
    for steps in (LearnedSteps(), LearnedSteps(activations=True)):
        aware = quantize_aware(small(), steps=steps)
        kinds.append({type(x) for x in aware.layers if isinstance(x, (FakeQuant, LearnedQuant))})
        assert LearnedSteps.from_config(steps.get_config()).activations == steps.activations
    assert kinds == [{FakeQuant}, {LearnedQuant}]


def test_weight_decay_pulls_a_step_to_its_first_size():
    aware = quantize_aware(small(), steps=LearnedSteps())
    grid = aware.get_layer("conv").grids[0].rounding
    first = keras.ops.convert_to_numpy(grid.step)
    grid.change.assign(grid.change + 0.5)
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=1.0)
    optimizer.build([grid.change])
    for _ in range(20):
        optimizer.apply([keras.ops.zeros(grid.change.shape)], [grid.change])
    assert np.allclose(keras.ops.convert_to_numpy(grid.step), first, rtol=0.1)


def test_bad_input():
    for make in (FakeQuant, LearnedSteps, RunningRanges):
        for wrong in (float("nan"), float("inf"), 1.0, True, "0.9"):
            with pytest.raises(ValueError, match=r"`momentum` must be in \[0, 1\)"):
                make(momentum=wrong)
    with pytest.raises(ValueError, match="`bits` must be a whole number from 2 to 16"):
        FakeQuant(bits=1)
    with pytest.raises(ValueError, match="`bits` must be a whole number from 2 to 8"):
        GridDense(3, bits=float("nan"))
    with pytest.raises(ValueError, match="`bits` must be a whole number from 2 to 16"):
        LearnedQuant(bits=1)
