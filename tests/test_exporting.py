import importlib.util
import os
import signal

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import exporting

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("tensorflow, which converts, is not installed", allow_module_level=True)

layers = keras.layers


@keras.saving.register_keras_serializable("tests_exporting")
class Doubled(layers.Layer):
    def call(self, x):
        return 2 * x


@keras.saving.register_keras_serializable("tests_exporting")
class ErfInv(layers.Layer):
    """An operation that no `.tflite` file has."""

    def call(self, x):
        return keras.ops.erfinv(x)


@keras.saving.register_keras_serializable("tests_exporting")
class TwoHeads(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = layers.Dense(3), layers.Dense(4)

    def build(self, shape):
        self.first.build(shape)
        self.second.build(shape)
        super().build(shape)

    def call(self, x, training=False):
        return {"three": self.first(x), "four": self.second(x)}


@pytest.fixture(scope="module")
def digits():
    return kd.data.load("digits")


@pytest.fixture(scope="module")
def student(digits):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.2),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(10, name="logits"),
        ],
        name="cnn",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(*digits.train, batch_size=64, epochs=4, verbose=0)
    return model


@pytest.fixture(scope="module")
def exported(student, digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "student.tflite"
    return exporting.export(student, path, examples=digits.x_test)


def answers(path, **inputs):
    """What a file says, asked without the package under test."""
    from ai_edge_litert.interpreter import Interpreter

    call = Interpreter(str(path), num_threads=1).get_signature_runner()
    return call(**{name: np.asarray(x, "float32") for name, x in inputs.items()})


def test_report(exported, digits):
    assert exported.path.name == "student.tflite"
    assert exported.bytes == exported.path.stat().st_size
    assert exported.agreement >= 0.99
    assert 0 <= exported.max_difference < 1e-3
    assert exported.examples == 640
    assert 0 < exported.milliseconds < 50
    assert exported.inputs == ("image",)
    assert exported.outputs == ("output",)


def test_nothing_else_is_left_in_the_folder(exported):
    assert [p.name for p in exported.path.parent.iterdir()] == ["student.tflite"]


def test_file_holds_all_weights_in_float32(exported, student):
    assert exported.bytes > 4 * sum(int(np.prod(w.shape)) for w in student.trainable_weights) * 0.95


def test_file_classifies_as_the_student_does(exported, student, digits):
    wanted = student.predict(digits.x_test[:50], verbose=0)
    for x, row in zip(digits.x_test[:50], wanted, strict=True):
        np.testing.assert_allclose(
            answers(exported.path, image=x[None])["output"][0], row, atol=1e-3
        )
    assert (wanted.argmax(axis=1) == digits.y_test[:50]).mean() > 0.8


def test_names_types_and_custom_layers_of_several_inputs_and_outputs(tmp_path):
    keras.utils.set_random_seed(1)
    tokens = keras.Input((5,), dtype="int32", name="tokens")
    marks = keras.Input((4,), name="marks")
    words = layers.Flatten()(layers.Embedding(7, 3)(tokens))
    left = layers.Dense(3, name="left")(layers.Concatenate()([words, Doubled()(marks)]))
    right = layers.Dense(1, name="right")(marks)
    student = keras.Model([tokens, marks], [left, right])
    report = exporting.export(student, tmp_path / "two.tflite", seed=3)
    assert report.inputs == ("tokens", "marks")
    assert report.outputs == ("left", "right")
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
    assert set(report.outputs) == {"three", "four"}
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


def test_a_failing_conversion_says_why_and_leaves_the_former_file(tmp_path):
    path = tmp_path / "student.tflite"
    path.write_bytes(b"the former file")
    student = keras.Sequential([keras.Input((4,)), ErfInv()], name="odd")
    with pytest.raises(exporting.ExportError) as error:
        exporting.export(student, path, examples=np.full((3, 4), 0.5, "float32"))
    assert str(error.value).startswith(
        "The conversion of the student 'odd' to .tflite failed. It said:\n"
    )
    assert "Erfinv" in str(error.value)
    assert path.read_bytes() == b"the former file"
    assert [p.name for p in tmp_path.iterdir()] == ["student.tflite"]


def test_an_interrupted_conversion_leaves_the_former_file(student, tmp_path, monkeypatch):
    path = tmp_path / "student.tflite"
    path.write_bytes(b"the former file")

    def interrupted(student, unfinished, *rest):
        unfinished.write_bytes(b"half a fi")
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "_convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        exporting.export(student, path)
    assert path.read_bytes() == b"the former file"
    assert [p.name for p in tmp_path.iterdir()] == ["student.tflite"]


def test_a_converter_that_crashes_becomes_an_error(student, tmp_path, monkeypatch):
    def crashes(*args, **kwargs):
        return exporting.subprocess.CompletedProcess([], -signal.SIGSEGV, stderr="\nlast words\n")

    monkeypatch.setattr(exporting.subprocess, "run", crashes)
    with pytest.raises(
        exporting.ExportError, match=r"(?s)'cnn' to \.tflite died of SIGSEGV.*words"
    ):
        exporting.export(student, tmp_path / "student.tflite")


def tampered(monkeypatch, file, kernel, instead):
    """Conversions now give `file` with the bytes of `kernel` replaced."""
    content, wanted = file.read_bytes(), kernel.astype("float32").tobytes()
    assert content.count(wanted) == 1
    content = content.replace(wanted, instead.astype("float32").tobytes())
    monkeypatch.setattr(exporting, "_convert", lambda _, path, *rest: path.write_bytes(content))


@pytest.fixture
def kernel(student):
    return np.ascontiguousarray(keras.ops.convert_to_numpy(student.get_layer("logits").kernel).T)


def test_the_very_file_passes(exported, student, digits, kernel, tmp_path, monkeypatch):
    tampered(monkeypatch, exported.path, kernel, kernel)
    report = exporting.export(student, tmp_path / "same.tflite", examples=digits.x_test)
    assert report.max_difference == exported.max_difference


def test_a_file_without_weights_is_refused(
    exported, student, digits, kernel, tmp_path, monkeypatch
):
    path = tmp_path / "student.tflite"
    path.write_bytes(b"the former file")
    tampered(monkeypatch, exported.path, kernel, np.zeros_like(kernel))
    with pytest.raises(
        exporting.ExportError, match=r"agrees with the student on 0\.\d{4} .* less than min_agree"
    ):
        exporting.export(student, path, examples=digits.x_test)
    assert path.read_bytes() == b"the former file"
    assert [p.name for p in tmp_path.iterdir()] == ["student.tflite"]


def test_agreement_by_chance_does_not_pass(
    exported, student, digits, kernel, tmp_path, monkeypatch
):
    tampered(monkeypatch, exported.path, kernel, np.zeros_like(kernel))
    with pytest.raises(exporting.ExportError, match=r"which itself varies by"):
        exporting.export(
            student, tmp_path / "student.tflite", examples=digits.x_test, min_agreement=0.0
        )
    assert list(tmp_path.iterdir()) == []


def test_answers_that_are_not_finite_are_refused(
    exported, student, digits, kernel, tmp_path, monkeypatch
):
    broken = kernel.copy()
    broken[3, 5] = np.nan
    tampered(monkeypatch, exported.path, kernel, broken)
    with pytest.raises(exporting.ExportError, match=r"'output' is not finite where"):
        exporting.export(student, tmp_path / "student.tflite", examples=digits.x_test)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_model_is_refused(student, tmp_path, monkeypatch):
    monkeypatch.setattr(
        exporting, "_convert", lambda _, path, *rest: path.write_bytes(b"not a flatbuffer at all")
    )
    with pytest.raises(exporting.ExportError, match=r"^The file that was written cannot be read"):
        exporting.export(student, tmp_path / "student.tflite")
    assert list(tmp_path.iterdir()) == []


def proof(wanted, came, least=0.99):
    return exporting._proof({"o": np.array(wanted)}, {"o": np.array(came)}, least)


def test_numbers_of_the_proof():
    # One of four decisions differs; the largest difference is 0.2.
    wanted = [[1.0, 0.0], [0.0, 3.0], [3.0, 0.0], [0.1, 0.0]]
    came = [[1.0, 0.0], [0.0, 3.0], [3.0, 0.1], [0.1, 0.2]]
    assert proof(wanted, came, 0.75) == (0.75, pytest.approx(0.2))
    with pytest.raises(exporting.ExportError, match=r"on 0\.7500 .* min_agreement=0\.76"):
        proof(wanted, came, 0.76)
    # A single number agrees within 1% of the largest, 4.
    assert proof([[1.0], [4.0]], [[1.03], [4.0]]) == (1.0, pytest.approx(0.03))
    with pytest.raises(exporting.ExportError, match=r"on 0\.5000"):
        proof([[1.0], [4.0]], [[1.05], [4.0]])
    with pytest.raises(
        exporting.ExportError, match=r"should have the output 'o' of shape \(1, 2\)"
    ):
        proof([[1.0, 2.0]], [[1.0]])
    with pytest.raises(exporting.ExportError, match=r"student's own output 'o' is not finite"):
        proof([[np.inf, 2.0]], [[np.inf, 2.0]])


def test_random_examples_are_seeded_and_in_range(student):
    tokens = keras.Input((5,), dtype="int32", name="tokens")
    reader = keras.Model(tokens, layers.Embedding(7, 3)(tokens))
    (_, one), (_, same), (_, other) = (exporting._examples(reader, None, k) for k in (0, 0, 1))
    np.testing.assert_array_equal(one["tokens"], same["tokens"])
    assert (one["tokens"] != other["tokens"]).any()
    assert set(np.unique(one["tokens"])) == set(range(7))
    images = exporting._examples(student, None, 0)[1]["image"]
    assert images.shape == (128, 8, 8, 1)
    assert images.min() >= 0
    assert 0.99 < images.max() <= 1


def test_examples_by_name_go_to_their_inputs():
    b, a = keras.Input((2,), name="b"), keras.Input((3,), name="a", dtype="int32")
    student = keras.Model([b, a], layers.Concatenate()([b, layers.Embedding(4, 1)(a)[..., 0]]))
    x = {"b": np.zeros((4, 2)), "a": np.ones((4, 3))}
    _, values = exporting._examples(student, x, 0)
    assert {name: (v.shape, str(v.dtype)) for name, v in values.items()} == {
        "b": ((4, 2), "float32"),
        "a": ((4, 3), "int32"),
    }


def test_what_is_checked_before_any_work(student, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_convert", lambda *a: pytest.fail("work was done"))
    path = tmp_path / "student.tflite"

    def error(kind, *args, **kwargs):
        with pytest.raises(kind) as caught:
            exporting.export(*args, **kwargs)
        return str(caught.value)

    assert error(TypeError, "student", path) == (
        "`student` must be a keras.Model. Received: 'student' of type str."
    )
    distiller = kd.Distiller(student=student, teacher=keras.models.clone_model(student))
    assert error(TypeError, distiller, path) == (
        "`student` is a Distiller. Give its student: export(distiller.student, ...)"
    )
    assert error(ValueError, keras.Sequential([layers.Dense(2)], name="bare"), path) == (
        "The student 'bare' is not built, so it has no weights to write. "
        "Call it once on data, or build it with its input shape."
    )
    assert error(ValueError, student, tmp_path / "student.onnx") == (
        f"`path` must end with '.tflite'. Received: '{tmp_path / 'student.onnx'}'."
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
    assert error(ValueError, student, path, min_agreement=1.5) == (
        "`min_agreement` must be a share from 0 to 1. Received: min_agreement=1.5."
    )
    assert error(ValueError, student, path, examples=[np.ones((2, 8, 8, 1)), np.ones(2)]) == (
        "The student 'cnn' takes 1 inputs, 'image'; `examples` has 2."
    )
    assert error(ValueError, student, path, examples=np.ones((0, 8, 8, 1))).startswith(
        "`examples` must have one and the same number of examples, at least 1"
    )
    anysize = keras.Sequential(
        [keras.Input((None, None, 3), name="photo"), layers.GlobalAveragePooling2D()], name="any"
    )
    assert error(ValueError, anysize, path) == (
        "The student 'any' leaves a size of its input 'photo' open, (None, None, None, 3). "
        "Give `examples` of the size that the file is to take."
    )
    monkeypatch.setattr(os, "access", lambda *a: False)
    assert error(ValueError, student, path) == (
        f"The folder '{tmp_path}' of `path` cannot be written to."
    )


def test_what_is_not_installed_is_named(student, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"converts with tensorflow, which is not inst"):
        exporting.export(student, tmp_path / "student.tflite")
    monkeypatch.setitem(exporting.sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ModuleNotFoundError, match=r'Run: pip install "keras-kd\[export\]"'):
        exporting.export(student, tmp_path / "student.tflite")


class Halved(layers.Layer):
    def call(self, x):
        return x / 2


def halved(x):
    return x / 2


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
