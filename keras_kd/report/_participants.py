"""Who takes part in a comparison: Keras models, what is called as these are, and mere outputs."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.external import ExternalTeacher, SteadySignals
from keras_kd._core.function_teacher import FunctionTeacher
from keras_kd._core.largest import Largest
from keras_kd._core.models import looks_like_a_model, no_model


class Called:
    """A teacher of another framework or a function, called as a Keras model is.

    Args:
        teacher: Who is called.
        gives_logits: Whether that is known; else its numbers have to tell.
    """

    def __init__(self, teacher: ExternalTeacher, gives_logits: bool):
        self.teacher, self.gives_logits = teacher, gives_logits
        self._signals = SteadySignals(teacher, (OUTPUT,))

    def predict_on_batch(self, x: Any) -> np.ndarray:
        outputs = self._signals(x)[OUTPUT]
        if isinstance(outputs, Largest):
            raise ValueError(
                f"The teacher '{self.teacher.name}' tells its {outputs.values.shape[-1]} largest "
                "logits alone, and a report judges the outputs for all classes. Leave it out."
            )
        return outputs

    def predict(self, x: Any, *, batch_size: int, verbose: int = 0) -> np.ndarray:
        starts = range(0, len(keras.tree.flatten(x)[0]), batch_size)
        return np.concatenate([self.predict_on_batch(_rows(x, i, i + batch_size)) for i in starts])


class Given:
    """Outputs that are there already, `(examples, classes)`, in the order of the test set.

    Args:
        outputs: The array.
        name: Whose they are.
    """

    def __init__(self, outputs: np.ndarray, name: str):
        self.outputs, self.name = outputs, name

    def of(self, examples: int) -> np.ndarray:
        """The outputs, once it is known that there is one for each example."""
        if len(self.outputs) != examples:
            raise ValueError(
                f"'{self.name}' has {len(self.outputs):,} outputs, and the test set {examples:,} "
                "examples: one for each is expected, in their order."
            )
        return self.outputs


def _rows(x: Any, start: int, stop: int) -> Any:
    return keras.tree.map_structure(lambda leaf: leaf[start:stop], x)


#: `predict` and `predict_on_batch` run it.
Runs: TypeAlias = keras.Model | Called
Participant: TypeAlias = Runs | Given
Participants: TypeAlias = Mapping[str, Sequence[Participant]]


def participant(given: Any, name: str) -> Participant:
    """What stands for one entry of `models`."""
    if isinstance(given, keras.Model):
        return given
    if isinstance(given, ExternalTeacher):
        return Called(given, gives_logits=True)
    if isinstance(given, np.ndarray) or keras.ops.is_tensor(given):
        return Given(keras.ops.convert_to_numpy(given), name)
    if callable(given) and not looks_like_a_model(given):
        return Called(FunctionTeacher(given, name=name), gives_logits=False)
    raise no_model(
        given,
        f"models[{name!r}]",
        "a keras.Model, a teacher, a function, an array or a list of them",
    )


def check_has_layers(participants: Participants, name: str, argument: str) -> None:
    """Raises when something is to be looked at inside what is no Keras model."""
    if not isinstance(participants[name][0], keras.Model):
        raise ValueError(
            f"`{argument}` looks at the layers of a model, and '{name}' is no keras.Model: of it only "
            "the outputs are known. Name another one, or leave it out."
        )
