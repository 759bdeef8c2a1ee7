"""The entries of a comparison: Keras models, teachers that are called as these are, and arrays of outputs."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.external import ExternalTeacher, SteadySignals
from keras_kd._core.function_teacher import FunctionTeacher
from keras_kd._core.largest import Largest
from keras_kd._core.models import looks_like_a_model, no_model


class CalledTeacher:
    """A teacher of another framework or a function, with the two methods of a Keras model that a
    report calls.

    Args:
        teacher: The teacher.
        gives_logits: Whether its outputs are known to be logits; else their values decide.
    """

    def __init__(self, teacher: ExternalTeacher, gives_logits: bool):
        self.teacher, self.gives_logits = teacher, gives_logits
        self._signals = SteadySignals(teacher, (OUTPUT,))

    def predict_on_batch(self, x: Any) -> np.ndarray:
        outputs = self._signals(x)[OUTPUT]
        if isinstance(outputs, Largest):
            raise ValueError(
                f"The teacher '{self.teacher.name}' gives its {outputs.values.shape[-1]} largest "
                "logits alone, and a report scores the outputs for all classes. Leave it out."
            )
        return outputs

    def predict(self, x: Any, *, batch_size: int, verbose: int = 0) -> np.ndarray:
        starts = range(0, len(keras.tree.flatten(x)[0]), batch_size)
        return np.concatenate([self.predict_on_batch(_rows(x, i, i + batch_size)) for i in starts])


class GivenOutputs:
    """Outputs that are there already, `(examples, classes)`, in the order of the test set.

    Args:
        outputs: The array.
        name: Name of the entry, for messages.
    """

    def __init__(self, outputs: np.ndarray, name: str):
        self.outputs, self.name = outputs, name

    def for_examples(self, count: int) -> np.ndarray:
        """The outputs; raises unless there is one for each of `count` examples."""
        if len(self.outputs) != count:
            raise ValueError(
                f"'{self.name}' has {len(self.outputs):,} outputs, and the test set {count:,} "
                "examples: one for each is expected, in their order."
            )
        return self.outputs


def _rows(x: Any, start: int, stop: int) -> Any:
    return keras.tree.map_structure(lambda leaf: leaf[start:stop], x)


#: What has `predict` and `predict_on_batch`.
Runnable: TypeAlias = keras.Model | CalledTeacher
Participant: TypeAlias = Runnable | GivenOutputs
Participants: TypeAlias = Mapping[str, Sequence[Participant]]


def participant(model: Any, name: str) -> Participant:
    """One entry of `models` as a participant."""
    if isinstance(model, keras.Model):
        return model
    if isinstance(model, ExternalTeacher):
        return CalledTeacher(model, gives_logits=True)
    if isinstance(model, np.ndarray) or keras.ops.is_tensor(model):
        return GivenOutputs(keras.ops.convert_to_numpy(model), name)
    if callable(model) and not looks_like_a_model(model):
        return CalledTeacher(FunctionTeacher(model, name=name), gives_logits=False)
    raise no_model(
        model,
        f"models[{name!r}]",
        "a keras.Model, a teacher, a function, an array or a list of them",
    )


def check_has_layers(participants: Participants, name: str, argument: str) -> None:
    """Raises when `argument` needs the layers of something that is no Keras model."""
    if not isinstance(participants[name][0], keras.Model):
        raise ValueError(
            f"`{argument}` looks at the layers of a model, and '{name}' is no keras.Model: of it only "
            "the outputs are known. Name another one, or leave it out."
        )
