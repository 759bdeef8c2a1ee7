"""keras_kd: knowledge distillation for Keras 3, on TensorFlow, JAX and PyTorch."""

import importlib
from typing import TYPE_CHECKING, Any

from keras_kd._core.command import is_the_command as _is_the_command

# The command `keras-kd` opens the rest when there is work to do: Keras takes seconds to import, and
# `keras-kd --help` none.
if TYPE_CHECKING or not _is_the_command():
    from keras_kd._public_names import *  # noqa: F403

if TYPE_CHECKING:
    from keras_kd import callbacks as callbacks
    from keras_kd import data as data
    from keras_kd import exporting as exporting
    from keras_kd import report as report
    from keras_kd import stores as stores
    from keras_kd.exporting import export as export

__version__ = "0.1.0"

# Opened when first asked for: they hold nothing that a saved file needs to find, and importing
# everything would make a user who only trains wait for it.
_LATER = ("callbacks", "data", "export", "exporting", "report", "stores")


def __getattr__(name: str) -> Any:
    if name == "export":
        return importlib.import_module("keras_kd.exporting").export
    if name in _LATER:
        return importlib.import_module(f"keras_kd.{name}")
    if name[:1] != "_" and _is_the_command():
        return getattr(importlib.import_module("keras_kd._public_names"), name)
    raise AttributeError(f"module 'keras_kd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
