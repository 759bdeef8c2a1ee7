"""How a device computes in integers: which layers it knows, and where it rounds."""

import difflib
from collections.abc import Mapping
from typing import Any

import keras

from keras_kd._core.keras_private import layers_of
from keras_kd._core.messages import listing
from keras_kd.compression._fake_quantization import FakeQuant
from keras_kd.compression._graph import Graph, Step, activation_name
from keras_kd.compression._grid_layers import (
    GridConv1D,
    GridConv1DTranspose,
    GridConv2D,
    GridConv2DTranspose,
    GridDense,
    GridDepthwiseConv2D,
    GridEinsumDense,
    GridEmbedding,
    OnGrid,
)
from keras_kd.compression._grid_sequences import (
    GridGRU,
    GridLSTM,
    GridMultiHeadAttention,
    GridSimpleRNN,
)
from keras_kd.compression._learned_steps import LearnedQuant

L = keras.layers
#: Linear, and a device adds the bias and a ReLU in the same breath.
_LINEAR: dict[type, type[OnGrid]] = {
    L.Conv1D: GridConv1D,
    L.Conv2D: GridConv2D,
    L.Conv1DTranspose: GridConv1DTranspose,
    L.Conv2DTranspose: GridConv2DTranspose,
    L.DepthwiseConv2D: GridDepthwiseConv2D,
    L.Dense: GridDense,
    L.EinsumDense: GridEinsumDense,
}
ROUNDED: dict[type, type[OnGrid]] = {
    **_LINEAR,
    L.Embedding: GridEmbedding,
    L.LSTM: GridLSTM,
    L.GRU: GridGRU,
    L.SimpleRNN: GridSimpleRNN,
    L.MultiHeadAttention: GridMultiHeadAttention,
}
#: With an activation, which becomes a step of its own where a device computes it by itself.
ACTIVATED: tuple[Any, ...] = (*_LINEAR, L.SeparableConv2D)
#: Their `BatchNormalization` can be folded into the kernel.
FOLDABLE: tuple[Any, ...] = tuple(kind for kind in ACTIVATED if kind is not L.EinsumDense)
WITH_KERNEL: tuple[Any, ...] = (*ROUNDED, L.SeparableConv2D, L.Bidirectional)
#: What comes out lies in the range of what went in, and a device keeps its steps.
SAME_STEPS = (
    L.Flatten, L.Reshape, L.Permute, L.RepeatVector,
    L.ZeroPadding1D, L.ZeroPadding2D, L.Cropping1D, L.Cropping2D, L.UpSampling1D, L.UpSampling2D,
    L.MaxPooling1D, L.MaxPooling2D, L.GlobalMaxPooling1D, L.GlobalMaxPooling2D,
    L.AveragePooling1D, L.AveragePooling2D,
    L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.GaussianNoise, L.GaussianDropout,
    L.Identity,
)  # fmt: skip
#: Looked up in a table that has these steps already.
LOOKED_UP = (L.Embedding,)
_NEW_STEPS = (
    L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Concatenate,
    L.Activation, L.ReLU, L.LeakyReLU, L.ELU, L.Softmax, L.BatchNormalization,
    L.LayerNormalization, L.Rescaling, L.Normalization,
    L.GlobalAveragePooling1D, L.GlobalAveragePooling2D,
)  # fmt: skip
#: Operations of `keras.ops` that a Functional model may be wired with, by their class.
_OPERATIONS = {"Add", "Subtract", "Multiply", "Maximum", "Minimum", "Relu", "Relu6", "Mean"}
#: LiteRT gives these outputs the same range in every file.
FIXED = {"softmax": (0.0, 255 / 256), "sigmoid": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}
FUSED = {"linear", "relu", "relu6"}
RECURRENT = (L.LSTM, L.GRU, L.SimpleRNN)
#: A device rounds these by themselves, whatever follows.
ALONE = (
    L.GlobalAveragePooling1D, L.GlobalAveragePooling2D, L.Concatenate,
    *RECURRENT, L.Bidirectional, *LOOKED_UP,
)  # fmt: skip
#: What stands nearest to some layers that have no rounded form.
_NEAREST = {
    "Conv3D": "Conv2D", "Conv3DTranspose": "Conv2DTranspose", "DepthwiseConv1D": "Conv1D",
    "SeparableConv1D": "Conv1D", "ConvLSTM1D": "LSTM", "ConvLSTM2D": "LSTM", "RNN": "LSTM",
    "PReLU": "LeakyReLU", "GroupNormalization": "LayerNormalization",
    "UnitNormalization": "LayerNormalization", "RMSNormalization": "LayerNormalization",
    "Attention": "MultiHeadAttention", "AdditiveAttention": "MultiHeadAttention",
    "GroupedQueryAttention": "MultiHeadAttention", "ReversibleEmbedding": "Embedding",
    "Lambda": "Activation", "Dot": "Multiply", "AlphaDropout": "Dropout",
    "TimeDistributed": "Dense",
}  # fmt: skip


