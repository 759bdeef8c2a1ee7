"""Files that hold all of a distiller, and that no interruption tears."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras

from keras_kd._core.files import replacing
from keras_kd._core.keras_private import layers_of

if TYPE_CHECKING:  # the other half is a keras.Model
    from keras import Model as Base
else:
    Base = object


class Saving(Base):
    """Keras's saving, made whole: the state of random layers too, and one file or the other."""

    def save(
        self, filepath: Any, overwrite: bool = True, zipped: Any = None, **kwargs: Any
    ) -> None:
        """As `keras.Model.save`, and an interrupted save leaves the former file whole.

        What a teacher was compiled with is left out, its optimizer above all.
        """
        with self._without_teacher_optimizers():
            if not _replaced(filepath, ".keras", overwrite):
                return super().save(filepath, overwrite, zipped, **kwargs)
            with replacing(filepath) as temporary:
                super().save(temporary, overwrite, zipped, **kwargs)

    def save_weights(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> None:
        """As `keras.Model.save_weights`, and an interrupted save leaves the former file whole.

        The file holds the weights of all models and terms. A student alone cannot read it: load it
        with `distiller.load_weights`, and then write the student, `distiller.student.save(...)`.
        """
        with self._without_teacher_optimizers():
            if kwargs or not _replaced(filepath, ".weights.h5", overwrite):
                return super().save_weights(filepath, overwrite, **kwargs)
            with replacing(filepath) as temporary:
                super().save_weights(temporary, overwrite)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """As `keras.Model.load_weights`, of a file that a distiller like this one wrote."""
        with self._without_teacher_optimizers():
            try:
                super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)
            except ValueError as error:
                if f"Layer '{self.name}' expected" in str(error) and "received 0" in str(error):
                    raise ValueError(
                        f"'{filepath}' holds the weights of one model, not of a distiller. Load it "
                        "into that model: distiller.student.load_weights(...), or "
                        "distiller.teacher.load_weights(...)."
                    ) from error
                raise

    @contextlib.contextmanager
    def _without_teacher_optimizers(self) -> Iterator[None]:
        """Teachers without their optimizers, while the context lasts: Keras's saving walks through
        everything that a model holds."""
        held = {}
        for teacher in self.teachers.values():
            for layer in layers_of(teacher):
                if vars(layer).get("optimizer") is not None:
                    held[id(layer)] = layer, vars(layer).pop("optimizer")
        try:
            yield
        finally:
            for layer, optimizer in held.values():
                vars(layer)["optimizer"] = optimizer  # past Keras's attribute tracking, on purpose

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        for i, seed in enumerate(self._seeds()):
            store[f"seed_{i}"] = seed.numpy()

    def load_own_variables(self, store: Any) -> None:
        own = {k: store[k] for k in store.keys() if not k.startswith("seed_")}  # noqa: SIM118
        super().load_own_variables(own)
        for i, seed in enumerate(self._seeds()):
            if f"seed_{i}" in store.keys():  # noqa: SIM118, a store is no dict
                seed.assign(store[f"seed_{i}"])

    def _seeds(self) -> list[keras.Variable]:
        """The state of every random layer, which Keras leaves out of a file."""
        weights = {id(v) for v in self.weights}
        return [v for v in self.variables if id(v) not in weights]


def uncompiled(config: Any) -> Any:
    """A model's serialized config without what it, or a model within it, was compiled with."""
    if isinstance(config, dict):
        kept = {
            k: v for k, v in config.items() if k != "compile_config" or "class_name" not in config
        }
        return {key: uncompiled(value) for key, value in kept.items()}
    return [uncompiled(one) for one in config] if isinstance(config, list) else config


def _replaced(filepath: Any, ending: str, overwrite: bool) -> bool:
    """Whether it is one local file that may be written beside its name and then renamed.

    With `overwrite=False` Keras prompts before it writes over a file: that is left to it.
    """
    path = str(filepath)
    one = path.endswith(ending) and "://" not in path and not os.path.isdir(path)
    return one and (overwrite or not os.path.exists(path))
