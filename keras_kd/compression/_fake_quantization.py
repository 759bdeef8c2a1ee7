"""Layers that compute in float what a device computes in integers."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.optional import require_keras
from keras_kd._core.registry import serializable
from keras_kd._core.tensors import Tensor

# Keeps the largest weight inside its own range: outside, it would get no gradient.
_HEADROOM = 1.0 + 1e-6
_TINY = 1e-8


def check_keras(who: str) -> None:
    require_keras("3.9", purpose=f"{who} rounds by keras.quantizers.fake_quant_with_min_max_vars")


def on_grid(kernel: Any, bits: int) -> Any:
    """`kernel` on symmetric steps, a step size for each channel along the last axis."""
    axes = list(range(len(kernel.shape) - 1))
    high = ops.max(ops.abs(ops.stop_gradient(kernel)), axis=axes) * _HEADROOM
    high = ops.cast(ops.maximum(high, _TINY), "float32")
    return keras.quantizers.fake_quant_with_min_max_vars(
        kernel, -high, high, num_bits=bits, narrow_range=True, axis=-1
    )


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
        self.bits, self.momentum = bits, momentum
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


class OnGrid(keras.layers.Layer):
    """A layer whose kernel is rounded, channel by channel, each time it is used.

    Args:
        bits: Number of bits of a weight. Defaults to `8`.
        pruned: Whether weights are held at zero: those where `kept`, a weight of the layer, is 0.
            Defaults to `False`.
        **kwargs: As in the layer that this one stands for.
    """

    #: The layer that computes the same without rounding.
    stands_for: type[keras.layers.Layer]

    def __init__(self, *args: Any, bits: int = 8, pruned: bool = False, **kwargs: Any):
        check_keras(type(self).__name__)
        super().__init__(*args, **kwargs)
        self.bits, self.pruned = bits, pruned

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        if self.pruned:
            self.kept = self.add_weight(
                name="kept", shape=self.kernel.shape, initializer="ones", trainable=False
            )

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)  # Keras's layers list kernel and bias by hand
        if self.pruned:
            store["kept"] = self.kept

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)
        if self.pruned:
            self.kept.assign(store["kept"])

    def remaining(self) -> Any:
        """The kernel, with zeros where it was pruned: they get no gradient."""
        return self.kernel * self.kept if self.pruned else self.kernel

    def rounded(self) -> Any:
        return on_grid(self.remaining(), self.bits)

    def get_config(self) -> dict[str, Any]:
        own = {"bits": self.bits, "pruned": self.pruned}
        return {**super().get_config(), **own}


@serializable
class GridConv1D(OnGrid, keras.layers.Conv1D):
    """`keras.layers.Conv1D` with rounded weights."""

    stands_for = keras.layers.Conv1D

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, self.rounded())


@serializable
class GridConv2D(OnGrid, keras.layers.Conv2D):
    """`keras.layers.Conv2D` with rounded weights."""

    stands_for = keras.layers.Conv2D

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, self.rounded())


@serializable
class GridDepthwiseConv2D(OnGrid, keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` with rounded weights."""

    stands_for = keras.layers.DepthwiseConv2D

    def rounded(self) -> Any:
        shape = tuple(self.kernel.shape)  # (height, width, in, multiplier): a step for each out
        flat = ops.reshape(self.remaining(), (*shape[:2], shape[2] * shape[3]))
        return ops.reshape(on_grid(flat, self.bits), shape)

    def call(self, inputs: Any) -> Tensor:
        outputs = ops.depthwise_conv(
            inputs, self.rounded(), strides=self.strides, padding=self.padding,
            dilation_rate=self.dilation_rate, data_format=self.data_format,
        )  # fmt: skip
        if self.bias is not None:
            outputs = outputs + self.bias
        return self.activation(outputs)


@serializable
class GridDense(OnGrid, keras.layers.Dense):
    """`keras.layers.Dense` with rounded weights."""

    stands_for = keras.layers.Dense

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        outputs = ops.matmul(inputs, self.rounded())
        if self.bias is not None:
            outputs = outputs + self.bias
        return self.activation(outputs)
