"""keras_kd: knowledge distillation for Keras 3, on TensorFlow, JAX and PyTorch."""

import importlib
from typing import TYPE_CHECKING, Any

from keras_kd import compression as compression
from keras_kd import losses as losses
from keras_kd import metrics as metrics
from keras_kd import projectors as projectors
from keras_kd import recipes as recipes
from keras_kd import schedules as schedules
from keras_kd import teachers as teachers
from keras_kd.distiller import Distiller as Distiller
from keras_kd.teachers import Ensemble as Ensemble
from keras_kd.teachers import Momentum as Momentum
from keras_kd.terms import Labels as Labels
from keras_kd.terms import Term as Term

if TYPE_CHECKING:
    from keras_kd import callbacks as callbacks
    from keras_kd import data as data
    from keras_kd import report as report
    from keras_kd import stores as stores
    from keras_kd.exporting import export as export

__version__ = "0.1.0"

# Opened when first asked for: they hold nothing that a saved file needs to find, and importing
# everything would make a user who only trains wait for it.
_LATER = ("callbacks", "data", "export", "report", "stores")


def __getattr__(name: str) -> Any:
    if name == "export":
        return importlib.import_module("keras_kd.exporting").export
    if name in _LATER:
        return importlib.import_module(f"keras_kd.{name}")
    raise AttributeError(f"module 'keras_kd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
