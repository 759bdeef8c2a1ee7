"""The wide matrix: every kind of student in every form. Minutes long; see `slow`."""

import importlib.util

import keras
import numpy as np
import pytest

from keras_kd import exporting
from tests.exporting.conftest import converts, needs, slow
from tests.exporting.students import Forgetful, reader

layers = keras.layers
pytestmark = [slow, converts]

TOKENS = np.random.default_rng(0).integers(1, 20, (64, 6)).astype("int32")


@pytest.mark.parametrize("quantization", ["float16", "dynamic", "int8", "int16x8", "int4"])
def test_images(quantization, student, digits, tmp_path):
    if quantization == "int4":
        pytest.importorskip("ai_edge_quantizer", reason="ai-edge-quantizer is not installed")
    calibrated = quantization in ("int8", "int16x8")
    proof = exporting.export(
        student,
        tmp_path / "student.tflite",
        quantization=quantization,
        calibration=digits.x_train if calibrated else None,
        examples=digits.x_test,
        min_agreement=0.95,
    )
    found = exporting.verify(proof.path, student, digits.x_test)
    assert found.quantization == quantization
    most = {"float16": 0.6, "dynamic": 0.4, "int8": 0.4, "int16x8": 0.4, "int4": 0.25}
    weights = 4 * sum(int(np.prod(w.shape)) for w in student.trainable_weights)
    assert proof.bytes < most[quantization] * weights + 4000


def texts(layer, mask=False):
    keras.utils.set_random_seed(0)
    student = reader(layer, mask=mask)
    student.set_weights([3 * w for w in student.get_weights()])  # answers that differ
    return student


@pytest.mark.parametrize("quantization", ["float32", "dynamic", "int8", "int16x8"])
@pytest.mark.parametrize("kind", ["lstm", "masked", "bidirectional"])
def test_recurrent(kind, quantization, tmp_path):
    if quantization == "int16x8":
        pytest.importorskip("ai_edge_quantizer", reason="ai-edge-quantizer is not installed")
    student = {
        "lstm": lambda: texts(layers.LSTM(8)),
        "masked": lambda: texts(layers.LSTM(8), mask=True),
        "bidirectional": lambda: texts(layers.Bidirectional(layers.GRU(8))),
    }[kind]()
    calibrated = quantization in ("int8", "int16x8")
    proof = exporting.export(
        student,
        tmp_path / "student.tflite",
        quantization=quantization,
        calibration=TOKENS if calibrated else None,
        examples=TOKENS,
        min_agreement=0.9,
    )
    assert ("WHILE" in proof.operators) is not calibrated
    assert any("unrolled" in note for note in proof.notes) is calibrated
    if calibrated:
        assert proof.integer_operators > 0.9


@needs("tflite_micro")
@pytest.mark.parametrize("kind", ["images", "texts"])
@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_micro(kind, quantization, student, digits, tmp_path):
    if kind == "texts":
        student, examples = texts(layers.GRU(8)), TOKENS
    else:
        examples = digits.x_test
    proof = exporting.export(
        student,
        tmp_path / "student.tflite",
        quantization=quantization,
        calibration=examples if quantization == "int8" else None,
        examples=examples,
        target="micro",
    )
    assert proof.micro.agreement >= 0.97
    assert proof.micro.flash_bytes == proof.bytes
    assert 1000 < proof.micro.arena_bytes < 400_000


@needs("onnx", "onnxruntime")
def test_onnx(tmp_path):
    needed = {"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnxscript"}
    backend = keras.config.backend()
    if not any(importlib.util.find_spec(m) for m in (needed[backend], "tf2onnx")):
        pytest.skip(f"{needed[backend]} is not installed")
    a, b = keras.Input((5,), dtype="int32", name="tokens"), keras.Input((4,), name="marks")
    words = layers.LSTM(4)(layers.Embedding(7, 3)(a))
    left = layers.Dense(3, name="left")(layers.Concatenate()([words, b]))
    student = keras.Model({"tokens": a, "marks": b}, {"left": left, "right": layers.Dense(1)(b)})
    proof = exporting.export(student, tmp_path / "student.onnx")
    assert {t.name: t.shape for t in proof.inputs} == {"tokens": (1, 5), "marks": (1, 4)}
    assert {t.name for t in proof.outputs} == {"left", "right"}
    assert proof.agreement == 1.0
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["student.onnx", "student.onnx.json"]

    import onnxruntime

    session = onnxruntime.InferenceSession(str(proof.path))
    assert {i.name for i in session.get_inputs()} == {"tokens", "marks"}
    assert {o.name for o in session.get_outputs()} == {"left", "right"}


def test_saved_model_replaces_a_former_one(student, digits, tmp_path):
    path = tmp_path / "served"
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"a former one")
    (path / "stale").write_text("")
    proof = exporting.export(student, path, examples=digits.x_test)
    assert proof.format == "tf_saved_model"
    assert proof.agreement == 1.0
    assert not (path / "stale").exists()
    assert exporting.verify(path, student, digits.x_test).sha256 == proof.sha256


def test_strings_inside_do_not_convert(tmp_path):
    lookup = layers.IntegerLookup(vocabulary=[1, 2, 3], output_mode="int")
    words = layers.StringLookup(vocabulary=["a", "b"], invert=True)
    x = keras.Input((4,), dtype="int64", name="x")
    try:
        student = keras.Model(x, words(lookup(x)))
    except (TypeError, ValueError):
        pytest.skip("this backend builds no such student")
    with pytest.raises((exporting.ExportError, ValueError, TypeError)):
        exporting.export(student, tmp_path / "student.tflite", examples=np.ones((4, 4), "int64"))
    assert list(tmp_path.iterdir()) == []


def test_a_layer_whose_config_lacks_an_argument(tmp_path):
    student = keras.Sequential([keras.Input((4,)), Forgetful(2.0), layers.Dense(2)])
    with pytest.raises(exporting.ExportError, match=r"must give all arguments of its constructor"):
        exporting.export(student, tmp_path / "student.tflite")
    assert list(tmp_path.iterdir()) == []
