"""Layers for sequences on the weights that a device has: recurrent ones, and attention."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.keras_private import set_mask
from keras_kd._core.registry import serializable
from keras_kd._core.tensors import Tensor
from keras_kd.compression._grid_layers import OnGrid, einsum_channels, rounding

L = keras.layers


class RecurrentOnGrid(OnGrid):
    """A recurrent layer on rounded weights, which are the same in each step of the loop.

    Within the loop a device rounds more than that, each sum and each gate; here these are exact.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.use_cudnn = False  # which would read the variables

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        super(OnGrid, self).build(sequences_shape)
        self.add_grids()

    def targets(self) -> list[tuple[keras.layers.Layer, str]]:
        return [(self.cell, "kernel"), (self.cell, "recurrent_kernel")]


@serializable
class GridLSTM(RecurrentOnGrid, keras.layers.LSTM):
    """`keras.layers.LSTM` with rounded weights."""

    stands_for = L.LSTM
    call = rounding(L.LSTM.call)


@serializable
class GridGRU(RecurrentOnGrid, keras.layers.GRU):
    """`keras.layers.GRU` with rounded weights."""

    stands_for = L.GRU
    call = rounding(L.GRU.call)


@serializable
class GridSimpleRNN(RecurrentOnGrid, keras.layers.SimpleRNN):
    """`keras.layers.SimpleRNN` with rounded weights."""

    stands_for = L.SimpleRNN
    call = rounding(L.SimpleRNN.call)


@serializable
class GridMultiHeadAttention(OnGrid, keras.layers.MultiHeadAttention):
    """`keras.layers.MultiHeadAttention` with rounded weights and ranges within.

    Rounded as well: queries, keys, values, their products, the softmax (whose range is known), and
    what attention gives to the last projection.

    Args:
        activation_bits: Bits of an activation. Defaults to `8`.
        **kwargs: As in `keras.layers.MultiHeadAttention`, and `bits`, `pruned`, `clusters`,
            `steps` of the other layers with rounded weights.
    """

    stands_for = L.MultiHeadAttention
    own_arguments = (*OnGrid.own_arguments, "activation_bits")

    def __init__(self, *args: Any, activation_bits: int = 8, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.activation_bits = activation_bits

    def build(  # type: ignore[override]  # Keras reads the names
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> None:
        L.MultiHeadAttention.build(self, query_shape, value_shape, key_shape)
        self.add_grids()
        make = self.steps.of_activations
        named = ("query", "key", "value", "scores", "context")
        self.ranges = {at: make(self.activation_bits, name=f"{at}_range") for at in named}
        fixed = (0.0, 255 / 256)
        self.ranges["softmax"] = make(self.activation_bits, fixed, name="softmax_range")
        for layer in self.ranges.values():
            layer.build(None)
        self.dropping = L.Dropout(self.dropout)

    def targets(self) -> list[tuple[keras.layers.Layer, str]]:
        dense = (self.query_dense, self.key_dense, self.value_dense, self.output_dense)
        return [(layer, "kernel") for layer in dense]

    def channels_of(self, layer: Any) -> tuple[int, ...]:
        return einsum_channels(layer.equation)

    def weights_without_grids(self) -> list[keras.Variable]:
        own = {id(w) for layer in self.ranges.values() for w in layer.weights}
        return [w for w in super().weights_without_grids() if id(w) not in own]

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        for x in (query, value, key):
            if x is not None:
                set_mask(x, None)  # the masks are minded here, and not by the projections
        masks = [attention_mask]
        for mask, axis in ((query_mask, -1), (value_mask, -2), (key_mask, -2)):
            masks.append(None if mask is None else ops.expand_dims(mask, axis))
        at = {name: lambda x, r=r: r(x, training=training) for name, r in self.ranges.items()}
        with self.on_grid():
            q = at["query"](self.query_dense(query))
            k = at["key"](self.key_dense(value if key is None else key))
            v = at["value"](self.value_dense(value))
            scores = ops.einsum("btnh,bsnh->bnts", q, k) * self.key_dim**-0.5
            scores = at["scores"](scores)
            if use_causal_mask:
                rows, columns = (ops.arange(n) for n in ops.shape(scores)[-2:])
                masks.append(ops.expand_dims(rows, -1) >= ops.expand_dims(columns, 0))
            for mask in (mask for mask in masks if mask is not None):
                seen = ops.cast(mask, "bool")
                if len(seen.shape) == 3:
                    seen = ops.expand_dims(seen, 1)  # the same for every head
                scores = ops.where(seen, scores, ops.cast(-1e4, scores.dtype))
            weights = at["softmax"](ops.softmax(scores))
            weights = self.dropping(weights, training=training)
            context = at["context"](ops.einsum("bnts,bsnh->btnh", weights, v))
            output = self.output_dense(context)
        if query_mask is not None:
            set_mask(output, query_mask)
        return (output, weights) if return_attention_scores else output

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation_bits": self.activation_bits}
