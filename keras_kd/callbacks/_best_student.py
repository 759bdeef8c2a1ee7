"""The best student so far, as a file that is whole at any time."""

import json
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import keras

from keras_kd._core.files import named, replacing, writable
from keras_kd._core.messages import did_you_mean, listing
from keras_kd.callbacks._loadable import warn_if_unloadable
from keras_kd.callbacks._monitor import Mode, Monitor, finite
from keras_kd.distiller import Distiller

#: Inside the `.keras` file, so that a student and what is known of it are replaced in one move.
_RECORD = "best_student.json"


class Best(NamedTuple):
    """What a file that `BestStudent` wrote records about the student it holds."""

    monitor: str  #: Name in the logs of what decided.
    value: float  #: Its value.
    epoch: int  #: The epoch it was reached in, counted from 1.
    shapes: list[list[int]]  #: Shapes of the student's weights.


class BestStudent(keras.callbacks.Callback):
    """Keeps the best student in a file, without teacher and distiller, and gives it back at the end.

    After each epoch in which the monitored number is better than ever, the student alone is
    written to `path` as a `.keras` file. It is written aside and then renamed: whatever ends the
    process, `path` holds the former student or the new one, whole. The file remembers how good its
    student was, so that a run that is started again replaces it only by a better one. The first
    file of a run is loaded again at once: where that fails, as of a Llama of KerasHub with tied
    embeddings, a warning says how to have the student from it.

    When training ends, the student in memory gets the best weights. A student whose weights are
    NaN or infinite is never written; training stops then, with a warning that names what was kept.

    Args:
        path: The file; ends with `.keras`. Its folder exists.
        monitor: Name in the logs of what decides. Defaults to `"val_accuracy"`.
        mode: `"max"` when larger is better, `"min"` when smaller is. Defaults to `"auto"`: decided
            by the name.
        min_delta: By how much a student must be better to replace the one before. Defaults to
            `0.0`.
        restore: Whether the student gets the best weights when training ends. Defaults to `True`.
        resume: Whether a student that an earlier run left at `path` counts as the best so far.
            `False` starts anew, and the first epoch replaces it. Defaults to `True`.
        role: Which student, when there are several. Defaults to `None`: the only one.

    Attributes:
        best: The best value so far; `None` before there is one.
        epoch: The epoch it was reached in, counted from 1.

    Raises:
        ValueError: If `path` is no path to a `.keras` file, the mode is not clear from the name, the
            logs do not hold `monitor` (then after the first epoch), or `path` holds the best student
            of another kind of run.

    Example:

    >>> import tempfile, os
    >>> student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> distiller = keras_kd.Distiller(student=student, terms=[keras_kd.Labels()])
    >>> distiller.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> path = os.path.join(tempfile.mkdtemp(), "student.keras")
    >>> keep = keras_kd.callbacks.BestStudent(path, monitor="loss")
    >>> x, y = np.ones((8, 4)), np.zeros(8, "int32")
    >>> history = distiller.fit(x, y, epochs=3, verbose=0, callbacks=[keep])
    >>> keep.epoch, keep.best == min(history.history["loss"])
    (3, True)
    >>> keras.saving.load_model(path).count_params()
    15
    """

    #: A student that turns NaN ends the training with a warning that names what was kept.
    stops_at_nan = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "val_accuracy",
        *,
        mode: Mode = "auto",
        min_delta: float = 0.0,
        restore: bool = True,
        resume: bool = True,
        role: str | None = None,
    ):
        super().__init__()
        self.path = _checked(path)
        self.monitor = Monitor(monitor, mode, min_delta)
        self.restore, self.resume, self.role = restore, resume, role
        self.epoch: int | None = None
        self._told = self._proven = False

    @property
    def best(self) -> float | None:
        return self.monitor.best

    @property
    def student(self) -> keras.Model:
        """The student of the model in training, which may be a plain `keras.Model`."""
        if not isinstance(self.model, Distiller):
            return self.model
        if self.role is None:
            return self.model.student
        if self.role not in self.model.students:
            raise ValueError(
                f"`role` must name a student: {listing(self.model.students)}. Received: "
                f"{self.role!r}." + did_you_mean(self.role, self.model.students)
            )
        return self.model.students[self.role]

    def on_train_begin(self, logs: Any = None) -> None:
        student = self.student
        self._told = False
        writable(self.path)  # an error now and not after an epoch
        best = read_best(self.path) if self.resume else None
        if best is None:
            return
        if best.monitor != self.monitor.name or best.shapes != _shapes(student):
            other = (
                f"the best student by '{best.monitor}', not by '{self.monitor.name}'"
                if best.monitor != self.monitor.name
                else "a student with weights of other shapes"
            )
            raise ValueError(
                f"'{self.path}' holds {other}. Give another path, or resume=False to replace it."
            )
        self.monitor.best, self.epoch = best.value, best.epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        student = self.student
        if not finite(student.weights):
            self.model.stop_training = True
            warnings.warn(self._diverged(epoch + 1), stacklevel=2)
            return
        value = self.monitor.read(logs or {})
        if value is None:
            self._warn_of_no_value(epoch + 1)
        elif self.monitor.improves(value):
            write_best(self.path, student, Best(self.monitor.name, value, epoch + 1, []))
            if not self._proven:
                self._proven = True
                warn_if_unloadable(self.path, student)
            self.monitor.best, self.epoch = value, epoch + 1

    def on_train_end(self, logs: Any = None) -> None:
        if self.restore and self.epoch is not None:
            load_best(self.path, self.student)

    def _diverged(self, epoch: int) -> str:
        kept = (
            f"The student of epoch {self.epoch} ({self.monitor.name} {self.best:.4g}) is kept in "
            f"'{self.path}'."
            if self.epoch is not None
            else "There was no good student before, so none is kept."
        )
        return (
            f"The student diverged: after epoch {epoch} its weights hold NaN or infinite values, "
            f"so training stops. {kept} A smaller learning rate, clipnorm=1.0 in the optimizer or "
            "a smaller weight of the largest term are what usually helps."
        )

    def _warn_of_no_value(self, epoch: int) -> None:
        if not self._told:
            self._told = True
            warnings.warn(
                f"Epoch {epoch} gave no '{self.monitor.name}', so its student was not compared and "
                "not kept. Give validation_data to fit, or monitor='loss'.",
                stacklevel=2,
            )


