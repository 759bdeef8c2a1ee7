"""FLOPs and memory from shapes: one pass without numbers, one formula for each kind of layer."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_kd._core.keras_private import layers_of
from keras_kd._core.layer_calls import around_calls
from keras_kd._core.symbolic import symbolic

layers = keras.layers


@dataclass(frozen=True)
class Work:
    """What one example asks of a model, by its layers' shapes.

    Args:
        flops: Floating point operations: two for each multiplication with a weight, or of two
            activations in attention. Additions of biases, activations, normalisation and pooling
            are left out.
        without: Layers with weights for which there is no formula: they are not in `flops`.
        activations: The most bytes that one layer's input and output take, as float32.
    """

    flops: int
    without: tuple[str, ...]
    activations: int


def work(model: keras.Model, x: Any) -> Work:
    """The work for one example like those of the batch `x` (an array, or a structure of them).

    A convolution, dense, embedding or recurrent layer, and attention, have a formula each; layers
    made of these need none. A recurrent layer counts its cell once for each step. What a layer
    without weights multiplies by itself, in `call`, is not seen.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> keras_kd.report.work(model, np.zeros((1, 4), "float32")).flops  # 2 · 4 · 3
    24
    """
    one = keras.tree.map_structure(
        lambda leaf: keras.KerasTensor((1, *leaf.shape[1:]), str(leaf.dtype)), x
    )
    if not model.built:
        symbolic(
            lambda inputs: model(inputs, training=False), one
        )  # may run layers to learn shapes
    tally = _Tally()

    def pass_once(inputs: Any) -> Any:
        nonlocal tally
        tally = _Tally()  # a pass that cannot go through on shapes begins anew
        with around_calls(layers_of(model), tally.note):
            return model(inputs, training=False)

    symbolic(pass_once, one)
    return Work(2 * tally.multiplications, tuple(tally.without), tally.activations)


class _Tally:
    """What was counted in one pass."""

    def __init__(self) -> None:
        self.multiplications, self.activations = 0, 0
        self.without: dict[str, None] = {}
        self._inside = 0  # layers whose formula speaks for those within

    def note(
        self, layer: keras.layers.Layer, original: Callable[..., Any], args: tuple, kwargs: dict
    ) -> Any:
        """Stands in for a layer, and counts it."""
        whole = isinstance(layer, layers.RNN)
        self._inside += whole
        try:
            outputs = original(*args, **kwargs)
        finally:
            self._inside -= whole
        if self._inside:
            return outputs
        counted = _multiplications(layer, args, kwargs, outputs)
        if counted is None:
            self.without[layer.name] = None
        self.multiplications += counted or 0
        if not isinstance(layer, keras.Model):
            shapes = _shapes(args) + _shapes(outputs)
            self.activations = max(self.activations, 4 * sum(map(math.prod, shapes)))
        return outputs


#: Layers with a formula of no multiplication, though they may own a matrix.
_FREE = (
    layers.Embedding,
    layers.PReLU,
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.GroupNormalization,
    layers.Normalization,
)
_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
_CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)


def _multiplications(
    layer: keras.layers.Layer, args: tuple, kwargs: dict[str, Any], outputs: Any
) -> int | None:
    """For the whole batch; 0 for layers made of others; `None` when there is no formula."""
    into = _shapes(args) or _shapes(kwargs)
    out = _shapes(outputs)
    match layer:
        case layers.Dense():
            return math.prod(out[0]) * into[0][-1]
        case layers.EinsumDense():
            return _einsum(layer.equation, into[0], tuple(layer.kernel.shape))
        case _ if isinstance(layer, _TRANSPOSED):
            return math.prod(into[0]) * math.prod(layer.kernel_size) * layer.filters
        case _ if isinstance(layer, _DEPTHWISE):
            return math.prod(out[0]) * math.prod(layer.kernel_size)
        case _ if isinstance(layer, _SEPARABLE):
            wide = _channels(layer, into[0]) * layer.depth_multiplier
            positions = math.prod(out[0]) // layer.filters
            return positions * wide * (math.prod(layer.kernel_size) + layer.filters)
        case _ if isinstance(layer, _CONVOLUTIONS):
            one = math.prod(layer.kernel_size) * _channels(layer, into[0]) // layer.groups
            return math.prod(out[0]) * one
        case layers.RNN():
            matrices = [w for w in layer.cell.weights if "bias" not in w.name]
            if any(len(w.shape) > 2 for w in matrices):
                return None
            return into[0][0] * into[0][1] * sum(math.prod(w.shape) for w in matrices)
        case layers.MultiHeadAttention():  # its projections are layers of their own
            return _attention(into, kwargs, layer.num_heads, layer.key_dim, layer.value_dim)
        case layers.GroupQueryAttention():
            return _attention(into, kwargs, layer.num_query_heads, layer.head_dim, layer.head_dim)
        case layers.Attention() | layers.AdditiveAttention():
            query, value = into[:2]
            key = into[2] if len(into) > 2 else value
            return query[0] * query[1] * value[1] * (key[-1] + value[-1])
    if isinstance(layer, _FREE):
        return 0
    within = {id(w) for inner in layers_of(layer, include_self=False) for w in inner.weights}
    own = [w for w in layer.weights if id(w) not in within and len(w.shape) > 1]
    return None if own else 0


def _attention(
    into: list[tuple], kwargs: dict[str, Any], heads: int, key_size: int, value_size: int
) -> int:
    """Each query with each key, and each of these with a value; in every head."""
    query = into[0]
    value = _shapes(kwargs["value"])[0] if "value" in kwargs else into[1]
    return query[0] * query[1] * value[1] * heads * (key_size + value_size)


def _einsum(equation: str, into: tuple, kernel: tuple) -> int:
    """One multiplication for each way to set all the letters."""
    sides = equation.split("->")[0].split(",")
    sizes: dict[str, int] = {}
    rest = 1
    for letters, shape in zip(sides, (into, kernel), strict=True):
        before, _, after = letters.partition("...")
        spread = len(shape) - len(before) - len(after)
        rest *= math.prod(shape[len(before) : len(before) + spread])
        sizes |= dict(zip(before, shape, strict=False))
        sizes |= dict(zip(reversed(after), reversed(shape), strict=False))
    return rest * math.prod(sizes.values())


def _channels(layer: keras.layers.Layer, shape: tuple) -> int:
    return shape[1] if layer.data_format == "channels_first" else shape[-1]


def _shapes(nested: Any) -> list[tuple]:
    leaves = keras.tree.flatten(nested)
    return [tuple(leaf.shape) for leaf in leaves if getattr(leaf, "shape", None) is not None]
