"""`keras-kd distill`: what it trains, what it writes, how it goes on."""

import csv
import errno
import json
import os
import re
import signal

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd.callbacks._best_student import read_best
from keras_kd.cli import main
from keras_kd.cli._options import class_names
from tests.cli.conftest import ORDER
from tests.cli.program import started


def distill(teacher, out, *more, student="mlp-16", epochs=4):
    argv = ["distill", teacher, student, "--epochs", epochs, "--out", out, "--seed", 5, *more]
    return main([*map(str, argv), "--learning-rate", "0.01"])


def rows(out):
    with open(out / "log.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(folder):
    """Four epochs, without a break."""
    out = folder / "ganzer Lauf"
    assert distill(folder / "teacher.keras", out, "--set", "temperature=8") == 0
    return out


def test_it_writes_a_student_a_log_and_a_summary(whole, folder, digits):
    assert sorted(p.name for p in whole.iterdir()) == [
        "log.csv", "settings.json", "state.npz", "student.keras", "summary.json",
    ]  # fmt: skip
    summary = json.loads((whole / "summary.json").read_text(encoding="utf-8"))
    student = keras.saving.load_model(whole / "student.keras")
    teacher = keras.saving.load_model(folder / "teacher.keras")
    ours, theirs = (m.predict(digits.x_test, verbose=0).argmax(axis=1) for m in (student, teacher))
    assert summary["test_accuracy"] == pytest.approx((ours == digits.y_test).mean(), abs=1e-3)
    assert summary["teacher_test_accuracy"] == pytest.approx((theirs == digits.y_test).mean())
    assert summary["test_agreement"] == pytest.approx((ours == theirs).mean(), abs=1e-3)
    assert (summary["test_examples"], summary["parameters"]) == (640, 1210)
    low, high = summary["test_accuracy_interval"]
    assert low < summary["test_accuracy"] < high < low + 0.1
    assert summary["teacher"] == str(folder / "teacher.keras")
    assert summary["teacher_fingerprint"] == keras_kd.stores.fingerprint(teacher)
    log = rows(whole)
    assert [row["epoch"] for row in log] == [0, 1, 2, 3]
    best = max(log, key=lambda row: row["val_accuracy"])
    assert summary["validation_accuracy"] == pytest.approx(best["val_accuracy"])
    assert summary["best_epoch"] == int(best["epoch"]) + 1


def test_the_student_was_chosen_by_images_held_out_of_the_training_set(whole):
    data = keras_kd.data.load("digits", validation=0.1)
    student = keras.saving.load_model(whole / "student.keras")
    x, y = data.validation
    accuracy = (student.predict(x, verbose=0).argmax(axis=1) == y).mean()
    assert accuracy == pytest.approx(read_best(whole / "student.keras").value, abs=1e-6)


def test_a_run_in_two_parts_equals_one_without_a_break(whole, folder, capsys, monkeypatch):
    out = folder / "zwei Teile"
    settings = ("--set", "temperature=8")
    fit = keras_kd.Distiller.fit

    def stopped(self, *args, **kwargs):
        fit(self, *args, **{**kwargs, "epochs": 2})
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(keras_kd.Distiller, "fit", stopped)
        assert distill(folder / "teacher.keras", out, *settings) == 130
    with open(out / "log.csv", "a") as log:  # killed after the log and before the state
        log.write("2,0,0,0,0,0,0,0,0\r\n")
    capsys.readouterr()
    assert distill(folder / "teacher.keras", out, *settings, "--json") == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[0] == f"{out}: going on after epoch 2."
    assert [line[:9] for line in said.err.splitlines()[1:]] == ["epoch 3/4", "epoch 4/4"]
    ours, theirs = json.loads(said.out), json.loads((whole / "summary.json").read_text())
    assert ours.pop("student") != theirs.pop("student")
    assert ours.pop("settings") == theirs.pop("settings") == {"temperature": "8"}
    assert ours.pop("classes") == theirs.pop("classes") == [*"0123456789"]
    intervals = ours.pop("test_accuracy_interval"), theirs.pop("test_accuracy_interval")
    assert intervals[0] == pytest.approx(intervals[1])
    assert ours == pytest.approx(theirs, abs=1e-6)
    for row, other in zip(rows(out), rows(whole), strict=True):
        assert row == pytest.approx(other, rel=1e-5)
    weights = [keras.saving.load_model(p / "student.keras").get_weights() for p in (out, whole)]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)

    # What is done is not done again, and says so.
    before = (out / "student.keras").read_bytes()
    assert distill(folder / "teacher.keras", out, *settings) == 0
    said = capsys.readouterr()
    assert said.err == f"{out}: 4 epochs are done already; nothing is left to train.\n"
    assert f"the student of epoch {ours['best_epoch']}, 1,210 weights." in said.out
    assert (out / "student.keras").read_bytes() == before

    # Other settings are another run.
    assert distill(folder / "teacher.keras", out, "--set", "temperature=2") == 2
    assert "set was {'temperature': '8'}, not {'temperature': '2'}" in capsys.readouterr().err


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(folder, tmp_path):
    out = tmp_path / "halt"
    running = started("distill", folder / "teacher.keras", "mlp-16", "--epochs", 1000, "--out", out)
    while not running.stderr.readline().startswith("epoch 2/1000"):
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    said_out, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert said_out == "" and "Traceback" not in said
    found = re.fullmatch(
        rf"keras-kd: stopped\. {re.escape(str(out))}/student\.keras is the best student so far "
        r"\(epoch (\d+), validation accuracy [\d.]+%\)\. Run the same command again to go on after "
        r"epoch (\d+) of 1000\.",
        said.splitlines()[-1],
    )
    assert found, said
    best, done = map(int, found.groups())
    assert 1 <= best <= done
    with np.load(out / "state.npz") as state:
        assert int(state["epochs"]) == done
    assert keras.saving.load_model(out / "student.keras").count_params() == 1210
    assert not [p for p in out.iterdir() if p.name.startswith(".")]


