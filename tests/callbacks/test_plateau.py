"""A term counts less once it stops helping, without a new trace, and stays so in a file."""

from itertools import pairwise

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd.callbacks import Plateau
from keras_kd.schedules import Adjustable
from tests.models import cross_entropy, data, equal, mlp, set_weights, values


def distiller(weight, labels=1.0):
    terms = [
        keras_kd.Labels(labels),
        keras_kd.Term(keras_kd.losses.SoftTarget(2.0), weight=weight, name="soft"),
    ]
    student, teacher = set_weights(mlp("s"), 1), set_weights(mlp("t"), 2)
    made = keras_kd.Distiller(student=student, teacher=teacher, terms=terms)
    made.compile(keras.optimizers.SGD(0.05), cross_entropy())
    return made


def drive(plateau, numbers, weight=8.0):
    """The weight after each epoch of these numbers, as `fit` tells of them."""
    made = distiller(Adjustable(weight))
    plateau.set_model(made)
    plateau.on_train_begin()
    seen = []
    for epoch, number in enumerate(numbers):
        plateau.on_epoch_end(epoch, {} if number is None else {"val_accuracy": number})
        seen.append(made.terms[1].weight.now)
    return seen


@pytest.mark.parametrize(
    "kwargs, numbers, weights",
    [
        ({}, [0.5, 0.6, 0.6, 0.6, 0.6, 0.6], [8, 8, 8, 8, 4, 4]),
        ({"patience": 1}, [0.5, 0.4, 0.6, 0.6], [8, 4, 4, 2]),
        ({"patience": 1, "factor": 0.0}, [0.5, 0.5, 0.5], [8, 0, 0]),
        ({"patience": 1, "min_weight": 3.0}, [0.5] * 4, [8, 4, 3, 3]),
        ({"patience": 1, "cooldown": 2}, [0.5] * 6, [8, 4, 4, 4, 2, 2]),
        ({"patience": 2, "min_delta": 0.1}, [0.5, 0.55, 0.59, 0.7, 0.75], [8, 8, 4, 4, 4]),
        ({"patience": 1, "mode": "min"}, [0.5, 0.6, 0.4], [8, 4, 4]),
        ({"patience": 1}, [0.5, None, None, 0.4], [8, 8, 8, 4]),
        ({"patience": 1}, [0.5, np.nan, 0.6], [8, 4, 4]),
    ],
)
def test_the_weight_after_each_epoch(kwargs, numbers, weights):
    plateau = Plateau("soft", **kwargs)
    assert drive(plateau, numbers) == weights
    changes = [(i + 2, w) for i, (v, w) in enumerate(pairwise(weights)) if v != w]
    assert plateau.changes == changes


def test_the_changed_weight_is_the_one_that_trains(monkeypatch, backend):
    """Two epochs at 0.9 and two at 0.225, beside distillers of those constant weights."""
    traces = []
    original = keras_kd.Distiller._objective

    def counted(self, *args, **kwargs):
        traces.append(kwargs["training"])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(keras_kd.Distiller, "_objective", counted)
    x, y = data(40)
    fixed = {"batch_size": 10, "shuffle": False, "verbose": 0}
    moved = distiller(Adjustable(0.9))
    plateau = Plateau("soft", "loss", patience=1, factor=0.25, min_delta=1e6)
    moved.fit(x, y, epochs=1, **fixed)
    traced = len(traces)
    first = moved.fit(x, y, epochs=2, callbacks=[plateau], **fixed).history["loss"]
    second = moved.fit(x, y, epochs=1, **fixed).history["loss"]
    assert plateau.changes == [(2, pytest.approx(0.225))]
    if backend != "torch":  # which runs eagerly
        assert len(traces) == traced

    held = distiller(0.9)
    held.fit(x, y, epochs=1, **fixed)
    losses = held.fit(x, y, epochs=2, **fixed).history["loss"]
    assert first == pytest.approx(losses, rel=1e-6)
    late = distiller(0.225)
    late.student.set_weights(held.student.get_weights())
    assert second == pytest.approx(late.fit(x, y, epochs=1, **fixed).history["loss"], rel=1e-5)
    assert equal(values(moved.student.variables), values(late.student.variables), 1e-6)


def test_a_changed_weight_is_saved_and_restored(tmp_path):
    made = distiller(Adjustable(0.9), labels=Adjustable(0.5))
    made.terms[0].weight.assign(0.75)
    made.terms[1].weight.assign(0.25)
    made.save(tmp_path / "d.keras")
    back = keras.saving.load_model(tmp_path / "d.keras")
    assert [term.weight.now for term in back.terms] == [0.75, 0.25]
    assert [term.weight.value for term in back.terms] == [0.5, 0.9]
    assert len(back.trainable_variables) == len(made.student.trainable_variables)


def test_the_weight_of_a_recipes_term_may_be_made_adjustable():
    terms = keras_kd.recipes.hinton(temperature=2.0, alpha=0.75)
    terms[1].weight = Adjustable(terms[1].weight)
    assert terms[1].weight.now == 0.75
    assert [v.path for v in terms[1].non_trainable_variables] == ["adjustable"]
    with pytest.raises(ValueError, match="`weight` must be a finite number"):
        terms[1].weight = float("nan")


@pytest.mark.parametrize(
    "args, kwargs, message",
    [
        (("soft",), {"factor": 1.0}, "`factor` must be from 0 to below 1"),
        (("soft",), {"patience": 0}, "`patience` must be a whole number of at least 1"),
        (("soft",), {"cooldown": -1}, "`cooldown` must be a whole number of at least 0"),
        (("soft",), {"min_weight": -1.0}, "`min_weight` must be 0 or more"),
        (("soft", "soft"), {}, "Pass mode='max' or mode='min'"),
    ],
)
def test_bad_arguments(args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        Plateau(*args, **kwargs)


def test_what_cannot_be_changed_is_said_before_training():
    x, y = data(10)
    made = distiller(0.9)
    with pytest.raises(ValueError, match=r"weight of the term 'soft' is 0.9, which is fixed"):
        made.fit(x, y, verbose=0, callbacks=[Plateau("soft")])
    with pytest.raises(
        ValueError, match=r"'labels', 'soft'. Received: 'sofd'. Did you mean 'soft'"
    ):
        made.fit(x, y, verbose=0, callbacks=[Plateau("sofd")])
    plain = mlp("plain")
    plain.compile("sgd", cross_entropy())
    with pytest.raises(ValueError, match="and 'plain' is none"):
        plain.fit(x, y, verbose=0, callbacks=[Plateau("soft")])
    assert int(made._step.numpy()) == 0


@pytest.mark.parametrize("value", [float("inf"), "1", keras.optimizers.schedules.CosineDecay(1, 2)])
def test_an_adjustable_holds_a_finite_number(value):
    with pytest.raises(ValueError, match="`value` must be a finite number"):
        Adjustable(value)
    with pytest.raises(ValueError, match="`value` must be a finite number"):
        Adjustable(1.0).assign(float("nan"))
