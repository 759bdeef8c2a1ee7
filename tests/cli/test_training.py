"""What `keras-kd distill` chooses by the data: batches, the learning rate, changes of images."""

import argparse

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import _training_choices
from keras_kd.cli import _training, main
from keras_kd.data import Crop, Dataset, Flip, Info, Part

layers = keras.layers


def options(**given):
    plain = {"batch_size": None, "learning_rate": None, "student": "tiny", "augment": ["auto"]}
    return argparse.Namespace(**{**plain, "seed": 0, "teacher": "t.keras", **given})


@pytest.mark.parametrize(
    "given, examples, batch, rate",
    [
        ({}, 1000, 32, 0.01),
        ({}, 50_000, 64, 0.01),
        ({"student": "mine.keras"}, 1000, 32, 0.001),
        ({"batch_size": 7, "learning_rate": 0.5}, 1000, 7, 0.5),
    ],
)
def test_what_is_not_said_follows_from_the_set(given, examples, batch, rate):
    chosen = options(**given)
    _training.choose(chosen, examples)
    assert (chosen.batch_size, chosen.learning_rate) == (batch, rate)


@pytest.mark.parametrize("steps", [1, 2, 20])
def test_the_learning_rate_rises_and_falls(steps):
    schedule = _training.rate(options(learning_rate=0.02), steps)
    rates = [float(schedule(step)) for step in range(steps + 1)]
    warming = max(1, round(0.1 * steps))
    assert rates[0] == pytest.approx(0.002)
    assert rates[warming] == max(rates) == pytest.approx(0.02)
    assert all(a > b for a, b in zip(rates[warming:], rates[warming + 1 :], strict=False))
    if steps > 1:
        assert rates[steps] == pytest.approx(0.0, abs=1e-8)
        middle = 0.02 * 0.5 * (1 + np.cos(np.pi * (steps // 2 - warming) / (steps - warming)))
        assert rates[steps // 2] == pytest.approx(middle, rel=1e-5)


# Changes of the images: those under which the teacher knows them.


def bars(classes):
    """Images with one bright column, whose place is the class, and a model that reads it."""
    places = np.repeat(np.arange(8), 30)
    x = np.zeros((240, 8, 8, 1), "float32")
    x[np.arange(240), :, places] = 1.0
    y = classes(places).astype("int32")
    part = Part(x, y, np.array([f"{n}" for n in range(240)]))
    info = Info("bars", 8, tuple("01234567"), (8, 8, 1), {"validation": 240}, "", "")
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(8, use_bias=False)]
    )
    kernel = np.zeros((8, 8, 8), "float32")
    kernel[:, np.arange(8), classes(np.arange(8))] = 1.0
    model.layers[-1].set_weights([kernel.reshape(64, 8)])
    return Dataset(info, {"validation": part}), model


def test_no_change_that_the_teacher_does_not_know():
    data, teacher = bars(lambda place: place)
    augment, why = _training.augmentation(options(), teacher, data)
    assert augment is None
    assert why.startswith("Of 240 images the teacher knows 100.0%, and ")
    assert "0.0% after --augment mirror" not in why  # half of them are not mirrored
    assert why.endswith("It is taught with none.")


def test_a_change_that_the_teacher_knows():
    data, teacher = bars(lambda place: np.minimum(place, 7 - place))  # left and right are alike
    augment, why = _training.augmentation(options(seed=3), teacher, data)
    assert (augment.steps, augment.seed) == ((Flip(),), 3)
    assert "100.0% after --augment mirror" in why and "taught with mirror." in why
    data, teacher = bars(lambda place: 0 * place)
    assert _training.augmentation(options(), teacher, data)[0].steps == (Crop(1), Flip())


@pytest.mark.parametrize("side, padding", [(8, 1), (28, 2), (32, 2), (96, 7), (224, 16)])
def test_a_shift_is_a_fourteenth_of_the_side(side, padding):
    assert _training_choices.changes_for((side, 2 * side, 3))["shift"] == Crop(padding)


def test_what_is_asked_for_is_done():
    data, teacher = bars(lambda place: place)
    asked = options(augment=["mirror", "shift"])
    assert _training.augmentation(asked, teacher, data)[0].steps == (Flip(), Crop(1))
    assert _training.augmentation(options(augment=["none"]), teacher, data) == (None, "")
    assert _training.augmentation(options(), None, data) == (None, "")
    with pytest.raises(ValueError, match=r"cannot be changed now\. Leave out --augment"):
        _training.augmentation(asked, None, data)


def test_student_and_teacher_see_the_same_new_view_in_every_epoch(folder, tmp_path, monkeypatch):
    found = {}

    def stop(self, data, **kwargs):
        first = data[0][0]
        data.on_epoch_end()
        found.update(first=first, second=data[0][0], whole=data)
        raise KeyboardInterrupt

    monkeypatch.setattr(keras_kd.Distiller, "fit", stop)
    argv = ["distill", folder / "teacher.keras", "mlp-16", "--augment", "shift", "--out", tmp_path]
    assert main([*map(str, argv)]) == 130
    data = found["whole"]
    assert data.augment.steps == (Crop(1),)
    ids = data.data[0]["id"]  # of the second epoch, for which the order is another
    plain = data.data[0]["x"]
    again = data.augment(plain, ids=ids, views=1)
    np.testing.assert_array_equal(found["second"], again)
    assert (again != plain).any()
    assert (again != data.augment(plain, ids=ids, views=2)).any()


def test_words_that_are_no_change(capsys):
    for text in ("flip", "auto,shift", "shift,shift", ""):
        with pytest.raises(SystemExit):
            main(["distill", "t.keras", "tiny", "--augment", text])
        assert "must be auto, none, shift, mirror or shift,mirror" in capsys.readouterr().err
