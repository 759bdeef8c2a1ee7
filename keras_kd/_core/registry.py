"""Registration: how a class comes back from a `.keras` file."""

from collections.abc import Callable
from typing import TypeVar

import keras

T = TypeVar("T")

#: Decorates every public class, so that `keras.saving` finds it as `keras_kd>ClassName`.
serializable = keras.saving.register_keras_serializable(package="keras_kd")


def formerly(name: str) -> Callable[[T], T]:
    """A decorator for a class that files may hold under the former `name`."""

    def register(kind: T) -> T:
        keras.saving.get_custom_objects()[f"keras_kd>{name}"] = kind
        return kind

    return register
