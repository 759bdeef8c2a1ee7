"""A student that turns NaN is named; an evaluation without the teacher's answers; names in order."""

import re
import warnings

import keras
import numpy as np
import pytest

import keras_kd
from tests.models import CLASSES, cross_entropy, data, mlp

SOFT = keras_kd.losses.SoftTarget


def says(text):
    return pytest.raises(ValueError, match=re.escape(text))


def regressor(rate, weight=1.0, **kwargs):
    model = keras_kd.Distiller(
        student=mlp("s"), teacher=mlp("t"), terms=[keras_kd.Labels(weight)], **kwargs
    )
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def numbers(n=48):
    return np.random.default_rng(1).normal(size=(n, CLASSES)).astype("float32")


# A student that turns NaN.


@pytest.mark.parametrize("validation", [False, True])
def test_a_loss_that_turns_nan_names_batch_term_causes_and_remedy(validation):
    x, _ = data()
    model, y = regressor(1e30, 1e8), numbers()
    more = {"validation_data": (x[:8], y[:8])} if validation else {}
    with says("The student's loss is NaN or infinite (of the terms: 'labels'): in") as caught:
        model.fit(x, y, batch_size=16, epochs=3, verbose=0, **more)
    told = str(caught.value)
    assert "in batch 1 (counted from 0), while the teacher's outputs were finite." in told
    assert "lower the learning rate" in told and "global_clipnorm" in told
    assert "Its weights are NaN by now" in told


def test_weights_that_turn_nan_in_the_very_last_step():
    x, _ = data()
    with says("The student's weights turned NaN or infinite: 's/hidden/kernel' in the last step"):
        regressor(1e30, 1e30).fit(x, numbers(), batch_size=48, verbose=0)


def test_a_validation_does_not_hide_it():
    """The counters begin anew with the validation, which may be finite."""
    x, _ = data(96)
    y = numbers(96)
    y[70] = np.nan  # in batch 4 of 6: after the last look midway
    model = regressor(0.0)
    with says("(of the terms: 'labels'): in 2 of 6 batches, first in batch 4 (counted from 0)"):
        model.fit(x, y, batch_size=16, shuffle=False, verbose=0, validation_data=(x[:16], y[:16]))


def test_a_teachers_fault_before_a_validation_is_not_hidden_either():
    x, y = data(96)
    answers = np.zeros((96, CLASSES), "float32")
    answers[70] = np.nan
    model = keras_kd.Distiller(student=mlp("s"))
    model.compile("sgd", cross_entropy())
    signals = {"inputs": x, "signals": {"teacher:output": answers}}
    clean = {"inputs": x[:16], "signals": {"teacher:output": answers[:16]}}
    with says("The teacher's outputs hold NaN or infinite values: 'teacher:output' in 1 of 6"):
        model.fit(
            signals, y, batch_size=16, shuffle=False, verbose=0, validation_data=(clean, y[:16])
        )


def test_terminate_on_nan_ends_it_in_its_own_way():
    x, _ = data()
    stop = keras.callbacks.TerminateOnNaN()
    model = regressor(1e30, 1e8)
    history = model.fit(x, numbers(), batch_size=16, epochs=5, verbose=0, callbacks=[stop]).history
    assert len(history["loss"]) == 1 and not np.isfinite(history["loss"][0])


def test_an_evaluation_of_nan_is_a_number_to_look_at():
    x, _ = data()
    y = numbers()
    y[3] = np.nan
    assert np.isnan(regressor(0.0).evaluate(x, y, verbose=0, return_dict=True)["loss"])


def test_batches_left_out_for_the_teacher_are_not_the_students_fault():
    x, y = data(48)
    answers = np.zeros((48, CLASSES), "float32")
    answers[20] = np.inf
    inputs = {"inputs": x, "signals": {"teacher:output": answers}}
    model = keras_kd.Distiller(student=mlp("s"), on_bad_teacher="skip")
    model.compile(keras.optimizers.SGD(0.1), cross_entropy())
    logs = model.fit(
        inputs, y, batch_size=16, shuffle=False, verbose=0, validation_data=(inputs, y)
    ).history
    assert logs["skipped"] == [1.0] and np.isfinite(logs["loss"]).all()
    model.compile(keras.optimizers.SGD(1e30), cross_entropy())
    with says("The student's loss is NaN or infinite"):
        model.fit(inputs, y, batch_size=16, shuffle=False, epochs=2, verbose=0)


def test_half_precision_with_a_scaled_loss_goes_on():
    """Its gradients overflow at first, by design; its losses do not."""
    x, y = data()
    student, teacher = (mlp(name, dtype="mixed_float16") for name in "st")
    model = keras_kd.Distiller(student=student, teacher=teacher)
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01), initial_scale=2.0**40
    )
    model.compile(optimizer, cross_entropy())
    assert np.isfinite(model.fit(x, y, epochs=2, verbose=0).history["loss"]).all()


# An evaluation without the teacher's answers.


def from_signals(terms=None, judged=(), loss=True):
    x, y = data()
    signals = {"inputs": x, "signals": {"teacher:output": numbers()}}
    model = keras_kd.Distiller(student=mlp("s"), terms=terms)
    model.compile(
        keras.optimizers.SGD(0.1), cross_entropy() if loss else None, metrics=list(judged)
    )
    return model, signals, x, y


