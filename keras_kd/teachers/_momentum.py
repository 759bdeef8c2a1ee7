"""A teacher that follows the student."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.last_activation import EndsLikeItsModel
from keras_kd._core.models import no_model
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, at, finite
from keras_kd._core.tensors import Tensor


@serializable
class Momentum(EndsLikeItsModel, keras.Model):
    """A copy of the student whose weights follow the student's slowly.

    The mean teacher: an average of the student over its last steps is steadier than the student,
    and better. After each training step, for every weight, the statistics of BatchNorm among
    them,

    `w = decay · w + (1 - decay) · student`

    (counters and other weights that are no floats are copied). It starts as the student is when
    this is made. The copy is its own, is saved with the distiller, and is the one to keep when it
    is the better of the two: `distiller.teacher.model`.

    Args:
        student: The student, built; it is copied.
        decay: From 0 up to 1; a float or a schedule read at the step. Defaults to `0.999`.
        of: Role of the student to follow. Defaults to `"student"`.
        **kwargs: As in `keras.Model`.

    Raises:
        TypeError: If `student` is not a `keras.Model`.
        ValueError: If `student` is not built, or `decay` is not from 0 to 1.

    Example:

    >>> student = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> teacher = keras_kd.teachers.Momentum(student, decay=0.9)
    >>> student.set_weights([np.zeros((2, 3)), np.ones(3)])
    >>> teacher.follow(student, step=0)
    >>> round(float(teacher.model.layers[0].bias[0]), 4)  # 0.9 · 0 + 0.1 · 1
    0.1

    Reference: Tarvainen, Valpola, "Mean teachers are better role models", NIPS 2017,
    arXiv:1703.01780, section 2.
    """

    def __init__(
        self,
        student: keras.Model,
        *,
        decay: Number = 0.999,
        of: str = "student",
        **kwargs: Any,
    ):
        if not isinstance(student, keras.Model):
            raise no_model(student, "student")
        if not student.built:
            raise ValueError(
                f"Momentum copies the student's weights, and '{student.name}' has none yet. Give "
                "it a keras.Input, or call it once on a batch."
            )
        finite(decay, "decay")
        if isinstance(decay, (int, float)) and not 0 <= decay <= 1:
            raise ValueError(f"`decay` must be from 0 to 1. Received: decay={decay!r}.")
        super().__init__(**kwargs)
        self.decay, self.of = decay, of
        self.model = keras.models.clone_model(student)
        # Copies: on JAX, numpy views of the student's buffers would become the copy's own.
        self.model.set_weights([np.array(weight) for weight in student.get_weights()])
        self.trainable = False
        self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Nothing: the copy of the student is built."""

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        return self.model(x, training=training)

    def follow(self, student: keras.Model, step: Tensor) -> None:
        """One step after the student."""
        decay = at(self.decay, step)
        for own, other in zip(self.model.weights, student.weights, strict=True):
            if "float" in own.dtype:
                now = ops.convert_to_tensor(own)
                own.assign(decay * now + (1 - decay) * ops.cast(other, own.dtype))
            else:
                own.assign(ops.copy(other))

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        own = {"student": serialize(self.model), "decay": serialize(self.decay), "of": self.of}
        return {"name": self.name, **own}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Momentum":
        return cls(**{n: keras.saving.deserialize_keras_object(v) for n, v in config.items()})
