"""A teacher that is at fault for a batch; a student that diverges."""

import re

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd.callbacks import BestStudent, Checkpoint
from tests.models import CLASSES, cross_entropy, data, equal, mlp, set_weights, values

BATCH = 8
X, Y = data(6 * BATCH, seed=4)
SAID = np.random.default_rng(5).normal(size=(len(X), CLASSES)).astype("float32")


def broken(*batches, by=np.nan):
    said = SAID.copy()
    for batch in batches:
        said[batch * BATCH + 3, 1] = by
    return said


def normed(name="student"):
    """BatchNorm and Dropout: state that moves in every pass."""
    inputs = keras.Input((8,))
    h = keras.layers.Dense(6, use_bias=False, name="hidden")(inputs)
    h = keras.layers.BatchNormalization()(h)
    h = keras.layers.Dropout(0.3, seed=1)(h)
    model = set_weights(keras.Model(inputs, keras.layers.Dense(CLASSES)(h), name=name), 1)
    model.layers[2].moving_variance.assign(np.ones(6))
    return model


def distiller(on_bad_teacher="skip", **kwargs):
    made = kd.Distiller(
        student=normed(), terms=kd.recipes.hinton(), on_bad_teacher=on_bad_teacher, **kwargs
    )
    made.compile(keras.optimizers.Adam(0.01), cross_entropy(), metrics=["accuracy"])
    return made


def fit(made, x, y, said, **kwargs):
    inputs = {"inputs": x, "signals": {"teacher:output": said}}
    settings = {"batch_size": BATCH, "shuffle": False, "verbose": 0, **kwargs}
    return made.fit(inputs, y, **settings).history


def test_a_batch_that_is_skipped_might_as_well_not_be_there():
    """Its inputs are NaN as well, as they often are when a teacher's answers are."""
    left_out, x = [1, 4], X.copy()
    for batch in left_out:
        x[batch * BATCH + 3] = np.nan
    ours, theirs = distiller(), distiller()
    found = fit(ours, x, Y, broken(1, by=np.inf) + broken(4) - SAID, epochs=2)
    kept = np.array([i for i in range(len(X)) if i // BATCH not in left_out])
    expected = fit(theirs, X[kept], Y[kept], SAID[kept], epochs=2)
    assert found.pop("skipped") == [2, 2]
    assert expected.pop("skipped") == [0, 0]
    for name, numbers in expected.items():
        assert np.isfinite(numbers).all()
        np.testing.assert_allclose(found[name], numbers, rtol=1e-5, err_msg=name)
    assert equal(values(ours._moving_variables()), values(theirs._moving_variables()), 1e-6)
    assert int(ours._step.numpy()) == int(ours.optimizer.iterations.numpy()) == 8
    inputs = {"inputs": x, "signals": {"teacher:output": broken(*left_out)}}
    logs = ours.evaluate(inputs, Y, batch_size=BATCH, verbose=0, return_dict=True)
    rest = {"inputs": X[kept], "signals": {"teacher:output": SAID[kept]}}
    wanted = theirs.evaluate(rest, Y[kept], batch_size=BATCH, verbose=0, return_dict=True)
    assert logs.pop("skipped") == 2 and wanted.pop("skipped") == 0
    assert logs == pytest.approx(wanted, rel=1e-5)


def test_a_live_teacher_that_overflows_on_some_inputs_is_skipped():
    x = X.copy()
    x[2 * BATCH] *= 1e30
    teacher = set_weights(mlp("teacher", 9), 2)
    teacher.layers[0].set_weights([w * 1e30 for w in teacher.layers[0].get_weights()])
    teacher.layers[1].set_weights([w * 1e-28 for w in teacher.layers[1].get_weights()])
    made = distiller(teacher=teacher)
    history = made.fit(x, Y, batch_size=BATCH, shuffle=False, verbose=0, epochs=2).history
    assert history["skipped"] == [1, 1]
    assert np.isfinite(history["loss"]).all()


def test_when_all_batches_are_skipped_there_is_nothing_to_learn():
    made = distiller()
    before = values(made.student.variables)
    message = "in 6 of 6 batches, first in batch 0 (counted from 0)"
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        fit(made, X, Y, broken(*range(6)))
    assert str(error.value).endswith("All batches were left out for it.")
    assert equal(before, values(made.student.variables))


def test_without_faults_nothing_changes():
    ours, theirs = distiller("skip"), distiller("raise")
    found, expected = (fit(made, X, Y, SAID, epochs=2) for made in (ours, theirs))
    assert found.pop("skipped") == [0, 0]
    assert set(found) == set(expected)
    for name, numbers in expected.items():
        np.testing.assert_allclose(found[name], numbers, rtol=1e-6, err_msg=name)
    assert equal(
        values(ours._moving_variables()), values(theirs._moving_variables()), 1e-5
    )  # compiled otherwise


def test_training_stops_soon_and_names_the_batch(tmp_path):
    bad, seen = 2, 4  # of six
    made = distiller("raise")
    keep = Checkpoint(tmp_path / "state.npz")
    message = f"'teacher:output' in 1 of {seen} batches, first in batch {bad} (counted from 0)"
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        fit(made, X, Y, broken(bad), callbacks=[keep])
    assert "Distiller(on_bad_teacher='skip') leaves out such batches" in str(error.value)
    assert not keep.path.exists()  # what it spoiled is not kept


def test_the_choice_is_saved_and_a_wrong_one_named():
    back = kd.Distiller.from_config(distiller().get_config())
    assert back.on_bad_teacher == "skip" and back._value_check.skip
    assert kd.Distiller.from_config(distiller("raise").get_config()).on_bad_teacher == "raise"
    with pytest.raises(ValueError, match=r"must be 'raise' or 'skip'. Received: 'skpi'. Did you"):
        distiller("skpi")


class Breaks(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            student = self.model.student
            student.set_weights([w * np.nan for w in student.get_weights()])


def test_the_last_good_state_of_a_student_that_diverges_is_kept(tmp_path):
    path, good = tmp_path / "state.npz", distiller()
    fit(good, X, Y, SAID, epochs=2)
    made = distiller()
    callbacks = [Breaks(), BestStudent(tmp_path / "student.keras", "loss"), Checkpoint(path)]
    with pytest.warns(UserWarning, match="diverged") as told:
        history = fit(made, X, Y, SAID, epochs=6, callbacks=callbacks)
    (said,) = [str(w.message) for w in told if str(path) in str(w.message)]
    assert "after epoch 3 weights hold NaN or infinite values, so training stops" in said
    assert f"'{path}' holds the last good epoch's state." in said
    assert len(history["loss"]) == 3
    back = distiller()
    assert Checkpoint(path).restore(back) == 2
    assert equal(values(back._moving_variables()), values(good._moving_variables()), 1e-6)
    kept = keras.saving.load_model(tmp_path / "student.keras")
    assert equal(values(kept.weights), values(good.student.weights), 1e-6)
