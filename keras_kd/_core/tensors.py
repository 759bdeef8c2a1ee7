"""The word for what losses, layers and models compute with."""

from typing import Any, TypeAlias

#: A tensor of the backend in use, a `keras.KerasTensor`, or an array that becomes one. Backends
#: have no class in common, so that type checkers take it for anything; the name is for readers.
Tensor: TypeAlias = Any
