"""Files that were damaged or belong to others: one kind of error, and never another's answers."""

import json
import random
import shutil
import zipfile

import numpy as np
import pytest

from keras_kd import exporting
from keras_kd.exporting._litert import LiteRT
from keras_kd.exporting._proof import check_digest
from tests.exporting.conftest import converts, needs, once


@pytest.fixture
def copied(exported, tmp_path):
    """The exported file without its proof."""
    return shutil.copy(exported.path, tmp_path / "student.tflite")


def damaged(whole, seed):
    """A bit flipped where the structure is, or anywhere; or an end cut off."""
    rng = random.Random(seed)
    if seed % 4 == 0:
        return whole[: rng.randrange(len(whole))]
    place = rng.randrange(min(4000, len(whole)) if seed % 4 > 1 else len(whole))
    flipped = whole[place] ^ (1 << rng.randrange(8))
    return whole[:place] + bytes([flipped]) + whole[place + 1 :]


@converts
def test_a_damaged_file_is_one_kind_of_error(copied, student, digits):
    whole, refused = copied.read_bytes(), 0
    names = exporting.class_names(copied)
    for content in [b"", *(damaged(whole, seed) for seed in range(60))]:
        copied.write_bytes(content)
        for read in (
            lambda: exporting.verify(copied, student, digits.x_test[:2]),
            lambda: exporting.class_names(copied) == names,
        ):
            try:
                read()
            except exporting.ExportError as error:
                assert "student.tflite" in str(error)
                refused += 1
    assert refused > 15  # every cut, above all


@converts
def test_with_its_proof_no_bit_may_differ(exported, student, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(LiteRT, "run", lambda *a: pytest.fail("it was run"))
    whole = exported.path.read_bytes()
    path = tmp_path / "student.tflite"
    proof = shutil.copy(f"{exported.path}.json", f"{path}.json")
    for seed in range(40):
        path.write_bytes(damaged(whole, seed))
        with pytest.raises(exporting.ExportError, match=r"is not the file that the proof '.*json'"):
            exporting.verify(path, student, digits.x_test[:2])
    path.write_bytes(whole)
    for content in ("", "{", "[1]", '{"path": "student.tflite"}', "[" * 100_000):
        with open(proof, "w") as file:
            file.write(content)
        with pytest.raises(
            exporting.ExportError, match=r"The proof '.*' cannot be read: it is dam"
        ):
            exporting.verify(path, student, digits.x_test[:2])


def test_the_proof_of_another_file_and_of_a_folder(tmp_path):
    path = tmp_path / "saved"
    (path / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/data"):
        (path / name).write_text(name)
    check_digest(path)  # without a proof there is nothing to say
    proof = tmp_path / "saved.json"
    proof.write_text(json.dumps({"sha256": 64 * "0"}))
    with pytest.raises(exporting.ExportError) as error:
        check_digest(path)
    came = str(error.value).partition("its sha256 is ")[2][:64]
    proof.write_text(json.dumps({"sha256": came}))
    check_digest(path)
    (path / "variables/data").write_text("another")
    with pytest.raises(exporting.ExportError, match=f"that of the proof {came}"):
        check_digest(path)


@converts
def test_names_of_classes_that_cannot_be_read(copied, tmp_path):
    with zipfile.ZipFile(copied, "a") as archive:
        archive.writestr("labels.txt", b"\xff\xfe")
    with pytest.raises(exporting.ExportError, match=r"'student.tflite' cannot be read.*Unicode"):
        exporting.class_names(copied)
    saved = tmp_path / "saved"
    (saved / "assets.extra").mkdir(parents=True)
    (saved / "assets.extra/labels.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(exporting.ExportError, match=r"'saved' cannot be read"):
        exporting.class_names(saved)


@needs("onnx", "onnxruntime")
def test_a_damaged_onnx_file(tmp_path, student, digits):
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    shape = (None, 8, 8, 1)
    graph = make.make_graph(
        [make.make_node("Flatten", ["image"], ["flat"]), make.make_node("MatMul", ["flat", "w"], ["output"])],
        "g",
        [make.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)],
        [make.make_tensor_value_info("output", onnx.TensorProto.FLOAT, (None, 10))],
        [onnx.numpy_helper.from_array(np.ones((64, 10), "float32"), "w")],
    )  # fmt: skip
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 15)], ir_version=8)
    model.metadata_props.add(key="class_names", value=json.dumps(list("abc")))
    path = tmp_path / "student.onnx"
    onnx.save(model, path)
    whole, refused = path.read_bytes(), 0
    assert exporting.verify(path, student, digits.x_test[:2]).classes == ("a", "b", "c")
    for seed in range(60):
        path.write_bytes(damaged(whole, seed)[: len(whole)] if seed % 3 else whole[:seed])
        for read in (
            exporting.class_names,
            lambda p: exporting.verify(p, student, digits.x_test[:2]),
        ):
            try:
                read(path)
            except exporting.ExportError as error:
                assert "student.onnx" in str(error)
                refused += 1
    assert refused > 20


@once
def test_a_damaged_saved_model(tmp_path, student, digits):
    path = tmp_path / "saved"
    exporting.export(student, path, examples=digits.x_test[:8])
    (tmp_path / "saved.json").unlink()
    inside = path / "saved_model.pb"
    inside.write_bytes(inside.read_bytes()[:-500])
    with pytest.raises(exporting.ExportError, match=r"Running 'saved' failed"):
        exporting.verify(path, student, digits.x_test[:8])
