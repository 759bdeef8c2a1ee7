"""What is checked before any work: arguments, packages, places to write to."""

import importlib.util
import os
import sys

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import exporting
from keras_kd.exporting import _export
from keras_kd.exporting._litert import LiteRT
from tests.exporting.conftest import converts
from tests.exporting.students import reader

layers = keras.layers


@pytest.fixture
def error(monkeypatch):
    monkeypatch.setattr(_export, "convert", lambda *a, **k: pytest.fail("work was done"))

    def message(kind, *args, **kwargs):
        with pytest.raises(kind) as caught:
            exporting.export(*args, **kwargs)
        return str(caught.value)

    return message


def test_students_that_are_none(student, tmp_path, error):
    path = tmp_path / "student.tflite"
    assert error(TypeError, "student", path) == (
        "`student` must be a keras.Model. Received: 'student' of type str. Load it first: "
        "student=keras.saving.load_model('student')."
    )
    distiller = kd.Distiller(student=student, teacher=keras.models.clone_model(student))
    assert error(TypeError, distiller, path) == (
        "`student` is a Distiller. Give its student: export(distiller.student, ...)"
    )
    assert error(ValueError, keras.Sequential([layers.Dense(2)], name="bare"), path) == (
        "The student 'bare' is not built, so it has no weights to write. "
        "Call it once on data, or build it with its input shape."
    )
    masked = reader(layers.LSTM(4), mask=True)
    said = error(ValueError, masked, path, quantization="int8", target="micro")
    assert said.startswith("The student 'reader' cannot go to a microcontroller: its Embedding")


def test_paths_and_formats(student, tmp_path, error, monkeypatch):
    path = tmp_path / "student.tflite"
    assert error(ValueError, student, tmp_path / "student.pt") == (
        "`path` must end with '.tflite' (LiteRT) or '.onnx' (ONNX), or have no suffix (a folder, "
        f"for a SavedModel). Received: '{tmp_path / 'student.pt'}'."
    )
    assert error(ValueError, student, path, format="onnx") == (
        f"`path` must end with '.onnx'. Received: '{path}'."
    )
    assert error(ValueError, student, path, format="tflite").startswith(
        "`format` must be one of 'litert', 'onnx', 'tf_saved_model'. Received: format='tflite'."
    )
    missing = tmp_path / "missing"
    assert error(ValueError, student, missing / "student.tflite") == (
        f"The folder '{missing}' of `path` does not exist. Create it first."
    )
    folder = tmp_path / "folder.tflite"
    folder.mkdir()
    assert error(ValueError, student, folder) == (
        f"`path` must name a file; '{folder}' is a folder."
    )
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("not to be lost")
    assert error(ValueError, student, tmp_path / "notes") == (
        "`path` must name a new folder, or that of a former SavedModel; "
        f"'{tmp_path / 'notes'}' is something else."
    )
    monkeypatch.setattr(os, "access", lambda *a: False)
    assert error(ValueError, student, path) == (
        f"The folder '{tmp_path}' of `path` cannot be written to."
    )


def test_numbers_and_quantizations(student, digits, tmp_path, error):
    path, x = tmp_path / "student.tflite", digits.x_train
    assert error(ValueError, student, path, min_agreement=1.5) == (
        "`min_agreement` must be a share from 0 to 1. Received: min_agreement=1.5."
    )
    assert error(ValueError, student, path, timeout=0) == (
        "`timeout` must be a number of seconds above 0, or None for no limit. Received: timeout=0."
    )
    assert error(ValueError, student, path, quantization="int7") == (
        "`quantization` must be one of 'float32', 'float16', 'dynamic', 'int8', 'int16x8', 'int4'."
        " Received: quantization='int7'. Did you mean 'int8'?"
    )
    assert error(ValueError, student, tmp_path / "a.onnx", quantization="int4") == (
        "Only a LiteRT file ('.tflite') can be quantized. Received: quantization='int4' for the "
        "format 'onnx'."
    )
    assert error(ValueError, student, path, target="phone") == (
        "`target` must be None or 'micro'. Received: target='phone'."
    )
    assert error(ValueError, student, path, target="micro", quantization="dynamic").startswith(
        "target='micro' takes a LiteRT file ('.tflite') with a quantization of 'float32', 'int8', "
        "'int16x8'."
    )
    assert error(ValueError, student, path, integer_io=True).startswith("`integer_io` needs")
    assert error(ValueError, student, path, quantization="int8").startswith(
        "This quantization reads the ranges of activations off real inputs: give `calibration`"
    )
    assert error(ValueError, student, path, calibration=x).startswith("`calibration` serves")
    assert error(
        ValueError, student, path, quantization="int8", calibration=x, calibration_batches=0
    ).startswith("`calibration_batches` must be a whole number of at least 1.")
    assert error(ValueError, student, tmp_path / "a.onnx", c_header=True).startswith("`c_header`")


