"""Students that become files: what is in a file, what it answers, what is left when it fails."""

import json
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import exporting
from keras_kd.exporting import _export, _subprocess
from tests.exporting.conftest import answers, converts, once
from tests.exporting.students import Doubled, ErfInv, Halved, TwoHeads, halved, reader

layers = keras.layers


# In float32.


@converts
def test_report(exported, digits):
    assert exported.path.name == "student.tflite"
    assert exported.bytes == exported.path.stat().st_size
    assert exported.gzip_bytes < exported.bytes
    assert exported.agreement >= 0.99
    assert 0 <= exported.mean_difference <= exported.max_difference < 1e-3
    assert exported.examples == 640
    assert exported.agreeing >= 0.99 * 640
    assert exported.accuracy == pytest.approx(exported.answers[0].student_accuracy, abs=2 / 640)
    low, high = exported.milliseconds_spread
    assert 0 < low <= exported.milliseconds <= high < 50
    assert exported.threads == 1
    (image,), (output,) = exported.inputs, exported.outputs
    assert image == exporting.Tensor("image", "float32", (1, 8, 8, 1), "NHWC", low=0.0, high=1.0)
    assert (output.name, output.dtype, output.shape) == ("output", "float32", (1, 10))
    assert (output.layout, output.scale, output.zero_point, output.ending) == (None,) * 4
    assert output.low < 0 < output.high  # logits
    assert exported.notes == ()


@converts
def test_only_the_file_and_its_proof_are_left_in_the_folder(exported):
    left = sorted(p.name for p in exported.path.parent.iterdir())
    assert left == ["student.tflite", "student.tflite.json"]
    told = json.loads((exported.path.parent / "student.tflite.json").read_text())
    assert told["path"] == "student.tflite"
    assert (told["agreement"], told["bytes"]) == (exported.agreement, exported.bytes)
    assert told["sha256"] == exported.sha256
    assert told["answers"][0]["accuracy"] == exported.accuracy
    assert told["made_with"]["keras"] == keras.__version__


@converts
def test_what_serves_training_is_gone_and_batch_norm_is_folded(exported):
    assert exported.operators == {"CONV_2D": 2, "RESHAPE": 1, "FULLY_CONNECTED": 1}
    assert exported.integer_operators == 0.0


@converts
def test_only_the_student_is_in_the_file(exported, student):
    """All its trained weights in float32, and little else: not even the optimizer's moments."""
    weights = 4 * sum(int(np.prod(w.shape)) for w in student.trainable_weights)
    assert 0.95 * weights < exported.bytes < weights + 8000


@converts
def test_file_classifies_as_the_student_does(exported, student, digits):
    wanted = student.predict(digits.x_test[:50], verbose=0)
    for x, row in zip(digits.x_test[:50], wanted, strict=True):
        np.testing.assert_allclose(
            answers(exported.path, image=x[None])["output"][0], row, atol=1e-3
        )
    assert (wanted.argmax(axis=1) == digits.y_test[:50]).mean() > 0.8


# Quantized.


@once
def test_int8_of_a_distilled_student(student, digits, tmp_path):
    distiller = kd.Distiller(student=student, teacher=keras.models.clone_model(student))
    proof = exporting.export(
        distiller.student,
        tmp_path / "small.tflite",
        quantization="int8",
        calibration=digits["train"],
        integer_io=True,
        examples=digits["test"],
        teacher=student,
        c_header=True,
    )
    assert proof.agreement >= 0.97
    assert proof.answers[0].student_divergence == pytest.approx(0, abs=1e-9)
    assert 0 < proof.answers[0].divergence < 0.05
    assert proof.integer_operators == 1.0
    assert set(proof.operators) == {"CONV_2D", "RESHAPE", "FULLY_CONNECTED"}
    weights = sum(int(np.prod(w.shape)) for w in student.trainable_weights)
    assert weights < proof.bytes < weights + 8000
    assert "Ranges were read off 256 examples." in proof.notes

    from ai_edge_litert.interpreter import Interpreter

    taken = Interpreter(str(proof.path)).get_signature_runner().get_input_details()["image"]
    assert taken["dtype"] is np.int8
    scale, zero = taken["quantization"]
    assert scale == pytest.approx(1 / 255, rel=0.05)  # images from 0 to 1 in 256 steps
    assert abs(zero + 128) <= 1
    again = exporting.verify(proof.path, student, digits["test"])
    assert (again.quantization, again.agreement) == ("int8", proof.agreement)
    header_holds(tmp_path / "small.h", proof.path.read_bytes(), tmp_path)


