"""Any function as a teacher; and what can be one outside a training step."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras

from keras_kd._core.external import ExternalTeacher
from keras_kd._core.models import looks_like_a_model, no_model
from keras_kd._core.output_kinds import FLOOR
from keras_kd._core.scalars import count

Teacher: TypeAlias = keras.Model | ExternalTeacher


class FunctionTeacher(ExternalTeacher):
    """Any function from a batch of inputs to what it predicts, as a teacher.

    Args:
        function: From NumPy arrays, `(batch, ...)`, to an array with a row for each example, or
            to a dict of these with `"output"` among its keys; the others are signals of their own,
            such as `"teacher:tokens"` for a key `"tokens"`.
        name: Its name in stores and messages. Two functions are the same teacher when name and
            `weights` are the same: nothing else of them is compared.
        kind: What the output is: `"logits"`, `"probabilities"`, `"log_probabilities"`,
            `"binary_probabilities"` (each of its own, as after a sigmoid) or `"values"` (of a
            regression). Of all but values, logits are made. Defaults to `"logits"`.
        floor: The probability that 0 counts as. Defaults to `1e-7`.
        weights: A file that holds what it learned, or several: hashed into the store's
            fingerprint. Defaults to `None`.
        retries: How often a batch is tried again when the function raises: after 1 second, 2, 4
            and so on. Defaults to `0`.

    Raises:
        ValueError: If `name` is missing or `kind` unknown; when it is called, if the output is no
            array of numbers with a row for each example, or not of the `kind` given.

    Example:

    >>> def odds(x):
    ...     return np.stack([x[:, 0], 1.0 - x[:, 0]], axis=1)
    >>> teacher = keras_kd.sources.FunctionTeacher(odds, name="odds", kind="probabilities")
    >>> [round(float(logit), 4) for logit in teacher(np.array([[0.75]]))[0]]
    [-0.2877, -1.3863]
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        *,
        name: str,
        kind: str = "logits",
        floor: float = FLOOR,
        weights: Any = None,
        retries: int = 0,
    ):
        super().__init__(name, kind=kind, floor=floor)
        if not callable(function):
            raise TypeError(f"`function` must be callable. Received: {function!r}.")
        self.function, self.weights = function, weights
        self.retries = count(retries, "retries", 0)

    def run(self, x: Any, paths: Sequence[str]) -> Any:
        return retrying(lambda: self.function(x), self.retries)

    def weights_hash(self) -> str | None:
        if self.weights is None:
            return None
        several = isinstance(self.weights, (list, tuple))
        return files_hash(self.weights if several else [self.weights])

    def settings(self) -> dict[str, Any]:
        return {"name": self.name}


def retrying(
    function: Callable[[], Any], retries: int, *, wait: float = 1.0, kinds: Any = Exception
) -> Any:
    """What `function` returns, tried again after `wait` seconds, twice that, and so on."""
    for attempt in range(retries):
        try:
            return function()
        except kinds:
            time.sleep(wait * 2**attempt)
    return function()


def files_hash(paths: Sequence[Any]) -> str:
    """A hash of what files hold, whatever they are called."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()[:32]


def as_teacher(teacher: Any, name: str | None) -> Teacher:
    """A teacher to run; a function becomes one by its `name`.

    Raises:
        TypeError: If it is a model of another framework, or nothing that can be called.
        ValueError: If it is a function and `name` is missing.
    """
    if isinstance(teacher, (keras.Model, ExternalTeacher)):
        return teacher
    if looks_like_a_model(teacher) or not callable(teacher):
        raise no_model(
            teacher, "teacher", "a keras.Model, a teacher of keras_kd.sources or a function"
        )
    if name is None:
        raise ValueError(
            "A function has no weights that identify it: give the name by which the store knows "
            "it, such as name='forest-2026', and another one whenever it changes."
        )
    return FunctionTeacher(teacher, name=name)
