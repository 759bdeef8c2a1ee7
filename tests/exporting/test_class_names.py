"""The names of the classes, in files and in their proofs."""

import json
import zipfile

import numpy as np
import pytest

import keras_kd as kd
from keras_kd import exporting
from keras_kd.exporting._metadata import Metadata
from keras_kd.exporting._onnx import Onnx
from keras_kd.exporting._preprocessing import NOTHING
from tests.exporting.conftest import answers, converts, needs, once

NAMES = [f"Ziffer {name}" for name in ("Ø", "eins, 1", "zwei", *"3456789")]


@converts
def test_a_file_says_what_its_outputs_are(student, digits, exported, tmp_path):
    path = tmp_path / "student.tflite"
    proof = kd.export(student, path, examples=digits.x_test, class_names=NAMES)
    assert exporting.class_names(path) == proof.classes == tuple(NAMES)
    told = json.loads((tmp_path / "student.tflite.json").read_text())
    assert told["classes"] == NAMES
    with zipfile.ZipFile(path) as archive:  # as any other program finds them
        assert archive.namelist() == ["labels.txt", "student.json"]
        assert archive.read("labels.txt").decode().split("\n") == NAMES
    # The proof is of the file as it is now, and the model in it the same.
    assert proof.bytes == path.stat().st_size
    one = digits.x_test[:1]
    np.testing.assert_array_equal(
        answers(path, image=one)["output"], answers(exported.path, image=one)["output"]
    )
    assert exporting.verify(path, student, digits.x_test[:32]).classes == tuple(NAMES)
    assert exporting.class_names(exported.path) is None and exported.classes == ()


@once
def test_a_saved_model_has_them_as_an_asset(student, tmp_path):
    path = tmp_path / "served"
    proof = kd.export(student, path, class_names=NAMES, card={"data": "digits"})
    assert exporting.card(path)["card"] == proof.card == {"data": "digits"}
    assert (path / "assets.extra" / "labels.txt").read_text().split("\n") == NAMES
    assert exporting.class_names(path) == proof.classes == tuple(NAMES)


@needs("onnx")
def test_onnx_has_them_as_metadata(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2))
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y])
    path = tmp_path / "student.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    assert exporting.class_names(path) is None
    said = {"author": "A. Person", "license": "CC0", "data": ["digits"]}
    Onnx().write_metadata(
        path, Metadata("cnn", "0f", "float32", (), (), tuple(NAMES), NOTHING, said)
    )
    assert exporting.class_names(path) == tuple(NAMES)
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Neg"]
    entries = {entry.key: entry.value for entry in model.metadata_props}
    assert (entries["model_author"], entries["model_license"]) == ("A. Person", "CC0")
    assert exporting.card(path)["card"] == said and exporting.card(path)["name"] == "cnn"


@converts
def test_a_microcontroller_is_not_given_what_it_cannot_read(student, digits, tmp_path):
    path = tmp_path / "student.tflite"
    proof = kd.export(student, path, examples=digits.x_test, class_names=NAMES, c_header=True)
    assert proof.classes == tuple(NAMES) and exporting.class_names(path) is None
    assert exporting.card(path) is None


@pytest.mark.parametrize(
    "names, message",
    [
        (["a", "b"], r"has 2 names, 'a', 'b', and no output has as many classes: \{'output': 10\}"),
        ("0123456789", "must list the names of the classes, texts of one line each"),
        ([*"012345678", "9\n"], "must list the names of the classes, texts of one line each"),
        ([*range(10)], "must list the names of the classes"),
    ],
)
def test_names_that_will_not_do(names, message, student, tmp_path):
    pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match=message):
        kd.export(student, tmp_path / "student.tflite", class_names=names)
    with pytest.raises(ValueError, match="There is no file"):
        exporting.class_names(tmp_path / "student.tflite")
