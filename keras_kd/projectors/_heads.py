"""Heads: from a layer inside a network to an answer, and the heads of attention."""

import math
from typing import Any

import keras
from keras import ops

from keras_kd._core.messages import shape_of
from keras_kd._core.numbers import count
from keras_kd._core.registry import export


@export
class AuxiliaryHead(keras.layers.Layer):
    """A classifier on a layer inside the network: mean over the positions, then logits.

    It lets a shallow layer answer, so that it can learn from a deep one (be your own teacher) or
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

    def call(self, x: Any) -> Any:
        axes = self._positions(len(x.shape))
        return self.logits(ops.mean(x, axis=axes) if axes else x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@export
class Heads(keras.layers.Layer):
    """Queries, keys or values, divided into another number of heads.

    So that two transformers of different widths have as many relations to compare. It has no
    weights.

    Shapes: one signal or several, each `(batch, positions, heads, width)` or `(batch, positions,
    features)` -> each `(batch, heads, positions, features / heads)`.

    Args:
        heads: Number of heads.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If the features cannot be divided by `heads`.

    Example:

    >>> queries = np.zeros((2, 7, 2, 12))
    >>> keras_kd.projectors.Heads(4)(queries).shape == (2, 4, 7, 6)
    True

    Reference: Wang et al., "MiniLMv2: Multi-Head Self-Attention Relation Distillation for
    Compressing Pretrained Transformers", Findings of ACL 2021, arXiv:2012.15828, section 3.1.
    """

    def __init__(self, heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads = count(heads, "heads")
        self.supports_masking = True

    def call(self, signals: Any) -> Any:
        return keras.tree.map_structure(self._divided, signals)

    def _divided(self, x: Any) -> Any:
        features = math.prod(x.shape[2:])
        if features % self.heads:
            raise ValueError(
                f"{features} features cannot be divided into {self.heads} heads. Received shape "
                f"{shape_of(x)}."
            )
        batch, positions = ops.shape(x)[:2]
        x = ops.reshape(x, (batch, positions, self.heads, features // self.heads))
        return ops.transpose(x, (0, 2, 1, 3))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}
