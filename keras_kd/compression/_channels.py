"""Which channels of a model belong together.

Every channel that a layer makes has a number. A residual addition makes two numbers one; flattening
repeats them; concatenation joins lists of them. What a layer loses with a channel, here or far
behind, then follows from the numbers alone.
"""

from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import listing
from keras_kd.compression._graph import Graph, Step, tensors

L = keras.layers
#: Layers that make channels, and the argument that says how many.
MAKERS: dict[type, str] = {
    L.Conv1D: "filters", L.Conv2D: "filters", L.Conv3D: "filters",
    L.Conv1DTranspose: "filters", L.Conv2DTranspose: "filters", L.Conv3DTranspose: "filters",
    L.SeparableConv1D: "filters", L.SeparableConv2D: "filters",
    L.Dense: "units", L.LSTM: "units", L.GRU: "units", L.SimpleRNN: "units",
    L.Embedding: "output_dim",
}  # fmt: skip
DEPTHWISE = (L.DepthwiseConv1D, L.DepthwiseConv2D)
#: Each channel by itself; their weights, if any, have the channels as their last axis.
_EACH = (
    L.BatchNormalization, L.LayerNormalization, L.Normalization, L.Rescaling, L.PReLU,
    L.Activation, L.ReLU, L.LeakyReLU, L.ELU, L.Softmax, L.Identity, L.Masking,
    L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.SpatialDropout3D, L.AlphaDropout,
    L.GaussianNoise, L.GaussianDropout, L.ActivityRegularization, L.RepeatVector,
    L.MaxPooling1D, L.MaxPooling2D, L.MaxPooling3D,
    L.AveragePooling1D, L.AveragePooling2D, L.AveragePooling3D,
    L.GlobalMaxPooling1D, L.GlobalMaxPooling2D, L.GlobalMaxPooling3D,
    L.GlobalAveragePooling1D, L.GlobalAveragePooling2D, L.GlobalAveragePooling3D,
    L.ZeroPadding1D, L.ZeroPadding2D, L.ZeroPadding3D, L.Cropping1D, L.Cropping2D, L.Cropping3D,
    L.UpSampling1D, L.UpSampling2D, L.UpSampling3D, L.Resizing,
)  # fmt: skip
_MERGES = (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum)
_OPERATIONS = {"Add", "Subtract", "Multiply", "Divide", "Maximum", "Minimum", "Relu", "Relu6"}
#: Left at their full size, and what they take with them.
_WHOLE = (L.MultiHeadAttention, L.GroupQueryAttention, L.EinsumDense, L.GroupNormalization)
KNOWN = (*MAKERS, *DEPTHWISE, *_EACH, *_MERGES, *_WHOLE, L.Concatenate, L.Flatten, L.Reshape)


