"""Every layer that has a rounded form: its steps, its training from a teacher, its int8 file."""

import os

import keras
import numpy as np
import pytest
from keras import layers as L

import keras_kd as kd
from keras_kd.compression import LearnedSteps, RunningRanges, plain, quantize_aware
from keras_kd.compression._grid_layers import OnGrid
from tests.compression.networks import answers, randomised
from tests.models import Subclassed
from tests.project import needs_keras

pytestmark = needs_keras("3.9")


def wired(layers, shape=(8, 8), dtype="float32"):
    x = inputs = keras.Input(shape, dtype=dtype, name="x")
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, L.Dense(10, name="logits")(x), name="student")


def attention():
    x = inputs = keras.Input((8, 8), name="x")
    x = L.Dense(16, name="lift")(x)
    y = L.MultiHeadAttention(2, 8, name="attention")(x, x)
    x = L.LayerNormalization(name="norm")(L.Add(name="add")([x, y]))
    y = L.Dense(16, activation="relu", name="wide")(x)
    x = L.Flatten(name="flat")(L.Add(name="add2")([x, y]))
    return keras.Model(inputs, L.Dense(10, name="logits")(x), name="student")


def flat(*layers):
    return [*layers, L.Flatten()]


#: What the student is made of, and whether it takes images, rows or the ids of grey levels.
STUDENTS = {
    "Conv2DTranspose": lambda: wired(
        flat(
            L.Conv2D(8, 3, 2, "same", activation="relu"),
            L.Conv2DTranspose(6, 3, 2, "same", use_bias=False, name="it"),
            L.BatchNormalization(), L.ReLU(), L.MaxPooling2D(),
        ),
        (8, 8, 1),
    ),
    "Conv1DTranspose": lambda: wired(
        flat(L.Conv1DTranspose(8, 3, 2, "same", activation="relu", name="it"))
    ),
    "Embedding": lambda: wired(flat(L.Embedding(17, 6, name="it")), (64,), "int32"),
    "EinsumDense": lambda: wired(
        flat(L.EinsumDense("abc,cde->abde", (8, 2, 6), "relu", "de", name="it"))
    ),
    "LayerNormalization": lambda: wired(flat(L.Dense(16), L.LayerNormalization(name="it"))),
    "Normalization": lambda: wired(
        flat(L.Normalization(mean=[0.3] * 8, variance=[0.1] * 8, name="it"), L.Conv1D(8, 3))
    ),
    "Rescaling": lambda: wired(flat(L.Rescaling(2.0, -1.0, name="it"), L.Conv1D(8, 3))),
    "LSTM": lambda: wired([L.LSTM(24, name="it")]),
    "GRU": lambda: wired([L.GRU(24, name="it")]),
    "SimpleRNN": lambda: wired([L.SimpleRNN(24, name="it")]),
    "Bidirectional": lambda: wired([L.Bidirectional(L.GRU(16), name="it")]),
    "MultiHeadAttention": attention,
}  # fmt: skip
SAMPLES = 1200


@pytest.fixture(scope="module")
def digits():
    return kd.data.load("digits")


