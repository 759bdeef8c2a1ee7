"""A function of NumPy arrays as a model."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.external import ExternalTeacher, SteadySignals
from keras_kd._core.function_teacher import FunctionTeacher
from keras_kd._core.last_activation import EndsIn
from keras_kd._core.models import looks_like_a_model, no_model
from keras_kd._core.registry import serializable
from keras_kd._core.tensors import Tensor
from keras_kd._trainers._host_call import host_call

Shape = tuple[int, ...]


@serializable
class FromFunction(EndsIn, keras.Model):
    """A function of NumPy arrays, or a teacher of another framework, as a model inside `fit`.

    For those who want one live beside the student on any backend. The step stops at each batch
    until the function has returned, so `keras_kd.stores.write`, which calls it once, and
    `keras_kd.sources.live`, which calls it ahead, are faster. It has no gradients, and no file can
    hold it: a distiller with it is not saved, its student is.

    On the TensorFlow backend the step holds one of TensorFlow's threads while it waits. A function
    that runs TensorFlow itself needs another one: where there is one alone (a single core, or
    `TF_NUM_INTEROP_THREADS=1`), it would wait for ever. Use `keras_kd.sources.live` there.

    Args:
        function: A teacher of `keras_kd.sources`, or a function from a batch, as NumPy arrays, to
            logits; or to a dict with `"output"` for them and other signals by name, such as
            `"teacher:tokens"` for a key `"tokens"`.
        output_shape: Of one example's output, such as `(10,)`; or a dict of shapes by name, for all
            signals wanted.
        kind: What a function's output is: see `keras_kd.sources.FunctionTeacher`. Defaults to
            `"logits"`.
        name: As in `keras.Model`.

    Raises:
        TypeError: If `function` is a model or no function.
        ValueError: If `output_shape` names no output; when it runs, if what comes has another
            shape, or is not of the `kind` given.

    Example:

    >>> def signs(x):
    ...     return np.stack([x.sum(axis=1), -x.sum(axis=1)], axis=1)
    >>> teacher = keras_kd.teachers.FromFunction(signs, output_shape=(2,))
    >>> [float(logit) for logit in teacher(np.array([[1.0, 2.0]]))[0]]
    [3.0, -3.0]
    """

    def __init__(
        self,
        function: ExternalTeacher | Callable[[Any], Any],
        output_shape: Shape | Mapping[str, Shape],
        *,
        kind: str = "logits",
        name: str | None = None,
    ):
        super().__init__(name=name, dtype="float32", trainable=False)
        if isinstance(function, keras.Model) or not isinstance(function, ExternalTeacher):
            if looks_like_a_model(function) or not callable(function):
                raise no_model(function, "function", "a function or a teacher of keras_kd.sources")
            function = FunctionTeacher(function, name=self.name, kind=kind)
        given = output_shape if isinstance(output_shape, Mapping) else {OUTPUT: output_shape}
        if OUTPUT not in given:
            raise ValueError(
                f"`output_shape` must have the key 'output'. Received: {dict(given)!r}."
            )
        self._shapes = {path: _shape(shape, path) for path, shape in given.items()}
        self.teacher = function
        self._signals = SteadySignals(function, list(self._shapes))
        # Layers that return what they are given: taps find them by the names of the signals.
        self._inner = [keras.layers.Identity(name=path) for path in self._shapes if path != OUTPUT]
        self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Nothing: it owns no weights."""

    def ends_in(self, path: tuple[str, ...]) -> str | None:
        return None if self.teacher.kind == "values" else "linear"

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        names = [OUTPUT, *(layer.name for layer in self._inner)]
        found = dict(
            zip(
                names,
                host_call(self._call_function, x, [self._shapes[n] for n in names]),
                strict=True,
            )
        )
        for layer in self._inner:
            layer(found[layer.name])
        return found[OUTPUT]

    def _call_function(self, x: Any) -> list[np.ndarray]:
        signals = self._signals(x)
        for path, shape in self._shapes.items():
            if signals[path].shape[1:] != shape:
                raise ValueError(
                    f"'{path}' of '{self.name}' has the shape {signals[path].shape[1:]} for each "
                    f"example, and `output_shape` gives {shape}."
                )
        names = [OUTPUT, *(layer.name for layer in self._inner)]
        return [np.ascontiguousarray(signals[name], "float32") for name in names]

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            f"'{self.name}' is a function, which no file can hold. Save the student alone: "
            "distiller.student.save('student.keras')."
        )


def _shape(shape: Any, path: str) -> Shape:
    whole = isinstance(shape, (tuple, list)) and all(
        isinstance(size, (int, np.integer)) and size > 0 for size in shape
    )
    if not whole:
        raise ValueError(
            f"`output_shape` must be the shape of one example's '{path}', such as (10,), without "
            f"the batch. Received: {shape!r}."
        )
    return tuple(int(size) for size in shape)
