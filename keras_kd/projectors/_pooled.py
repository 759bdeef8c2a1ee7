"""From several signals, or several positions, to one vector."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd._core.shapes import channels, pair, position_axes
from keras_kd._core.tensors import Tensor


def pooled(x: Tensor) -> Tensor:
    """The mean over the positions: `(batch, ..., channels)` -> `(batch, channels)`."""
    axes = position_axes(len(x.shape))
    return ops.mean(x, axis=axes) if axes else x


@serializable
class Pool(keras.layers.Layer):
    """The mean over the positions: a map or a sequence becomes a vector.

    For losses that compare vectors, on either side of a term. It has no weights.

    Shapes: `(batch, ..., channels)` -> `(batch, channels)`.

    Args:
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> keras_kd.projectors.Pool()(np.zeros((2, 8, 8, 64))).shape == (2, 64)
    True
    """

    def call(self, x: Tensor) -> Tensor:
        return pooled(x)


@serializable
class Join(keras.layers.Layer):
    """Several signals of one side as one vector: each pooled over its positions, side by side.

    `Term(..., pred=("student:block2", "student:block3"), projector=Join())` learns from the
    features of two layers together. It has no weights.

    Shapes: several `(batch, ..., channels_i)` -> `(batch, Σ channels_i)`.

    Args:
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> signals = np.zeros((2, 8, 8, 16)), np.zeros((2, 4, 4, 32))
    >>> keras_kd.projectors.Join()(signals).shape == (2, 48)
    True
    """

    def call(self, signals: Tensor) -> Tensor:
        return ops.concatenate([pooled(x) for x in keras.tree.flatten(signals)], axis=-1)


@serializable
class MLP(keras.layers.Layer):
    """Two linear maps of the channels with a ReLU between them.

    A nonlinear projector, for embeddings above all.

    Shapes: `(batch, ..., channels)` -> `(batch, ..., units)`; the channels are the last axis.

    Args:
        units: Number of channels of the target.
        hidden: Number of channels in between. Defaults to `None`, as many as come in.
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> keras_kd.projectors.MLP(128, hidden=64)(np.zeros((2, 16))).shape == (2, 128)
    True

    Reference: Chen et al., "A Simple Framework for Contrastive Learning of Visual
    Representations", ICML 2020, arXiv:2002.05709, section 2.1.
    """

    def __init__(self, units: int, *, hidden: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = count(units, "units")
        self.hidden = None if hidden is None else count(hidden, "hidden")

    def build(self, input_shape: tuple) -> None:
        policy = self.dtype_policy
        hidden = self.hidden or input_shape[-1]
        self.inner = keras.layers.Dense(hidden, activation="relu", dtype=policy)
        self.outer = keras.layers.Dense(self.units, dtype=policy)
        self.inner.build(input_shape)
        self.outer.build((*input_shape[:-1], hidden))

    def call(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "hidden": self.hidden}


@serializable
class PooledDense(keras.layers.Layer):
    """Maps a signal to as many channels as another has, after the mean over the positions.

    Linear, then BatchNorm. Given two signals, like a `Regressor`; of the second only the number
    of channels is read.

    Shapes: two signals `(batch, ..., a)` and `(batch, ..., b)` -> `(batch, b)`.

    Args:
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> signals = np.zeros((2, 8, 8, 16)), np.zeros((2, 4, 4, 32))
    >>> keras_kd.projectors.PooledDense()(signals).shape == (2, 32)
    True

    Reference: Miles, Mikolajczyk, "Understanding the Role of the Projector in Knowledge
    Distillation", AAAI 2024, arXiv:2303.11098, section 3.
    """

    def build(self, input_shape: Any) -> None:
        shape, target = pair("PooledDense", input_shape)
        self.linear = keras.layers.Dense(channels(target), dtype=self.dtype_policy)
        self.norm = keras.layers.BatchNormalization(dtype=self.dtype_policy)
        self.linear.build((None, channels(shape)))
        self.norm.build((None, channels(target)))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.norm(self.linear(pooled(inputs[0])), training=training)


@serializable
class PooledNorm(keras.layers.Layer):
    """The mean over the positions, each channel then brought to mean 0 and variance 1.

    A BatchNorm without scale and shift: it learns nothing, and keeps running statistics.

    Shapes: `(batch, ..., channels)` -> `(batch, channels)`.

    Args:
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> keras_kd.projectors.PooledNorm()(np.zeros((2, 8, 8, 16))).shape == (2, 16)
    True

    Reference: Miles, Mikolajczyk, "Understanding the Role of the Projector in Knowledge
    Distillation", AAAI 2024, arXiv:2303.11098, section 3.
    """

    def build(self, input_shape: Any) -> None:
        self.norm = keras.layers.BatchNormalization(
            center=False, scale=False, dtype=self.dtype_policy
        )
        self.norm.build((None, channels(tuple(input_shape))))

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        return self.norm(pooled(x), training=training)
