"""Formats are found by name, suffix and target; a new one is a class and its place in the list."""

import pathlib

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import exporting
from keras_kd.exporting._formats import FORMATS, TARGETS, format_of, quantization_of
from tests.exporting.conftest import needs
from tests.exporting.matrices import Matrices


@pytest.fixture
def matrices(monkeypatch):
    """The one line: the format is in the list."""
    monkeypatch.setitem(FORMATS, "matrices", Matrices())


@pytest.fixture
def chain():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential([keras.Input((6,), name="row"), layers.Dense(5), layers.Dense(3)])


@needs("tensorflow")
def test_a_new_format_is_one_class(matrices, chain, tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    path = tmp_path / "student.npz"
    proof = kd.export(chain, path, quantization="half", examples=x, class_names=["a", "b", "c"])
    assert (proof.format, proof.quantization, proof.agreement) == ("matrices", "half", 1.0)
    assert proof.operators == {"MATMUL": 2} and proof.integer_operators is None
    assert 0 < proof.max_difference < 0.01
    assert [(t.name, t.shape) for t in proof.inputs] == [("row", (1, 6))]  # it says nothing more
    with np.load(path) as arrays:
        assert arrays["arr_0"].dtype == "float16"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["student.npz", "student.npz.json"]
    assert exporting.class_names(path) == ("a", "b", "c")
    found = exporting.verify(path, chain, x)
    assert (found.quantization, found.classes) == ("half", ("a", "b", "c"))
    assert found.answers == proof.answers


@needs("tensorflow")
def test_a_file_of_a_new_format_is_held_to_its_student(matrices, chain, tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    kept = Matrices.run

    def turned(self, path, inputs, timeout):
        outputs, times = kept(self, path, inputs, timeout)
        return {name: y[:, ::-1] for name, y in outputs.items()}, times

    monkeypatch.setattr(Matrices, "run", turned)
    words = r"agrees with the student on 0\.\d+ .* More of the student is kept by quantization='fl"
    with pytest.raises(exporting.ExportError, match=words):
        kd.export(chain, tmp_path / "student.npz", quantization="half", examples=x)
    assert list(tmp_path.iterdir()) == []


def test_messages_name_every_format(matrices):
    with pytest.raises(
        ValueError,
        match=r"end with '\.tflite' \(LiteRT\) or '\.onnx' \(ONNX\) or "
        r"'\.npz' \(Matrices\), or have no suffix \(a folder, for a SavedModel\)",
    ):
        format_of(pathlib.Path("a.pt"), None)  # fmt: skip
    with pytest.raises(ValueError, match=r"one of 'litert', 'onnx', 'tf_saved_model', 'matrices'"):
        format_of(pathlib.Path("a.npz"), "matrix")
    with pytest.raises(ValueError, match=r"'int4', 'half'\. Received: quantization='third'"):
        quantization_of("third", FORMATS["matrices"])
    with pytest.raises(ValueError, match=r"^Only a LiteRT file .*'int8' for the format 'matrices'"):
        quantization_of("int8", FORMATS["matrices"])
    with pytest.raises(ValueError, match=r"^Only a Matrices file \('\.npz'\) can be quantized\."):
        quantization_of("half", FORMATS["litert"])


def test_a_target_is_of_one_format():
    assert format_of(pathlib.Path("a.tflite"), None, "micro") is TARGETS["micro"]
    with pytest.raises(ValueError, match=r"^target='micro' takes a LiteRT file .*format 'onnx'"):
        format_of(pathlib.Path("a.onnx"), None, "micro")
    with pytest.raises(ValueError, match=r"^`target` must be None or 'micro'"):
        format_of(pathlib.Path("a.tflite"), None, "phone")


def test_what_formats_state():
    for name, form in FORMATS.items():
        assert form.name == name and form.title and "float32" in form.quantizations
        assert bool(form.suffix) != bool(form.marker)
        assert "tensorflow" in form.converters and set(form.any_batch) <= set(form.converters)
