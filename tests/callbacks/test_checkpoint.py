"""A run that is stopped goes on as if it had not been."""

import errno
import os
import shutil

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd.callbacks import Checkpoint
from tests.models import cross_entropy, data, equal, mlp, noisy, set_weights, values


def distiller(teacher=None, hint=9):
    """Dropout, a projector, a weight that was moved, Adam: all kinds of state."""
    keras.utils.set_random_seed(0)
    terms = [
        *keras_kd.recipes.hinton(temperature=3.0, alpha=0.7),
        keras_kd.Term(
            keras_kd.losses.FeatureMatch(),
            pred="student:hidden",
            target="teacher:hidden",
            projector=keras_kd.projectors.Dense(hint),
            weight=keras_kd.schedules.Adjustable(1.0),
        ),
    ]
    teacher = teacher or set_weights(mlp("t", hint), 2)
    made = keras_kd.Distiller(student=noisy("s"), teacher=teacher, terms=terms)
    made.compile(keras.optimizers.Adam(0.01), cross_entropy(), metrics=["accuracy"])
    return made


def fit(made, callbacks, **kwargs):
    x, y = data(48)
    return made.fit(
        x, y, batch_size=16, shuffle=False, verbose=0, callbacks=callbacks, **kwargs
    ).history


def write(checkpoint, model):
    """As after the first epoch of a fit."""
    model.optimizer.build(model.trainable_variables)
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0)


class Lower(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        weight = self.model.terms[2].weight
        weight.assign(weight.now / 2)


class KeepSecond(keras.callbacks.Callback):
    """The file of the second epoch: what a process that is stopped in the third leaves."""

    def __init__(self, path, kept):
        super().__init__()
        self.path, self.kept = path, kept

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            shutil.copy(self.path, self.kept)


def test_a_stopped_run_goes_on_as_an_unbroken_one(tmp_path):
    path, left = tmp_path / "state.npz", tmp_path / "left.npz"
    whole = distiller()
    history = fit(whole, [Lower(), Checkpoint(path), KeepSecond(path, left)], epochs=4)
    back, checkpoint = distiller(), Checkpoint(left)
    done = checkpoint.restore(back)
    assert done == 2
    assert int(back._step.numpy()) == int(back.optimizer.iterations.numpy()) == 6
    assert back.terms[2].weight.now == 0.25
    rest = fit(back, [Lower(), checkpoint], epochs=4, initial_epoch=done)
    for name, numbers in history.items():
        np.testing.assert_allclose(rest[name], numbers[2:], rtol=1e-6, err_msg=name)
    assert equal(values(whole.variables), values(back.variables), 1e-7)
    assert Checkpoint(left).restore(distiller()) == 4
    assert sorted(tmp_path.iterdir()) == [left, path]


def test_frozen_teachers_are_left_out_and_momentum_teachers_are_not(tmp_path):
    path = tmp_path / "state.npz"
    made = distiller(teacher=set_weights(mlp("t", 9), 5))
    keep = Checkpoint(path)
    write(keep, made)
    other = distiller(teacher=set_weights(mlp("t", 9), 6))
    teachers = values(other.teacher.variables)
    Checkpoint(path).restore(other)
    assert equal(values(other.teacher.variables), teachers)
    assert equal(values(other.student.variables), values(made.student.variables))

    student = mlp("s")
    moving = keras_kd.Distiller(
        student=student,
        teacher=keras_kd.Momentum(student, decay=0.5),
        terms=keras_kd.recipes.mean_teacher(labels_weight=0.0),
    )
    moving.compile("sgd")
    set_weights(moving.teacher.model, 3)
    write(keep, moving)
    teachers = values(moving.teacher.variables)
    set_weights(moving.teacher.model, 4)
    keep.restore(moving)
    assert equal(values(moving.teacher.variables), teachers)


def test_no_file_and_files_that_will_not_do(tmp_path):
    path = tmp_path / "state.npz"
    keep = Checkpoint(path)
    made = distiller()
    assert keep.restore(made) == 0
    write(keep, made)
    before = values(made.variables)
    with pytest.raises(ValueError, match="is the checkpoint of another run"):
        keep.restore(distiller(hint=7))
    assert equal(values(made.variables), before)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="is no checkpoint that can be read"):
        keep.restore(made)
    np.savez(path, epochs=np.array({"a": "pickle"}, dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="is no checkpoint that can be read"):
        keep.restore(made)
    with pytest.raises(ValueError, match=r"must end with '\.npz'"):
        Checkpoint(tmp_path / "state.keras")
    with pytest.raises(ValueError, match=r"The folder '.*no' of `path` does not exist"):
        Checkpoint(tmp_path / "no" / "state.npz")


def test_a_full_disk_leaves_the_former_state_whole(tmp_path, monkeypatch):
    path = tmp_path / "élan vital.npz"
    made, keep = distiller(), Checkpoint(path)
    write(keep, made)
    before = path.read_bytes()

    def full(file, **arrays):
        with open(file, "wb") as half:
            half.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    monkeypatch.setattr("keras_kd.callbacks._checkpoint.np.savez", full)
    with pytest.raises(OSError, match="No space left"):
        keep.on_epoch_end(1)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
