"""The best student is kept, whole, whatever happens; a worse one never takes its place."""

import errno
import json
import os
import signal
import zipfile

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd.callbacks import BestStudent
from keras_kd.callbacks._best_student import Best, read_best, write_best
from tests.models import cross_entropy, data, equal, mlp, values


class Script(keras.callbacks.Callback):
    """Sets a number in the logs, and the student's weights to the epoch's number."""

    def __init__(self, numbers, name="val_accuracy", role=None):
        super().__init__()
        self.numbers, self.name, self.role = numbers, name, role

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.numbers[epoch]
        student = self.model.students[self.role] if self.role else self.model.student
        student.set_weights([np.full_like(w, epoch + 1) for w in student.get_weights()])


def distiller(units=6):
    made = keras_kd.Distiller(student=mlp("s", units), terms=[keras_kd.Labels()])
    made.compile(keras.optimizers.SGD(0.01), cross_entropy(), metrics=["accuracy"])
    return made


def run(numbers, keep, units=6, name="val_accuracy"):
    """One epoch for each number, as `fit` tells of them; the student of epoch n has all its
    weights equal to n."""
    made = distiller(units)
    callbacks = keras.callbacks.CallbackList([Script(numbers, name), keep], model=made)
    callbacks.on_train_begin()
    for epoch in range(len(numbers)):
        callbacks.on_epoch_end(epoch, {"loss": 1.0})
    callbacks.on_train_end()
    return made


def epoch_of(student):
    (only,) = {float(v) for w in student.get_weights() for v in np.ravel(w)}
    return only


@pytest.fixture
def path(tmp_path):
    return tmp_path / "student.keras"


def test_the_best_is_written_alone_and_given_back(path):
    keep = BestStudent(path)
    made = run([0.5, 0.9, 0.7], keep)
    assert (keep.best, keep.epoch) == (0.9, 2)
    assert epoch_of(made.student) == 2
    alone = keras.saving.load_model(path)
    assert epoch_of(alone) == 2 and alone.name == "s"
    assert len(alone.weights) == len(made.student.weights)
    assert [p.name for p in path.parent.iterdir()] == ["student.keras"]


@pytest.mark.parametrize(
    "monitor, mode, best",
    [
        ("val_accuracy", "auto", 2), ("val_loss", "auto", 3), ("val_ece", "auto", 3),
        ("val_teacher_agreement", "auto", 2), ("anything", "max", 2), ("val_accuracy", "min", 3),
    ],
)  # fmt: skip
def test_which_way_is_better(path, monitor, mode, best):
    keep = BestStudent(path, monitor, mode=mode)
    made = run([0.5, 0.9, 0.1], keep, name=monitor)
    assert keep.epoch == epoch_of(made.student) == best


def test_min_delta_and_no_restoring(path):
    keep = BestStudent(path, min_delta=0.1, restore=False)
    made = run([0.5, 0.55, 0.59, 0.7], keep)
    assert (keep.best, keep.epoch) == (0.7, 4)
    keep = BestStudent(path, min_delta=0.1, restore=False, resume=False)
    made = run([0.5, 0.55, 0.59], keep)
    assert (keep.best, epoch_of(made.student), epoch_of(keras.saving.load_model(path))) == (
        0.5, 3, 1,
    )  # fmt: skip


def test_a_restarted_run_replaces_the_student_only_by_a_better_one(path):
    run([0.5, 0.9, 0.7], BestStudent(path))
    before = path.read_bytes()
    worse = BestStudent(path)
    made = run([0.6, 0.8], worse)
    assert path.read_bytes() == before
    assert (worse.best, worse.epoch) == (0.9, 2)
    assert epoch_of(made.student) == 2  # the best of all runs, not of this one
    better = BestStudent(path)
    run([0.6, 0.8, 0.95], better)
    assert read_best(path)[:3] == ("val_accuracy", 0.95, 3)
    run([0.1], BestStudent(path, resume=False))
    assert read_best(path)[:3] == ("val_accuracy", 0.1, 1)