def test_examples_that_do_not_fit(student, tmp_path, error):
    path = tmp_path / "student.tflite"
    assert error(ValueError, student, path, examples=[np.ones((2, 8, 8, 1)), np.ones(2)]) == (
        "The student 'cnn' takes 1 inputs, 'image'; `examples` has 2."
    )
    assert error(ValueError, student, path, examples=np.ones((0, 8, 8, 1))).startswith(
        "`examples` must have one and the same number of examples, at least 1"
    )
    assert error(ValueError, student, path, examples=np.ones((2, 9, 8, 1))) == (
        "The input 'image' of the student 'cnn' has the shape (None, 8, 8, 1); "
        "`examples` has (2, 9, 8, 1)."
    )
    anysize = keras.Sequential(
        [keras.Input((None, None, 3), name="photo"), layers.GlobalAveragePooling2D()], name="any"
    )
    assert error(ValueError, anysize, path) == (
        "The student 'any' leaves a size of its input 'photo' open, (None, None, None, 3). "
        "Give `examples` of the size that the file is to take."
    )
    assert error(ValueError, student, path, examples=np.array([["a", "b"]])).startswith(
        "The student takes strings, which a device file cannot."
    )


def test_calibration_that_does_not_fit(student, digits, tmp_path, error):
    path, x = tmp_path / "student.tflite", digits.x_train

    def said(calibration, model=student, examples=digits.x_test):
        return error(
            ValueError, model, path, quantization="int8", calibration=calibration, examples=examples
        )

    assert said(x[:, :4]) == (
        "The input 'image' of the student 'cnn' has the shape (None, 8, 8, 1); "
        "`calibration` has (1157, 4, 8, 1)."
    )
    assert said(255 * x).startswith(
        "`calibration` runs from 0 to 255 for the input 'image', `examples` from 0 to 1."
    )
    assert said(x + 3).startswith("`calibration` runs from 3 to 4 for the input 'image'")
    assert said(x / 1000).startswith("`calibration` runs from 0 to 0.001 for the input 'image'")
    assert said(np.zeros_like(x)).startswith("`calibration` is 0 throughout for the input 'image'")
    assert said(np.full_like(x, np.nan)) == "`calibration` is not finite for the input 'image'."
    assert said(np.repeat(x[:1], 20, axis=0)) == (
        "`calibration` is one and the same example throughout: no range can be read off it. Give "
        "real inputs."
    )
    assert said(x[:15]).startswith("`calibration` has 15 examples: too few to read ranges off.")
    tokens = np.arange(120).reshape(20, 6) % 60
    assert said(tokens, reader(layers.LSTM(4)), tokens % 20) == (
        "`calibration` has numbers from 0 to 59 for the input 'tokens', which the student's "
        "Embedding, of 20 rows, has not."
    )


@converts
def test_what_is_not_installed_is_named(student, digits, tmp_path, monkeypatch):
    kept = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"works with tensorflow, which is not inst"):
        exporting.export(student, tmp_path / "student.tflite")
    monkeypatch.setattr(importlib.util, "find_spec", kept)
    for module, extra, name, options in (
        ("ai_edge_litert.interpreter", "export", "a.tflite", {}),
        ("onnx", "onnx", "a.onnx", {}),
        ("ai_edge_quantizer", "quant", "a.tflite", {"quantization": "int4"}),
        ("tflite_micro", "micro", "a.tflite", {"target": "micro"}),
    ):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, module, None)
            with pytest.raises(
                ModuleNotFoundError, match=rf'Run: pip install "keras-kd\[{extra}\]"'
            ):
                exporting.export(student, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


@converts
@pytest.mark.parametrize(
    ("given", "tolerance"),
    [({}, 0.01), ({"quantization": "dynamic"}, 0.05), ({"tolerance": 0.2}, 0.2)],
    ids=["floats", "integers", "asked"],
)
def test_values_are_held_to_the_tolerance_of_the_format(
    student, tmp_path, monkeypatch, given, tolerance
):
    def held(*args, **kwargs):
        assert kwargs["tolerance"] == tolerance
        raise KeyError

    monkeypatch.setattr(_export, "convert", lambda student, path, *a, **k: path.write_bytes(b""))
    monkeypatch.setattr(LiteRT, "tensors", lambda *a: {})
    monkeypatch.setattr(LiteRT, "write_metadata", lambda *a: None)
    monkeypatch.setattr(_export, "prove", held)
    with pytest.raises(KeyError):
        exporting.export(student, tmp_path / "student.tflite", **given)
