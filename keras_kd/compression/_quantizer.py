"""Each step of a student, made anew with rounding."""

from typing import Any

import keras
import numpy as np

from keras_kd.compression._fake_quantization import (
    FakeQuant,
    GridConv2D,
    GridDepthwiseConv2D,
    OnGrid,
)
from keras_kd.compression._graph import Graph, Step, again
from keras_kd.compression._layer_bits import Bits
from keras_kd.compression._quantization_scheme import (
    ALONE,
    FIXED,
    FUSED,
    ROUNDED,
    SAME_STEPS,
    WITH_KERNEL,
    activation_of,
)

L = keras.layers


class Quantizer:
    """Makes each step anew with rounding, and notes which weights go where."""

    def __init__(
        self, graph: Graph, weight_bits: dict[int, Bits], activation_bits: int, momentum: float
    ):
        self.graph, self.weight_bits = graph, weight_bits
        self.bits, self.momentum = activation_bits, momentum
        self.weights: list[tuple[keras.Layer, list[np.ndarray]]] = []
        self._made: dict[int, list[keras.Operation]] = {}
        self._folded: set[int] = set()  # the steps of BatchNorm that are in a kernel by now
        self._ranges: dict[str, int] = {}

    def entry(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return self._range(x.name)(x) if keras.backend.is_float_dtype(x.dtype) else x

    def build(self, step: Step, args: tuple, kwargs: dict[str, Any]) -> Any:
        if id(step) in self._folded:
            (output,) = args
        else:
            if id(step.operation) not in self._made:
                self._made[id(step.operation)] = self._make(step)
            first, *rest = self._made[id(step.operation)]
            output = first(*args, **kwargs)
            for layer in rest:
                output = layer(output)
        if (
            self._is_float(step)
            or isinstance(step.operation, SAME_STEPS)
            or self._is_one_with_next(step)
        ):
            return output
        fixed = FIXED.get(activation_of(step.operation))
        return self._range(step.name, fixed)(output)

    def _is_float(self, step: Step) -> bool:
        return self.weight_bits[id(step)] is None

    def _range(self, name: str, fixed: tuple[float, float] | None = None) -> FakeQuant:
        count = self._ranges[name] = self._ranges.get(name, 0) + 1
        own = f"{name}_range" if count == 1 else f"{name}_range_{count}"  # a layer called again
        return FakeQuant(self.bits, self.momentum, fixed, name=own)

    def _is_one_with_next(self, step: Step) -> bool:
        """Whether a device computes the next step in the same breath, with no rounding between."""
        follower = _only(self.graph.users(step.output))
        if follower is None or activation_of(step.operation) != "linear":
            return False
        if self._is_float(follower):
            return False
        return id(follower) in self._folded or (
            not isinstance(step.operation, ALONE)
            and isinstance(follower.operation, (L.ReLU, L.Activation))
            and activation_of(follower.operation) in FUSED
        )

    def _make(self, step: Step) -> list[keras.Operation]:
        layer, name = step.operation, step.name
        if not isinstance(layer, WITH_KERNEL):
            frozen = {"trainable": False} if isinstance(layer, L.BatchNormalization) else {}
            new = again(layer, name, **frozen)
            if isinstance(new, keras.Layer):
                self.weights.append((new, layer.get_weights()))
            return [new]
        *kernels, bias = _kernels_of(layer)
        kernel, bias = self._fold(step, kernels[-1], bias)
        weights = [kernel] if bias is None else [kernel, bias]
        if self._is_float(step):
            new = again(layer, name, use_bias=bias is not None)
            self.weights.append((new, [*kernels[:-1], *weights]))
            return [new]
        pruned = _is_pruned(kernel)
        if pruned:
            weights.append(np.not_equal(kernel, 0.0))
        config = {**layer.get_config(), "bits": self.weight_bits[id(step)],
                  "use_bias": bias is not None, "pruned": pruned}  # fmt: skip
        activation = activation_of(layer)
        after: list[keras.Operation] = []
        if activation not in FUSED:
            config["activation"] = None
            own = L.Activation(
                layer.activation, name=f"{name}_{activation}", dtype=layer.dtype_policy
            )
            after = [self._range(name), own]
        if isinstance(layer, L.SeparableConv2D):
            depthwise, pointwise = _separated(layer, config, name)
            self.weights.append((depthwise, [kernels[0]]))
            chain = [depthwise, self._range(f"{name}_depthwise"), pointwise]
        else:
            made = ROUNDED[type(layer)]
            chain = [made.from_config({**config, "name": name})]
        self.weights.append((chain[-1], weights))
        return [*chain, *after]

    def _fold(self, step: Step, kernel: np.ndarray, bias: np.ndarray | None) -> tuple:
        """Kernel and bias that do the work of the BatchNorm that follows as well."""
        follower = _only(self.graph.users(step.output))
        if (
            follower is None
            or not isinstance(follower.operation, L.BatchNormalization)
            or follower.operation.axis not in (-1, len(step.output.shape) - 1)
            or activation_of(step.operation) != "linear"
            or self.graph.calls(step.operation) + self.graph.calls(follower.operation) > 2
        ):
            return kernel, bias
        self._folded.add(id(follower))
        factor, shift = _scale_and_shift(follower.operation)
        shape = kernel.shape[-2:] if isinstance(step.operation, L.DepthwiseConv2D) else (-1,)
        start = 0.0 if bias is None else bias
        return kernel * factor.reshape(shape), start * factor + shift


def _is_pruned(kernel: np.ndarray) -> bool:
    """Whether zeros of a kernel are there on purpose: learnt weights are hardly ever exactly 0,
    and a kernel of zeros alone is one that has yet to learn."""
    return 0.05 <= float(np.mean(kernel == 0.0)) < 1.0


def _scale_and_shift(norm: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """The two vectors of `y = scale · x + shift` that the layer is outside training."""
    value = keras.ops.convert_to_numpy
    scale = 1.0 / np.sqrt(value(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale = scale * value(norm.gamma)
    shift = -value(norm.moving_mean) * scale
    return scale, shift + value(norm.beta) if norm.center else shift


def _kernels_of(layer: keras.Layer) -> list[Any]:
    """The layer's kernels, and last its bias or `None`."""
    weights = layer.get_weights()
    return weights if layer.use_bias else [*weights, None]


def _separated(layer: keras.Layer, config: dict[str, Any], name: str) -> tuple[OnGrid, OnGrid]:
    """The two convolutions that a separable one is."""
    both = {"bits": config["bits"], "dtype": layer.dtype_policy, "trainable": layer.trainable}
    depthwise = GridDepthwiseConv2D(
        layer.kernel_size, strides=layer.strides, padding=layer.padding, use_bias=False,
        depth_multiplier=layer.depth_multiplier, dilation_rate=layer.dilation_rate,
        name=f"{name}_depthwise", **both,
    )  # fmt: skip
    pointwise = GridConv2D(
        layer.filters, 1, activation=config["activation"], use_bias=config["use_bias"],
        pruned=config["pruned"], name=name, **both,
    )  # fmt: skip
    return depthwise, pointwise


def _only(steps: list[Step | None]) -> Step | None:
    return steps[0] if len(steps) == 1 else None
