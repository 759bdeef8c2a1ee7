"""What is changed after a distiller was made counts, or is refused: the same on every backend."""

import re

import keras
import numpy as np
import pytest

import keras_kd
from tests.models import CLASSES, cross_entropy, data, equal, mlp, noisy, values

SOFT, MATCH = keras_kd.losses.SoftTarget, keras_kd.losses.FeatureMatch
MADE = "was changed after the distiller 'distiller' was made"


def says(text, error=ValueError):
    return pytest.raises(error, match=re.escape(text))


def make(*terms, student=None, **kwargs):
    terms = list(terms) or [keras_kd.Term(SOFT())]
    model = keras_kd.Distiller(student=student or mlp("s"), teacher=mlp("t"), terms=terms, **kwargs)
    labels = any(isinstance(term, keras_kd.Labels) for term in terms)
    model.compile(keras.optimizers.SGD(0.1), cross_entropy() if labels else None)
    return model


def fit(model, **kwargs):
    x, y = data()
    return model.fit(x, y, **{"batch_size": 16, "verbose": 0, **kwargs}).history


def loss_of(model):
    x, y = data()
    return model.evaluate(x, y, verbose=0, return_dict=True)["loss"]


# What a distiller was made of.


@pytest.mark.parametrize(
    "name, value",
    [
        ("terms", [keras_kd.Term(MATCH())]),
        ("student", mlp("o")),
        ("teacher", mlp("o")),
        ("students", {"student": mlp("o")}),
        ("teachers", {"teacher": mlp("o")}),
        ("on_bad_teacher", "skip"),
    ],
    ids=lambda given: given if isinstance(given, str) else "other",
)
def test_what_it_was_made_of_cannot_be_set(name, value):
    model = make()
    held = getattr(model, name)
    with says(f"`distiller.{name}` {MADE}", AttributeError) as caught:
        setattr(model, name, value)
    assert "keras_kd.Distiller(student=..., teacher=..., terms=[...])" in str(caught.value)
    assert getattr(model, name) is held


CHANGES = {
    "distiller.terms": lambda model: model.terms.append(keras_kd.Term(MATCH())),
    "distiller.students": lambda model: model.students.update({"student": mlp("o")}),
    "distiller.teachers": lambda model: model.teachers.update({"teacher": mlp("o")}),
    "distiller.terms[0].loss": lambda model: setattr(model.terms[0], "loss", SOFT()),
    "distiller.terms[0].pred": lambda model: setattr(model.terms[0], "pred", "student:hidden"),
    "distiller.terms[0].target": lambda model: setattr(model.terms[0], "target", "labels"),
    "distiller.terms[0].projector": lambda model: setattr(
        model.terms[0], "projector", keras_kd.projectors.Dense(CLASSES)
    ),
}


@pytest.mark.parametrize("what", list(CHANGES))
def test_what_was_changed_in_place_is_named_wherever_it_would_count(what):
    model = make(keras_kd.Term(MATCH(), projector=keras_kd.projectors.Dense(CLASSES)))
    x, y = data()
    CHANGES[what](model)
    for use in (
        lambda: model.compile("sgd"),
        lambda: model.fit(x, y, verbose=0),
        lambda: model.evaluate(x, y, verbose=0),
        lambda: model.predict(x, verbose=0),
        lambda: model.train_on_batch(x, y),
        lambda: model.test_on_batch(x, y),
    ):
        with says(f"`{what}` {MADE}"):
            use()


def test_a_change_in_the_midst_of_a_training_is_named_before_the_next_epoch():
    model = make()
    replace = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: model.students.update({"student": mlp("o")})
    )
    with says(f"`distiller.students` {MADE}"):
        fit(model, epochs=2, callbacks=[replace])


# Constants.


def of_loss(value):
    return lambda model: setattr(model.terms[0].loss, "temperature", value)


def test_a_weight_counts_from_the_next_step_on(tmp_path):
    model = make()
    fit(model)
    model.save(tmp_path / "d.keras")
    for one in (model, keras.models.load_model(tmp_path / "d.keras")):
        before = values(one.student.variables)
        one.terms[0].weight = 0.0
        assert fit(one)["loss"] == [0.0]
        assert equal(before, values(one.student.variables))
    assert loss_of(model) == 0.0
    model.terms[0].weight = 2.0
    assert loss_of(model) > 0
    assert model.train_on_batch(*data(), return_dict=True)["loss"] > 0
    assert not equal(before, values(model.student.variables))


def test_a_weight_set_before_the_first_fit_counts():
    model = make()
    model.terms[0].weight = 0.0
    assert fit(model)["loss"] == [0.0]


@pytest.mark.parametrize("when", ["on_epoch_begin", "on_train_batch_begin"])
def test_a_weight_set_by_a_callback_counts(when):
    model = make()

    def off(at, logs=None):
        if at == 1:
            model.terms[0].weight = 0.0

    logs = fit(model, epochs=2, callbacks=[keras.callbacks.LambdaCallback(**{when: off})])
    if when == "on_epoch_begin":
        assert logs["loss"][1] == 0.0
    else:  # the first of three batches counts, and a mean of them is logged
        assert 0.0 < logs["loss"][0] < logs["soft_target"][0] and logs["loss"][1] == 0.0


