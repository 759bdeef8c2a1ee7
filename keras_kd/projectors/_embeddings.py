"""Embeddings of unit length, and the memories that contrastive losses look into."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.geometry import unit
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd._core.shapes import channels
from keras_kd._core.tensors import Tensor
from keras_kd.projectors._pooled import pooled


@serializable
class UnitEmbedding(keras.layers.Layer):
    """A linear map to a vector of length one, after the mean over the positions.

    Shapes: `(batch, ..., channels)` -> `(batch, units)`, float32 under any policy.

    Args:
        units: Size of the embedding. Defaults to `128`.
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> embedding = keras_kd.projectors.UnitEmbedding(8)(np.ones((2, 4, 4, 3)))
    >>> round(float(keras.ops.sum(embedding[0] ** 2)), 4)
    1.0

    Reference: Tian et al., "Contrastive Representation Distillation", ICLR 2020,
    arXiv:1910.10699, section 3.
    """

    def __init__(self, units: int = 128, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = count(units, "units")
        self.linear = keras.layers.Dense(self.units, dtype="float32")

    def build(self, input_shape: tuple) -> None:
        self.linear.build((None, channels(tuple(input_shape))))

    def call(self, x: Tensor) -> Tensor:
        return unit(self.linear(ops.cast(pooled(x), "float32")))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@serializable
class QueuedEmbedding(keras.layers.Layer):
    """A `UnitEmbedding` that also hands out the embeddings of batches gone by.

    For the target's side of a contrastive loss: what other examples looked like are the negatives.
    The queue holds the last `size` of them and moves in training only; in each step the oldest
    leave and this batch enters, after the queue as it stood has been handed out. It starts with
    random directions, and is saved with the distiller.

    Shapes: `(batch, ..., channels)` -> `(batch + size, units)`, the batch's own first.

    Args:
        units: Size of the embedding. Defaults to `128`.
        size: Number of embeddings kept. Defaults to `16384`.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If a batch is larger than the queue.

    Example:

    >>> keras_kd.projectors.QueuedEmbedding(8, size=32)(np.ones((2, 4, 4, 3))).shape == (34, 8)
    True

    Reference: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning",
    CVPR 2020, arXiv:1911.05722, section 3.2; negatives as in Tian et al., ICLR 2020.
    """

    def __init__(self, units: int = 128, *, size: int = 16384, **kwargs: Any):
        super().__init__(**kwargs)
        self.units, self.size = count(units, "units"), count(size, "size")
        self.embedding = UnitEmbedding(units)

    def build(self, input_shape: tuple) -> None:
        self.embedding.build(input_shape)
        # Each replica keeps a queue of its own: to merge them amid a step costs TensorFlow's tape
        # what it has recorded.
        self.queue = self.add_weight(
            name="queue",
            shape=(self.size, self.units),
            initializer="random_normal",
            trainable=False,
            autocast=False,
        )

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        embedding = self.embedding(x)
        queue = ops.stop_gradient(unit(self.queue))  # a copy: what is handed out stays as it is
        if training:
            if isinstance(x.shape[0], int) and x.shape[0] > self.size:
                raise ValueError(
                    f"A queue of {self.size} embeddings cannot take a batch of {x.shape[0]}. Give "
                    f"QueuedEmbedding size={4 * x.shape[0]} or so."
                )
            newest = ops.stop_gradient(embedding)
            self.queue.assign(ops.concatenate([newest, queue], axis=0)[: self.size])
        return ops.concatenate([embedding, queue], axis=0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "size": self.size}
