"""`keras-kd doctor`, and the recipe that `keras-kd distill` takes when none is named."""

import json

import keras
import pytest

from keras_kd.cli import main
from tests.auto import patients


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor")
    patients.teacher().save(folder / "sound.keras")
    kernel, bias = patients.fitted(
        *patients.digits().test, 10
    )  # the images of training are new to it
    patients.linear(40 * kernel, 40 * bias, (8, 8, 1)).save(folder / "sure.keras")
    kernel, bias = patients.of_digits()
    wrong = patients.linear(kernel, bias, (8, 8, 1), keras.layers.Rescaling(1 / 255))
    wrong.save(folder / "wrong.keras")
    soft = keras.Sequential([*patients.teacher().layers, keras.layers.Softmax()])
    soft.build((None, 8, 8, 1))
    soft.save(folder / "soft.keras")
    return folder


@pytest.mark.parametrize("name", ["sound", "soft"])  # a softmax is taken off, as distill does
def test_a_sound_teacher(models, name, capsys):
    student = ["--student", "mlp-16"] if name == "sound" else []
    code = main(["doctor", str(models / f"{name}.keras"), "--data", "digits", *student])
    said = capsys.readouterr()
    assert code == 0, said.out + said.err
    assert "error:" not in said.out and "fine:" in said.out


def test_a_fault_is_exit_code_1(models, tmp_path, capsys):
    page = tmp_path / "page.html"
    code = main(
        ["doctor", str(models / "wrong.keras"), "--data", "digits", "--json", "--out", str(page)]
    )
    said = capsys.readouterr()
    assert code == 1 and "1 error" in said.err
    found = {one["name"]: one for one in json.loads(said.out)["findings"]}
    assert found["input_scale"]["severity"] == "error"
    assert "wanted=(0, 255)" in found["input_scale"]["remedy"]
    assert "input_scale" in page.read_text("utf-8")
    # The scale of the command line is the remedy there.
    assert main(["doctor", str(models / "wrong.keras"), "--data", "digits", "--scale", "255"]) == 0


@pytest.mark.parametrize(
    "given, told",
    [(["--student", "tinny"], "No student 'tinny'"), (["--out", "page.txt"], "must end in .html"),
     (["--store", "nowhere"], "nowhere")],
)  # fmt: skip
def test_bad_input(models, given, told, capsys):
    code = main(["doctor", str(models / "sound.keras"), "--data", "digits", *given])
    said = capsys.readouterr()
    assert told in said.err + said.out
    assert code == (2 if "--store" not in given else 1)


def distilled(models, name, out, *more):
    return main(
        ["distill", str(models / f"{name}.keras"), "mlp-16", "--data", "digits", "--epochs", "1",
         "--batch-size", "256", "--validation", "0.4", "--out", str(out), *more]
    )  # fmt: skip


def test_distill_uses_and_prints_what_is_suggested(models, tmp_path, capsys):
    assert distilled(models, "sure", tmp_path / "a") == 0
    said = capsys.readouterr().err
    assert "No --recipe was given: terms = kd.recipes.hinton(temperature=" in said
    assert "surer than it is right" in said
    settings = json.loads((tmp_path / "a" / "settings.json").read_text())
    assert settings["recipe"] == "hinton" and float(settings["set"]["temperature"]) > 8
    assert (
        distilled(models, "sure", tmp_path / "a") == 0
    )  # the same again: nothing is left to train
    assert "nothing is left to train" in capsys.readouterr().err
    assert distilled(models, "sure", tmp_path / "b", "--set", "temperature=3") == 0
    settings = json.loads((tmp_path / "b" / "settings.json").read_text())
    assert settings["set"]["temperature"] == "3"
    capsys.readouterr()
    assert distilled(models, "sure", tmp_path / "c", "--recipe", "hinton") == 0
    assert "No --recipe" not in capsys.readouterr().err
    assert json.loads((tmp_path / "c" / "settings.json").read_text())["set"] == {}


def test_of_a_sound_teacher_it_is_the_default(models, tmp_path):
    assert distilled(models, "sound", tmp_path / "a") == 0
    settings = json.loads((tmp_path / "a" / "settings.json").read_text())
    assert (settings["recipe"], settings["set"]) == ("hinton", {})
