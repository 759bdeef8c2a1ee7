"""The page beside a file: what it says, and that its Python gives the answer that it says."""

import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_kd import exporting
from keras_kd.exporting._readme import write_readme
from keras_kd.exporting._snippets import _micro_name
from tests.exporting.conftest import converts, needs, once

layers = keras.layers


def blocks(page):
    """The lines of code by language."""
    return dict(re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.M | re.S))


def printed(page):
    """What the Python on the page prints, in its folder and without this package."""
    code = blocks(page)["python"]
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=page.parent, capture_output=True, text=True, check=True
    )
    return code, run.stdout.strip()


@once
def test_the_python_of_an_int8_file_gives_the_answer(student, digits, tmp_path):
    names = [f'the digit "{n}"' for n in range(10)]
    proof = exporting.export(
        student, tmp_path / "small.int8.tflite", quantization="int8", calibration=digits.x_train,
        integer_io=True, examples=digits.x_test, class_names=names, readme=True, c_header=True,
        preprocessing="float images in [0, 1]", card={"author": "A. Person", "license": "CC0"},
    )  # fmt: skip
    page = tmp_path / "small.int8.README.md"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "small.int8.README.md", "small.int8.h", "small.int8.image.bin", "small.int8.json",
        "small.int8.tflite",
        "small.int8.tflite.json",
    ]  # fmt: skip
    code, said = printed(page)
    wanted = names[int(student.predict(digits.x_test[:1], verbose=0).argmax())]
    assert said == wanted and f"# {wanted}" in code
    x = np.fromfile(tmp_path / "small.int8.image.bin", "int8")
    image = (x.astype("float64") + 128) * proof.inputs[0].scale
    np.testing.assert_allclose(image, digits.x_test[0].ravel(), atol=0.005)
    text = page.read_text()
    assert "| takes | `image` | int8 | (1, 8, 8, 1) NHWC | the number is 0.0039" in text
    assert "author: A. Person\n\nlicense: CC0" in text
    assert "(pixel - mean) / std, with the mean 0 and the std 255." in text
    found = blocks(page)
    assert set(found) == {"python", "kotlin", "swift", "cpp"}
    assert all(len(lines.splitlines()) <= 8 for lines in found.values())
    assert "ops.AddConv2D(); ops.AddReshape(); ops.AddFullyConnected();" in found["cpp"]
    assert "tflite::GetTensorData<int8_t>(run.output(0))" in found["cpp"]
    assert r'listOf("the digit \"0\"", ' in found["kotlin"]
    assert "bytes.get() }" in found["kotlin"] and "allocateDirect(10)" in found["kotlin"]
    assert "bindMemory(to: Int8.self)" in found["swift"]


@once
def test_the_python_for_several_inputs_and_values(tmp_path):
    tokens, marks = keras.Input((5,), dtype="int32", name="tokens"), keras.Input((4,), name="marks")
    words = layers.Flatten()(layers.Embedding(7, 3)(tokens))
    size = layers.Dense(1, name="size")(layers.Concatenate()([words, marks]))
    student = keras.Model([tokens, marks], size)
    exporting.export(student, tmp_path / "two.tflite", readme=True)
    code, said = printed(tmp_path / "two.README.md")
    wanted = re.search(r"print\(output\)  # \[(.*)\]", code)[1]
    assert float(said.strip("[]")) == pytest.approx(float(wanted), abs=1e-3)
    cpp = blocks(tmp_path / "two.README.md")["cpp"]
    order = re.findall(r"input\((\d)\)->data.raw, (\w+)", cpp)
    assert sorted(order) in ([("0", "marks"), ("1", "tokens")], [("0", "tokens"), ("1", "marks")])


@needs("onnxruntime")
def test_the_python_of_an_onnx_file_gives_the_answer(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("marks", TensorProto.FLOAT, (None, 3))
    y = helper.make_tensor_value_info("kinds", TensorProto.FLOAT, (None, 3))
    graph = helper.make_graph([helper.make_node("Neg", ["marks"], ["kinds"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path / "s.onnx"
    onnx.save(model, path)
    answer = exporting.Answer("kinds", "classes", 1.0, 0.0, 0.0)
    proof = exporting.Proof(
        path, "onnx", "float32", 100, 90, "0f", 4, 4, (answer,), 0.1, (0.1, 0.1), 1, {}, None,
        (exporting.Tensor("marks", "float32", (None, 3)),),
        (exporting.Tensor("kinds", "float32", (None, 3)),), classes=("a", "b", "c"),
    )  # fmt: skip
    marks = np.array([[2.0, -1.0, 5.0]], "float32")
    write_readme(proof, path, {"marks": marks}, {"kinds": -marks}, ([], []))
    code, said = printed(tmp_path / "s.README.md")
    assert said == "b" and code.endswith("# b\n")
    assert set(blocks(tmp_path / "s.README.md")) == {"python"}


def test_operators_as_the_micro_resolver_calls_them():
    names = ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "SOFTMAX", "RELU6",
             "UNIDIRECTIONAL_SEQUENCE_LSTM", "L2_NORMALIZATION"]  # fmt: skip
    assert list(map(_micro_name, names)) == [
        "Conv2D", "DepthwiseConv2D", "FullyConnected", "MaxPool2D", "Softmax", "Relu6",
        "UnidirectionalSequenceLSTM", "L2Normalization",
    ]  # fmt: skip


@converts
def test_nothing_is_written_unless_asked_for(exported):
    assert not list(exported.path.parent.glob("*.md")) + list(exported.path.parent.glob("*.bin"))
