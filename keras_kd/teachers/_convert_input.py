"""A model that sees its inputs in another range than the student."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.input_ranges import line
from keras_kd._core.last_activation import EndsLikeItsModel
from keras_kd._core.registry import serializable
from keras_kd._core.tensors import Tensor
from keras_kd.teachers._views import _View


@serializable
class ConvertInput(EndsLikeItsModel, _View):
    """A model that sees its inputs in the range that it was trained on, while the student sees others.

    Student and teacher get one batch. Where the teacher was trained on images from 0 to 255, with
    ImageNet's mean taken off, or in the order blue, green, red, this converts the batch for it:

    `x_teacher = low_wanted + (x - low_given) / (high_given - low_given) · (high_wanted - low_wanted)`

    Inputs outside of the range go on along the same line.

    Args:
        model: The `keras.Model`.
        given: The range of the data: a pair `(low, high)` of numbers, or of lists with one for each
            channel (or column); or `"imagenet"` (less ImageNet's mean, divided by its deviation:
            what black and white become) or `"caffe"` (0 to 255 less the mean, in the order blue,
            green, red). Defaults to `(0, 1)`.
        wanted: The range that the model was trained on, in the same form, channels in the
            model's order. Defaults to `(0, 1)`.
        flip_channels: Whether the model has the channels in the opposite order: blue, green, red
            for red, green, blue. Defaults to `False`.
        **kwargs: As in `keras.Model`.

    Raises:
        ValueError: If a range is none of these.

    Example:

    >>> model = keras.Sequential([keras.layers.Rescaling(1.0)])
    >>> teacher = keras_kd.teachers.ConvertInput(model, given=(0, 1), wanted=(-1, 1))
    >>> [float(x) for x in teacher(np.array([[0.0, 0.5, 1.0]]))[0]]
    [-1.0, 0.0, 1.0]
    """

    def __init__(
        self,
        model: keras.Model,
        given: str | Sequence[Any] = (0, 1),
        wanted: str | Sequence[Any] = (0, 1),
        *,
        flip_channels: bool = False,
        **kwargs: Any,
    ):
        super().__init__(model, **kwargs)
        self._line = line(given, wanted, flip_channels)
        self.given, self.wanted, self.flip_channels = given, wanted, bool(flip_channels)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        scale, offset = self._line
        x = ops.cast(x, "float32")
        if self.flip_channels:
            x = ops.flip(x, axis=-1)
        return self.model(x * scale + offset, training=training)

    def get_config(self) -> dict[str, Any]:
        ranges = {"given": _plain(self.given), "wanted": _plain(self.wanted)}
        return {**super().get_config(), **ranges, "flip_channels": self.flip_channels}


def _plain(range: Any) -> Any:
    """A range as a file holds it."""
    return range if isinstance(range, str) else [np.asarray(side).tolist() for side in range]
