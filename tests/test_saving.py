"""What is saved comes back, and training goes on as if it had not stopped."""

import contextlib
import json
import warnings

import keras
import numpy as np
import pytest

import keras_kd
from tests.models import Subclassed, cross_entropy, data, equal, mlp, noisy, values

Term = keras_kd.Term


def trained(student, x, y):
    hint = Term(
        keras_kd.losses.FeatureMatch(),
        pred="student:hidden" if not isinstance(student, Subclassed) else "student:first",
        target="teacher:hidden",
        projector=keras_kd.projectors.Dense(9),
        weight=keras.optimizers.schedules.PolynomialDecay(1.0, 10, 0.1),
        name="hint",
    )
    distiller = keras_kd.Distiller(
        student=student,
        teacher=noisy("t", 9),
        terms=[*keras_kd.recipes.hinton(temperature=3.0, alpha=0.7), hint],
    )
    distiller.compile(keras.optimizers.Adam(0.01), cross_entropy(), metrics=["accuracy"])
    distiller.fit(x, y, epochs=2, verbose=0, shuffle=False)
    return distiller


@pytest.mark.parametrize("make", [mlp, noisy, lambda name: Subclassed(name=name)])
def test_five_further_steps_equal_an_unbroken_run(make, tmp_path):
    x, y = data(80)
    going = trained(make("s"), x, y)
    going.save(tmp_path / "d.keras")
    back = keras.models.load_model(tmp_path / "d.keras")
    assert int(back._step.numpy()) == int(going._step.numpy()) == 6
    assert equal(values(going.variables), values(back.variables))
    assert equal(values(going.optimizer.variables), values(back.optimizer.variables))
    more = {"batch_size": 16, "verbose": 0, "shuffle": False}
    first, second = going.fit(x, y, **more).history, back.fit(x, y, **more).history
    assert first == second
    assert int(back._step.numpy()) == 11
    assert equal(values(going.student.variables), values(back.student.variables))


def test_the_student_is_saved_alone(tmp_path):
    x, y = data()
    distiller = trained(mlp("s"), x, y)
    distiller.student.save(tmp_path / "student.keras")
    student = keras.models.load_model(tmp_path / "student.keras")
    assert student.count_params() == distiller.student.count_params()
    np.testing.assert_array_equal(student.predict(x, verbose=0), distiller.predict(x, verbose=0))


def test_weights_alone(tmp_path):
    x, y = data()
    distiller = trained(noisy("s"), x, y)
    distiller.save_weights(tmp_path / "d.weights.h5")
    other = trained(noisy("s"), x[::-1], y)
    other.load_weights(tmp_path / "d.weights.h5")
    assert equal(values(distiller.variables), values(other.variables))


def test_roles_and_several_models_come_back(tmp_path):
    x, y = data()
    terms = [
        keras_kd.Labels(pred="a:output"),
        Term(keras_kd.losses.SoftTarget(), pred="a:output", target="old:output"),
        Term(keras_kd.losses.SoftTarget(), pred="b:output", target="a:output"),
    ]
    distiller = keras_kd.Distiller(
        student={"a": mlp("one"), "b": mlp("two")}, teacher={"old": mlp("three")}, terms=terms
    )
    distiller.compile("sgd", cross_entropy(), metrics=["accuracy"])
    distiller.fit(x, y, verbose=0)
    distiller.save(tmp_path / "d.keras")
    back = keras.models.load_model(tmp_path / "d.keras")
    assert list(back.students) == ["a", "b"] and list(back.teachers) == ["old"]
    assert back.evaluate(x, y, verbose=0) == pytest.approx(distiller.evaluate(x, y, verbose=0))


