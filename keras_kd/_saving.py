"""Files that hold all of a distiller, and that no interruption tears."""

import os
from typing import TYPE_CHECKING, Any

import keras

from keras_kd._core.files import replacing

if TYPE_CHECKING:  # the other half is a keras.Model
    from keras import Model as Base
else:
    Base = object


class Saving(Base):
    """Keras's saving, made whole: the state of random layers too, and one file or the other."""

    def save(
        self, filepath: Any, overwrite: bool = True, zipped: Any = None, **kwargs: Any
    ) -> None:
        """As `keras.Model.save`, and an interrupted save leaves the former file whole."""
        if not _replaced(filepath, ".keras", overwrite):
            return super().save(filepath, overwrite, zipped, **kwargs)
        with replacing(filepath) as temporary:
            super().save(temporary, overwrite, zipped, **kwargs)

    def save_weights(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> None:
        """As `keras.Model.save_weights`, and an interrupted save leaves the former file whole."""
        if kwargs or not _replaced(filepath, ".weights.h5", overwrite):
            return super().save_weights(filepath, overwrite, **kwargs)
        with replacing(filepath) as temporary:
            super().save_weights(temporary, overwrite)

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


def _replaced(filepath: Any, ending: str, overwrite: bool) -> bool:
    """Whether it is one local file that may be written beside its name and then renamed.

    Keras asks before it writes over a file when `overwrite` is False: that is left to it.
    """
    path = str(filepath)
    one = path.endswith(ending) and "://" not in path and not os.path.isdir(path)
    return one and (overwrite or not os.path.exists(path))
