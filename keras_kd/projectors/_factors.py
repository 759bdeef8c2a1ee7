"""Factors: a teacher's map encoded in fewer channels, and the student's map in the same code."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import positive
from keras_kd._core.shapes import channel_axis, channels, pair, positions
from keras_kd._core.tensors import Tensor
from keras_kd.projectors._maps import Resize


def _block(filters: int, axis: int, policy: Any) -> list[keras.layers.Layer]:
    return [
        keras.layers.Conv2D(filters, 3, padding="same", dtype=policy),
        keras.layers.LeakyReLU(0.1, dtype=policy),
        keras.layers.BatchNormalization(axis, dtype=policy),
    ]


def _stack(widths: list[int], shape: Any, policy: Any) -> keras.Sequential:
    axis = channel_axis(len(shape))
    stack = keras.Sequential([layer for width in widths for layer in _block(width, axis, policy)])
    stack.build(shape)
    return stack


def _factor_channels(count: int, rate: float) -> int:
    return max(1, round(count * rate))


@serializable
class Paraphraser(keras.layers.Layer):
    """Encodes a teacher's map in fewer channels: the factors that a student is to match.

    An autoencoder of 3×3 convolutions. It learns by itself, in the same steps as the student:
    the mean squared error of what it restores from its factors is added to the loss, and no
    gradient comes back to it from the term that it serves (which would else train it towards
    factors that are easy to match). The paper trains it beforehand and then freezes it; here both
    train at once.

    Shapes: `(batch, height, width, channels)` -> `(batch, height, width, rate · channels)`.

    Args:
        rate: Number of factors for each channel. Defaults to `0.5`.
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> keras_kd.projectors.Paraphraser()(np.zeros((2, 8, 8, 16))).shape == (2, 8, 8, 8)
    True

    Reference: Kim, Park, Kwak, "Paraphrasing Complex Network: Network Compression via Factor
    Transfer", NeurIPS 2018, arXiv:1802.04977, section 3.1.
    """

    def __init__(self, rate: float = 0.5, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = positive(rate, "rate")

    def build(self, input_shape: tuple) -> None:
        shape = tuple(input_shape)
        count = channels(shape)
        factors = _factor_channels(count, self.rate)
        self.encoder = _stack([count, factors, factors], shape, self.dtype_policy)
        factor_shape = self.encoder.compute_output_shape(shape)
        self.decoder = _stack([factors, count, count], factor_shape, self.dtype_policy)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        factors = self.encoder(x, training=training)
        restored = self.decoder(factors, training=training)
        self.add_loss(ops.mean(ops.square(ops.cast(restored - x, "float32"))))
        return ops.stop_gradient(factors)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


@serializable
class Translator(keras.layers.Layer):
    """Encodes a student's map in the code of a `Paraphraser`.

    Three 3×3 convolutions, each with LeakyReLU and BatchNorm; a map of another size than the
    teacher's is resized first. Given two signals, like a `Regressor`; of the second only the
    shape is read.

    Shapes: two signals `(batch, ..., a)` and `(batch, height, width, b)` -> `(batch, height,
    width, rate · b)`.

    Args:
        rate: The paraphraser's. Defaults to `0.5`.
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> signals = np.zeros((2, 8, 8, 4)), np.zeros((2, 8, 8, 16))
    >>> keras_kd.projectors.Translator()(signals).shape == (2, 8, 8, 8)
    True

    Reference: Kim, Park, Kwak, "Paraphrasing Complex Network: Network Compression via Factor
    Transfer", NeurIPS 2018, arXiv:1802.04977, section 3.2.
    """

    def __init__(self, rate: float = 0.5, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = positive(rate, "rate")

    def build(self, input_shape: Any) -> None:
        shape, target = pair("Translator", input_shape)
        policy, size = self.dtype_policy, positions(target)
        factors = _factor_channels(channels(target), self.rate)
        resize = [Resize(size, dtype=policy)] if positions(shape) != size else []
        axis = channel_axis(4)
        blocks = [_block(n, axis, policy) for n in (channels(shape), factors, factors)]
        self.stack = keras.Sequential([*resize, *(layer for block in blocks for layer in block)])
        self.stack.build(shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.stack(inputs[0], training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
