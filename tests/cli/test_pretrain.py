"""`keras-kd pretrain`: features without labels, and `keras-kd distill` after it."""

import csv
import json

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd.cli import _students, main

#: What a model that takes a list of one input would say on the terminal.
pytestmark = pytest.mark.filterwarnings("error:The structure of `inputs`")


def pretrain(teacher, out, *more, student="cnn-small", epochs=3):
    argv = ["pretrain", teacher, student, "--epochs", epochs, "--out", out, "--seed", 5, *more]
    return main([*map(str, argv)])


@pytest.fixture(scope="module")
def whole(folder):
    """Three epochs, without a break."""
    out = folder / "vorher"
    assert pretrain(folder / "teacher.keras", out) == 0
    return out


@pytest.fixture(scope="module")
def photos(tmp_path_factory, digits):
    """Images without labels: some at the top, some in folders that are no classes."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    for number, x in enumerate(digits.x_train[:60]):
        place = folder / ("", "2023", "2024/mai")[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(place / f"{number}.png", 255 * x, scale=False)
    return folder


def rows(out):
    with open(out / "log.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_it_writes_a_backbone_that_learnt_the_teachers_features(whole):
    assert sorted(p.name for p in whole.iterdir()) == [
        "log.csv", "settings.json", "state.npz", "student.keras", "summary.json",
    ]  # fmt: skip
    student = keras.saving.load_model(whole / "student.keras")
    assert student.output_shape == (None, 4, 4, 32)
    log = rows(whole)
    assert {"pooled", "spatial", "val_loss"} <= log[0].keys()
    assert log[-1]["val_loss"] < log[0]["val_loss"]
    summary = json.loads((whole / "summary.json").read_text(encoding="utf-8"))
    best = min(log, key=lambda row: row["val_loss"])
    assert summary["validation_loss"] == pytest.approx(best["val_loss"])
    assert summary["best_epoch"] == int(best["epoch"]) + 1
    assert (summary["images"], summary["validation_images"]) == (1041, 116)
    pair = {"pred": "student:relu3", "target": "teacher:block1"}
    assert summary["terms"] == {"pooled": pair, "spatial": pair}


def test_a_run_in_two_parts_equals_one_without_a_break(whole, folder, capsys, monkeypatch):
    out = folder / "vorher in Teilen"
    fit = keras_kd.Distiller.fit

    def stopped(self, *args, **kwargs):
        fit(self, *args, **{**kwargs, "epochs": 1})
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(keras_kd.Distiller, "fit", stopped)
        assert pretrain(folder / "teacher.keras", out) == 130
    assert "(epoch 1, validation loss " in capsys.readouterr().err
    assert pretrain(folder / "teacher.keras", out, "--json") == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[0] == f"{out}: going on after epoch 1."
    assert json.loads(said.out)["epochs"] == 3
    for row, other in zip(rows(out), rows(whole), strict=True):
        assert row == pytest.approx(other, rel=1e-4)
    assert pretrain(folder / "teacher.keras", out, "--set", "pooled=0") == 2
    assert "holds a run with other settings: set was {}" in capsys.readouterr().err


def test_distill_puts_a_classifier_behind_it_and_starts_from_its_weights(
    whole, folder, capsys, monkeypatch
):
    started = {}
    fit = keras_kd.Distiller.fit

    def seen(self, *args, **kwargs):
        started["weights"] = [w.numpy() for w in self.student.weights]
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(keras_kd.Distiller, "fit", seen)
    out = folder / "nachher"
    argv = ["distill", folder / "teacher.keras", whole / "student.keras", "--out", out]
    assert main([*map(str, argv), "--epochs", "2", "--json"]) == 0
    backbone = keras.saving.load_model(whole / "student.keras")
    for ours, theirs in zip(started["weights"], backbone.weights, strict=False):
        np.testing.assert_array_equal(ours, theirs.numpy())
    student = keras.saving.load_model(out / "student.keras")
    same = _students.build("cnn-small", (8, 8, 1), 10, 0, 10)
    assert [w.shape for w in student.weights] == [w.shape for w in same.weights]
    assert json.loads(capsys.readouterr().out)["test_accuracy"] > 0.25
    # And the run goes on: its student is built in the same way again.
    assert main([*map(str, argv), "--epochs", "3"]) == 0
    assert "going on after epoch 2" in capsys.readouterr().err


def test_a_folder_without_classes(photos, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert pretrain(folder / "teacher.keras", out, "--data", photos, "--json", epochs=1) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[0] == "student:relu3 learns from teacher:block1."
    summary = json.loads(said.out)
    assert (summary["images"], summary["validation_images"]) == (54, 6)


def test_of_a_folder_with_parts_the_test_images_are_not_seen(folder, tmp_path, digits, capsys):
    for part, count in (("train", 20), ("test", 30)):
        (tmp_path / "set" / part / "a").mkdir(parents=True)
        for number, x in enumerate(digits.x_train[:count]):
            path = tmp_path / "set" / part / "a" / f"{number}.png"
            keras.utils.save_img(path, 255 * x, scale=False)
    data = ("--data", tmp_path / "set")
    assert pretrain(folder / "teacher.keras", tmp_path / "out", *data, "--json", epochs=1) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 18


def test_a_student_with_its_own_classifier_keeps_it(folder, tmp_path):
    student = _students.build("cnn-small", (8, 8, 1), 10, 0, 10)
    student.save(tmp_path / "own.keras")
    out = tmp_path / "out"
    assert pretrain(folder / "teacher.keras", out, student=tmp_path / "own.keras", epochs=1) == 0
    after = keras.saving.load_model(out / "student.keras")
    assert after.output_shape == (None, 10)
    np.testing.assert_array_equal(after.weights[-1].numpy(), student.weights[-1].numpy())
    assert not np.allclose(after.weights[0].numpy(), student.weights[0].numpy())


@pytest.mark.parametrize(
    "more, student, message",
    [
        ((), "mlp-16", "'mlp' has no feature map, which pretraining is about"),
        ((), "cnn-smal", "No student 'cnn-smal'. Expected a .keras file or one of"),
        (("--augment", "auto"), "cnn-small", "--augment auto asks the teacher about images with"),
        (("--set", "spatail=0"), "cnn-small", "has no setting 'spatail'"),
        (("--set", "target=teacher:blok1"), "cnn-small", "No layer 'blok1' in teacher"),
        (("--data", "./nowhere/"), "cnn-small", "There is no folder 'nowhere'"),
    ],
)
def test_what_will_not_do(folder, tmp_path, more, student, message, capsys):
    assert pretrain(folder / "teacher.keras", tmp_path / "out", *more, student=student) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_images(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    data = ("--data", f"{tmp_path}/empty")
    assert pretrain(folder / "teacher.keras", tmp_path / "out", *data) == 2
    assert "could not be read: No images found" in capsys.readouterr().err


def test_a_backbone_that_ends_in_a_pooling_gets_a_classifier_and_others_stay():
    x = inputs = keras.Input((8, 8, 1))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(keras.layers.Conv2D(3, 3)(x))
    pooled = keras.Model(inputs, x)
    assert _students.with_head(pooled, 4).output_shape == (None, 4)
    whole = keras.Model(inputs, keras.layers.Dense(7, name="logits")(x))
    assert _students.with_head(whole, 4) is whole
