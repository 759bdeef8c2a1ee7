"""A first recipe: the defaults where nothing speaks against them, and each departure with its reason."""

import numpy as np
import pytest

import keras_kd as kd
from tests.auto import patients
from tests.auto import test_doctor_faults as faults
from tests.auto.patients import on_digits


def choices(suggestion, name):
    return [choice for choice in suggestion.choices if choice.name == name]


def test_a_sound_set_up_gets_the_defaults():
    found = kd.auto.suggest(**{"examination": patients.teacher()} | rest(on_digits()))
    assert (found.recipe, found.settings, found.code) == (
        "hinton",
        {},
        "terms = kd.recipes.hinton()",
    )
    assert not choices(found, "before")
    for name in ("recipe", "temperature", "alpha"):
        (choice,) = choices(found, name)
        assert choice.reason


def rest(case):
    return {name: value for name, value in case.items() if name != "teacher"}


def test_a_teacher_that_is_too_sure_gets_a_higher_temperature():
    case = on_digits(teacher=patients.teacher(8.0))
    found = kd.auto.suggest(kd.auto.examine(**case))
    temperature = found.settings["temperature"]
    calibrating = kd.auto.examine(**case).facts.numbers["temperature"]
    assert temperature == pytest.approx(min(20.0, 4 * calibrating), abs=0.06) and temperature > 8
    assert "surer than it is right" in str(found) and "Guo et al." in str(found)
    soft = next(term for term in found.terms if term.name == "soft_target")
    assert soft.loss.temperature == temperature


def test_wrong_labels_give_the_teacher_all(tmp_path):
    found = kd.auto.suggest(kd.auto.examine(**faults.wrong_labels(tmp_path)))
    assert found.settings["alpha"] == 1.0
    assert [term.name for term in found.terms] == ["soft_target"]


def test_a_weak_teacher_gets_little(tmp_path):
    found = kd.auto.suggest(kd.auto.examine(**faults.below_linear(tmp_path)))
    assert found.settings["alpha"] == 0.1
    assert "below a linear model" in choices(found, "alpha")[0].reason


@pytest.mark.parametrize(
    "plant, told",
    [(faults.memorised, "cross_fit"), (faults.wants_255, "ConvertInput"), (faults.permuted, "ClassMap"),
     (faults.disguised, "probabilities"), (faults.huge_teacher, "assistant")],
)  # fmt: skip
def test_what_comes_before_training(plant, told, tmp_path):
    found = kd.auto.suggest(kd.auto.examine(**{**plant(tmp_path), "student": patients.student(12)}))
    assert any(told in choice.value for choice in choices(found, "before")), str(found)


@pytest.mark.parametrize(
    "teacher, data, recipe",
    [(patients.odds, patients.labels, "binary"), (patients.curve, patients.numbers, "regression")],
)
def test_the_recipe_is_that_of_the_task(teacher, data, recipe):
    found = kd.auto.suggest(teacher, train=data(), validation=data(200, seed=1))
    assert found.recipe == recipe and found.settings == {}
    assert found.code == f"terms = kd.recipes.{recipe}()"
    names = {"kd": kd}
    exec(found.code, names)
    assert [t.name for t in names["terms"]] == [t.name for t in found.terms]


def test_it_looks_only_at_what_a_recipe_follows_from():
    asked = []
    model = patients.teacher()

    def counted(x):
        asked.append(len(x))
        return model.predict(np.asarray(x), verbose=0, batch_size=2000)

    x, y = patients.digits().test
    kd.auto.suggest(counted, train=(x[:100], y[:100]), validation=(x[100:200], y[100:200]))
    assert sum(asked) <= 600


def test_bad_input(tmp_path):
    found = kd.auto.examine(**faults.not_finite(tmp_path))
    with pytest.raises(ValueError, match=r"nothing to learn from this teacher: .*NaN"):
        kd.auto.suggest(found)
    with pytest.raises(TypeError, match="knows its student and its examples"):
        kd.auto.suggest(found, patients.student())
