"""A classifier of its own behind a layer inside a network."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd._core.tensors import Tensor


@serializable
class AuxiliaryHead(keras.layers.Layer):
    """A classifier on a layer inside the network: mean over the positions, then logits.

    It lets a shallow layer predict, so that it can learn from a deep one (be your own teacher) or
    from the labels. It is trained with the student and is no part of it afterwards.

    Shapes: `(batch, ..., channels)` -> `(batch, units)`. Logits are float32 under any policy.

    Args:
        units: Number of logits.
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> keras_kd.projectors.AuxiliaryHead(10)(np.zeros((2, 8, 8, 64))).shape == (2, 10)
    True

    Reference: Zhang et al., "Be Your Own Teacher", ICCV 2019, arXiv:1905.08094, section 3.
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = count(units, "units")
        self.logits = keras.layers.Dense(self.units, dtype="float32")

    def _positions(self, rank: int) -> tuple[int, ...]:
        channels_first = rank == 4 and keras.config.image_data_format() == "channels_first"
        return tuple(range(2, rank)) if channels_first else tuple(range(1, rank - 1))

    def build(self, input_shape: tuple) -> None:
        away = self._positions(len(input_shape))
        self.logits.build(tuple(n for axis, n in enumerate(input_shape) if axis not in away))

    def call(self, x: Tensor) -> Tensor:
        axes = self._positions(len(x.shape))
        return self.logits(ops.mean(x, axis=axes) if axes else x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
