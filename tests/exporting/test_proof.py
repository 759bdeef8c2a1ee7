"""The numbers of a proof, against closed forms; and `verify`, on a file that is there."""

import json
from dataclasses import dataclass

import keras
import numpy as np
import pytest

from keras_kd import exporting
from keras_kd.exporting import _compare
from keras_kd.exporting._acceptance import check_agreement
from keras_kd.exporting._data import examples_of
from keras_kd.exporting._format import Contents
from keras_kd.exporting._litert import LiteRT
from keras_kd.exporting._litert_layers import layer_losses
from keras_kd.exporting._proof import Proof
from keras_kd.exporting._running import Times
from tests.exporting.conftest import converts

layers = keras.layers


def compared(wanted, came, decision="classes", tolerance=0.01, **kwargs):
    return _compare.compared(
        {"o": np.array(wanted)}, {"o": np.array(came)}, {"o": decision}, tolerance, **kwargs
    )


def test_classes():
    # One of four decisions differs; the largest difference is 0.2, the mean one 0.3 of 8.
    wanted = [[1.0, 0.0], [0.0, 3.0], [3.0, 0.0], [0.1, 0.0]]
    came = [[1.0, 0.0], [0.0, 3.0], [3.0, 0.1], [0.1, 0.2]]
    result = compared(wanted, came, labels=np.array([0, 1, 1, -1]))
    (answer,) = result.answers
    assert (answer.agreement, result.agreeing) == (0.75, 3)
    assert answer.max_difference == pytest.approx(0.2)
    assert answer.mean_difference == pytest.approx(0.3 / 8)
    assert answer.accuracy == answer.student_accuracy == pytest.approx(2 / 3)  # -1 says nothing
    # mean |wanted - its mean|: columns 1.025 and 0.75
    away = [abs(v - 1.025) for v in (1, 0, 3, 0.1)] + [abs(v - 0.75) for v in (0, 3, 0, 0)]
    assert result.deviation["o"] == pytest.approx((0.3 / 8) / (sum(away) / 8))


def test_labels_in_one_hot_and_by_name_and_of_a_threshold():
    wanted = np.array([[0.2, 0.8], [0.6, 0.4]])
    assert _compare.accuracy(wanted, "classes", np.array([[0, 1], [0, 1]])) == 0.5
    assert _compare.accuracy(wanted, 0.5, np.array([[0, 1], [1, 1]])) == 0.75
    assert _compare.accuracy(wanted, "values", np.array([0, 1])) is None
    result = compared(wanted, wanted, labels={"o": np.array([1, 0])})
    assert result.answers[0].accuracy == 1.0


def test_an_answer_to_everything_is_as_unlike_as_can_be():
    wanted = np.random.default_rng(0).normal(size=(50, 3))
    constant = np.broadcast_to(wanted.mean(axis=0), wanted.shape)
    assert compared(wanted, constant).deviation["o"] == pytest.approx(1.0)
    assert compared(wanted, wanted).deviation["o"] == 0.0


def test_thresholds_and_values():
    # The sides of 0.5: one of six differs.
    wanted, came = [[0.1, 0.9, 0.51]] * 2, [[0.3, 0.6, 0.7], [0.1, 0.9, 0.49]]
    result = compared(wanted, came, 0.5)
    assert result.answers[0].agreement == pytest.approx(5 / 6)
    assert result.agreeing == 1
    # Values span 3 here, so 1% is 0.03; each column by its own span.
    assert compared([[1.0], [4.0]], [[1.029], [4.0]], "values").answers[0].agreement == 1.0
    assert compared([[1.0], [4.0]], [[1.031], [4.0]], "values").answers[0].agreement == 0.5
    two = [[0.0, 1000.0], [1.0, 2000.0]]
    off = [[0.009, 1009.0], [1.011, 2000.0]]
    assert compared(two, off, "values").answers[0].agreement == 0.75
    assert compared([[5.0]], [[5.04]], "values").answers[0].agreement == 1.0  # one: of its size
    assert compared([[5.0]], [[5.06]], "values").answers[0].agreement == 0.0


