"""Quantisation-aware students: steps, ranges, folding, and the file that comes of it."""

import functools

import keras
import numpy as np
import pytest
from keras import layers as L

import keras_kd
from keras_kd.compression import FakeQuant, Pruning, plain, quantize_aware, sparsity
from keras_kd.compression._fake_quantization import on_grid
from tests.compression.networks import answers, images, randomised, residual, small
from tests.gradients import gradient
from tests.models import Subclassed, cross_entropy
from tests.project import needs_keras

pytestmark = needs_keras("3.9")


def array(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def symmetric(kernel, bits):
    """In float64: each last-axis channel on the steps of its largest weight."""
    most = 2 ** (bits - 1) - 1
    step = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1))) / most
    return np.round(kernel / np.where(step == 0, 1, step)) * step


def asymmetric(x, low, high, bits=8):
    """In float64: steps from low to high, moved so that one is 0."""
    step = (high - low) / (2**bits - 1)
    zero = np.round(-low / step)
    return (np.clip(np.round(x / step) + zero, 0, 2**bits - 1) - zero) * step


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_lie_on_the_steps_of_their_channel(bits):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 5)) * np.array([1e-3, 1, 5, 30, 0])
    rounded = array(on_grid(keras.ops.convert_to_tensor(kernel, dtype="float32"), bits))
    assert np.allclose(rounded, symmetric(kernel, bits), rtol=1e-4, atol=1e-9)
    assert not rounded[..., 4].any()
    again = array(on_grid(keras.ops.convert_to_tensor(rounded), bits))
    assert np.allclose(again, rounded, rtol=1e-5, atol=0)


def test_every_weight_gets_the_gradient():
    kernel = np.random.default_rng(0).normal(size=(4, 2000)).astype("float32")
    factors = np.arange(1.0, 8001.0, dtype="float32").reshape(4, 2000)
    found = gradient(lambda k: keras.ops.sum(keras.ops.multiply(on_grid(k, 8), factors)), kernel)
    assert np.allclose(found, factors)  # also the largest, at the end of its own range


def test_a_range_follows_the_batches_and_rests_outside_training():
    layer = FakeQuant(momentum=0.9)
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(64, 3)).astype("float32") * s for s in (1.0, 4.0))
    layer(first, training=True)
    assert np.allclose([layer.low, layer.high], [first.min(), first.max()])
    layer(second, training=True)
    low, high = (0.9 * f(first) + 0.1 * f(second) for f in (np.min, np.max))
    out = array(layer(second, training=False))
    assert np.allclose([array(layer.low), array(layer.high)], [low, high], rtol=1e-5)
    assert np.allclose(
        out, asymmetric(second.astype("float64"), low, high), atol=(high - low) / 250
    )
    assert np.isclose(out, asymmetric(second.astype("float64"), low, high), atol=1e-4).mean() > 0.98
    assert array(layer(np.zeros((1, 3)))).any() == 0  # zero is exactly zero


def test_a_range_holds_zero_and_never_vanishes():
    layer = FakeQuant()
    assert np.isfinite(array(layer(np.zeros((4, 2)), training=True))).all()
    layer = FakeQuant()
    layer(np.full((4, 2), 3.0), training=True)
    assert array(layer.low) == 0.0 and array(layer.high) == 3.0


def norm_of(model, name):
    gamma, beta, mean, variance = (w.astype("float64") for w in model.get_layer(name).get_weights())
    scale = gamma / np.sqrt(variance + model.get_layer(name).epsilon)
    return scale, beta - mean * scale


def test_batch_norm_is_in_the_weights():
    student = residual()
    folded = plain(quantize_aware(student))
    assert not any(isinstance(layer, L.BatchNormalization) for layer in folded.layers)
    scale, shift = norm_of(student, "stem_norm")  # a convolution without a bias
    kernel, bias = folded.get_layer("stem").get_weights()
    expected = student.get_layer("stem").get_weights()[0] * scale
    assert np.allclose(kernel, symmetric(expected, 8), atol=np.abs(expected).max() / 127)
    assert np.allclose(bias, shift, atol=1e-5)
    scale, shift = norm_of(student, "deep_norm")  # a depthwise one with a bias
    kernel, bias = folded.get_layer("deep").get_weights()
    before, offset = student.get_layer("deep").get_weights()
    assert np.allclose(bias, offset * scale + shift, atol=1e-5)
    steps = np.abs(before * scale[:, None]).max(axis=(0, 1))[:, 0] / 127
    assert (np.abs(kernel - before * scale[:, None])[..., 0] <= 0.51 * steps).all()


