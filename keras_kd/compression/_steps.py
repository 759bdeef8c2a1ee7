"""Where the size of a step comes from: two ways, each a class."""

from collections.abc import Sequence
from typing import Any, Protocol

import keras

from keras_kd._core.registry import serializable
from keras_kd.compression._fake_quantization import ChannelRange, FakeQuant, TableRange, share
from keras_kd.compression._learned_steps import LearnedQuant, LearnedWeightStep


class Steps(Protocol):
    """Makes the layers that round, for weights and for activations."""

    def of_weights(self, bits: int, channels: Sequence[int]) -> keras.layers.Layer:
        """For a weight with a step size for each place along `channels`."""

    def of_table(self, bits: int) -> keras.layers.Layer:
        """For the table of an embedding."""

    def of_activations(
        self, bits: int, fixed: tuple[float, float] | None = None, **kwargs: Any
    ) -> keras.layers.Layer:
        """For a tensor on its way; `fixed` is its range where that is known."""

    def get_config(self) -> dict[str, Any]: ...


@serializable
class RunningRanges:
    """Step sizes from what is seen: the largest weight, the running range of an activation.

    A weight's steps reach up to the largest weight of its channel. An activation's lie between
    running averages of its smallest and largest value; see `keras_kd.compression.FakeQuant`.

    Args:
        momentum: How slowly the ranges move, in `[0, 1)`. Defaults to `0.99`.

    Raises:
        ValueError: If `momentum` is out of its bounds.

    Example:

    >>> keras_kd.compression.RunningRanges().get_config()
    {'momentum': 0.99}

    Reference: Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", CVPR 2018, arXiv:1712.05877, section 3.1.
    """

    def __init__(self, momentum: float = 0.99):
        self.momentum = share(momentum, "momentum")

    def of_weights(self, bits: int, channels: Sequence[int]) -> keras.layers.Layer:
        return ChannelRange(bits, channels)

    def of_table(self, bits: int) -> keras.layers.Layer:
        return TableRange(bits)

    def of_activations(
        self, bits: int, fixed: tuple[float, float] | None = None, **kwargs: Any
    ) -> keras.layers.Layer:
        return FakeQuant(bits, self.momentum, fixed, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"momentum": self.momentum}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "RunningRanges":
        return cls(**config)


@serializable
class LearnedSteps:
    """Step sizes that are learnt along with the weights, for weights and activations.

    For few bits, where the largest weight is a bad measure of the others: the training decides how
    much to clip. A weight has a step size for each channel, an activation one.

    `x̂ = s · round(clip(x / s, -Q_N, Q_P))`, `∂x̂/∂s = round(x/s) - x/s` inside and `-Q_N` or `Q_P`
    outside, times `1 / sqrt(N · Q_P)`; `s` begins at `2 · mean(|x|) / sqrt(Q_P)`

    For weights `Q_N = Q_P = 2^(bits-1) - 1`, as files for devices have it (the paper has one more
    step below zero), and `s` is at most `max(|w|) / Q_P`, which is where a file takes it from. For
    activations see `keras_kd.compression.LearnedQuant`. `N` is the number of values that share the
    step. Ranges that are known (softmax, sigmoid, tanh) are not learnt.

    Args:
        activations: Whether the steps of activations are learnt as well; they too are meant for
            few bits, and with eight a running range serves better. Defaults to `False`.
        momentum: How slowly the ranges of activations move where their steps are not learnt, in
            `[0, 1)`. Defaults to `0.99`.

    Raises:
        ValueError: If `momentum` is out of its bounds.

    Example:

    >>> student = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="score")])
    >>> student.set_weights([np.array([[1.0], [0.2]]), np.zeros(1)])
    >>> steps = keras_kd.compression.LearnedSteps()
    >>> aware = keras_kd.compression.quantize_aware(student, weight_bits=2, steps=steps)
    >>> kernel = keras_kd.compression.plain(aware).get_layer("score").kernel
    >>> [round(float(w), 2) for w in kernel[:, 0]]  # 2 · 0.6 / sqrt(1) is more than max(|w|)
    [1.0, 0.0]

    Reference: Esser, McKinstry, Bablani, Appuswamy, Modha, "Learned Step Size Quantization", ICLR
    2020, arXiv:1902.08153, section 2.
    """

    def __init__(self, activations: bool = False, momentum: float = 0.99):
        self.activations, self.running = bool(activations), RunningRanges(momentum)

    def of_weights(self, bits: int, channels: Sequence[int]) -> keras.layers.Layer:
        return LearnedWeightStep(bits, channels)

    def of_table(self, bits: int) -> keras.layers.Layer:
        return LearnedWeightStep(bits, ())

    def of_activations(
        self, bits: int, fixed: tuple[float, float] | None = None, **kwargs: Any
    ) -> keras.layers.Layer:
        if self.activations and fixed is None:
            return LearnedQuant(bits, **kwargs)
        return self.running.of_activations(bits, fixed, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"activations": self.activations, **self.running.get_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LearnedSteps":
        return cls(**config)