@pytest.fixture(scope="module")
def teacher(digits):
    """Right on nearly all of them; takes rows of any of the three makes as 64 numbers."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((64,)), L.Dense(64, activation="relu"), L.Dense(10)]
    teacher = keras.Sequential(layers, name="teacher")
    teacher.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    teacher.fit(digits.x_train.reshape(-1, 64), digits.y_train, epochs=15, verbose=0)
    return teacher


def taken(student, images):
    """The images as the student takes them."""
    x = np.asarray(images, "float32").reshape(len(images), *student.input_shape[1:])
    return (x * 16 / x.max()).round().astype("int32") if student.inputs[0].dtype == "int32" else x


def distilled(student, teacher, digits, epochs, rate):
    x = digits.x_train[:SAMPLES]
    stored = {"teacher:output": teacher.predict(x.reshape(-1, 64), verbose=0)}
    distiller = kd.Distiller(student=student, terms=kd.recipes.hinton())
    distiller.compile(
        keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    batches = {"inputs": taken(student, x), "signals": stored}
    distiller.fit(batches, digits.y_train[:SAMPLES], batch_size=32, epochs=epochs, verbose=0)
    return student


@pytest.mark.skipif(
    keras.config.backend() != "tensorflow" and not os.environ.get("KERAS_KD_SLOW"),
    reason="the same on each backend: set KERAS_KD_SLOW=1",
)
@pytest.mark.parametrize("name", STUDENTS)
def test_the_int8_file_is_proven(name, digits, teacher, tmp_path):
    pytest.importorskip("ai_edge_litert")
    student = distilled(STUDENTS[name](), teacher, digits, 8, 5e-3)
    aware = distilled(quantize_aware(student), teacher, digits, 2, 5e-4)
    x, test = taken(student, digits.x_train[:200]), taken(student, digits.x_test)
    proof = kd.export(
        plain(aware), tmp_path / "student.tflite", quantization="int8", integer_io=True,
        calibration=x, examples=test, labels=digits.y_test,
    )  # fmt: skip
    assert proof.agreement >= 0.97
    before = (answers(student, test).argmax(-1) == digits.y_test).mean()
    aware_right = (answers(aware, test).argmax(-1) == digits.y_test).mean()
    assert before > 0.8 and proof.accuracy >= before - 0.02
    assert (answers(aware, test).argmax(-1) == answers(plain(aware), test).argmax(-1)).mean() > 0.97
    assert abs(aware_right - proof.accuracy) < 0.03


def rounded_layers(model):
    found = [layer for layer in model.layers if isinstance(layer, OnGrid)]
    ways = [m for m in model.layers if isinstance(m, L.Bidirectional)]
    return found + [way for both in ways for way in (both.forward_layer, both.backward_layer)]


@pytest.mark.parametrize(
    "steps", [RunningRanges(), LearnedSteps(activations=True)], ids=["ranges", "learned"]
)
@pytest.mark.parametrize("name", STUDENTS)
def test_it_learns_saves_and_is_plain_again(name, steps, tmp_path):
    student = randomised(STUDENTS[name]())
    x = taken(student, np.random.default_rng(0).uniform(0, 1, (32, 64)))
    wanted = answers(student, x)
    aware = quantize_aware(student, steps=steps)
    aware.compile(keras.optimizers.Adam(1e-3), "mse")
    aware.train_on_batch(x, wanted)
    before = [keras.ops.convert_to_numpy(w) for w in aware.trainable_weights]
    aware.fit(x, wanted, epochs=2, batch_size=16, verbose=0)
    for old, new in zip(before, aware.trainable_weights, strict=True):
        assert np.abs(old - keras.ops.convert_to_numpy(new)).max() > 0, new.path
    aware.save(tmp_path / "aware.keras")
    again = keras.saving.load_model(tmp_path / "aware.keras")
    assert np.allclose(answers(again, x), answers(aware, x), atol=1e-6)
    ready = plain(aware)
    for layer in ready.layers:
        assert type(layer).__module__.startswith("keras."), layer
    off = np.abs(answers(ready, x) - answers(aware, x)).mean()
    assert off < 0.05 * np.ptp(answers(aware, x))
    assert [w.shape for w in plain(again).weights] == [w.shape for w in ready.weights]


AXES = {  # of a kernel: those that share a step, as LiteRT's operator has it
    "Conv2DTranspose": (0, 1, 3), "Conv1DTranspose": (0, 2), "EinsumDense": (0,), "LSTM": (0,),
    "GRU": (0,), "SimpleRNN": (0,), "Bidirectional": (0,),
}  # fmt: skip


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("name", AXES)
def test_weights_have_the_steps_of_a_device(name, bits):
    aware = quantize_aware(randomised(STUDENTS[name]()), weight_bits=bits)
    layer = next(
        x for x in rounded_layers(aware) if name in (type(x).__name__[4:], "Bidirectional")
    )
    recurrent = isinstance(layer, L.RNN)
    assert len(layer.rounded()) == 1 + recurrent
    for tensor, (owner, weight) in zip(layer.rounded(), layer.targets(), strict=True):
        kernel = keras.ops.convert_to_numpy(getattr(owner, weight)).astype("float64")
        most = 2 ** (bits - 1) - 1
        step = np.abs(kernel).max(AXES[name], keepdims=True) / most
        assert np.allclose(
            keras.ops.convert_to_numpy(tensor), np.round(kernel / step) * step, atol=1e-5
        )


def test_a_table_has_one_range():
    aware = quantize_aware(randomised(STUDENTS["Embedding"]()))
    (tensor, *_) = aware.get_layer("it").rounded()
    table = keras.ops.convert_to_numpy(aware.get_layer("it").embeddings).astype("float64")
    step = (table.max() - table.min()) / 255
    zero = np.round(-table.min() / step)
    wanted = (np.round(table / step + zero) - zero) * step
    came = keras.ops.convert_to_numpy(tensor)
    assert np.abs(came - wanted).max() < 1.01 * step and len(np.unique(came)) <= 256
    assert np.isclose(came, wanted, atol=1e-5).mean() > 0.95


def test_attention_rounds_within():
    aware = quantize_aware(randomised(attention()))
    layer = aware.get_layer("attention")
    x = np.random.default_rng(0).normal(size=(16, 8, 8)).astype("float32")
    aware(x, training=True)
    started = {name for name, r in layer.ranges.items() if r.fixed is None and float(r.started)}
    assert started == {"query", "key", "value", "scores", "context"}
    assert layer.ranges["softmax"].fixed == (0.0, 255 / 256)


@pytest.mark.parametrize("causal", [True, False])
def test_attention_minds_its_masks(causal):
    x = inputs = keras.Input((6,), dtype="int32")
    x = L.Embedding(9, 8, mask_zero=True)(x)
    x = L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=causal)
    student = randomised(keras.Model(inputs, L.Dense(3)(x)))
    ids = np.random.default_rng(0).integers(1, 9, (16, 6)).astype("int32")
    ids[:, 4:] = 0
    aware = quantize_aware(student, activation_bits=16)
    aware(ids, training=True)
    wanted, came = answers(student, ids)[:, :4], answers(aware, ids)[:, :4]
    assert np.abs(wanted - came).max() < 0.03 * np.ptp(wanted)


def test_layers_without_a_rounded_form_are_named():
    inner = keras.Sequential([keras.Input((8, 8)), L.PReLU(name="bent")], name="inner")
    outer = keras.Sequential([keras.Input((8, 8)), inner, L.Dense(2)], name="net")
    with pytest.raises(
        ValueError, match=r"layer 'inner/bent' of student 'net'.*PReLU. The nearest .* is LeakyReLU"
    ):
        quantize_aware(outer)
    x = keras.Input((4, 4, 4, 2))
    with pytest.raises(ValueError, match=r"of class Conv3D. The nearest .* is Conv2D\."):
        quantize_aware(keras.Model(x, L.Conv3D(2, 3)(x)))
    x = keras.Input((4, 4, 2))
    with pytest.raises(ValueError, match=r"attention along other axes .* of the layer 'wide'"):
        quantize_aware(keras.Model(x, L.MultiHeadAttention(1, 2, name="wide")(x, x)))
    x = keras.Input((4, 2))
    with pytest.raises(ValueError, match=r"the RNN of the layer 'ways'"):
        quantize_aware(keras.Model(x, L.Bidirectional(L.RNN(L.LSTMCell(2)), name="ways")(x)))


def test_a_layer_without_a_rounded_form_stays_in_float():
    x = inputs = keras.Input((8, 8, 2))
    x = L.PReLU(shared_axes=[1, 2], name="bent")(L.Conv2D(4, 3, name="conv")(x))
    student = randomised(keras.Model(inputs, L.Dense(3, name="logits")(L.Flatten()(x))))
    aware = quantize_aware(student, bits={"bent": None}, activation_bits=16)
    x = np.random.default_rng(0).normal(size=(16, 8, 8, 2)).astype("float32")
    aware(x, training=True)
    wanted, came = answers(student, x), answers(aware, x)
    assert 0 < np.abs(wanted - came).max() < 0.03 * np.ptp(wanted)
    assert [layer.name for layer in rounded_layers(aware)] == ["conv", "logits"]


def test_quantized_twice():
    for name in ("Bidirectional", "MultiHeadAttention"):
        with pytest.raises(ValueError, match=r"quantised already. Begin from the float student"):
            quantize_aware(quantize_aware(STUDENTS[name]()))


def test_a_class_is_wired_by_calling_it():
    student = Subclassed(name="subclassed")
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    wanted = answers(student, x)
    with pytest.raises(ValueError, match=r"is written as a class.*student\.call\(x\)"):
        quantize_aware(student)
    symbolic = keras.Input(x.shape[1:])
    graph = keras.Model(symbolic, student.call(symbolic))
    assert np.allclose(answers(graph, x), wanted)
    assert any(isinstance(layer, OnGrid) for layer in quantize_aware(graph).layers)
