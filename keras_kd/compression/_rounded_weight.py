"""A weight as a device has it: shared, pruned, rounded."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.tensors import Tensor


class RoundedWeight(keras.layers.Layer):
    """What a layer computes with in place of one of its weights.

    In this order: the weights of a cluster are their mean, so that they move together; weights
    that were pruned are 0, and get no gradient; the rest is rounded.
    """

    def __init__(self, rounding: keras.layers.Layer, pruned: bool, clusters: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.rounding, self.pruned, self.clusters = rounding, pruned, clusters

    def build(self, shape: Any) -> None:
        add = {"shape": tuple(shape), "trainable": False, "autocast": False}
        if self.pruned:
            self.kept = self.add_weight(name="kept", initializer="ones", **add)
        if self.clusters:
            self.cluster = self.add_weight(
                name="cluster", initializer="zeros", **{**add, "dtype": "int32"}
            )
            self.factor = self.add_weight(name="factor", initializer="ones", **add)
        self.rounding.build(tuple(shape))
        self.built = True

    def begin(self, weight: np.ndarray, factor: np.ndarray) -> None:
        """Notes which weights are 0 and which are equal, and sets the first step sizes.

        `factor` is what the norm that was folded multiplies each weight by.
        """
        if self.pruned:
            self.kept.assign(weight != 0)
        if self.clusters:
            _, places = np.unique(weight, return_inverse=True)
            self.cluster.assign(places.reshape(weight.shape))
            self.factor.assign(np.broadcast_to(factor, weight.shape))
            weight = weight * factor
        if hasattr(self.rounding, "begin"):
            self.rounding.begin(weight)

    def call(self, weight: Tensor) -> Tensor:
        return self.rounding(self.remaining(weight))

    def remaining(self, weight: Tensor) -> Tensor:
        if self.clusters:
            weight = self._shared(weight)
        return weight * ops.cast(self.kept, weight.dtype) if self.pruned else weight

    def _shared(self, weight: Tensor) -> Tensor:
        places = ops.reshape(self.cluster, (-1,))
        flat = ops.reshape(weight, (-1,))
        total = ops.segment_sum(flat, places, num_segments=self.clusters)
        sizes = ops.segment_sum(ops.ones_like(flat), places, num_segments=self.clusters)
        mean = ops.take(total / ops.maximum(sizes, 1.0), places)
        return ops.reshape(mean, self.cluster.shape) * ops.cast(self.factor, weight.dtype)
