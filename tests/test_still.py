"""What stands still: a teacher's state, on every backend; and teachers that threads share."""

import threading

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd
from tests.models import CLASSES, cross_entropy, data, equal, mlp, set_weights, values


class Drawing(layers.Layer):
    """Draws from its seed in inference too, and keeps a mean of what it saw."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed, self.mean = keras.random.SeedGenerator(1), keras.metrics.Mean(name="seen")

    def call(self, x):
        self.mean.update_state(ops.mean(x))
        return x + keras.random.normal(ops.shape(x), seed=self.seed)


def sequences(name, stateful=False):
    inputs = keras.Input(batch_shape=(16, 4, 2))
    lstm = layers.LSTM(3, stateful=stateful)
    x = lstm(inputs)
    if stateful:  # each of these moves something when it answers
        x = layers.BatchNormalization()(x, training=True)
        x = layers.GaussianNoise(0.5)(layers.Dropout(0.5)(x, training=True), training=True)
        x = Drawing()(x)
    return keras.Model(inputs, layers.Dense(CLASSES)(x), name=name), lstm


def batches():
    rng = np.random.default_rng(0)
    return rng.normal(size=(32, 4, 2)).astype("float32"), rng.integers(0, CLASSES, 32)


def test_no_state_of_a_teacher_moves():
    (student, _), (teacher, lstm) = sequences("s"), sequences("t", stateful=True)
    x, y = batches()
    model = keras_kd.Distiller(student=student, teacher=teacher)
    model.compile("sgd", cross_entropy())
    state = [*teacher.variables, *teacher.layers[-2].mean.variables, *lstm.states]
    assert {"rnn_state", "seed_generator_state", "moving_mean", "total"} <= {v.name for v in state}
    before = values(state)
    model.fit(x, y, batch_size=16, verbose=0)
    assert equal(before, values(state))
    model.evaluate(x, y, batch_size=16, verbose=0)
    model.train_on_batch(x[:16], y[:16])
    assert equal(before, values(state))


def test_no_state_of_a_student_moves_in_evaluate():
    (student, lstm), (teacher, _) = sequences("s", stateful=True), sequences("t")
    x, y = batches()
    model = keras_kd.Distiller(student=student, teacher=teacher)
    model.compile("sgd", cross_entropy())
    state = [*student.variables, *lstm.states]
    before = values(state)
    logs = model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    assert equal(before, values(state))
    assert logs["seen"] != 0.0  # the metrics of a layer are what is asked for


def test_what_a_layer_adds_to_the_loss_counts_in_evaluate():
    class Penalty(layers.Layer):
        def call(self, x):
            self.add_loss(ops.cast(2.5, x.dtype))
            return x

    dense = layers.Dense(CLASSES, kernel_initializer="ones", kernel_regularizer="l2")
    student = keras.Sequential([keras.Input((8,)), Penalty(), dense])
    x, y = data(32)
    model = keras_kd.Distiller(student=student, teacher=mlp("t"), terms=[keras_kd.Labels()])
    model.compile("sgd", cross_entropy())
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(logs["labels"] + 2.5 + 0.01 * 8 * CLASSES)


def test_threads_that_share_a_teacher_learn_what_each_learns_alone():
    teacher, (x, y) = set_weights(mlp("t"), 9), data(32)
    hint = {"pred": "student:hidden", "target": "teacher:hidden"}

    def made(seed):
        terms = [keras_kd.Labels(), keras_kd.Term(keras_kd.losses.FeatureMatch(), **hint)]
        student = set_weights(mlp("s"), seed)
        model = keras_kd.Distiller(student=student, teacher=teacher, terms=terms)
        model.compile(keras.optimizers.SGD(0.1), cross_entropy())
        return model

    def fit(model):
        model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0, validation_data=(x, y))

    models, failures, together = [made(seed) for seed in range(3)], [], threading.Barrier(3)

    def run(model):
        try:
            together.wait()
            fit(model)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert equal(values(teacher.variables), values(set_weights(mlp("u"), 9).variables))
    for seed, model in enumerate(models):
        alone = made(seed)
        fit(alone)
        assert equal(values(alone.student.variables), values(model.student.variables), 1e-6)
    assert not any("call" in vars(layer) for layer in teacher.layers)


def test_a_fit_within_a_fit_may_share_the_teacher():
    """In one thread nobody waits for oneself."""
    teacher, (x, y) = mlp("t"), data(32)
    outer, inner = (
        keras_kd.Distiller(student=mlp(name), teacher=teacher, terms=[keras_kd.Labels()])
        for name in ("a", "b")
    )
    for model in (outer, inner):
        model.compile("sgd", cross_entropy())
    within = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: inner.fit(x, y, verbose=0)
    )
    outer.fit(x, y, epochs=2, verbose=0, callbacks=[within])
    assert int(inner._step.numpy()) == 2