@pytest.mark.parametrize(
    "thing",
    [
        keras_kd.losses.SoftTarget(2.5, name="kd", reduction="sum"),
        keras_kd.losses.SoftTarget(keras.optimizers.schedules.CosineDecay(8.0, 10)),
        keras_kd.losses.BinarySoftTarget(1.5),
        keras_kd.losses.FeatureMatch(),
        keras_kd.Labels(weight=0.25, pred="a:output/x", name="truth"),
        Term(
            keras_kd.losses.DecoupledSoftTarget(),
            target=("teacher:a", "labels"),
            weight=3.0,
            name="n",
        ),
        Term(keras.losses.MeanSquaredError(), projector=keras_kd.projectors.Conv1x1(5)),
        keras_kd.projectors.Conv1x1(5, use_bias=True),
        keras_kd.projectors.Resize((3, 4), interpolation="nearest"),
        keras_kd.projectors.AuxiliaryHead(7),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_configs_round_trip(thing):
    config = keras.saving.serialize_keras_object(thing)
    back = keras.saving.deserialize_keras_object(config)
    assert type(back) is type(thing)
    assert keras.saving.serialize_keras_object(back) == config


@pytest.mark.parametrize("save, name", [("save", "d.keras"), ("save_weights", "d.weights.h5")])
def test_an_interrupted_save_leaves_the_former_file(tmp_path, monkeypatch, save, name):
    x, y = data()
    distiller = trained(mlp("s"), x, y)
    path = tmp_path / name
    getattr(distiller, save)(path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(keras_kd.projectors.Dense, "save_own_variables", fail)
    with pytest.raises(OSError, match="No space left"):
        getattr(distiller, save)(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("save, name", [("save", "d.keras"), ("save_weights", "d.weights.h5")])
@pytest.mark.parametrize("reply", ["n", "y"])
def test_without_overwrite_keras_asks_before_a_file_is_replaced(
    tmp_path, monkeypatch, save, name, reply
):
    x, y = data()
    distiller = trained(mlp("s"), x, y)
    path, asked = tmp_path / name, []
    monkeypatch.setattr("builtins.input", lambda prompt: asked.append(prompt) or reply)
    getattr(distiller, save)(path, overwrite=False)
    assert path.exists() and not asked  # nothing there yet
    path.write_bytes(b"the former file")
    getattr(distiller, save)(path, overwrite=False)
    assert len(asked) == 1 and str(path) in asked[0]
    assert (path.read_bytes() == b"the former file") == (reply == "n")


def teacher_that_was_trained(x, y, wrapped):
    teacher = mlp("t", 4000)
    teacher.compile("adam", cross_entropy(), metrics=["accuracy"])
    teacher.fit(x, y, verbose=0)
    return keras_kd.teachers.Ensemble([teacher, mlp("u")]) if wrapped else teacher, teacher


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_file_holds_no_optimizer_of_the_teacher(tmp_path, wrapped):
    x, y = data()
    given, teacher = teacher_that_was_trained(x, y, wrapped)
    optimizer, before = teacher.optimizer, values(teacher.optimizer.variables)
    distiller = keras_kd.Distiller(student=mlp("s"), teacher=given)
    distiller.compile("adam", cross_entropy())
    distiller.fit(x, y, verbose=0)
    distiller.save(tmp_path / "d.keras")
    distiller.save_weights(tmp_path / "d.weights.h5")
    in_bytes = 4 * teacher.count_params()
    for name in ("d.keras", "d.weights.h5"):
        assert (tmp_path / name).stat().st_size < 1.5 * in_bytes + 100_000  # Adam alone is 2
    assert b"Adam" not in json.dumps(distiller.get_config()["teacher"]).encode()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        back = keras.models.load_model(tmp_path / "d.keras")
        back.load_weights(tmp_path / "d.weights.h5")
        distiller.load_weights(tmp_path / "d.weights.h5")
    assert not [str(w.message) for w in told if "optimizer" in str(w.message)]
    assert equal(values(distiller.student.variables), values(back.student.variables))
    assert equal(values(distiller.teacher.variables), values(back.teacher.variables))
    assert equal(values(distiller.optimizer.variables), values(back.optimizer.variables))
    assert teacher.optimizer is optimizer and equal(before, values(optimizer.variables))
    first, second = (
        model.fit(x, y, verbose=0, shuffle=False).history for model in (distiller, back)
    )
    assert first == second
    teacher.trainable = True
    teacher.compile("adam", cross_entropy())
    teacher.fit(x, y, verbose=0)  # still a model that can be trained


def test_a_student_that_was_compiled_keeps_that(tmp_path):
    student = mlp("s")
    student.compile("adam", cross_entropy())
    distiller = keras_kd.Distiller(student=student, teacher=mlp("t"))
    distiller.compile("sgd", cross_entropy())
    distiller.save(tmp_path / "d.keras")
    assert keras.models.load_model(tmp_path / "d.keras").student.compiled


def test_a_file_written_before_that_held_it_still_loads(tmp_path, monkeypatch):
    x, y = data()
    teacher = teacher_that_was_trained(x, y, False)[0]
    distiller = keras_kd.Distiller(student=mlp("s"), teacher=teacher)
    distiller.compile("adam", cross_entropy())
    distiller.fit(x, y, verbose=0)
    with monkeypatch.context() as then:
        then.setattr(keras_kd.distiller, "uncompiled", lambda config: config)
        nothing = contextlib.nullcontext
        then.setattr(keras_kd.Distiller, "_without_teacher_optimizers", lambda self: nothing())
        distiller.save(tmp_path / "d.keras")
    assert (tmp_path / "d.keras").stat().st_size > 12 * teacher.count_params()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        back = keras.models.load_model(tmp_path / "d.keras")
    assert not [str(w.message) for w in told if "optimizer" in str(w.message)]
    assert not back.teacher.compiled
    assert equal(values(distiller.variables), values(back.variables))


def test_what_callbacks_keep_holds_no_optimizer_of_the_teacher(tmp_path):
    x, y = data()
    teacher = teacher_that_was_trained(x, y, False)[0]
    distiller = keras_kd.Distiller(student=mlp("s"), teacher=teacher)
    distiller.compile("adam", cross_entropy())
    callbacks = [
        keras_kd.callbacks.Checkpoint(tmp_path / "state.npz"),
        keras_kd.callbacks.BestStudent(tmp_path / "best.keras", monitor="loss"),
        keras.callbacks.ModelCheckpoint(tmp_path / "all.keras"),
        keras.callbacks.ModelCheckpoint(tmp_path / "all.weights.h5", save_weights_only=True),
    ]
    distiller.fit(x, y, verbose=0, callbacks=callbacks)
    teacher_takes = 4 * teacher.count_params()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes["state.npz"] < teacher_takes and sizes["best.keras"] < teacher_takes + 30_000
    assert sizes["all.keras"] < 1.5 * teacher_takes + 100_000
    assert sizes["all.weights.h5"] < 1.5 * teacher_takes + 100_000


def test_weights_of_one_model_are_none_of_a_distiller(tmp_path):
    x, y = data()
    distiller = trained(mlp("s"), x, y)
    distiller.student.save_weights(tmp_path / "s.weights.h5")
    with pytest.raises(
        ValueError, match=r"holds the weights of one model.*distiller\.student\.load"
    ):
        distiller.load_weights(tmp_path / "s.weights.h5")
    distiller.student.load_weights(tmp_path / "s.weights.h5")
    distiller.save_weights(tmp_path / "d.weights.h5")
    with pytest.raises(ValueError):  # Keras's own words: only the docstring can help here
        mlp("s").load_weights(tmp_path / "d.weights.h5")
    words = keras_kd.Distiller.save_weights.__doc__
    assert "distiller.load_weights" in words and "distiller.student.save" in words


def test_a_file_keeps_what_keras_leaves_out_of_the_loss(tmp_path):
    """Such as the `delta` of a Huber loss: another loss would come back, without a word."""
    x = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
    y = np.full((16, 3), 9.0, "float32")
    logs = {}
    for delta in (1.0, 4.0):
        terms = keras_kd.recipes.regression()
        distiller = keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"), terms=terms)
        distiller.compile("sgd", keras.losses.Huber(delta))
        distiller.fit(x, y, verbose=0)
        distiller.save(tmp_path / "d.keras")
        back = keras.models.load_model(tmp_path / "d.keras")
        logs[delta] = distiller.evaluate(x, y, verbose=0, return_dict=True)
        assert back.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(logs[delta])
    assert logs[4.0]["labels"] > 2 * logs[1.0]["labels"]
