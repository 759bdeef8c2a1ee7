"""Queries, keys and values, divided into attention heads."""

import math
from typing import Any

import keras
from keras import ops

from keras_kd._core.messages import shape_of
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd._core.tensors import Tensor


@serializable
class Heads(keras.layers.Layer):
    """Queries, keys or values, divided into another number of heads.

    So that two transformers of different widths have as many relations to compare. It has no
    weights. Of several signals `(batch, positions, heads, width)`, those of fewer heads are shared
    out first, as in grouped attention: each head of the keys stands for several of the queries.

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

    def call(self, signals: Tensor) -> Tensor:
        grouped = [x.shape[2] for x in keras.tree.flatten(signals) if len(x.shape) == 4]
        most = max(grouped, default=0)
        return keras.tree.map_structure(lambda x: self._divided(_shared_out(x, most)), signals)

    def _divided(self, x: Tensor) -> Tensor:
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


def _shared_out(x: Tensor, heads: int) -> Tensor:
    """Each head as often as it takes to be as many as `heads`, where it takes a whole number."""
    if len(x.shape) != 4 or x.shape[2] == heads or heads % x.shape[2]:
        return x
    return ops.repeat(x, heads // x.shape[2], axis=2)