def test_stopped_before_there_is_anything(folder, tmp_path, monkeypatch, capsys):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(keras_kd.Distiller, "fit", stop)
    assert distill(folder / "teacher.keras", tmp_path / "out", "--recipe", "hinton") == 130
    assert capsys.readouterr().err.splitlines()[1:] == [
        "keras-kd: stopped. No epoch was done, so nothing was written. Run the same command to "
        "start again."
    ]


def test_a_full_disk_is_one_sentence(folder, tmp_path, monkeypatch, capsys):
    """What becomes of the files is tested with the callbacks that write them."""

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "student.keras")

    monkeypatch.setattr(keras_kd.Distiller, "fit", full)
    assert distill(folder / "teacher.keras", tmp_path / "out", "--recipe", "hinton") == 1
    assert capsys.readouterr().err.splitlines()[1:] == [
        "keras-kd distill: [Errno 28] No space left on device: 'student.keras'"
    ]


def test_a_folder_that_cannot_be_made(folder, tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert distill(folder / "teacher.keras", tmp_path / "out") == 2
    assert "File exists" in capsys.readouterr().err


# Teachers, students and recipes.


@pytest.fixture
def caught(monkeypatch):
    """The distiller that would have been trained, with what `fit` was given."""
    found = {}

    def stop(self, *args, **kwargs):
        found.update(kwargs, distiller=self)
        raise KeyboardInterrupt

    monkeypatch.setattr(keras_kd.Distiller, "fit", stop)
    return found


def test_a_teacher_that_ends_in_a_softmax_and_a_student_from_a_file(
    folder, whole, tmp_path, digits, caught
):
    """The very student goes on; probabilities are brought back to logits, up to a constant."""
    start = whole / "student.keras"
    assert distill(folder / "soft.keras", tmp_path / "out", student=start) == 130
    weights = keras.saving.load_model(start).get_weights()
    for ours, theirs in zip(caught["distiller"].student.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    x = digits.x_test[:8]
    logits = keras.saving.load_model(folder / "teacher.keras")(x)
    for each in (caught["distiller"].teacher(x), logits):
        each = keras.ops.convert_to_numpy(keras.ops.log_softmax(each))
        probabilities = keras.saving.load_model(folder / "soft.keras")(x)
        np.testing.assert_allclose(
            each, np.log(keras.ops.convert_to_numpy(probabilities)), atol=1e-5
        )


def test_a_recipe_of_features_finds_its_layers(folder, tmp_path, caught):
    recipe = ("--recipe", "attention_transfer", "--set", "weight=10")
    more = {"student": "cnn-small"}
    assert distill(folder / "teacher.keras", tmp_path / "out", *recipe, **more) == 130
    found = {term.name: (term.pred, term.weight) for term in caught["distiller"].terms}
    assert found == {"labels": ("student:output", 1.0), "attention": ("student:relu3", 10)}


def test_what_the_teacher_knows_of_changed_images_is_said(folder, tmp_path, caught, capsys):
    auto = ("--augment", "auto")
    assert distill(folder / "teacher.keras", tmp_path / "out", *auto) == 130
    said = capsys.readouterr().err.splitlines()[1]
    assert said.startswith("Of 116 images the teacher knows ") and "after --augment shift" in said
    assert said.endswith("It is taught with none.")
    assert json.loads((tmp_path / "out" / "settings.json").read_text())["augment"] == ["auto"]


@pytest.mark.parametrize(
    "teacher, student, more, message",
    [
        ("no.keras", "mlp-16", (), "There is no file '"),
        ("teacher.keras", "mlp-17", (), "No student 'mlp-17'. Expected a .keras file or one of"),
        ("teacher.keras", "mlp-16", ("--recipe", "hintn"), "No recipe 'hintn'"),
        ("teacher.keras", "mlp-16", ("--set", "temprature=3"), "Did you mean 'temperature'?"),
        ("teacher.keras", "mlp-16", ("--set", "alpha=3"), "lies between 0 and 1"),
        ("teacher.keras", "mlp-16", ("--recipe", "mutual"), "Use keras_kd.recipes.mutual in Py"),
        ("teacher.keras", "cnn-small", ("--recipe", "simkd"), "Add --set labels_weight=1."),
        ("teacher.keras", "mlp-16", ("--recipe", "fsp"), "add --set pred=student:block3"),
        ("teacher.keras", "mlp-16", ("--data", "./nothing"), "There is no folder 'nothing'"),
        ("teacher.keras", "mlp-16", ("--data", "nosuch"), "No data set 'nosuch'"),
        (".", "mlp-16", (), "manifest"),
    ],
)
def test_what_will_not_do(teacher, student, more, message, folder, tmp_path, capsys):
    assert distill(folder / teacher, tmp_path / "out", *more, student=student) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert not (tmp_path / "out").exists()


# The order of the classes.


def test_a_teacher_of_another_order_stops_before_the_first_epoch(folder, tmp_path, capsys):
    teacher, out = folder / "other order.keras", tmp_path / "out"
    order = ",".join(map(str, ORDER))
    assert distill(teacher, out) == 2
    said = capsys.readouterr()
    assert said.out == "" and not out.exists()
    names = ", ".join(f"'{digit}'" for digit in ORDER)
    assert re.search(
        rf"'big' is right about \d+\.\d% of 500 labelled examples, and about 9\d\.\d% if its outputs "
        rf"stand for {names}, in this order\. The labels' order is '0', '1', .*--classes {order}$",
        said.err,
    ), said.err

    # With the order that it advises, all is well, and the order is kept.
    assert distill(teacher, out, "--classes", order, epochs=4) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[0] == f"The classes, in the order of the outputs: {names}"
    digits = [str(digit) for digit in ORDER]
    for name in ("summary.json", "settings.json"):
        assert json.loads((out / name).read_text(encoding="utf-8"))["classes"] == digits
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["teacher_test_accuracy"] > 0.85 and summary["test_accuracy"] > 0.3
    assert distill(teacher, out, "--no-check", epochs=4) == 2  # another order is another run
    assert "classes was ['3', '0', " in capsys.readouterr().err

    # What is made of the student knows the order by itself.
    (out / "student.keras").replace(out / "renamed.keras")
    assert main(["report", str(out / "renamed.keras"), "--no-latency"]) == 0
    assert "See --classes." in capsys.readouterr().err
    (out / "renamed.keras").replace(out / "student.keras")
    assert main(["report", str(out / "student.keras"), "--no-latency", "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    accuracy = json.loads(said.out)["models"]["student"]["scores"]["accuracy"][0]
    assert accuracy == pytest.approx(summary["test_accuracy"], abs=2e-3)


def test_stored_answers_in_another_order(folder, tmp_path, capsys):
    answers = tmp_path / "answers"
    assert main(["store", str(folder / "other order.keras"), "--out", str(answers)]) == 0
    assert distill(answers, tmp_path / "out") == 2
    assert f"--classes {','.join(map(str, ORDER))}" in capsys.readouterr().err


def test_a_teacher_that_knows_nothing(folder, tmp_path, capsys, caught):
    teacher = keras.saving.load_model(folder / "teacher.keras")
    teacher.layers[-1].set_weights([np.zeros_like(w) for w in teacher.layers[-1].get_weights()])
    teacher.save(tmp_path / "blank.keras")
    assert distill(tmp_path / "blank.keras", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "is right about 10.0% of 500 labelled examples, no more than by chance (10.0%)" in said
    assert "(--scale 255)" in said and "--no-check" in said
    assert distill(tmp_path / "blank.keras", tmp_path / "out", "--no-check") == 130


def test_a_teacher_of_more_classes_than_there_are_images_of(folder, tmp_path, capsys, caught):
    teacher = keras.saving.load_model(folder / "teacher.keras")
    kernel, bias = teacher.layers[-1].get_weights()
    more = keras.Sequential([*teacher.layers[:-1], keras.layers.Dense(12)], name="twelve")
    more.build((None, 8, 8, 1))
    more.layers[-1].set_weights(
        [np.insert(kernel, [0, 5], 0, axis=1), np.insert(bias, [0, 5], -50)]
    )
    more.save(tmp_path / "twelve.keras")
    assert distill(tmp_path / "twelve.keras", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "'twelve' should answer with one number for each of the 10 classes of 'digits'" in said
    assert "--classes a,b,c" in said
    names = ["x", *range(5), "y", *range(5, 10)]
    assert (
        distill(tmp_path / "twelve.keras", tmp_path / "out", "--classes", ",".join(map(str, names)))
        == 130
    )
    assert caught["distiller"].student.output_shape == (None, 12)


@pytest.mark.parametrize(
    "classes, message",
    [("a,b,a", "names a twice"), ("a", "must name two classes or more"), ("no.txt", "cannot read")],
)
def test_classes_that_will_not_do(classes, message, folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        distill(folder / "teacher.keras", tmp_path / "out", "--classes", classes)
    assert message in capsys.readouterr().err


def test_classes_from_a_file(tmp_path):
    (tmp_path / "labels.txt").write_text("chat noir\n犬, klein\n\n", encoding="utf-8")
    assert class_names(str(tmp_path / "labels.txt")) == ["chat noir", "犬, klein"]


def test_a_student_of_other_classes(folder, tmp_path, capsys):
    keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(7)], name="seven"
    ).save(tmp_path / "seven.keras")
    path = tmp_path / "seven.keras"
    assert distill(folder / "teacher.keras", tmp_path / "out", student=path) == 2
    assert "'seven' should answer with one number for each of the 10 classes" in (
        capsys.readouterr().err
    )


def test_when_no_student_was_worth_keeping(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(keras_kd.Distiller, "fit", lambda self, *args, **kwargs: None)
    assert distill(folder / "teacher.keras", tmp_path / "out") == 1
    assert "No student was good enough to keep in" in capsys.readouterr().err
    assert not (tmp_path / "out" / "summary.json").exists()
