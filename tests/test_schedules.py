"""A schedule stands wherever a float stands, is read at the current step, and costs no retrace."""

import keras
import numpy as np
import pytest

import keras_kd
from tests.models import cross_entropy, data, equal, mlp, set_weights, values

schedules = keras.optimizers.schedules


def make(temperature, weight, **kwargs):
    terms = [
        keras_kd.Labels(weight=weight),
        keras_kd.Term(keras_kd.losses.SoftTarget(temperature), weight=weight),
    ]
    student, teacher = set_weights(mlp("s"), 1), set_weights(mlp("t"), 2)
    distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=terms)
    distiller.compile(keras.optimizers.SGD(0.05), cross_entropy(), **kwargs)
    return distiller


def test_a_schedule_gives_at_each_step_what_its_value_gives():
    x, y = data(40)
    temperature = schedules.PolynomialDecay(8.0, 4, 1.0)
    weight = schedules.PiecewiseConstantDecay([1, 2], [1.0, 0.5, 2.0])
    moving = make(temperature, weight)
    history = moving.fit(x, y, batch_size=10, shuffle=False, verbose=0).history
    held = make(1.0, 1.0)
    totals = []
    for step in range(4):
        part = slice(10 * step, 10 * step + 10)
        held.terms[1].loss.temperature = float(temperature(step))
        for term in held.terms:
            term.weight = float(weight(step))
        held.compile(held.optimizer, cross_entropy())
        totals.append(held.train_on_batch(x[part], y[part], return_dict=True)["loss"])
    assert history["loss"][0] == pytest.approx(np.mean(totals), rel=1e-5)
    assert equal(values(moving.student.variables), values(held.student.variables), 1e-6)


def test_schedules_are_traced_once(monkeypatch, backend):
    if backend == "torch":
        pytest.skip("torch runs eagerly: nothing is traced")
    traces = []
    original = keras_kd.Distiller._objective

    def counted(self, *args, **kwargs):
        traces.append(kwargs["training"])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(keras_kd.Distiller, "_objective", counted)
    x, y = data(40)
    distiller = make(
        schedules.CosineDecay(8.0, 20, alpha=0.2), schedules.ExponentialDecay(1.0, 5, 0.9)
    )
    distiller.fit(x, y, batch_size=10, epochs=1, verbose=0, validation_data=(x, y))
    first = list(traces)
    distiller.fit(x, y, batch_size=10, epochs=4, verbose=0, validation_data=(x, y))
    assert traces == first  # not once more in 16 further steps
    # TensorFlow traces an input function's first call twice, to see that nothing is created anew.
    assert first.count(True) <= 2 and first.count(False) <= 2


def test_evaluate_reads_the_schedule_where_training_stands():
    x, y = data(40)
    distiller = make(4.0, schedules.PiecewiseConstantDecay([3], [1.0, 10.0]))
    before = distiller.evaluate(x, y, verbose=0, return_dict=True)
    assert before["loss"] == pytest.approx(before["labels"] + before["soft_target"], rel=1e-5)
    distiller.fit(x, y, batch_size=10, verbose=0)
    after = distiller.evaluate(x, y, verbose=0, return_dict=True)
    assert after["loss"] == pytest.approx(10 * (after["labels"] + after["soft_target"]), rel=1e-5)