def test_training_from_signals_with_a_plain_validation():
    model, signals, x, y = from_signals(judged=["accuracy", keras_kd.metrics.Agreement()])
    words = (
        "This evaluation brings no 'teacher:output', and no model here gives it. Left out: "
        "'soft_target', 'agreement'. Its loss is the sum of 'labels' alone"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        logs = model.fit(signals, y, epochs=2, verbose=0, validation_data=(x, y)).history
    assert sum(words in str(one.message) for one in caught) == 1  # once
    assert set(logs) == {
        "accuracy", "agreement", "labels", "loss", "soft_target", "val_accuracy", "val_labels",
        "val_loss",
    }  # fmt: skip
    np.testing.assert_allclose(
        logs["val_loss"], model.terms[0].weight * np.array(logs["val_labels"]), rtol=1e-5
    )
    assert min(logs["soft_target"]) > 0
    log_p = keras.ops.log_softmax(model.student.predict(x, verbose=0))
    rows = -np.array(keras.ops.convert_to_numpy(log_p))[range(48), y]
    assert logs["val_labels"][-1] == pytest.approx(rows.mean(), rel=1e-5)
    whole = model.evaluate(signals, y, verbose=0, return_dict=True)
    assert {"soft_target", "agreement"} <= set(whole)


def test_nothing_but_the_teacher_to_learn_from():
    model, signals, x, y = from_signals([keras_kd.Term(SOFT())], ["accuracy"], loss=False)
    with pytest.warns(UserWarning, match="It has no loss, for no term is left"):
        logs = model.fit(signals, y, verbose=0, validation_data=(x, y)).history
    assert set(logs) == {"accuracy", "loss", "soft_target", "val_accuracy"}


def test_training_without_the_answers_is_still_refused():
    model, signals, x, y = from_signals()
    with says("Term 'soft_target' needs 'teacher:output', which no model here gives"):
        model.fit(x, y, verbose=0, validation_data=(signals, y))


# Names in order.


@pytest.mark.parametrize("skip", ["raise", "skip"])
def test_the_list_of_evaluate_is_in_the_order_of_metrics_names(skip):
    x, y = data()
    model = keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"), on_bad_teacher=skip)
    judged = [
        "accuracy",
        keras_kd.metrics.Agreement(),
        keras.metrics.SparseCategoricalAccuracy("a"),
    ]
    model.compile("sgd", cross_entropy(), metrics=judged)
    named = model.evaluate(x, y, verbose=0, return_dict=True)
    listed = model.evaluate(x, y, verbose=0)
    assert dict(zip(model.metrics_names, listed, strict=True)) == named
    assert model.metrics_names[0] == "loss"
    assert ("skipped" in model.metrics_names) == (skip == "skip")


# Batches that are given one by one.


def given(answers, **kwargs):
    x, y = data(len(answers))
    model = keras_kd.Distiller(student=mlp("s"), **kwargs)
    model.compile(keras.optimizers.SGD(0.1), cross_entropy())
    return model, {"inputs": x, "signals": {"teacher:output": answers}}, y


def test_a_loss_that_is_nan_is_named_in_train_on_batch():
    x, _ = data()
    y = numbers()
    y[3] = np.nan
    model = regressor(0.1)
    assert np.isnan(model.test_on_batch(x, y, return_dict=True)["loss"])
    with says("The student's loss is NaN or infinite (of the terms: 'labels')"):
        model.train_on_batch(x, y)


@pytest.mark.parametrize("use", ["train_on_batch", "test_on_batch"])
def test_a_teachers_fault_is_named_batch_by_batch(use):
    model, inputs, y = given(np.full((8, CLASSES), np.nan, "float32"))
    with says("The teacher's outputs hold NaN or infinite values: 'teacher:output'"):
        getattr(model, use)(inputs, y)


def test_a_batch_to_skip_is_skipped_in_train_on_batch():
    model, inputs, y = given(np.full((8, CLASSES), np.nan, "float32"), on_bad_teacher="skip")
    assert model.train_on_batch(inputs, y, return_dict=True)["skipped"] == 1.0
    assert int(model._step.numpy()) == 0


@pytest.mark.parametrize("use", ["train_on_batch", "test_on_batch"])
def test_probabilities_in_small_batches_add_up(use):
    logits = np.random.default_rng(0).normal(0, 3, (4, CLASSES)).astype("float32")
    answers = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    model, inputs, y = given(answers)
    getattr(model, use)(inputs, y)  # four rows may be an accident
    with says("Term 'soft_target' reads 'teacher:output' as logits, and it holds probabilities"):
        getattr(model, use)(inputs, y)


@pytest.mark.parametrize("use", ["train_on_batch", "test_on_batch"])
def test_labels_out_of_range_are_named_batch_by_batch(use):
    x, y = data()
    model = keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"))
    model.compile("sgd", cross_entropy())
    y[20] = CLASSES + 4
    with says(
        "Term 'labels' takes class numbers from 0 to 2 for 'student:output', and `y` holds 7"
    ):
        getattr(model, use)(x, y)


@pytest.mark.skipif(keras.config.backend() != "jax", reason="the state is elsewhere on JAX alone")
def test_what_is_looked_at_in_each_step_leaves_the_state_where_it_is(monkeypatch):
    """Bringing it back after each step would cost more than a small step does."""
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    distiller = keras_kd.Distiller(
        student=mlp("s"), teacher=mlp("t"), terms=keras_kd.recipes.hinton(alpha=1.0)
    )
    distiller.compile("sgd")
    distiller.fit(x[:4], batch_size=1, verbose=0)
    before = []
    attach = type(distiller).jax_state_sync

    def counted(self):
        before.append(getattr(self, "_jax_state_synced", True))
        return attach(self)

    monkeypatch.setattr(type(distiller), "jax_state_sync", counted)
    distiller.fit(x, batch_size=1, verbose=0)
    assert before.count(False) < 20  # of 64 steps: at the powers of two, and at the end
