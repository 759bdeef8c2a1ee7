"""What a proof says of inputs and outputs, and how it shows itself."""

import json

import keras
import numpy as np
import pytest

from keras_kd import exporting
from keras_kd.exporting._endings import endings_of, softmax_outputs, with_softmax
from keras_kd.exporting._signature import signature_of
from tests.exporting.conftest import answers, converts, once
from tests.exporting.students import TwoHeads

layers = keras.layers


# Names.


def names(*inputs):
    """The names of a file's inputs, of a student with these."""
    student = keras.Model(list(inputs), [layers.Flatten()(x) for x in inputs])
    return signature_of(student, list(inputs)).names


def test_inputs_without_a_name_are_called_what_they_are():
    bare = keras.Input
    assert names(bare((8, 8, 1))) == ("image",)
    assert names(bare((7,)), bare((5, 7)), bare((7,), dtype="int32")) == (
        "features", "sequence", "tokens",
    )  # fmt: skip
    assert names(bare((8, 8, 3)), bare((4, 4, 3))) == ("image", "image_2")
    assert names(bare((8, 8, 3)), bare((7,), name="image")) == ("image_2", "image")
    assert names(bare((7,), name="keras_mark")) == ("keras_mark",)
    deep = keras.Sequential([bare((2, 4, 4, 3)), layers.Flatten()])
    assert signature_of(deep, np.zeros((1, 2, 4, 4, 3))).names == ("video",)


# A softmax at the end.


def test_a_softmax_that_is_there_already():
    x = keras.Input((4,), name="x")
    ours = {"kinds": np.zeros((3, 5), "float32")}

    def asked(outputs, decision="classes", ours=ours):
        return softmax_outputs(True, keras.Model(x, outputs), ours, {"kinds": decision})

    dense = layers.Dense(5, name="kinds")(x)
    assert asked(dense) == ("kinds",)
    assert softmax_outputs(False, keras.Model(x, dense), ours, {"kinds": "classes"}) == ()
    for twice in ("softmax", "sigmoid"):
        with pytest.raises(ValueError, match=rf"'kinds' of the student .* ends in a {twice} alr"):
            asked(layers.Dense(5, activation=twice, name="kinds")(x))
    with pytest.raises(ValueError, match=r"ends in a softmax already"):  # by its numbers
        asked(dense, ours={"kinds": np.full((3, 5), 0.2)})
    with pytest.raises(ValueError, match=r"no output that decides between classes"):
        asked(dense, 0.5)


def test_softmax_of_outputs():
    rows = {"a": np.log([[1.0, 3.0]]) + 5000, "b": np.array([[1.0, 2.0]])}
    found = with_softmax(rows, ("a",))
    np.testing.assert_allclose(found["a"], [[0.25, 0.75]], rtol=1e-6)
    assert found["b"] is rows["b"]


def test_endings():
    x = keras.Input((4,))
    student = keras.Model(x, [layers.Dense(2, activation=a)(x) for a in ("softmax", None, "relu")])
    ours = dict.fromkeys("abc", np.zeros((1, 2)))
    assert endings_of(student, ours) == {"a": "softmax", "b": None, "c": None}
    assert endings_of(TwoHeads(), ours) == dict.fromkeys("abc")


@converts
def test_a_file_with_a_softmax_of_its_own(student, digits, tmp_path):
    path, x = tmp_path / "s.tflite", digits.x_test[:200]
    proof = exporting.export(student, path, softmax=True, examples=x, labels=digits.y_test[:200])
    assert (proof.outputs[0].name, proof.outputs[0].ending) == ("output", "softmax")
    assert proof.max_difference < 1e-3 and proof.agreement == 1.0
    assert 0 <= proof.outputs[0].low < proof.outputs[0].high <= 1
    came = answers(path, image=x[:1])["output"]
    powers = np.exp(student.predict(x[:1], verbose=0))
    np.testing.assert_allclose(came, powers / powers.sum(), atol=1e-4)
    again = exporting.verify(path, student, x)
    assert again.outputs == proof.outputs and again.max_difference == proof.max_difference


@once
def test_int8_with_a_softmax_and_integers_at_both_ends(student, digits, tmp_path):
    path = tmp_path / "s.tflite"
    proof = exporting.export(
        student, path, quantization="int8", calibration=digits.x_train, softmax=True,
        integer_io=True, preprocessing="float images in [0, 1]", class_names=[*"0123456789"],
    )  # fmt: skip
    (image,), (output,) = proof.inputs, proof.outputs
    assert (image.dtype, output.dtype, output.ending) == ("int8", "int8", "softmax")
    assert image.scale == pytest.approx(1 / 255, rel=0.05) and image.zero_point == -128
    assert (output.scale, output.zero_point) == (1 / 256, -128)  # of a softmax, always these
    assert proof.proven_on == "held_out" and proof.examples == 256
    told = json.loads((tmp_path / "s.tflite.json").read_text())
    assert told["inputs"][0]["scale"] == image.scale and told["inputs"][0]["layout"] == "NHWC"
    assert told["preprocessing"]["text"] == "float images in [0, 1]"
    assert exporting.verify(path, student, digits.x_test).preprocessing == proof.preprocessing


# As text.


def test_print_shows_a_proof_in_lines():
    answer = exporting.Answer("kinds", "classes", 0.995, 0.25, 0.125, 0.91, 0.92)
    proof = exporting.Proof(
        "s.tflite", "litert", "int8", 4300, 2100, "0f", 640, 637, (answer,), 0.0421, (0.04, 0.05),
        1, {"CONV_2D": 1}, None,
        (exporting.Tensor("image", "int8", (None, 8, 8, 1), "NHWC", 1 / 255, -128, 0, 1),),
        (exporting.Tensor("kinds", "float32", (1, 10), low=-9.5, high=8.25),),
        ("A note " * 30 + "ends.",), exporting.Micro(0.99, 0.1, 200, 9000, 4300),
        classes=("cat", "[dog]"), proven_on="held_out",
        preprocessing=exporting.Preprocessing("float images in [0, 1]", 0, 1, color_order="GRAY"),
    )  # fmt: skip
    lines = str(proof).split("\n")
    assert max(map(len, lines)) <= 100 and all(lines)
    assert lines[:2] == [
        "s.tflite: litert, int8, 4,300 bytes (2,100 compressed)",
        "It decides as the student on 637 of 640 examples held out of the calibration data.",
    ]
    said = " ".join(str(proof).split())
    for part in (
        "kinds classes 99.5 % 91.0 % 92.0 % 0.25",
        "takes image int8 (n, 8, 8, 1) NHWC 0 to 1 scale 0.003922, zero -128",
        "gives kinds float32 (1, 10) -9.5 to 8.25 logits",
        "One example takes 0.042 ms (0.040 to 0.050)",
        "Inputs: float images in [0, 1], GRAY.",
        "Classes: cat, [dog].",
        "In tflite-micro it agrees on 99.0 % of 200 examples, in an arena of 9,000 bytes.",
        "A note ends. sha256 0f",
    ):
        assert part in said, part
