"""The doctor: it changes nothing, its remedies help, and it tells what it found."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from tests.auto import patients
from tests.auto import test_doctor_faults as faults
from tests.auto.patients import on_colors, on_digits, student


def states(model):
    return [keras.ops.convert_to_numpy(v) for v in model.variables]


def test_nothing_is_changed(tmp_path):
    case = faults.lagging_teacher(tmp_path)
    pupil = student(before=[keras.layers.BatchNormalization()], after=[keras.layers.Dropout(0.5)])
    pupil.compile(
        keras.optimizers.SGD(0.5), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    before = [states(case["teacher"]), states(pupil)]
    momentum, optimizer = pupil.layers[0].momentum, pupil.optimizer
    kd.auto.examine(**case, student=pupil)
    for old, model in zip(before, (case["teacher"], pupil), strict=True):
        assert all((a == b).all() for a, b in zip(old, states(model), strict=True))
    assert pupil.layers[0].momentum == momentum and pupil.optimizer is optimizer
    assert pupil.trainable and pupil.compiled


#: The remedy is carried out, and the fault is gone.
MENDED = {
    "input_scale, 255": ("input_scale", faults.wants_255),
    "input_scale, imagenet": ("input_scale", lambda _: on_colors(faults.IMAGENET)),
    "input_scale, bgr": ("input_scale", lambda _: on_colors((0, 1), flip=True)),
    "input_scale, columns": ("input_scale", faults.standardized),
    "class_order": ("class_order", faults.permuted),
    "logits, disguised": ("logits", faults.disguised),
    "logits, seen": ("logits", faults.ends_in_softmax),
    "teacher_averages": ("teacher_averages", faults.lagging_teacher),
    "student_averages": ("student_averages", faults.lagging_student),
    "student_learns, frozen": ("student_learns", faults.frozen),
    "student_learns, one unit": ("student_learns", faults.one_unit),
    "student_logits": ("student_logits", faults.softmax_student),
    "data_order": ("data_order", faults.in_order_of_classes),
}


@pytest.mark.parametrize("case", MENDED)
def test_a_remedy_mends(case, tmp_path):
    name, plant = MENDED[case]
    case = plant(tmp_path)
    found = kd.auto.examine(**case)
    names = {
        "kd": kd, "keras": keras, "np": np, "teacher": case["teacher"], "student": case.get("student"),
        "train": patients.in_part(case["train"]),
    }  # fmt: skip
    exec(found[name].remedy, names)
    case = {
        **case,
        **{key: names[key] for key in ("teacher", "student", "batches") if key in names},
    }
    again = kd.auto.examine(**case)
    assert all(one.severity == "fine" for one in again.findings if one.name == name), str(again)


def test_one_fault_is_told_once(tmp_path):
    found = kd.auto.examine(**faults.wants_255(tmp_path))
    assert [one.name for one in found.problems] == ["input_scale"]
    found = kd.auto.examine(**faults.permuted(tmp_path))
    assert [one.name for one in found.problems] == ["class_order"]


def test_numbers_in_words(tmp_path):
    case = faults.memorised(tmp_path)
    teacher, x, held = case["teacher"], case["train"][0], case["validation"][0]
    found = kd.auto.examine(**case)["memorised"]

    def top(x):
        return np.exp(teacher(x)).max(axis=1).mean()

    assert f"the top probability is {top(x):.3f} and {top(held):.3f}" in found.evidence
    assert "cross_fit" in found.remedy and "no rule" in found.reference


def test_calibration_finds_the_temperature_that_was_planted():
    one = kd.auto.examine(**on_digits()).facts.numbers["temperature"]
    eight = kd.auto.examine(**on_digits(teacher=patients.teacher(8.0))).facts.numbers["temperature"]
    assert eight == pytest.approx(8 * one, rel=0.1)


def test_a_slow_machine_is_no_fault_of_the_student(monkeypatch, tmp_path):
    monkeypatch.setattr("keras_kd.auto._doctor._student._SECONDS", 0.0)
    found = kd.auto.examine(**faults.one_unit(tmp_path))
    assert "student_learns" not in {one.name for one in found.findings}
    assert any("was not looked at to the end" in note for note in found.notes)
    assert "was not looked at to the end" in str(found)


def test_a_student_that_cannot_be_copied_is_not_called_fine():
    @keras.saving.register_keras_serializable("test_doctor")
    class Needing(keras.Model):
        """Whose config does not say what it was made with."""

        def __init__(self, units):
            super().__init__()
            self.head = keras.layers.Dense(units)

        def call(self, x):
            return self.head(keras.ops.reshape(x, (keras.ops.shape(x)[0], 64)))

        def get_config(self):
            return {}

    student = Needing(10)
    student(np.zeros((1, 8, 8, 1), "float32"))
    found = kd.auto.examine(**{**on_digits(), "student": student})
    assert "student_learns" not in {one.name for one in found.findings}
    assert any("cannot be copied" in note for note in found.notes)


def test_print_page_and_dict(tmp_path):
    found = kd.auto.examine(**faults.wants_255(tmp_path))
    text = str(found)
    assert text.startswith("Distilling will not help until this is mended: 1 error.")
    assert (
        "\n    teacher = kd.teachers.ConvertInput(teacher, given=(0, 1), wanted=(0, 255))" in text
    )
    assert text.splitlines()[-1].startswith("fine:") or "fine:" in text.splitlines()[-2]
    found.save(tmp_path / "examination.html")
    page = (tmp_path / "examination.html").read_text("utf-8")
    assert "input_scale" in page and "ConvertInput" in page and "<script" not in page
    with pytest.raises(ValueError, match=r"must end in \.html"):
        found.save(tmp_path / "examination.txt")
    assert found.as_dict()["findings"][1]["severity"] == "error"
    with pytest.raises(KeyError, match="Nothing of the name 'colour'"):
        found["colour"]


@pytest.mark.parametrize(
    "change, error, told",
    [
        ({"train": None}, ValueError, "`train` is missing"),
        ({"teacher": np.eye(3)}, TypeError, "`teacher` must be"),
        ({"student": "small"}, TypeError, "`student` must be a keras.Model or None"),
        ({"epochs": 0}, ValueError, "`epochs` must be a whole number"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be a whole number"),
        ({"learning_rate": -1.0}, ValueError, "`learning_rate` must be a number above 0"),
        ({"seed": -1}, ValueError, "`seed` must be a whole number"),
        (
            {"train": (np.zeros((30, 8, 8, 1)), np.full(30, 12))},
            ValueError,
            "labels must be from 0",
        ),
    ],
)
def test_bad_input(change, error, told):
    with pytest.raises(error, match=told):
        kd.auto.examine(**{**on_digits(), **change})


def test_a_student_without_weights_is_an_error():
    bare = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    with pytest.raises(ValueError, match="has no weights yet"):
        kd.auto.examine(**on_digits(student=bare))


def test_averages_forget_with_every_epoch():
    """29 steps an epoch: a momentum of .95 keeps .23 of the beginning after one, 3e-7 after ten."""
    inputs = keras.Input((8, 8, 1))
    h = keras.layers.BatchNormalization(momentum=0.95)(keras.layers.Flatten()(inputs))
    lagging = keras.Model(inputs, keras.layers.Dense(10)(h))
    given = {**on_digits(), "student": lagging, "batch_size": 32}
    severities = [
        kd.auto.examine(**given, epochs=epochs)["student_averages"].severity for epochs in (1, 10)
    ]
    assert severities == ["warning", "fine"]


def test_few_of_every_class_are_few():
    """Twelve of each: none is rare, and all of them are few."""
    given = on_digits()
    x, y = given["train"]
    some = np.concatenate([np.flatnonzero(y == label)[:12] for label in range(10)])
    found = kd.auto.examine(**{**given, "train": (x[some], y[some])})["enough_examples"]
    assert found.severity == "warning"
    assert "fewer than 15 training examples of a class on average" in found.evidence