def test_the_numbers_of_a_loss_count():
    model = make(keras_kd.Term(SOFT(1.0)))
    before = loss_of(model)
    model.terms[0].loss.temperature = 8.0
    after = loss_of(model)
    again = make(keras_kd.Term(SOFT(8.0)), student=model.student)
    again.teacher.set_weights(model.teacher.get_weights())
    assert after == pytest.approx(loss_of(again), rel=1e-6) and abs(after - before) > 1e-4
    model.terms[0].loss.temperature = keras.optimizers.schedules.PiecewiseConstantDecay([5], [1, 2])
    assert loss_of(model) == pytest.approx(before, rel=1e-6)


def test_the_numbers_of_a_loss_within_a_loss_count():
    twice = {"pred": ("student:output",) * 2, "target": ("teacher:output",) * 2}
    model = make(keras_kd.Term(keras_kd.losses.SumOf(SOFT(1.0)), **twice))
    before = loss_of(model)
    model.terms[0].loss.loss.temperature = 8.0
    assert abs(loss_of(model) - before) > 1e-5


def test_what_a_loss_counts_by_itself_traces_nothing_anew(backend):
    class Counting(keras.losses.Loss):
        calls = 0

        def call(self, y_true, y_pred):
            self.calls += 1
            return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    loss = Counting()
    model = make(keras_kd.Term(loss))
    fit(model, epochs=2)
    traced = loss.calls
    fit(model, epochs=2)
    assert loss.calls == traced or backend == "torch"


# What trains.


def test_freezing_a_layer_asks_for_compile():
    model, (x, y) = make(), data()
    fit(model)
    hidden = model.student.layers[0]
    hidden.trainable = False
    words = (
        "Layer 'hidden' of distiller.student has trainable=False, and had trainable=True when "
        "compile() was called, which is where Keras takes it from. Call compile() again."
    )
    with says(words):
        fit(model)
    with says(words):
        model.train_on_batch(x, y)
    assert np.isfinite(loss_of(model))  # judging is as before
    model.compile(keras.optimizers.SGD(0.1))
    before = values(hidden.variables), values(model.student.layers[1].variables)
    fit(model)
    assert equal(before[0], values(hidden.variables))
    assert not equal(before[1], values(model.student.layers[1].variables))


def test_a_frozen_projector_asks_for_compile_too():
    model = make(keras_kd.Term(MATCH(), projector=keras_kd.projectors.Dense(CLASSES)))
    model.terms[0].projector.trainable = False
    with says("' of Term 'feature_match' has trainable=False, and had trainable=True when"):
        fit(model)


def test_a_callback_that_unfreezes_asks_for_compile_before_the_next_epoch():
    model = make(student=noisy("s"))
    freeze = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(model.student.layers[1], "trainable", False)
    )
    with says("Call compile() again."):
        fit(model, epochs=2, callbacks=[freeze])


def test_a_teacher_that_was_unfrozen_is_named():
    model = make()
    model.teacher.layers[0].trainable = True
    with says(
        "Layer 'hidden' of distiller.teacher has trainable=True, and a teacher is frozen. Set "
        "it back to False."
    ):
        fit(model)
    with says("The teacher 't' is frozen, and its layer 'hidden' was given trainable=True"):
        model.compile("sgd")
    model.teacher.layers[0].trainable = False
    model.compile("sgd")
    fit(model)


def test_a_student_that_cannot_learn():
    student, (x, y) = mlp("s"), data()
    student.trainable = False
    model = make(keras_kd.Labels(), student=student)
    for use in (lambda: fit(model), lambda: model.train_on_batch(x, y)):
        with says(
            "Nothing would learn: the student 's' has no trainable weights. Set "
            "student.trainable = True (or that of its layers), and call compile() again."
        ):
            use()
    assert np.isfinite(loss_of(model))
    student.trainable = True
    model.compile("sgd", cross_entropy())
    fit(model)


def test_a_projector_that_learns_alone_is_told_of():
    student = mlp("s")
    student.trainable = False
    model = make(
        keras_kd.Term(MATCH(), projector=keras_kd.projectors.Dense(CLASSES)), student=student
    )
    before = values(student.variables), values(model.terms[0].projector.variables)
    with pytest.warns(UserWarning, match="The student 's' has no trainable weights and will stay"):
        fit(model)
    assert equal(before[0], values(student.variables))
    assert not equal(before[1], values(model.terms[0].projector.variables))


def test_a_frozen_student_among_several_is_told_of():
    students = {"a": mlp("a"), "b": mlp("b")}
    students["b"].trainable = False
    model = keras_kd.Distiller(student=students, terms=keras_kd.recipes.mutual("a", "b"))
    model.compile("sgd", cross_entropy())
    with pytest.warns(UserWarning, match="The b 'b' has no trainable weights and will stay as now"):
        fit(model)


def test_a_layer_that_was_unfrozen_in_a_frozen_teacher_is_frozen_again():
    teacher = mlp("t")
    teacher.trainable = False
    teacher.layers[0].trainable = True
    model = keras_kd.Distiller(student=mlp("s"), teacher=teacher)
    model.compile(keras.optimizers.SGD(0.1, weight_decay=0.5), cross_entropy())
    before = values(teacher.variables)
    fit(model)
    assert equal(before, values(teacher.variables))