def header_holds(header, content, folder):
    text = header.read_text()
    numbers = text[text.index("{") + 1 : text.index("}")].split(",")
    assert bytes(int(n, 16) for n in numbers) == content
    if not (compiler := shutil.which("cc")):
        return
    program = (
        f'#include <stdio.h>\n#include "{header.name}"\n'
        "int main(void) { fwrite(small, 1, small_len, stdout); "
        "return ((unsigned long)small) % 16; }\n"
    )
    (folder / "main.c").write_text(program)
    subprocess.run([compiler, "main.c", "-o", "main"], cwd=folder, check=True)
    run = subprocess.run([folder / "main"], capture_output=True, check=True)
    assert run.stdout == content


@once
def test_a_recurrent_student_and_its_text(tmp_path):
    keras.utils.set_random_seed(0)
    student = reader(layers.LSTM(8))
    text = kd.data.Text(["good", "bad"], length=6)
    proof = exporting.export(student, tmp_path / "loop.tflite", quantization="dynamic", text=text)
    assert proof.agreement >= 0.97
    assert "WHILE" in proof.operators
    assert not any("Flex" in name for name in proof.operators)
    assert any(re.search(r"'lstm\w*' are a loop over steps", note) for note in proof.notes)
    assert kd.data.Text.load(proof.path).words == text.words
    left = {p.name for p in tmp_path.iterdir()}
    proven = {"loop.tflite", "loop.tflite.json"}
    assert left == proven | {"loop.text.json", "loop.words.txt"}


# Names, types, structures.


@once
def test_names_types_and_custom_layers_of_several_inputs_and_outputs(tmp_path):
    keras.utils.set_random_seed(1)
    tokens = keras.Input((5,), dtype="int32", name="tokens")
    marks = keras.Input((4,), name="marks")
    words = layers.Flatten()(layers.Embedding(7, 3)(tokens))
    left = layers.Dense(3, name="left")(layers.Concatenate()([words, Doubled()(marks)]))
    right = layers.Dense(1, name="right", activation="sigmoid")(marks)
    student = keras.Model([tokens, marks], [left, right])
    report = exporting.export(student, tmp_path / "two.tflite", seed=3)
    assert [(t.name, t.dtype) for t in report.inputs] == [("tokens", "int32"), ("marks", "float32")]
    assert [(t.name, t.ending) for t in report.outputs] == [("left", None), ("right", "sigmoid")]
    assert [a.decision for a in report.answers] == ["classes", 0.5]
    assert report.agreement == 1.0
    assert report.examples == 128
    assert report.max_difference < 1e-4

    from ai_edge_litert.interpreter import Interpreter

    x = [np.array([[0, 6, 1, 2, 3]], "int32"), np.array([[1, -1, 2, 0.5]], "float32")]
    call = Interpreter(str(report.path)).get_signature_runner()
    came = call(tokens=x[0], marks=x[1])
    for name, wanted in zip(("left", "right"), student(x), strict=True):
        np.testing.assert_allclose(
            came[name], keras.ops.convert_to_numpy(wanted), atol=1e-4, err_msg=name
        )