def test_a_student_that_learns_and_is_validated(path):
    keras.utils.set_random_seed(1)
    made, (x, y) = distiller(), data(96)
    keep = BestStudent(path)
    history = made.fit(
        x[:64], y[:64], validation_data=(x[64:], y[64:]), epochs=4, verbose=0, callbacks=[keep]
    ).history["val_accuracy"]
    assert keep.best == max(history)
    assert keep.epoch == history.index(max(history)) + 1
    made.student.compile(metrics=["accuracy"])
    alone = keras.saving.load_model(path)
    assert (alone.predict(x[64:], verbose=0).argmax(1) == y[64:]).mean() == pytest.approx(keep.best)
    assert equal(values(alone.variables), values(made.student.variables))


def test_one_of_several_students_and_a_plain_model(path):
    terms = [keras_kd.Labels(pred=f"{r}:output", name=r) for r in "ab"]
    made = keras_kd.Distiller(student={"a": mlp("one"), "b": mlp("two")}, terms=terms)
    made.compile("sgd", cross_entropy())
    x, y = data(16)
    with pytest.raises(ValueError, match=r"`role` must name a student: 'a', 'b'. Received: 'c'"):
        made.fit(x, y, verbose=0, callbacks=[BestStudent(path, "loss", role="c")])
    made.fit(x, y, verbose=0, callbacks=[BestStudent(path, "loss", role="b")])
    assert keras.saving.load_model(path).name == "two"
    plain = mlp("plain")
    plain.compile("sgd", cross_entropy())
    plain.fit(x, y, verbose=0, callbacks=[BestStudent(path, "loss", resume=False)])
    assert keras.saving.load_model(path).name == "plain"


# A student that diverges.


class Breaks(keras.callbacks.Callback):
    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_epoch_begin(self, epoch, logs=None):
        if epoch + 1 == self.at:
            student = self.model.student
            student.set_weights([w * np.nan for w in student.get_weights()])


def test_a_diverging_student_stops_training_and_the_last_good_one_is_kept(path):
    made, (x, y) = distiller(), data(16)
    keep = BestStudent(path, "loss")
    with pytest.warns(UserWarning) as told:
        history = made.fit(
            x, y, epochs=6, verbose=0, callbacks=[Breaks(3), keep]
        ).history["loss"]  # fmt: skip
    (said,) = [str(w.message) for w in told if "diverged" in str(w.message)]
    assert "after epoch 3 its weights hold NaN or infinite values, so training stops" in said
    assert f"The student of epoch 2 (loss {history[1]:.4g}) is kept in '{path}'" in said
    assert len(history) == 3 and np.isnan(history[2])
    assert all(np.isfinite(w).all() for w in made.student.get_weights())
    assert equal(values(keras.saving.load_model(path).variables), values(made.student.variables))


def test_a_student_that_diverges_at_once_leaves_no_file(path):
    made, (x, y) = distiller(), data(16)
    with pytest.warns(UserWarning, match="There was no good student before, so none is kept"):
        made.fit(x, y, epochs=3, verbose=0, callbacks=[Breaks(1), BestStudent(path, "loss")])
    assert not path.exists()


def test_nan_is_never_the_best(path):
    keep = BestStudent(path)
    run([np.nan, 0.2, np.nan], keep)
    assert (keep.best, keep.epoch) == (0.2, 2)


# Bad input.


def test_a_monitor_that_is_not_there(path):
    made, (x, y) = distiller(), data(16)
    with pytest.raises(ValueError, match=r"'acuracy', which is not in .*Did you mean 'accuracy'"):
        made.fit(x, y, verbose=0, callbacks=[BestStudent(path, "acuracy", mode="max")])
    keep = BestStudent(path, "val_acuracy", mode="max")
    with pytest.raises(ValueError, match="'val_acuracy', which is not in the logs"):
        run([0.5], keep, name="val_accuracy")


def test_epochs_without_validation_are_told_once(path):
    made, (x, y) = distiller(), data(16)
    keep = BestStudent(path)
    with pytest.warns(UserWarning) as told:
        made.fit(
            x, y, epochs=4, validation_data=(x, y), validation_freq=3, verbose=0, callbacks=[keep]
        )
    said = [str(w.message) for w in told if "val_accuracy" in str(w.message)]
    assert len(said) == 1 and said[0].startswith("Epoch 1 gave no 'val_accuracy'")
    assert keep.epoch == 3


