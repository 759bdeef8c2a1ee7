"""The whole state of a training run, in one file that is whole at any time."""

import os
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.files import named, replacing, writable
from keras_kd.callbacks._monitor import finite
from keras_kd.distiller import Distiller


class Checkpoint(keras.callbacks.Callback):
    """Writes down after each epoch all that training needs to go on, and restores it.

    Students, projectors, momentum teachers, schedules, optimizer and random layers; the frozen
    teachers, which are given again anyway, are left out. One `.npz` file without code in it,
    written aside and then renamed: whatever ends the process, it holds one epoch's state, whole.

    A state whose weights are NaN or infinite is never written; training stops then, with a warning.
    (`keras.callbacks.BackupAndRestore` serves as well, but keeps weights and epoch in two
    files: a process that ends between them trains one epoch twice.)

    A run that was stopped goes on as if it had not been, given data that come in the same order:
    with `fit(shuffle=False)`, for Keras draws another order in each process.

    Args:
        path: The file; ends with `.npz`. Its folder exists.

    Raises:
        ValueError: If `path` will not do; from `restore`, if the file is of another kind of run.

    Example:

    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "state.npz")
    >>> def run(epochs):
    ...     student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    ...     distiller = keras_kd.Distiller(student=student, terms=[keras_kd.Labels()])
    ...     loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ...     distiller.compile("adam", loss)
    ...     checkpoint = keras_kd.callbacks.Checkpoint(path)
    ...     done = checkpoint.restore(distiller)
    ...     x, y = np.ones((8, 4)), np.zeros(8, "int32")
    ...     history = distiller.fit(x, y, epochs=epochs, initial_epoch=done, verbose=0,
    ...                             callbacks=[checkpoint])
    ...     return done, int(distiller._step)
    >>> run(epochs=2)
    (0, 2)
    >>> run(epochs=5)
    (2, 5)
    """

    #: A student that turns NaN ends the training with a warning that names what was kept.
    stops_at_nan = True

    def __init__(self, path: str | os.PathLike[str]):
        super().__init__()
        self.path = named(path)
        if self.path.suffix != ".npz":
            raise ValueError(f"`path` must end with '.npz'. Received: '{path}'.")
        if not self.path.parent.is_dir():
            raise ValueError(f"The folder '{self.path.parent}' of `path` does not exist.")

    def restore(self, model: keras.Model) -> int:
        """Puts the state of the file into a compiled model; returns the epochs done, 0 without a
        file: what `fit` takes as `initial_epoch`."""
        if not self.path.exists():
            return 0
        try:
            with np.load(self.path, allow_pickle=False) as file:
                state = {name: file[name] for name in file.files}
            epochs = int(state.pop("epochs"))
        except Exception as error:  # of whatever kind numpy makes of a file that will not do
            raise ValueError(
                f"'{self.path}' is no checkpoint that can be read. Remove it to start anew."
            ) from error
        model.optimizer.build(model.trainable_variables)
        variables = _state(model)
        known = [tuple(values.shape) for values in state.values()]
        if known != [tuple(v.shape) for v in variables]:
            raise ValueError(
                f"'{self.path}' is the checkpoint of another run: its models, terms or optimizer "
                "were others. Give another path, or remove it to start anew."
            )
        for variable, values in zip(variables, state.values(), strict=True):
            variable.assign(values)
        return epochs

    def on_train_begin(self, logs: Any = None) -> None:
        writable(self.path)  # an error now and not after an epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not finite(self.model.trainable_variables):
            self.model.stop_training = True
            warnings.warn(self._diverged(epoch + 1), stacklevel=2)
            return
        arrays: dict[str, Any] = {f"{i:05d}": _array(v) for i, v in enumerate(_state(self.model))}
        with replacing(self.path) as temporary:
            np.savez(temporary, epochs=epoch + 1, **arrays)

    def _diverged(self, epoch: int) -> str:
        kept = (
            f"'{self.path}' holds the last good epoch's state"
            if self.path.exists()
            else "There was no good epoch before, so nothing is kept"
        )
        return (
            f"The student diverged: after epoch {epoch} weights hold NaN or infinite values, so "
            f"training stops. {kept}. Go on with a smaller learning rate, clipnorm=1.0 in the "
            "optimizer or a smaller weight of the largest term."
        )


def _state(model: keras.Model) -> list[keras.Variable]:
    """All that training moves, in an order that stays."""
    if isinstance(model, Distiller):
        return model._moving_variables()
    return list({id(v): v for v in [*model.variables, *model.optimizer.variables]}.values())


def _array(variable: keras.Variable) -> np.ndarray:
    """Its values in a type that numpy's files know."""
    values = ops.convert_to_numpy(variable)
    return values.astype("float32") if values.dtype.kind not in "fiub" else values
