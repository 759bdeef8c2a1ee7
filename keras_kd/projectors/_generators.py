"""Projectors that make a map of their own: one regenerates what was hidden, one reuses a head."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core import scalars
from keras_kd._core.registry import serializable
from keras_kd._core.shapes import channel_axis, channels, pair, positions, with_positions
from keras_kd._core.tensors import Tensor
from keras_kd.projectors._maps import Conv3x3, Resize
from keras_kd.projectors._regressors import layers_to


@serializable
class MaskedGenerator(keras.layers.Layer):
    """Hides positions of the learner's map at random and makes the target's map from the rest.

    The map is brought to the target's shape, a part of its positions is set to zero (all channels
    alike, other positions for each example and step), and two 3×3 convolutions with a ReLU between
    them generate the target. Positions are hidden in inference too, since the generator knows no
    other input; the draws then repeat.

    Given two signals, like a `Regressor`; of the second only the shape is read.

    Shapes: two signals `(batch, ..., a)` and `(batch, height, width, b)` -> that of the second.

    Args:
        rate: Share of the positions that is hidden. Defaults to `0.5`.
        seed: Seed of the draws. Defaults to `None`, another one each time.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If `rate` is not from 0 up to 1.

    Example:

    >>> signals = np.zeros((2, 8, 8, 3)), np.zeros((2, 8, 8, 5))
    >>> keras_kd.projectors.MaskedGenerator()(signals).shape == (2, 8, 8, 5)
    True

    Reference: Yang et al., "Masked Generative Distillation", ECCV 2022, arXiv:2205.01529,
    section 3.
    """

    def __init__(self, rate: float = 0.5, *, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must be from 0 up to 1. Received: rate={rate!r}.")
        self.rate, self.seed = rate, seed
        self.draws = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        shape, target = pair("MaskedGenerator", input_shape)
        policy, count = self.dtype_policy, channels(target)
        self.align = keras.Sequential(layers_to(shape, target, policy))
        self.align.build(shape)
        self.generate = keras.Sequential(
            [
                Conv3x3(count, use_bias=True, dtype=policy),
                keras.layers.ReLU(dtype=policy),
                Conv3x3(count, use_bias=True, dtype=policy),
            ]
        )
        self.generate.build(target)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        x = self.align(inputs[0])
        shape = list(ops.shape(x))
        shape[channel_axis(4)] = 1
        seed = self.draws if training else 0
        kept = keras.random.uniform(shape, seed=seed) >= self.rate
        return self.generate(x * ops.cast(kept, x.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@serializable
class Bottleneck(keras.layers.Layer):
    """Maps one signal to the shape of another through a narrow 3×3 convolution.

    A 1×1 convolution to a part of the target's channels, a 3×3 one, and a 1×1 one to the target's
    channels, each with BatchNorm and ReLU. A map of another size than the target's is resized
    first: a larger one is average-pooled, a smaller one is interpolated. (The paper pools the
    target instead of the latter; so the target's own classifier can follow.)

    It is the one projector that a student keeps: when it uses its teacher's classifier.
    Given two signals, like a `Regressor`; of the second only the shape is read.

    Shapes: two signals `(batch, height, width, a)` and `(batch, height, width, b)` -> that of the
    second.

    Args:
        factor: By how much the target's channels are divided in between. Defaults to `2`.
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> signals = np.zeros((2, 8, 8, 3)), np.zeros((2, 4, 4, 6))
    >>> keras_kd.projectors.Bottleneck()(signals).shape == (2, 4, 4, 6)
    True

    Reference: Chen et al., "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022,
    arXiv:2203.14001, section 3.2.
    """

    def __init__(self, factor: int = 2, **kwargs: Any):
        super().__init__(**kwargs)
        self.factor = scalars.count(factor, "factor")

    def build(self, input_shape: Any) -> None:
        shape, target = pair("Bottleneck", input_shape)
        policy, count, axis = self.dtype_policy, channels(target), channel_axis(4)
        have, want = positions(shape), positions(target)
        layers: list[keras.layers.Layer] = []
        if have != want:
            smaller = None not in have and all(a <= b for a, b in zip(have, want, strict=True))
            resize = Resize if smaller else _Means
            layers.append(resize(want, dtype=policy))
        narrow = max(1, count // self.factor)
        for filters, size in ((narrow, 1), (narrow, 3), (count, 1)):
            layers += [
                keras.layers.Conv2D(filters, size, padding="same", use_bias=False, dtype=policy),
                keras.layers.BatchNormalization(axis, dtype=policy),
                keras.layers.ReLU(dtype=policy),
            ]
        self.map = keras.Sequential(layers)
        self.map.build(with_positions(shape, have))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.map(inputs[0], training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


class _Means(keras.layers.Layer):
    """A map of a given size: means over `size` stretches of each side, which cover it evenly.

    What `keras.layers.AdaptiveAveragePooling2D` does, which older Keras lacks.
    """

    def __init__(self, size: tuple[int, int], **kwargs: Any):
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape: tuple) -> None:
        have = positions(input_shape)
        if None in have:
            raise ValueError(
                "Bottleneck makes a map smaller, and must know its height and width for it. Give "
                f"the student's keras.Input both. Received shape: {input_shape}."
            )
        self.shares = [_shares(*pair) for pair in zip(have, self.size, strict=True)]

    def call(self, x: Tensor) -> Tensor:
        rows, columns = (ops.cast(ops.convert_to_tensor(s), x.dtype) for s in self.shares)
        if channel_axis(4) == 1:
            return ops.einsum("ih,jw,bchw->bcij", rows, columns, x)
        return ops.einsum("ih,jw,bhwc->bijc", rows, columns, x)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return with_positions(input_shape, self.size)


def _shares(have: int, want: int) -> np.ndarray:
    """By how much each of `have` places counts in each of `want` means."""
    shares = np.zeros((want, have), "float32")
    for i in range(want):
        stretch = slice(i * have // want, -(-(i + 1) * have // want))
        shares[i, stretch] = 1 / len(range(have)[stretch])
    return shares