def test_divergence_from_the_teacher():
    rng = np.random.default_rng(0)
    teacher, answers = rng.normal(0, 2, (2, 20, 5))
    p = np.exp(teacher) / np.exp(teacher).sum(axis=1, keepdims=True)
    q = np.exp(answers) / np.exp(answers).sum(axis=1, keepdims=True)
    expected = (p * np.log(p / q)).sum(axis=1).mean()
    assert _compare.divergence(teacher, answers) == pytest.approx(expected, rel=1e-9)
    assert _compare.divergence(p, answers) == pytest.approx(expected, rel=1e-6)
    assert _compare.divergence(teacher, q) == pytest.approx(expected, rel=1e-6)
    assert _compare.divergence(teacher, answers[:, :3]) is None
    result = compared(answers, teacher, teacher={"o": teacher})
    assert result.answers[0].divergence == pytest.approx(0, abs=1e-12)
    assert result.answers[0].student_divergence == pytest.approx(expected)


def test_what_cannot_be_compared():
    with pytest.raises(
        exporting.ExportError, match=r"should have the output 'o' of shape \(1, 2\)"
    ):
        compared([[1.0, 2.0]], [[1.0]])
    with pytest.raises(exporting.ExportError, match=r"student's own output 'o' is not finite"):
        compared([[np.inf, 2.0]], [[np.inf, 2.0]])
    with pytest.raises(exporting.ExportError, match=r"file's output 'o' is not finite"):
        compared([[1.0, 2.0]], [[np.nan, 2.0]])


def test_what_is_decided_by_default():
    x = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="sigmoid")])
    outputs = {
        "kinds": layers.Dense(5, activation="softmax", name="kinds")(x),
        "marks": inner(x),
        "size": layers.Dense(1, name="size")(x),
        "yes": layers.Activation("sigmoid", name="yes")(layers.Dense(1)(x)),
    }
    student = keras.Model(x, outputs)
    ours = {name: np.zeros((2, y.shape[-1])) for name, y in outputs.items()}
    found = _compare.decisions_of(student, ours, None)
    assert found == {"kinds": "classes", "marks": 0.5, "size": "values", "yes": 0.5}
    found = _compare.decisions_of(student, ours, {"kinds": "values", "size": 2.0})
    assert found == {"kinds": "values", "marks": 0.5, "size": 2.0, "yes": 0.5}
    with pytest.raises(ValueError, match=r"names \['kind'\], the outputs are \['kinds', 'marks'"):
        _compare.decisions_of(student, ours, {"kind": "values"})
    with pytest.raises(ValueError, match=r"must be 'classes', 'values' or a threshold"):
        _compare.decisions_of(student, ours, "top5")


def proof(result, micro=None, examples=4):
    return Proof(
        None, "litert", "int8", 1, 1, "", examples, result.agreeing, result.answers, 1.0,
        (1.0, 1.0), 1, {}, 1.0, (), (), (), micro,
    )  # fmt: skip


@dataclass(frozen=True)
class Limits:
    min_agreement: float = 0.97
    max_deviation: float = 1.0
    better: str = ""


def test_a_file_that_does_not_agree_is_refused():
    wanted, came = [[1.0, 0.0], [0.0, 3.0], [3.0, 0.0], [0.1, 0.0]], np.eye(2)[[0, 1, 0, 1]]
    result = compared(wanted, came)
    assert check_agreement(proof(result), result, Limits(), 0.75) == []
    with pytest.raises(exporting.ExportError, match=r"on 0\.7500 .* min_agreement=0\.76"):
        check_agreement(proof(result), result, Limits(), 0.76)
    with pytest.raises(exporting.ExportError, match=r"'o' is 0\.\d+ away .* \d\d% of how much"):
        check_agreement(proof(result), result, Limits(max_deviation=0.1), 0.75)
    micro = exporting.Micro(0.5, 1.0, 4, 100, 100)
    with pytest.raises(exporting.ExportError, match=r"In tflite-micro the file agrees .* 0\.5000"):
        check_agreement(proof(result, micro), result, Limits(), 0.75)