def test_at_many_bits_it_answers_as_the_student():
    student, x = residual(), images(64)
    aware = quantize_aware(student, activation_bits=16)
    aware(x, training=True)  # the ranges of this very data
    wanted, came = answers(student, x), answers(aware, x)
    assert np.abs(came - wanted).max() < 0.03 * np.ptp(wanted)  # eight bits of weight
    assert np.abs(came - wanted).max() > 0.0


def ranges(model):
    return [layer.name for layer in model.layers if isinstance(layer, FakeQuant)]


def test_ranges_stand_where_a_device_rounds():
    assert ranges(quantize_aware(residual())) == [
        "image_range",
        "stem_relu_range", "up0_relu_range", "down0_norm_range", "add0_relu_range",
        "deep_norm_range", "squeeze_range", "gate_range", "gate_range_2", "gated_range",
        "separable_depthwise_range", "separable_range", "hidden_range", "logits_range",
    ]  # fmt: skip


def test_outputs_of_known_range_do_not_move():
    layers = [keras.Input((4,)), L.Dense(3, activation="softmax", name="answer")]
    aware = quantize_aware(keras.Sequential(layers))
    assert aware.layers[-1].fixed == (0.0, 255 / 256)
    assert [type(layer).__name__ for layer in aware.layers[2:]] == [
        "GridDense", "FakeQuant", "Activation", "FakeQuant",
    ]  # fmt: skip


def test_a_norm_that_cannot_be_folded_is_frozen():
    layers = [keras.Input((4,)), L.BatchNormalization(name="first"), L.Dense(3)]
    student = randomised(keras.Sequential(layers))
    aware = quantize_aware(student)
    before = array(aware.get_layer("first").moving_mean)
    assert not aware.get_layer("first").trainable
    aware(images(8, shape=(4,)), training=True)
    assert np.array_equal(before, array(aware.get_layer("first").moving_mean))