def activation_of(operation: Any) -> str:
    """The name of the function that the operation ends with; `linear` when there is none."""
    activated: tuple[Any, ...] = (*ACTIVATED, L.Activation, L.SimpleRNN)
    if isinstance(operation, L.Softmax):
        return "softmax"
    if isinstance(operation, L.ReLU):
        if operation.negative_slope or operation.threshold:
            return "leaky_relu"
        return {None: "relu", 6: "relu6"}.get(operation.max_value, "clipped_relu")
    if isinstance(operation, activated):
        return activation_name(operation.activation)
    return "linear"


def is_quantized(operation: Any) -> bool:
    """Whether the operation rounds already, or a layer within it."""
    within = layers_of(operation) if isinstance(operation, keras.Layer) else []
    return any(
        isinstance(layer, (FakeQuant, LearnedQuant, OnGrid))
        or getattr(layer, "quantization_mode", None)
        for layer in within
    )


def is_rounded(step: Step) -> bool:
    """Whether the step gives numbers that a device would round: no masks, and no ids."""
    return keras.backend.is_float_dtype(step.output.dtype)


def check_known(graph: Graph, bits: Mapping[int, int | None]) -> None:
    """An error for the first step that a rounded model would get wrong; any that stays in float,
    for which `bits` has `None` by its `id`, is right."""
    known = (*WITH_KERNEL, *SAME_STEPS, *_NEW_STEPS)
    for step in graph.steps:
        layer, where = step.operation, f"layer '{step.path}' of student '{graph.model.name}'"
        if is_quantized(layer):
            raise ValueError(f"The {where} is quantised already. Begin from the float student.")
        if not isinstance(step.output, keras.KerasTensor):
            raise ValueError(f"The {where} returns several tensors; one was expected.")
        if not is_rounded(step) or bits[id(step)] is None:
            continue
        kind = type(layer)
        if kind not in known and kind.__name__ not in _OPERATIONS:
            names = [k.__name__ for k in known]
            raise ValueError(
                f"quantize_aware() does not know how a device rounds {where}, which is of class "
                f"{kind.__name__}.{_nearest(kind, names)} bits={{'{step.path}': None}} leaves it in "
                f"float. It knows: {listing(names, most=len(known))}."
            )
        if getattr(layer, "data_format", "channels_last") == "channels_first":
            raise ValueError(
                f"The {where} has data_format='channels_first', which int8 files do not. Build the "
                "student with data_format='channels_last'."
            )
        if why := _why_not(step):
            raise ValueError(f"quantize_aware() does not know how to round {why} of the {where}.")


def _nearest(kind: type, known: list[str]) -> str:
    nearest = _NEAREST.get(kind.__name__) or next(
        iter(difflib.get_close_matches(kind.__name__, known, n=1, cutoff=0.5)), None
    )
    return f" The nearest that has a rounded form is {nearest}." if nearest else ""


def _why_not(step: Step) -> str:
    """What of a known layer is not known; empty when all is."""
    layer: Any = step.operation
    if isinstance(layer, L.Bidirectional):
        for inner in (layer.forward_layer, layer.backward_layer):
            if type(inner) not in RECURRENT:
                return f"the {type(inner).__name__}"
    if isinstance(layer, L.MultiHeadAttention):
        config = layer.get_config()
        if len(step.inputs[0].shape) != 3 or tuple(config.get("attention_axes") or (1,)) != (1,):
            return "attention along other axes than the second of three"
        for option in ("use_gate", "sliding_window"):
            if config.get(option):
                return f"{option}={config[option]!r}"
    return ""