def write_best(path: Path, student: keras.Model, best: Best) -> None:
    """The student with its record, in one file, in one move."""
    best = best._replace(shapes=_shapes(student))
    with replacing(path) as temporary:
        student.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(_RECORD, json.dumps(best._asdict()))


def load_best(path: Path, student: keras.Model) -> None:
    """Gives a student the weights of a file that `BestStudent` wrote.

    Args:
        path: The `.keras` file.
        student: A model of the same architecture.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or of another architecture.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"There is no file '{path}'. Give one that keras_kd.callbacks.BestStudent wrote."
        )
    try:
        student.load_weights(path)
    except Exception as error:  # of whatever kind zipfile, h5py and Keras make of a damaged one
        raise ValueError(
            f"'{path}' is damaged: the weights of the best student cannot be had from it ({error}). "
            "Remove it, and train again from the beginning."
        ) from error


def read_best(path: str | os.PathLike[str]) -> Best | None:
    """How good the student is that `BestStudent` left in a file.

    Args:
        path: The `.keras` file.

    Returns:
        A `Best`: `monitor`, `value`, `epoch`, `shapes`; `None` when there is no file, or no record
        in it.

    Raises:
        ValueError: If there is a file, and it is no `.keras` file.

    Example:

    >>> keras_kd.callbacks.read_best("not_there.keras") is None
    True
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return Best(**json.loads(archive.read(_RECORD)))
    except (FileNotFoundError, KeyError):
        return None
    except Exception as error:  # of whatever kind zipfile makes of a file that will not do
        raise ValueError(
            f"'{path}' is there and is no .keras file. Give another path, or remove it."
        ) from error


def _shapes(student: keras.Model) -> list[list[int]]:
    return [list(w.shape) for w in student.weights]


def _checked(path: str | os.PathLike[str]) -> Path:
    path = named(path)
    if path.suffix != ".keras":
        raise ValueError(f"`path` must end with '.keras'. Received: '{path}'.")
    if path.is_dir():
        raise ValueError(f"`path` must name a file; '{path}' is a folder.")
    if not path.parent.is_dir():
        raise ValueError(f"The folder '{path.parent}' of `path` does not exist. Create it first.")
    return path