def test_it_trains_under_the_distiller_saves_and_loads(tmp_path):
    teacher, student = randomised(small("teacher"), seed=1), small("student")
    aware = quantize_aware(student)
    x, y = images(32), np.arange(32) % 3
    distiller = keras_kd.Distiller(student=aware, teacher=teacher)
    distiller.compile(keras.optimizers.Adam(1e-3), cross_entropy())
    before = [array(w) for w in aware.trainable_weights]
    losses = distiller.fit(x, y, batch_size=16, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert all(
        np.abs(a - array(b)).max() > 0 for a, b in zip(before, aware.trainable_weights, strict=True)
    )
    moving = [array(w) for w in aware.non_trainable_weights]
    distiller.evaluate(x, y, verbose=0)
    assert all(
        (a == array(b)).all() for a, b in zip(moving, aware.non_trainable_weights, strict=True)
    )
    aware.save(tmp_path / "aware.keras")
    again = keras.saving.load_model(tmp_path / "aware.keras")
    assert np.array_equal(answers(again, x), answers(aware, x))


def test_plain_is_plain_and_with_its_ranges_the_same():
    aware, x = quantize_aware(residual()), images(64)
    aware(x, training=True)
    for layer in plain(aware).layers:
        assert type(layer).__module__.startswith("keras."), layer
    with_ranges = plain(aware, keep_ranges=True)
    assert np.allclose(answers(with_ranges, x), answers(aware, x), atol=1e-3)
    assert np.allclose(
        answers(plain(aware), x), answers(aware, x), atol=0.1 * np.ptp(answers(aware, x))
    )


def test_the_student_is_left_as_it_is():
    student, x = small(), images(8)
    before = answers(student, x)
    aware = quantize_aware(student)
    aware(x, training=True)
    assert np.array_equal(before, answers(student, x))
    assert [w.path for w in student.weights] == [w.path for w in small().weights]


def test_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    aware = quantize_aware(small())
    aware.compile("sgd", cross_entropy())
    aware.fit(images(8), np.zeros(8), batch_size=4, verbose=0)
    assert np.isfinite(answers(plain(aware), images(8)).astype("float32")).all()


def test_pruned_and_rounded_at_once():
    aware = quantize_aware(small())
    aware.compile("sgd", cross_entropy())
    aware.fit(images(16), np.zeros(16), batch_size=4, verbose=0, callbacks=[Pruning(0.5)])
    assert np.isclose(sparsity(plain(aware)), 0.5, atol=0.02)


@functools.cache
def pruned_and_quantised():
    """A student pruned under the Distiller, whose quantised copy learns on under another."""
    teacher, student = randomised(residual("teacher"), seed=1), residual("student")
    x, y = images(32), np.arange(32) % 3

    def distil(student, **kwargs):
        distiller = keras_kd.Distiller(student=student, teacher=teacher)
        distiller.compile(keras.optimizers.AdamW(1e-2, weight_decay=0.1), cross_entropy())
        distiller.fit(x, y, batch_size=8, epochs=2, verbose=0, **kwargs)
        return student

    pruned = distil(student, callbacks=[Pruning(0.5)])
    aware = quantize_aware(pruned)
    pruned_layers = [layer for layer in aware.layers if getattr(layer, "pruned", False)]
    before = {layer.name: array(layer.kernel) for layer in pruned_layers}
    distil(aware)
    return pruned, aware, before, x


def test_a_pruned_student_keeps_its_zeros(tmp_path):
    pruned, aware, before, x = pruned_and_quantised()
    ready = plain(aware)
    assert sparsity(pruned) == pytest.approx(0.5, abs=0.01)
    assert sparsity(ready) >= sparsity(pruned) and len(before) >= 5
    for name, kernel in before.items():  # the others learnt on
        now = array(ready.get_layer(name).kernel)
        assert not now[kernel == 0].any() and np.abs(now - kernel).max() > 1e-3, name
    aware.save(tmp_path / "aware.keras")
    again = keras.saving.load_model(tmp_path / "aware.keras")
    assert np.array_equal(answers(plain(again), x), answers(ready, x))


def test_the_int8_file_of_a_pruned_student_has_the_zeros(tmp_path):
    pytest.importorskip("ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    pruned, aware, _, x = pruned_and_quantised()
    keras_kd.export(
        plain(aware), tmp_path / "student.tflite", quantization="int8",
        calibration=x, examples=images(32, seed=1), min_agreement=0.0,
    )  # fmt: skip
    interpreter = Interpreter(str(tmp_path / "student.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    kernels = [
        interpreter.get_tensor(t["index"])
        for t in interpreter.get_tensor_details()
        if t["dtype"] == np.int8 and len(t["quantization_parameters"]["scales"]) > 1
    ]
    share = np.mean(np.concatenate([kernel.ravel() == 0 for kernel in kernels]))
    assert len(kernels) >= 3 and share >= sparsity(pruned) - 0.05


def litert(path, x):
    """An int8 file's answers, and the types of its tensors."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (i,), (o,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for example in x:
        scale, zero = i["quantization"]
        example = np.clip(np.round(example / scale + zero), -128, 127).astype("int8")
        interpreter.set_tensor(i["index"], example[None])
        interpreter.invoke()
        scale, zero = o["quantization"]
        rows.append((interpreter.get_tensor(o["index"])[0].astype("float32") - zero) * scale)
    return np.array(rows), {t["dtype"] for t in interpreter.get_tensor_details()}


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="TensorFlow writes the file")
@pytest.mark.parametrize("keep_ranges", [True, False])
def test_the_int8_file_answers_as_the_student_did(tmp_path, keep_ranges):
    pytest.importorskip("ai_edge_litert")
    import tensorflow as tf

    aware, x = quantize_aware(residual(blocks=2)), images(200)
    aware(x, training=True)
    path = tmp_path / "student.tflite"
    plain(aware, keep_ranges=keep_ranges).export(
        path, format="litert", verbose=False,
        input_signature=[keras.InputSpec(shape=(1, 8, 8, 3), dtype="float32")],
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=lambda: ([example[None]] for example in x),
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
        inference_input_type=tf.int8, inference_output_type=tf.int8,
    )  # fmt: skip
    came, types = litert(path, x)
    wanted = answers(aware, x)
    assert np.float32 not in types
    assert np.abs(came - wanted).mean() < 0.02 * np.ptp(wanted)
    second, first = np.sort(wanted)[:, -2:].T
    sure = first - second > 0.02 * np.ptp(wanted)  # random weights: many decisions are ties
    assert sure.mean() > 0.8
    assert (came.argmax(-1) == wanted.argmax(-1))[sure].mean() >= (0.99 if keep_ranges else 0.97)


def test_bad_input():
    with pytest.raises(
        ValueError, match=r"`weight_bits` must be a whole number from 2 to 8. Rec.*=9"
    ):
        quantize_aware(small(), weight_bits=9)
    with pytest.raises(ValueError, match=r"`activation_bits` must be .* 2 to 16. .*=1"):
        quantize_aware(small(), activation_bits=1)
    with pytest.raises(ValueError, match=r"`momentum` must be in \[0, 1\)"):
        quantize_aware(small(), momentum=1.0)
    with pytest.raises(ValueError, match="layer 'bent' of student 'net', which is of class PReLU"):
        quantize_aware(keras.Sequential([keras.Input((4,)), L.PReLU(name="bent")], name="net"))
    with pytest.raises(TypeError, match=r"`steps` must be .*RunningRanges\(\) or LearnedSteps"):
        quantize_aware(small(), steps="learned")
    with pytest.raises(ValueError, match=r"quantised already. Begin from the float student"):
        quantize_aware(quantize_aware(small()))
    with pytest.raises(ValueError, match="data_format='channels_first', which int8 files do not"):
        layers = [keras.Input((2, 4, 4)), L.Conv2D(3, 3, data_format="channels_first")]
        quantize_aware(keras.Sequential(layers))
    with pytest.raises(ValueError, match="is written as a class"):
        quantize_aware(Subclassed(name="subclassed"))
    with pytest.raises(ValueError, match=r"takes a model made by quantize_aware"):
        plain(small())


def nested():
    """A backbone with blocks of two layers, and a head."""
    x = inputs = keras.Input((8, 8, 3))
    for block in ("block3", "block30"):
        x = L.Conv2D(4, 3, padding="same", name=f"{block}_conv")(x)
        x = L.ReLU(name=f"{block}_relu")(x)
    backbone = keras.Model(inputs, x, name="backbone")
    x = outer = keras.Input((8, 8, 3))
    x = L.GlobalAveragePooling2D(name="pool")(backbone(x))
    return randomised(keras.Model(outer, L.Dense(3, name="head")(x), name="whole"))


@pytest.mark.parametrize(
    ("bits", "conv", "conv0"),
    [
        ({}, 8, 8),
        ({"backbone/block3": 4}, 4, 8),
        ({"block3_conv": 4}, 4, 8),
        ({"backbone": 4}, 4, 4),
        ({"backbone": 4, "backbone/block3": 2}, 2, 4),
        ({"backbone/block3": 2, "backbone": 4}, 2, 4),
        ({"backbone/block30_conv": 3}, 8, 3),
    ],
)
def test_bits_by_layer(bits, conv, conv0):
    aware = quantize_aware(nested(), bits=bits)
    found = [aware.get_layer(name).bits for name in ("block3_conv", "block30_conv", "head")]
    assert found == [conv, conv0, 8]


def test_a_layer_without_bits_stays_in_float(tmp_path):
    student = nested()
    aware = quantize_aware(student, weight_bits=2, bits={"head": None, "backbone/block3": None})
    assert type(aware.get_layer("head")) is L.Dense
    kernel = student.get_layer("head").get_weights()[0]
    assert np.array_equal(plain(aware).get_layer("head").get_weights()[0], kernel)
    assert ranges(aware)[1:] == ["block30_relu_range", "pool_range"]  # and the input's
    aware(images(8), training=True)
    aware.save(tmp_path / "aware.keras")
    again = keras.saving.load_model(tmp_path / "aware.keras")
    assert np.array_equal(answers(again, images(8)), answers(aware, images(8)))


def test_a_float_layer_has_its_norm_folded():
    student, x = small(), images(16)
    aware = quantize_aware(
        student, bits={"conv": None, "relu": None, "pool": None}, activation_bits=16
    )
    assert type(aware.get_layer("conv")) is L.Conv2D and aware.get_layer("conv").use_bias
    aware(x, training=True)
    wanted, came = answers(student, x), answers(aware, x)
    assert np.abs(came - wanted).max() < 0.02 * np.ptp(wanted)


def test_bad_bits():
    with pytest.raises(TypeError, match=r"`bits` must be a dict .*'head': None.* Received: 4"):
        quantize_aware(nested(), bits=4)
    with pytest.raises(TypeError, match=r"A key of `bits` must be .* Received: 3"):
        quantize_aware(nested(), bits={3: 4})
    with pytest.raises(
        ValueError, match=r"No layer 'heed' in student 'whole', named in `bits`.*mean 'head'"
    ):
        quantize_aware(nested(), bits={"heed": 4})
    for wrong in (9, 1, 4.5, True, "4"):
        with pytest.raises(
            ValueError, match=r"`bits\['head'\]` must be a whole number from 2 to 8"
        ):
            quantize_aware(nested(), bits={"head": wrong})
    with pytest.raises(ValueError, match=r"No weights to round in 'pool'.*GlobalAveragePooling2D"):
        quantize_aware(nested(), bits={"pool": 4})
    with pytest.raises(ValueError, match=r"Nothing to quantise in .*`bits` leaves all of them"):
        quantize_aware(nested(), bits={"backbone": None, "head": None})
    without = keras.Sequential([keras.Input((4,)), L.ReLU()], name="net")
    with pytest.raises(ValueError, match="Nothing to quantise in student 'net': none of its lay"):
        quantize_aware(without)
