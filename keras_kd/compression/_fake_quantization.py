"""Rounding as a device does it, with the gradient of no rounding: by ranges that are measured."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_kd._core.optional import require_keras
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count, is_number
from keras_kd._core.tensors import Tensor

# Keeps the largest entry inside its own range: outside, it would get no gradient.
_HEADROOM = 1.0 + 1e-6
_TINY = 1e-8


def check_keras(who: str) -> None:
    require_keras("3.9", purpose=f"{who} rounds by keras.quantizers.fake_quant_with_min_max_vars")


def share(value: float, argument: str) -> float:
    """`value`, checked to be a number in `[0, 1)`."""
    if not is_number(value) or not 0.0 <= value < 1.0:
        raise ValueError(f"`{argument}` must be in [0, 1). Received: {argument}={value!r}.")
    return float(value)


def on_grid(kernel: Any, bits: int, channels: Sequence[int] = (-1,)) -> Any:
    """`kernel` on symmetric steps, a step size for each place along the axes `channels`.

    Written out rather than by Keras's operation: of these a converter makes a constant, and the
    aware model itself is a model that it takes.
    """
    kernel = ops.convert_to_tensor(kernel)
    held = ops.stop_gradient(kernel)
    rank = len(kernel.shape)
    last = [axis % rank for axis in channels]
    others = [axis for axis in range(rank) if axis not in last]
    high = ops.max(ops.abs(held), axis=others, keepdims=True)
    step = ops.maximum(ops.cast(high, "float32"), _TINY) / (2 ** (bits - 1) - 1)
    steps = ops.round(ops.cast(held, "float32") / step)
    return ops.cast(steps * step, kernel.dtype) + (kernel - held)  # the gradient passes


def table_on_grid(table: Any, bits: int) -> Any:
    """A table on the steps of one range, from its smallest to its largest entry."""
    held = ops.cast(ops.stop_gradient(table), "float32")
    low = ops.minimum(ops.min(held), 0.0) * _HEADROOM
    high = ops.maximum(ops.max(held), _TINY) * _HEADROOM
    return keras.quantizers.fake_quant_with_min_max_vars(table, low, high, num_bits=bits)


class ChannelRange(keras.layers.Layer):
    """Weights on symmetric steps up to the largest of their channel."""

    def __init__(self, bits: int, channels: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.bits, self.channels = bits, tuple(channels)

    def call(self, weight: Tensor) -> Tensor:
        return on_grid(weight, self.bits, self.channels)


class TableRange(keras.layers.Layer):
    """The table of an embedding on the steps of its whole range, as a device looks it up."""

    def __init__(self, bits: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.bits = bits

    def call(self, weight: Tensor) -> Tensor:
        return table_on_grid(weight, self.bits)


@serializable
class FakeQuant(keras.layers.Layer):
    """Rounds what passes to the steps of a range that follows what it sees.

    The asymmetric per-tensor scheme of int8 activations: `2^bits` steps between `low` and `high`,
    one of which is exactly 0. In training the range moves to the batch's smallest and largest
    value; the first batch sets it. What lies outside is clipped and gets no gradient.

    `low ← momentum · low + (1 - momentum) · min(x, 0)`, and `high` alike with `max(x, 0)`.

    Args:
        bits: Number of bits, from 2 to 16. Defaults to `8`.
        momentum: How slowly the range moves, in `[0, 1)`. Defaults to `0.99`.
        fixed: The range `(low, high)` when it is known and must not move, as that of a softmax;
            `None` for one that moves. Defaults to `None`.
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> layer = keras_kd.compression.FakeQuant(bits=2, fixed=(0.0, 3.0))
    >>> [round(float(v), 2) for v in layer(np.array([-1.0, 0.4, 1.6, 7.0]))]
    [0.0, 0.0, 2.0, 3.0]

    Reference: Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", CVPR 2018, arXiv:1712.05877, section 3.1.
    """

    def __init__(
        self,
        bits: int = 8,
        momentum: float = 0.99,
        fixed: tuple[float, float] | None = None,
        **kwargs: Any,
    ):
        check_keras("FakeQuant")
        super().__init__(**kwargs)
        self.bits = count(bits, "bits", least=2, most=16)
        self.momentum = share(momentum, "momentum")
        self.fixed = None if fixed is None else tuple(fixed)
        self.supports_masking = True

    def build(self, input_shape: Any = None) -> None:
        low, high = self.fixed or (-6.0, 6.0)  # the latter until the first batch
        add = {"shape": (), "dtype": "float32", "trainable": False, "autocast": False}
        self.low = self.add_weight(name="low", initializer=_constant(low), **add)
        self.high = self.add_weight(name="high", initializer=_constant(high), **add)
        if self.fixed is None:
            self.started = self.add_weight(name="started", initializer="zeros", **add)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        if training and self.fixed is None:
            self._follow(ops.cast(ops.stop_gradient(x), "float32"))
        high = ops.maximum(ops.convert_to_tensor(self.high), self.low + _TINY)
        return keras.quantizers.fake_quant_with_min_max_vars(
            x, ops.convert_to_tensor(self.low), high, num_bits=self.bits
        )

    def _follow(self, x: Tensor) -> None:
        keep = self.momentum * self.started
        self.low.assign(keep * self.low + (1.0 - keep) * ops.minimum(ops.min(x), 0.0))
        self.high.assign(keep * self.high + (1.0 - keep) * ops.maximum(ops.max(x), 0.0))
        self.started.assign(1.0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"bits": self.bits, "momentum": self.momentum, "fixed": self.fixed}
        return {**super().get_config(), **own}


def _constant(value: float) -> keras.initializers.Initializer:
    return keras.initializers.Constant(value)