@converts
def test_a_subclassed_student_of_mixed_precision(tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        student = TwoHeads(name="heads")
        x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
        student(x)
    finally:
        keras.config.set_dtype_policy(before)
    report = exporting.export(student, tmp_path / "heads.tflite", examples=x, min_agreement=0.9)
    assert {t.name for t in report.outputs} == {"three", "four"}
    # Equal to the student computed in float32, closer than bfloat16 could be.
    weights = {w.path.split("/", 1)[-1]: keras.ops.convert_to_numpy(w) for w in student.weights}
    kernels = [w for w in weights.values() if w.ndim == 2]
    came = answers(report.path, input=x[:1])
    for name, kernel in zip(("three", "four"), kernels, strict=True):
        assert came[name].dtype == "float32"
        np.testing.assert_allclose(came[name], x[:1] @ kernel, atol=1e-5)
    assert report.max_difference > 1e-5  # from the student itself, in bfloat16
    with pytest.raises(ValueError, match=r"'heads' does not say what its inputs are.*`examples`"):
        exporting.export(student, tmp_path / "none.tflite")


# What goes wrong, and what is left then.


@once
def test_a_failing_conversion_says_why_and_leaves_the_former_file(tmp_path):
    path = tmp_path / "student.tflite"
    path.write_bytes(b"the former file")
    student = keras.Sequential([keras.Input((4,)), ErfInv()], name="odd")
    with pytest.raises(exporting.ExportError) as error:
        exporting.export(student, path, examples=np.full((3, 4), 0.5, "float32"))
    assert str(error.value).startswith("The conversion of the student 'odd' to .tflite failed. ")
    assert "It said:\n" in str(error.value)
    assert "Erfinv" in str(error.value)
    assert path.read_bytes() == b"the former file"
    assert [p.name for p in tmp_path.iterdir()] == ["student.tflite"]


@converts
def test_an_interrupted_conversion_leaves_the_former_file(student, tmp_path, monkeypatch):
    path = tmp_path / "student.tflite"
    path.write_bytes(b"the former file")

    def interrupted(student, unfinished, *rest, **settings):
        unfinished.write_bytes(b"half a fi")
        raise KeyboardInterrupt

    monkeypatch.setattr(_export, "convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        exporting.export(student, path)
    assert path.read_bytes() == b"the former file"
    assert [p.name for p in tmp_path.iterdir()] == ["student.tflite"]


@converts
@pytest.mark.parametrize(
    "code, said, message",
    [
        (-11, "last words", r"(?s)'cnn' to \.tflite died of SIGSEGV\. A loop inside.*last words"),
        (
            1,
            "'tf.StringLower' op is",
            r"(?s)failed\. The operators in question: 'StringLower'\. It has string operations.*"
            r"`text`\. It said",
        ),
        (1, "please override from_config()", r"(?s)failed\. A layer of your own must give all"),
        (0, "nothing to say", r"(?s)'cnn' to \.tflite wrote nothing\. It said:\s+nothing to say"),
    ],
)
def test_a_converter_that_fails_becomes_an_error(
    code, said, message, student, tmp_path, monkeypatch
):
    monkeypatch.setattr(_subprocess, "ended", lambda *args: (code, "", f"\n{said}\n"))
    with pytest.raises(exporting.ExportError, match=message):
        exporting.export(student, tmp_path / "student.tflite")
    assert list(tmp_path.iterdir()) == []


@converts
def test_the_very_file_passes(exported, student, digits, kernel, tampered, tmp_path):
    tampered(kernel, kernel)
    report = exporting.export(student, tmp_path / "same.tflite", examples=digits.x_test)
    assert report.max_difference == exported.max_difference


@converts
def test_a_file_without_weights_is_refused(student, digits, kernel, tampered, tmp_path):
    path = tmp_path / "student.tflite"
    path.write_bytes(b"the former file")
    tampered(kernel, np.zeros_like(kernel))
    with pytest.raises(
        exporting.ExportError,
        match=r"agrees with the student on 0\.\d{4} .* less than min_agreement=0.99.*"
        r"The layers that lose most: 'logits' \(off by \d+\.\d%\)",
    ):
        exporting.export(student, path, examples=digits.x_test)
    assert path.read_bytes() == b"the former file"
    assert [p.name for p in tmp_path.iterdir()] == ["student.tflite"]


@converts
def test_agreement_by_chance_does_not_pass(student, digits, kernel, tampered, tmp_path):
    tampered(kernel, np.zeros_like(kernel))
    with pytest.raises(exporting.ExportError, match=r"in the mean, 1?\d\d% of how much that one"):
        exporting.export(
            student, tmp_path / "student.tflite", examples=digits.x_test, min_agreement=0.0
        )
    assert list(tmp_path.iterdir()) == []


@converts
def test_answers_that_are_not_finite_are_refused(student, digits, kernel, tampered, tmp_path):
    broken = kernel.copy()
    broken[3, 5] = np.nan
    tampered(kernel, broken)
    with pytest.raises(exporting.ExportError, match=r"'output' is not finite where"):
        exporting.export(student, tmp_path / "student.tflite", examples=digits.x_test)
    assert list(tmp_path.iterdir()) == []


@converts
def test_a_file_that_is_no_model_is_refused(student, tmp_path, monkeypatch):
    monkeypatch.setattr(
        _export, "convert", lambda _, path, *rest, **settings: path.write_bytes(b"no flatbuffer")
    )
    with pytest.raises(exporting.ExportError, match=r"^The file 'student.tflite' cannot be run"):
        exporting.export(student, tmp_path / "student.tflite")
    assert list(tmp_path.iterdir()) == []


@converts
def test_a_class_that_the_converting_process_cannot_find(tmp_path, monkeypatch):
    monkeypatch.setattr(Doubled, "__module__", "__main__")
    for layer, words in (
        (Doubled(), r"^A class or function of the student is defined in the script or notebook"),
        (layers.Dense(2, activation=halved), r"^'halved' is not registered"),
        (
            Halved(),
            r"^'Halved' is not registered, so .* @keras\.saving\.register_keras_serializable",
        ),
    ):
        student = keras.Sequential([keras.Input((4,)), layer, layers.Dense(2)])
        with pytest.raises(exporting.ExportError, match=words):
            exporting.export(student, tmp_path / "student.tflite")
    assert list(tmp_path.iterdir()) == []