@pytest.mark.parametrize(
    "name, kwargs, message",
    [
        ("student.h5", {}, "must end with '.keras'"),
        ("no/student.keras", {}, "The folder '.*no' of `path` does not exist"),
        ("there.keras", {}, "'.*there.keras' is a folder"),
        ("s.keras", {"monitor": "val_hint"}, "Pass mode='max' or mode='min'"),
        ("s.keras", {"mode": "most"}, "`mode` must be one of 'auto', 'min', 'max'"),
        ("s.keras", {"min_delta": -1}, "`min_delta` must be 0 or more"),
    ],
)
def test_bad_arguments(tmp_path, name, kwargs, message):
    (tmp_path / "there.keras").mkdir()
    with pytest.raises(ValueError, match=message):
        BestStudent(tmp_path / name, **kwargs)


def test_a_file_of_another_kind_of_run_is_not_replaced(path):
    run([0.5], BestStudent(path))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="holds the best student by 'val_accuracy', not by 'loss'"):
        run([0.5], BestStudent(path, "loss"))
    with pytest.raises(ValueError, match="a student with weights of other shapes"):
        run([0.9], BestStudent(path), units=7)
    assert path.read_bytes() == before
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"is there and is no \.keras file"):
        run([0.9], BestStudent(path))
    assert path.read_bytes() == b"something else"


# Disks, paths, kills.


def test_spaces_and_letters_of_other_alphabets(tmp_path):
    folder = tmp_path / "mein Schüler 学生"
    folder.mkdir()
    path = folder / "très bon élève ✓.keras"
    made = run([0.5, 0.4], BestStudent(path))
    assert epoch_of(made.student) == epoch_of(keras.saving.load_model(path)) == 1
    worse = BestStudent(path)
    run([0.3], worse)
    assert worse.best == 0.5


def test_a_full_disk_leaves_the_former_student_whole(path, monkeypatch):
    run([0.5], BestStudent(path))
    before = path.read_bytes()

    def full(self, file, *args, **kwargs):
        with open(file, "wb") as half:
            half.write(before[: len(before) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    monkeypatch.setattr(keras.Model, "save", full)
    keep = BestStudent(path)
    with pytest.raises(OSError, match="No space left"):
        run([0.9], keep)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    assert keep.best == 0.5  # what the file holds, not what it should have held


def test_a_folder_that_cannot_be_written_to(path, monkeypatch):
    run([0.5], BestStudent(path))
    before = path.read_bytes()

    def refused(*args):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("keras_kd._core.files.os.replace", refused)
    with pytest.raises(PermissionError):
        run([0.9], BestStudent(path))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


class KillsWhileSaving:
    weights = (np.zeros(2),)

    def save(self, file):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("half", b"of a student")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_killed_process_leaves_the_former_student_whole(path):
    run([0.5], BestStudent(path))
    before = path.read_bytes()
    child = os.fork()
    if child == 0:
        write_best(path, KillsWhileSaving(), Best("val_accuracy", 0.9, 3, []))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert path.read_bytes() == before
    assert epoch_of(keras.saving.load_model(path)) == 1
    keep = BestStudent(path)
    run([0.7], keep)
    assert keep.best == 0.7


def test_the_record_is_inside_the_file_and_a_students_file_without_one_is_replaced(path):
    mlp("former").save(path)
    assert read_best(path) is None
    run([0.2], BestStudent(path))
    with zipfile.ZipFile(path) as archive:
        record = json.loads(archive.read("best_student.json"))
        assert archive.testzip() is None
    assert record == {
        "monitor": "val_accuracy", "value": 0.2, "epoch": 1, "shapes": [[8, 6], [6], [6, 3], [3]],
    }  # fmt: skip


def test_weights_of_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file '.*s\.keras'"):
        keras_kd.callbacks.load_best(tmp_path / "s.keras", mlp("s"))