def agreeing_on(share, examples=125):
    """Answers to so many examples, of which the first disagree; the file's are right by luck."""
    wanted = np.eye(5)[np.arange(examples) % 5]
    came = wanted.copy()
    others = round((1 - share) * examples)
    came[:others] = np.roll(came[:others], 1, axis=1)
    labels = came.argmax(axis=1)
    labels[examples // 4 :] = (labels[examples // 4 :] + 1) % 5
    return compared(wanted, came, labels=labels)


def test_few_examples_are_judged_by_what_they_leave_open():
    result = agreeing_on(120 / 125)
    assert check_agreement(proof(result, examples=125), result, Limits()) == [
        "It decides as the student on 120 of 125 examples, less than min_agreement=0.97; so few "
        "leave open a share from 0.910 to 0.983 (95 %). Give more `examples` to know."
    ]
    for asked, share, examples in ((0.97, 0.96, 125), (None, 0.92, 125), (None, 0.96, 2000)):
        result = agreeing_on(share, examples)
        with pytest.raises(exporting.ExportError, match=r"less than min_agreement=0\.97"):
            check_agreement(proof(result, examples=examples), result, Limits(), asked)
    micro = exporting.Micro(0.96, 1.0, 125, 100, 100)
    result = agreeing_on(1.0)
    assert check_agreement(proof(result, micro, 125), result, Limits()) == []
    with pytest.raises(exporting.ExportError, match="In tflite-micro"):
        check_agreement(proof(result, micro, 125), result, Limits(), 0.97)


def test_a_refusal_says_how_good_the_file_is_and_what_to_do():
    result = agreeing_on(113 / 125)
    with pytest.raises(exporting.ExportError) as error:
        check_agreement(proof(result, examples=125), result, LiteRT.quantizations["int8"])
    assert str(error.value) == (
        "The file agrees with the student on 0.9040 of the decisions of output 'o' (113 of 125 "
        "examples in all), less than min_agreement=0.97 (largest difference 1). By the labels the "
        "file is right about 24.8%, the student about 15.2%. It was not kept. If it is good "
        "enough: min_agreement=0.9 (--min-agreement 0.9). More of the student is kept by "
        "quantization='int16x8', 'dynamic' or 'float16', by more `calibration` examples, or by "
        "training with keras_kd.compression.quantize_aware."
    )


def test_limits():
    """The agreement asked for, and how far a value may be off: less of integers."""
    floats = ("float32", "float16")
    for name, found in LiteRT.quantizations.items():
        assert found.tolerance == (0.01 if name in floats else 0.05)
        assert found.max_deviation == (0.1 if name in floats else 0.5)
    assert {name: q.min_agreement for name, q in LiteRT.quantizations.items()} == {
        "float32": 0.99, "float16": 0.99,
        "dynamic": 0.97, "int8": 0.97, "int16x8": 0.97, "int4": 0.97,
    }  # fmt: skip


# On what it is proven.


@converts
def test_a_proof_says_on_what_it_was_made(student, digits, kernel, tampered, tmp_path):
    tampered(kernel, kernel)
    path = tmp_path / "s.tflite"
    x = digits.x_test[:16]

    def told(**given):
        proof = exporting.export(student, path, **given)
        kept = json.loads((tmp_path / "s.tflite.json").read_text())
        assert kept["proven_on"] == proof.proven_on and kept["notes"] == list(proof.notes)
        return proof.proven_on, [note for note in proof.notes if note.startswith("Proven on")]

    int8 = {"quantization": "int8", "calibration": digits.x_train}
    assert told(examples=x) == ("examples", [])
    assert told(examples=x, **int8) == ("examples", [])
    kind, (note,) = told()
    assert kind == "random" and note.startswith("Proven on random inputs only.")
    kind, (note,) = told(**int8)
    assert kind == "held_out" and note.startswith("Proven on a part of the calibration data only")
    with pytest.warns(UserWarning, match="Most of `examples` are calibration data"):
        kind, (note,) = told(quantization="int8", calibration=x, examples=x)
    assert kind == "calibration" and note.startswith("Proven on the calibration data itself")
    assert exporting.verify(path, student, x).proven_on == "examples"
    assert exporting.verify(path, student).proven_on == "random"


# Verify.


@converts
def test_verify_finds_what_export_found(exported, student, digits):
    again = exporting.verify(exported.path, student, digits.x_test, digits.y_test)
    same = ("path", "format", "quantization", "bytes", "gzip_bytes", "sha256", "examples",
            "agreeing", "answers", "operators", "integer_operators", "inputs", "outputs")  # fmt: skip
    for name in same:
        assert getattr(again, name) == getattr(exported, name), name
    of_dataset = exporting.verify(exported.path, student, digits["test"])
    assert of_dataset.answers == exported.answers


@converts
@pytest.mark.parametrize(
    ("quantization", "off", "agreement"),
    [("float32", 0.006, 1.0), ("float32", 0.03, 0.0), ("int8", 0.03, 1.0), ("int8", 0.3, 0.0)],
)
def test_verify_holds_values_to_the_tolerance_of_the_format(
    exported, student, digits, monkeypatch, quantization, off, agreement
):
    """One hundredth of what the values span for floats, one twentieth for integers."""
    contents = Contents(quantization=quantization)
    monkeypatch.setattr(LiteRT, "contents", lambda *a: contents)
    x = digits.x_test[:50]
    wanted = student.predict(x, verbose=0)
    came = {"output": wanted + off * np.ptp(wanted, axis=0)}
    monkeypatch.setattr(LiteRT, "run", lambda *a: (came, Times(1.0, (1.0, 1.0))))
    found = exporting.verify(exported.path, student, x, decision="values")
    assert found.agreement == agreement
    assert exporting.verify(
        exported.path, student, x, decision="values", tolerance=0.5
    ).agreement == 1.0  # fmt: skip
    assert exporting.verify(
        exported.path, student, x, decision="values", tolerance=1e-4
    ).agreement == 0.0  # fmt: skip


@converts
def test_verify_tells_another_student(exported, student, digits):
    other = keras.models.clone_model(student)
    found = exporting.verify(exported.path, other, digits.x_test, teacher=student)
    assert found.agreement < 0.5
    assert found.answers[0].divergence == pytest.approx(0, abs=1e-6)  # the file is the teacher
    assert found.answers[0].student_divergence > 0.1
    with pytest.raises(ValueError, match=r"`teacher` must give 1 outputs for 640 examples"):
        exporting.verify(exported.path, student, digits.x_test, teacher=np.zeros((3, 10)))
    with pytest.raises(ValueError, match=r"There is no file"):
        exporting.verify(exported.path.with_name("none.tflite"), student)


@converts
def test_the_layer_that_was_changed_loses_most(exported, student, digits):
    changed = keras.models.clone_model(student)
    changed.set_weights(student.get_weights())
    second = changed.get_layer("second")
    second.kernel.assign(1.5 * second.kernel)
    examples = examples_of(changed, digits.x_test, None, 0)
    losses = layer_losses(exported.path, changed, examples.signature, examples.inputs)
    assert losses[0].path == "second" or losses[0].path == "flatten"  # one tensor, two layers
    # |z - 1.5 z| / 1.5 z is a third, but for what the bias adds
    assert losses[0].difference == pytest.approx(1 / 3, abs=0.05)
    earlier = next(layer for layer in changed.layers if isinstance(layer, keras.layers.ReLU))
    before = next(loss for loss in losses if loss.path == earlier.name)
    assert before.difference < 1e-5
