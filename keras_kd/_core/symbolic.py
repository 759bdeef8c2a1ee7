"""Shapes before data: functions run on symbolic tensors."""

from collections.abc import Callable
from typing import Any

import keras

from keras_kd._core.messages import text_of


class _Symbolic(keras.Operation):
    """A function of tensors, run for shapes and types only."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__()
        self.function = function

    def call(self, *args: Any) -> Any:
        return self.function(*args)


def symbolic(function: Callable[..., Any], *args: Any) -> Any:
    """What `function` would return for symbolic `args`: nothing is computed, layers get built."""
    return _Symbolic(function).compute_output_spec(*args)


def lengths_unknown(inputs: Any) -> bool:
    """Whether an axis of `inputs` beyond the batch has a length that only data will show."""
    return any(size is None for x in keras.tree.flatten(inputs) for size in x.shape[1:])


def reason(error: Exception) -> str:
    """What went wrong inside `symbolic`, without Keras's frame around it."""
    return text_of(text_of(error).rpartition("Error encountered:\n\n")[2])


def input_of(model: keras.Model) -> Any:
    """The symbolic input of `model`, as it takes it; `None` when only data can show it."""
    if not getattr(model, "inputs", None):
        return None
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input