class Channels:
    """The numbers of the channels along the last axis of every tensor of a graph.

    Args:
        graph: The graph; every layer of it must be known when `narrow` is set.
        narrow: Whether any channel may go. If not, all are fixed.
    """

    def __init__(self, graph: Graph, narrow: bool):
        self.graph = graph
        self.makers: dict[int, tuple[keras.Layer, np.ndarray]] = {}
        self._same: list[int] = []  # the number that each number has become one with
        self._fixed: set[int] = set()
        self._of: dict[int, np.ndarray] = {}
        self._first_call: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for x in tensors(graph.inputs):
            self._of[id(x)] = self._fix(self._new(_width(x)))
        for step in graph.steps:
            self._pass(step, narrow)
        for x in tensors(graph.outputs):
            self._fix(self._of[id(x)])

    def of(self, tensor: keras.KerasTensor) -> np.ndarray:
        """The numbers along the tensor's last axis; equal numbers live and die together."""
        return np.array([self._root(i) for i in self._of[id(tensor)]], int)

    def groups(self) -> list[tuple[list[int], list[keras.Layer]]]:
        """Channels that may go, by the layers that make them: each a list to choose from."""
        makers: dict[int, list[keras.Layer]] = {}
        for layer, ids in self.makers.values():
            for root in dict.fromkeys(self._root(i) for i in ids):
                makers.setdefault(root, []).append(layer)
        fixed = {self._root(i) for i in self._fixed}
        groups: dict[tuple[int, ...], tuple[list[int], list[keras.Layer]]] = {}
        for root, layers in makers.items():
            if root not in fixed:
                key = tuple(id(layer) for layer in layers)
                groups.setdefault(key, ([], layers))[0].append(root)
        return list(groups.values())

    def made_by(self, layer: keras.Layer) -> np.ndarray:
        return np.array([self._root(i) for i in self.makers[id(layer)][1]], int)

    # The rules.

    def _pass(self, step: Step, narrow: bool) -> None:
        layer, taken = step.operation, [self._of[id(x)] for x in step.inputs]
        if id(layer) in self._first_call:  # shared: the same weights again
            before, ids = self._first_call[id(layer)]
            if len(ids) != _width(step.outputs[0]) or len(before) != len(taken[0]):
                raise _unknown(step, "is called on tensors of different size")
            self._unite(before, taken[0])
        elif not narrow or not self._is_known(layer):
            if narrow:
                raise _unknown(step, "is not known to shrink()")
            ids = self._whole(step, taken)
        else:
            ids = self._made(step, taken)
        if isinstance(layer, keras.Layer) and layer.weights:
            self._first_call.setdefault(id(layer), (taken[0], ids))
        for x in step.outputs:
            self._of[id(x)] = ids if len(ids) == _width(x) else self._fix(self._new(_width(x)))

    def _is_known(self, layer: keras.Operation) -> bool:
        return type(layer) in KNOWN or type(layer).__name__ in _OPERATIONS

    def _made(self, step: Step, taken: list[np.ndarray]) -> np.ndarray:
        layer, width = step.operation, _width(step.outputs[0])
        if getattr(layer, "data_format", "channels_last") == "channels_first":
            raise _unknown(step, "has data_format='channels_first', which shrink() does not read")
        if type(layer) in MAKERS and getattr(layer, "groups", 1) == 1:
            ids = self._new(width)
            self.makers[id(layer)] = layer, ids
            return ids
        if isinstance(layer, DEPTHWISE):
            return np.repeat(taken[0], layer.depth_multiplier)
        if isinstance(layer, L.Concatenate) and layer.axis in (-1, len(step.output.shape) - 1):
            return np.concatenate(taken)
        if isinstance(layer, (L.Flatten, L.Reshape)):
            before, after = step.inputs[0].shape[1:], step.output.shape[1:]
            if before[-1] == after[-1]:
                return taken[0]
            if len(after) == 1 and after[0] is not None:
                return np.tile(taken[0], after[0] // before[-1])
            return self._whole(step, taken)
        if isinstance(layer, L.BatchNormalization | L.LayerNormalization) and not _on_last(step):
            return self._whole(step, taken)
        if isinstance(layer, _EACH):
            return taken[0]
        if isinstance(layer, (*_MERGES, L.Concatenate)) or not isinstance(layer, keras.Layer):
            if any(np.ndim(x) for x in _constants(step)):
                return self._whole(step, taken)
            wide = [ids for ids in taken if len(ids) == width]  # the others are broadcast
            for other in wide[1:]:
                self._unite(wide[0], other)
            return wide[0]
        return self._whole(step, taken)

    def _whole(self, step: Step, taken: list[np.ndarray]) -> np.ndarray:
        for ids in taken:
            self._fix(ids)
        return self._fix(self._new(_width(step.outputs[0])))

    def _new(self, count: int) -> np.ndarray:
        first = len(self._same)
        self._same.extend(range(first, first + count))
        return np.arange(first, first + count)

    def _fix(self, ids: np.ndarray) -> np.ndarray:
        self._fixed.update(int(i) for i in ids)
        return ids

    def _unite(self, some: np.ndarray, others: np.ndarray) -> None:
        for i, j in zip(some, others, strict=True):
            a, b = self._root(i), self._root(j)
            self._same[max(a, b)] = min(a, b)

    def _root(self, i: Any) -> int:
        while self._same[i] != i:
            self._same[i] = self._same[self._same[i]]
            i = self._same[i]
        return int(i)


def _width(x: keras.KerasTensor) -> int:
    return x.shape[-1] if len(x.shape) > 1 and x.shape[-1] else 1


def _on_last(step: Step) -> bool:
    axis, last = step.operation.axis, len(step.output.shape) - 1
    return axis in (-1, last) or axis in ([-1], [last])


def _constants(step: Step) -> list[Any]:
    leaves = keras.tree.flatten((step.args, step.kwargs))
    return [x for x in leaves if not isinstance(x, keras.KerasTensor)]


def _unknown(step: Step, what: str) -> ValueError:
    names = sorted(kind.__name__ for kind in KNOWN)
    return ValueError(
        f"Layer '{step.name}' of class {type(step.operation).__name__} {what}, so its channels "
        f"cannot be chosen. It knows: {listing(names, most=len(names))}. With width=1.0 layers of "
        "any class are allowed."
    )
