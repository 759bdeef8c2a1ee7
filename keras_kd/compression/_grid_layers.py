"""Layers that compute in float with the weights that a device has."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.keras_private import computing_with
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd.compression._fake_quantization import check_keras
from keras_kd.compression._rounded_weight import RoundedWeight
from keras_kd.compression._steps import RunningRanges, Steps

L = keras.layers


class OnGrid(keras.layers.Layer):
    """A layer whose weights are rounded each time it is used.

    Args:
        bits: Number of bits of a weight. Defaults to `8`.
        pruned: Whether weights are held at zero: those that were 0 when it was made. Defaults to
            `False`.
        clusters: For each rounded weight the number of values that it has and keeps, 0 where it is
            free. Defaults to all free.
        steps: `keras_kd.compression.RunningRanges()` or `LearnedSteps()`. Defaults to the former.
        **kwargs: As in the layer that this one stands for.
    """

    #: The layer that computes the same without rounding.
    stands_for: type[keras.layers.Layer]
    #: The axes of a weight that have a step size for each place.
    channels: tuple[int, ...] = (-1,)
    #: Arguments that `stands_for` does not have.
    own_arguments: tuple[str, ...] = ("bits", "pruned", "clusters", "steps")

    def __init__(
        self,
        *args: Any,
        bits: int = 8,
        pruned: bool = False,
        clusters: Sequence[int] = (),
        steps: Steps | None = None,
        **kwargs: Any,
    ):
        check_keras(type(self).__name__)
        super().__init__(*args, **kwargs)
        self.bits = count(bits, "bits", least=2, most=8)
        self.pruned, self.clusters = pruned, tuple(clusters)
        if isinstance(steps, dict):
            steps = keras.saving.deserialize_keras_object(steps)
        self.steps: Any = RunningRanges() if steps is None else steps

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.add_grids()

    def targets(self) -> list[tuple[keras.layers.Layer, str]]:
        """The layers and the names of their weights that are rounded."""
        return [(self, "kernel")]

    def channels_of(self, layer: keras.layers.Layer) -> tuple[int, ...]:
        """`channels` for the weight of one of the `targets`."""
        return self.channels

    def rounding_of(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        return self.steps.of_weights(self.bits, self.channels_of(layer))

    def add_grids(self) -> None:
        targets = self.targets()
        clusters = self.clusters or (0,) * len(targets)
        self.grids = [
            RoundedWeight(self.rounding_of(layer), self.pruned, k, name=f"{layer.name}_{name}_grid")
            for (layer, name), k in zip(targets, clusters, strict=True)
        ]
        for grid, (layer, name) in zip(self.grids, targets, strict=True):
            grid.build(tuple(getattr(layer, name).shape))

    def rounded(self) -> list[Any]:
        """The weights of `targets`, as the layer computes with them."""
        targets = zip(self.grids, self.targets(), strict=True)
        return [grid(getattr(layer, name)) for grid, (layer, name) in targets]

    def on_grid(self) -> Any:
        """A context in which the layer computes with its rounded weights."""
        targets = zip(self.targets(), self.rounded(), strict=True)
        return computing_with([(layer, name, tensor) for (layer, name), tensor in targets])

    def begin(self, weights: list[np.ndarray], factor: np.ndarray | float) -> None:
        """Sets the weights to those of the layer that it stands for, and all that follows.

        `factor` is what the norm that was folded multiplies the weights of `targets` by.
        """
        for variable, value in zip(self.weights_without_grids(), weights, strict=True):
            variable.assign(value)
        for grid, (layer, name) in zip(self.grids, self.targets(), strict=True):
            variable = getattr(layer, name)
            value = ops.convert_to_numpy(variable)
            if not grid.clusters:
                value = value * factor
                variable.assign(value)
            grid.begin(value, np.asarray(factor, "float32"))

    def weights_without_grids(self) -> list[keras.Variable]:
        """The weights that the layer has in common with the one that it stands for."""
        own = {id(w) for grid in self.grids for w in grid.weights}
        return [w for w in self.weights if id(w) not in own]

    def plain_weights(self) -> list[np.ndarray]:
        """Those weights, with the rounded ones in their places."""
        targets = zip(self.targets(), self.rounded(), strict=True)
        rounded = {id(getattr(layer, name)): tensor for (layer, name), tensor in targets}
        common = self.weights_without_grids()
        return [ops.convert_to_numpy(rounded.get(id(w), w)) for w in common]

    def get_config(self) -> dict[str, Any]:
        own = {"bits": self.bits, "pruned": self.pruned, "clusters": self.clusters,
               "steps": keras.saving.serialize_keras_object(self.steps)}  # fmt: skip
        return {**super().get_config(), **own}


def rounding(call: Callable[..., Any]) -> Any:
    """The `call` of a layer, on its rounded weights."""

    @functools.wraps(call)
    def rounded_call(self: OnGrid, *args: Any, **kwargs: Any) -> Any:
        with self.on_grid():
            return call(self, *args, **kwargs)

    return rounded_call


@serializable
class GridConv1D(OnGrid, keras.layers.Conv1D):
    """`keras.layers.Conv1D` with rounded weights."""

    stands_for = L.Conv1D
    call = rounding(L.Conv1D.call)


@serializable
class GridConv2D(OnGrid, keras.layers.Conv2D):
    """`keras.layers.Conv2D` with rounded weights."""

    stands_for = L.Conv2D
    call = rounding(L.Conv2D.call)


@serializable
class GridConv1DTranspose(OnGrid, keras.layers.Conv1DTranspose):
    """`keras.layers.Conv1DTranspose` with rounded weights."""

    stands_for = L.Conv1DTranspose
    channels = (-2,)
    call = rounding(L.Conv1DTranspose.call)


@serializable
class GridConv2DTranspose(OnGrid, keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` with rounded weights."""

    stands_for = L.Conv2DTranspose
    channels = (-2,)
    call = rounding(L.Conv2DTranspose.call)


