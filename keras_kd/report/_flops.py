"""FLOPs and memory from shapes: one symbolic pass, and a formula for each kind of layer."""

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
    """The operations and the memory for one example, from the shapes of a model's layers.

    Args:
        flops: Floating point operations: two for each multiplication with a weight, or of two
            activations in attention. Additions of biases, activations, normalization and pooling
            are left out.
        without: Layers with weights for which there is no formula: they are not in `flops`.
        activations: The most bytes that one layer's input and output take, as float32.
    """

    flops: int
    without: tuple[str, ...]
    activations: int


def work(model: keras.Model, x: Any) -> Work:
    """The work for one example such as those of the batch `x` (an array, or a structure of them).

    A convolution, dense, embedding or recurrent layer, and attention, have a formula each; layers
    made of these need none. A recurrent layer counts its cell once for each step. What a layer
    without weights multiplies in its own `call` is not counted.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> keras_kd.report.work(model, np.zeros((1, 4), "float32")).flops  # 2 · 4 · 3
    24
    """
    one_example = keras.tree.map_structure(
        lambda leaf: keras.KerasTensor((1, *leaf.shape[1:]), str(leaf.dtype)), x
    )
    if not model.built:
        symbolic(
            lambda inputs: model(inputs, training=False), one_example
        )  # may run layers to learn shapes
    counter = _Counter()

    def forward(inputs: Any) -> Any:
        nonlocal counter
        counter = _Counter()  # a pass that fails on shapes is tried again in another way
        with around_calls(layers_of(model), counter.count_call):
            return model(inputs, training=False)

    symbolic(forward, one_example)
    return Work(2 * counter.multiplications, tuple(counter.without), counter.activations)


class _Counter:
    """The counts of one pass."""

    def __init__(self) -> None:
        self.multiplications, self.activations = 0, 0
        self.without: dict[str, None] = {}
        self._recurrent_depth = 0  # in recurrent layers, whose formula covers the layers inside

    def count_call(
        self, layer: keras.layers.Layer, call: Callable[..., Any], args: tuple, kwargs: dict
    ) -> Any:
        """Calls a layer and counts its work."""
        is_recurrent = isinstance(layer, layers.RNN)
        self._recurrent_depth += is_recurrent
        try:
            outputs = call(*args, **kwargs)
        finally:
            self._recurrent_depth -= is_recurrent
        if self._recurrent_depth:
            return outputs
        multiplications = _multiplications(layer, args, kwargs, outputs)
        if multiplications is None:
            self.without[layer.name] = None
        self.multiplications += multiplications or 0
        if not isinstance(layer, keras.Model):
            shapes = _shapes(args) + _shapes(outputs)
            self.activations = max(self.activations, 4 * sum(map(math.prod, shapes)))
        return outputs


#: Layers that own a matrix, perhaps, and multiply nothing that counts.
_NOTHING_MULTIPLIED = (
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
    in_shapes = _shapes(args) or _shapes(kwargs)
    out_shapes = _shapes(outputs)
    match layer:
        case layers.Dense():
            return math.prod(out_shapes[0]) * in_shapes[0][-1]
        case layers.EinsumDense():
            return _einsum(layer.equation, in_shapes[0], tuple(layer.kernel.shape))
        case _ if isinstance(layer, _TRANSPOSED):
            return math.prod(in_shapes[0]) * math.prod(layer.kernel_size) * layer.filters
        case _ if isinstance(layer, _DEPTHWISE):
            return math.prod(out_shapes[0]) * math.prod(layer.kernel_size)
        case _ if isinstance(layer, _SEPARABLE):
            channels = _channels(layer, in_shapes[0]) * layer.depth_multiplier
            positions = math.prod(out_shapes[0]) // layer.filters
            return positions * channels * (math.prod(layer.kernel_size) + layer.filters)
        case _ if isinstance(layer, _CONVOLUTIONS):
            for_one_output = (
                math.prod(layer.kernel_size) * _channels(layer, in_shapes[0]) // layer.groups
            )
            return math.prod(out_shapes[0]) * for_one_output
        case layers.RNN():
            matrices = [w for w in layer.cell.weights if "bias" not in w.name]
            if any(len(w.shape) > 2 for w in matrices):
                return None
            return in_shapes[0][0] * in_shapes[0][1] * sum(math.prod(w.shape) for w in matrices)
        case layers.MultiHeadAttention():  # its projections are layers of their own
            return _attention(in_shapes, kwargs, layer.num_heads, layer.key_dim, layer.value_dim)
        case layers.GroupQueryAttention():
            return _attention(
                in_shapes, kwargs, layer.num_query_heads, layer.head_dim, layer.head_dim
            )
        case layers.Attention() | layers.AdditiveAttention():
            query, value = in_shapes[:2]
            key = in_shapes[2] if len(in_shapes) > 2 else value
            return query[0] * query[1] * value[1] * (key[-1] + value[-1])
    if isinstance(layer, _NOTHING_MULTIPLIED):
        return 0
    inner_weights = {id(w) for inner in layers_of(layer, include_self=False) for w in inner.weights}
    own_matrices = [w for w in layer.weights if id(w) not in inner_weights and len(w.shape) > 1]
    return None if own_matrices else 0


def _attention(
    in_shapes: list[tuple], kwargs: dict[str, Any], heads: int, key_size: int, value_size: int
) -> int:
    """Each query with each key, and each of these with a value; in every head."""
    query = in_shapes[0]
    value = _shapes(kwargs["value"])[0] if "value" in kwargs else in_shapes[1]
    return query[0] * query[1] * value[1] * heads * (key_size + value_size)


def _einsum(equation: str, in_shapes: tuple, kernel: tuple) -> int:
    """One multiplication for each way to set all the letters."""
    sides = equation.split("->")[0].split(",")
    sizes: dict[str, int] = {}
    product_of_ellipsis = 1
    for letters, shape in zip(sides, (in_shapes, kernel), strict=True):
        before, _, after = letters.partition("...")
        ellipsis_length = len(shape) - len(before) - len(after)
        product_of_ellipsis *= math.prod(shape[len(before) : len(before) + ellipsis_length])
        sizes |= dict(zip(before, shape, strict=False))
        sizes |= dict(zip(reversed(after), reversed(shape), strict=False))
    return product_of_ellipsis * math.prod(sizes.values())


def _channels(layer: keras.layers.Layer, shape: tuple) -> int:
    return shape[1] if layer.data_format == "channels_first" else shape[-1]


def _shapes(nested: Any) -> list[tuple]:
    leaves = keras.tree.flatten(nested)
    return [tuple(leaf.shape) for leaf in leaves if getattr(leaf, "shape", None) is not None]
