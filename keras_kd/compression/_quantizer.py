"""Each step of a student, made anew with rounding."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_kd.compression._graph import Graph, Step, again
from keras_kd.compression._grid_layers import GridConv2D, GridDepthwiseConv2D, OnGrid
from keras_kd.compression._kept_patterns import Kept
from keras_kd.compression._layer_bits import Bits
from keras_kd.compression._quantization_scheme import (
    ACTIVATED,
    ALONE,
    FIXED,
    FOLDABLE,
    FUSED,
    LOOKED_UP,
    ROUNDED,
    SAME_STEPS,
    WITH_KERNEL,
    activation_of,
    is_rounded,
)
from keras_kd.compression._steps import Steps

L = keras.layers


class Quantizer:
    """Makes each step anew with rounding, and notes which weights go where."""

    def __init__(
        self,
        graph: Graph,
        weight_bits: dict[int, Bits],
        activation_bits: int,
        steps: Steps,
        kept: Kept,
    ):
        self.graph, self.weight_bits = graph, weight_bits
        self.bits, self.steps, self.kept = activation_bits, steps, kept
        #: To be called when the model is whole: they set its weights.
        self.begin: list[Callable[[], Any]] = []
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
            or not is_rounded(step)
            or isinstance(step.operation, (*SAME_STEPS, *LOOKED_UP))
            or self._is_one_with_next(step)
        ):
            return output
        fixed = FIXED.get(activation_of(step.operation))
        return self._range(step.name, fixed)(output)

    def _is_float(self, step: Step) -> bool:
        return self.weight_bits[id(step)] is None

    def _range(self, name: str, fixed: tuple[float, float] | None = None) -> keras.layers.Layer:
        count = self._ranges[name] = self._ranges.get(name, 0) + 1
        own = f"{name}_range" if count == 1 else f"{name}_range_{count}"  # a layer called again
        return self.steps.of_activations(self.bits, fixed, name=own)

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
        if isinstance(layer, FOLDABLE):
            return self._make_foldable(step)
        if isinstance(layer, WITH_KERNEL) and not self._is_float(step):
            return self._make_rounded(step, layer.get_weights(), 1.0, {})
        frozen = {"trainable": False} if isinstance(layer, L.BatchNormalization) else {}
        new = again(layer, name, **frozen)
        if isinstance(new, keras.Layer):
            self.begin.append(functools.partial(new.set_weights, layer.get_weights()))
        return [new]

    def _make_foldable(self, step: Step) -> list[keras.Operation]:
        layer: Any = step.operation
        kernels = list(layer.get_weights())
        bias: np.ndarray | None = kernels.pop() if layer.use_bias else None
        factor, bias = self._fold(step, kernels[-1], bias)
        with_bias = {"use_bias": bias is not None}
        biases = [] if bias is None else [bias]
        if not self._is_float(step):
            return self._make_rounded(step, [*kernels, *biases], factor, with_bias)
        new = again(layer, step.name, **with_bias)
        weights = [*kernels[:-1], kernels[-1] * factor, *biases]
        self.begin.append(functools.partial(new.set_weights, weights))
        return [new]

    def _make_rounded(
        self, step: Step, weights: list[np.ndarray], factor: Any, changed: dict[str, Any]
    ) -> list[keras.Operation]:
        layer, name = step.operation, step.name
        if isinstance(layer, L.Bidirectional):
            return [self._both_ways(step, weights)]
        config = {**layer.get_config(), **changed, **self._settings(step, layer)}
        after: list[keras.Operation] = []
        activation = activation_of(layer)
        if isinstance(layer, ACTIVATED) and activation not in FUSED:
            config["activation"] = None
            own = L.Activation(
                layer.activation, name=f"{name}_{activation}", dtype=layer.dtype_policy
            )
            after = [self._range(name), own]
        if isinstance(layer, L.SeparableConv2D):
            depthwise, pointwise = _separated(layer, config, name)
            self.begin.append(functools.partial(depthwise.begin, weights[:1], 1.0))
            self.begin.append(functools.partial(pointwise.begin, weights[1:], factor))
            return [depthwise, self._range(f"{name}_depthwise"), pointwise, *after]
        if isinstance(layer, L.MultiHeadAttention):
            config["activation_bits"] = self.bits
        new = ROUNDED[type(layer)].from_config({**config, "name": name})
        self.begin.append(functools.partial(new.begin, weights, factor))
        return [new, *after]

    def _settings(self, step: Step, layer: Any) -> dict[str, Any]:
        """What a layer on the grid is told beside what the layer itself was."""
        pruned, clusters = self.kept.of(layer)
        return {
            "bits": self.weight_bits[id(step)], "pruned": pruned, "clusters": clusters,
            "steps": self.steps,
        }  # fmt: skip

    def _both_ways(self, step: Step, weights: list[np.ndarray]) -> keras.Operation:
        layer: Any = step.operation
        ways = [
            ROUNDED[type(way)].from_config({**way.get_config(), **self._settings(step, way)})
            for way in (layer.forward_layer, layer.backward_layer)
        ]
        new = L.Bidirectional(
            ways[0], layer.merge_mode, backward_layer=ways[1], name=step.name,
            dtype=layer.dtype_policy, trainable=layer.trainable,
        )  # fmt: skip
        half = len(weights) // 2  # it has made the first way anew
        self.begin.append(functools.partial(new.forward_layer.begin, weights[:half], 1.0))
        self.begin.append(functools.partial(new.backward_layer.begin, weights[half:], 1.0))
        return new

    def _fold(self, step: Step, kernel: np.ndarray, bias: np.ndarray | None) -> tuple[Any, Any]:
        """What the kernel is multiplied by, and the bias, to do the work of a BatchNorm as well."""
        follower = _only(self.graph.users(step.output))
        if (
            follower is None
            or not isinstance(follower.operation, L.BatchNormalization)
            or follower.operation.axis not in (-1, len(step.output.shape) - 1)
            or activation_of(step.operation) != "linear"
            or self.graph.calls(step.operation) + self.graph.calls(follower.operation) > 2
        ):
            return 1.0, bias
        self._folded.add(id(follower))
        factor, shift = _scale_and_shift(follower.operation)
        start = 0.0 if bias is None else bias
        return factor.reshape(_along(step.operation, kernel)), start * factor + shift


def _along(layer: Any, kernel: np.ndarray) -> tuple[int, ...]:
    """The shape in which one number for each output channel is multiplied with the kernel."""
    if isinstance(layer, L.DepthwiseConv2D):
        return kernel.shape[-2:]
    return (-1, 1) if isinstance(layer, (L.Conv1DTranspose, L.Conv2DTranspose)) else (-1,)


def _scale_and_shift(norm: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """The two vectors of `y = scale · x + shift` that the layer is outside training."""
    value = keras.ops.convert_to_numpy
    scale = 1.0 / np.sqrt(value(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale = scale * value(norm.gamma)
    shift = -value(norm.moving_mean) * scale
    return scale, shift + value(norm.beta) if norm.center else shift


def _separated(layer: keras.Layer, config: dict[str, Any], name: str) -> tuple[OnGrid, OnGrid]:
    """The two convolutions that a separable one is."""
    both = {"bits": config["bits"], "steps": config["steps"], "dtype": layer.dtype_policy,
            "trainable": layer.trainable}  # fmt: skip
    depthwise = GridDepthwiseConv2D(
        layer.kernel_size, strides=layer.strides, padding=layer.padding, use_bias=False,
        depth_multiplier=layer.depth_multiplier, dilation_rate=layer.dilation_rate,
        name=f"{name}_depthwise", **both,
    )  # fmt: skip
    pointwise = GridConv2D(
        layer.filters, 1, activation=config["activation"], use_bias=config["use_bias"],
        pruned=config["pruned"], clusters=config["clusters"], name=name, **both,
    )  # fmt: skip
    return depthwise, pointwise


def _only(steps: list[Step | None]) -> Step | None:
    return steps[0] if len(steps) == 1 else None