@serializable
class GridDepthwiseConv2D(OnGrid, keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` with rounded weights."""

    stands_for = L.DepthwiseConv2D
    channels = (-2, -1)  # (height, width, in, multiplier)
    call = rounding(L.DepthwiseConv2D.call)


@serializable
class GridDense(OnGrid, keras.layers.Dense):
    """`keras.layers.Dense` with rounded weights."""

    stands_for = L.Dense
    call = rounding(L.Dense.call)


@serializable
class GridEinsumDense(OnGrid, keras.layers.EinsumDense):
    """`keras.layers.EinsumDense` with rounded weights: a step size for each output of a sum."""

    stands_for = L.EinsumDense
    call = rounding(L.EinsumDense.call)

    def channels_of(self, layer: keras.layers.Layer) -> tuple[int, ...]:
        return einsum_channels(self.equation)


@serializable
class GridEmbedding(OnGrid, keras.layers.Embedding):
    """`keras.layers.Embedding` with a rounded table: one step size, from its least to its largest
    entry."""

    stands_for = L.Embedding
    call = rounding(L.Embedding.call)

    def build(self, input_shape: Any = None) -> None:
        if not self.built:
            L.Embedding.build(self, input_shape)
            self.add_grids()

    def targets(self) -> list[tuple[keras.layers.Layer, str]]:
        return [(self, "embeddings")]

    def rounding_of(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        return self.steps.of_table(self.bits)


def einsum_channels(equation: str) -> tuple[int, ...]:
    """The axes of an einsum's kernel that are axes of its output, and not summed over."""
    inputs, output = equation.replace(" ", "").split("->")
    kernel = inputs.split(",")[1]
    return tuple(axis - len(kernel) for axis, letter in enumerate(kernel) if letter in output)
