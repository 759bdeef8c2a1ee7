"""Rounding to steps whose size is learnt along with the weights."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd._core.tensors import Tensor

_TINY = 1e-8


def on_steps(x: Tensor, step: Tensor, low: Tensor | float, high: Tensor | float, size: int) -> Any:
    """`step · round(clip(x / step, -low, high))`, with the gradients of LSQ.

    To `x` the gradient passes inside the range and nowhere else. To `step` it is
    `round(x / step) - x / step` inside, and the end of the range outside, times
    `1 / sqrt(size · high)`, `size` being the number of values that share the step.
    """
    scale = 1.0 / ops.sqrt(ops.cast(size * high, "float32"))
    step = step * scale + ops.stop_gradient(step - step * scale)
    place = ops.clip(ops.cast(x, "float32") / step, -low, high)
    place = place + ops.stop_gradient(ops.round(place) - place)
    return ops.cast(place * step, x.dtype)


class WithStep(keras.layers.Layer):
    """A layer with a step size: `first · (1 + change)`, of which `change` is learnt.

    So an optimizer that takes steps of one size, such as Adam, moves small and large step sizes by
    the same share, and weight decay pulls them to where they began.
    """

    def add_step(self, shape: Sequence[int], first: float) -> None:
        start = keras.initializers.Constant(first)
        own = {"shape": tuple(shape), "dtype": "float32", "autocast": False}
        self.first = self.add_weight(name="first", initializer=start, trainable=False, **own)
        self.change = self.add_weight(name="change", initializer="zeros", **own)

    @property
    def step(self) -> Any:
        """The size of a step now."""
        return ops.convert_to_tensor(self.first) * ops.maximum(1.0 + self.change, 1e-3)


class LearnedWeightStep(WithStep):
    """Weights on symmetric steps, whose size is learnt for each channel.

    A file takes the step size from the largest weight of a channel, which is to lie on the last
    step. So no step is larger than that: learnt is how many weights are clipped.
    """

    def __init__(self, bits: int, channels: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.bits, self.channels = bits, tuple(channels)

    def build(self, shape: Any) -> None:
        kept = {axis % len(shape) for axis in self.channels}
        self.add_step([n if axis in kept else 1 for axis, n in enumerate(shape)], 1.0)

    @property
    def most(self) -> int:
        return 2 ** (self.bits - 1) - 1

    def begin(self, weight: np.ndarray) -> None:
        """Sets the first step size: `2 · mean(|w|) / sqrt(most)` of the weights that are not 0, or
        `max(|w|) / most` where that is less."""
        size, axes = np.abs(weight), self._axes()
        mean = size.sum(axes, keepdims=True) / np.maximum((size > 0).sum(axes, keepdims=True), 1)
        largest = size.max(axes, keepdims=True) / self.most
        first = np.maximum(np.minimum(2.0 * mean / math.sqrt(self.most), largest), _TINY)
        self.first.assign(first.reshape(self.first.shape))

    def call(self, weight: Tensor) -> Tensor:
        size = int(np.prod(weight.shape)) // int(np.prod(self.first.shape))
        held = ops.cast(ops.stop_gradient(weight), "float32")
        largest = ops.max(ops.abs(held), axis=self._axes(), keepdims=True) / self.most
        bounded = ops.minimum(self.step, ops.maximum(largest, _TINY))
        step = self.step + ops.stop_gradient(bounded - self.step)  # learns also where it is bounded
        return on_steps(weight, step, float(self.most), float(self.most), size)

    def _axes(self) -> tuple[int, ...]:
        return tuple(axis for axis, n in enumerate(self.first.shape) if n == 1)


@serializable
class LearnedQuant(WithStep):
    """Rounds what passes to steps whose size is learnt.

    Learned step size quantisation, for activations; `keras_kd.compression.LearnedSteps(activations=True)`
    puts it in place of `FakeQuant`. The first batch decides whether there are steps below zero, and sets the
    step size to `2 · mean(|x|) / sqrt(Q_P)`.

    `x̂ = s · round(clip(x / s, -Q_N, Q_P))`

    with `Q_N = 0, Q_P = 2^bits - 1` for what is never negative, and else `Q_N = 2^(bits-1)`,
    `Q_P = Q_N - 1`. The gradient to `s` is `round(x / s) - x / s` inside the range and `-Q_N` or
    `Q_P` outside, times `1 / sqrt(N · Q_P)` for `N` features of an example. Learnt is
    the share by which `s` differs from its first value.

    Args:
        bits: Number of bits, from 2 to 16. Defaults to `8`.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If `bits` is out of its bounds.

    Example:

    >>> layer = keras_kd.compression.LearnedQuant(bits=2)
    >>> x = np.array([[0.0, 1.0, 2.0, 3.0]])
    >>> [round(float(v), 2) for v in layer(x, training=True)[0]]  # steps of 2 · 1.5 / sqrt(3)
    [0.0, 1.73, 1.73, 3.46]

    Reference: Esser, McKinstry, Bablani, Appuswamy, Modha, "Learned Step Size Quantization", ICLR
    2020, arXiv:1902.08153, section 2.
    """

    def __init__(self, bits: int = 8, **kwargs: Any):
        super().__init__(**kwargs)
        self.bits = count(bits, "bits", least=2, most=16)
        self.supports_masking = True

    def build(self, input_shape: Any = None) -> None:
        below = 2 ** (self.bits - 1)
        self.add_step((), 6.0 / below)  # until the first batch
        add = {"shape": (), "dtype": "float32", "trainable": False, "autocast": False}
        start = keras.initializers.Constant(below)
        self.below = self.add_weight(name="below", initializer=start, **add)
        self.started = self.add_weight(name="started", initializer="zeros", **add)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        if training:
            self._begin(ops.cast(ops.stop_gradient(x), "float32"))
        below = ops.convert_to_tensor(self.below)
        features = int(np.prod([n or 1 for n in x.shape[1:]]))
        return on_steps(x, self.step, below, 2.0**self.bits - 1.0 - below, features)

    def _begin(self, x: Tensor) -> None:
        negative = ops.cast(ops.min(x) < 0.0, "float32")
        below = negative * 2.0 ** (self.bits - 1)
        above = 2.0**self.bits - 1.0 - below
        first = ops.maximum(2.0 * ops.mean(ops.abs(x)) / ops.sqrt(above), _TINY)
        started = ops.convert_to_tensor(self.started)
        self.first.assign(started * self.first + (1.0 - started) * first)
        self.below.assign(started * self.below + (1.0 - started) * below)
        self.started.assign(1.0)

    def range(self) -> tuple[float, float]:
        """The smallest and the largest value that passes."""
        step, below = (float(ops.convert_to_numpy(x)) for x in (self.step, self.below))
        return -below * step, (2.0**self.bits - 1.0 - below) * step

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bits": self.bits}
