"""How a device computes in integers: which layers it knows, and where it rounds."""

from typing import Any

import keras

from keras_kd._core.messages import listing
from keras_kd.compression._fake_quantization import (
    FakeQuant,
    GridConv1D,
    GridConv2D,
    GridDense,
    GridDepthwiseConv2D,
    OnGrid,
)
from keras_kd.compression._graph import Graph, activation_name

L = keras.layers
ROUNDED: dict[type, type[OnGrid]] = {
    L.Conv1D: GridConv1D,
    L.Conv2D: GridConv2D,
    L.DepthwiseConv2D: GridDepthwiseConv2D,
    L.Dense: GridDense,
}
WITH_KERNEL: tuple[Any, ...] = (*ROUNDED, L.SeparableConv2D)
#: What comes out lies in the range of what went in, and a device keeps its steps.
SAME_STEPS = (
    L.Flatten, L.Reshape, L.Permute, L.RepeatVector,
    L.ZeroPadding1D, L.ZeroPadding2D, L.Cropping1D, L.Cropping2D, L.UpSampling1D, L.UpSampling2D,
    L.MaxPooling1D, L.MaxPooling2D, L.GlobalMaxPooling1D, L.GlobalMaxPooling2D,
    L.AveragePooling1D, L.AveragePooling2D,
    L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.GaussianNoise, L.GaussianDropout,
    L.Identity,
)  # fmt: skip
_NEW_STEPS = (
    L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Concatenate,
    L.Activation, L.ReLU, L.LeakyReLU, L.ELU, L.Softmax, L.BatchNormalization, L.Rescaling,
    L.Normalization, L.GlobalAveragePooling1D, L.GlobalAveragePooling2D,
)  # fmt: skip
#: Operations of `keras.ops` that a Functional model may be wired with, by their class.
_OPERATIONS = {"Add", "Subtract", "Multiply", "Maximum", "Minimum", "Relu", "Relu6", "Mean"}
#: LiteRT gives these outputs the same range in every file.
FIXED = {"softmax": (0.0, 255 / 256), "sigmoid": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}
FUSED = {"linear", "relu", "relu6"}
#: A device rounds these by themselves, whatever follows.
ALONE = (L.GlobalAveragePooling1D, L.GlobalAveragePooling2D, L.Concatenate)


def activation_of(operation: Any) -> str:
    """The name of the function that the operation ends with; `linear` when there is none."""
    if isinstance(operation, L.Softmax):
        return "softmax"
    if isinstance(operation, L.ReLU):
        if operation.negative_slope or operation.threshold:
            return "leaky_relu"
        return {None: "relu", 6: "relu6"}.get(operation.max_value, "clipped_relu")
    if isinstance(operation, WITH_KERNEL) or isinstance(operation, L.Activation):  # noqa: SIM101
        return activation_name(operation.activation)
    return "linear"


def check_known(graph: Graph) -> None:
    """An error for the first step that a rounded model would get wrong."""
    known = (*WITH_KERNEL, *SAME_STEPS, *_NEW_STEPS)
    for step in graph.steps:
        layer, where = step.operation, f"layer '{step.name}' of student '{graph.model.name}'"
        if isinstance(layer, (FakeQuant, OnGrid)) or getattr(layer, "quantization_mode", None):
            raise ValueError(f"The {where} is quantised already. Begin from the float student.")
        kind = type(layer)
        if kind not in known and kind.__name__ not in _OPERATIONS:
            raise ValueError(
                f"quantize_aware() does not know how a device rounds {where}, which is of class "
                f"{kind.__name__}. It knows: {listing((k.__name__ for k in known), most=len(known))}."
            )
        if getattr(layer, "data_format", "channels_last") == "channels_first":
            raise ValueError(
                f"The {where} has data_format='channels_first', which int8 files do not. Build the "
                "student with data_format='channels_last'."
            )
        if not isinstance(step.output, keras.KerasTensor):
            raise ValueError(f"The {where} returns several tensors; one was expected.")
