"""How far a student goes from its teacher when some of its layers are rounded."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_kd._core.last_activation import last_activation
from keras_kd._core.messages import listing
from keras_kd._core.texts import predict
from keras_kd.compression._graph import Graph, Step
from keras_kd.compression._grid_layers import OnGrid
from keras_kd.compression._quantization_scheme import WITH_KERNEL
from keras_kd.compression._quantize import plain, quantize_aware
from keras_kd.losses import SoftTarget

_ADDRESS = "teacher:output"


@dataclasses.dataclass
class Place:
    """The layers of the model that is measured that stand for one of the student's, and their
    weights unrounded; `kernels` are those that are rounded."""

    names: list[str]
    weights: list[list[np.ndarray]]
    kernels: list[np.ndarray]


class Sensitivity:
    """The student with weights that change, and how far it is from its teacher."""

    def __init__(self, student: Any, inputs: Any, teacher: Any, loss: Any, batch_size: int):
        self.student, self.batch_size = student, batch_size
        if len(getattr(student, "outputs", None) or [None]) > 1:
            raise ValueError(
                f"search_bits() compares one output, and student '{student.name}' has "
                f"{len(student.outputs)}. Give it keras.Model(student.inputs, the output that counts)."
            )
        aware = quantize_aware(student, keep_zeros=False, keep_clusters=False)
        self.model = plain(aware)
        self.parameters = self.model.count_params()
        steps = [
            step
            for step in Graph(student, "search_bits() reads").steps
            if isinstance(step.operation, WITH_KERNEL)
        ]
        self.layers = {step.path: _place(step, aware) for step in steps}
        for place in self.layers.values():
            self._put(place, place.weights)
        self.inputs, stored = gathered(inputs)
        if stored is not None and teacher is None:
            teacher = stored
        unrounded = self._outputs(self.model)
        if isinstance(teacher, keras.Model):
            teacher = self._outputs(teacher)
        self.wanted = unrounded if teacher is None else np.asarray(teacher)
        if self.wanted.shape != unrounded.shape:
            raise ValueError(
                f"The teacher's outputs have the shape {self.wanted.shape}, and student "
                f"'{student.name}' gives {unrounded.shape} for the same inputs."
            )
        if loss is None and unrounded.shape[-1] == 1:
            loss = keras.losses.MeanSquaredError()
        self.loss = loss or SoftTarget(1.0)
        ends = last_activation(student) if loss is None else None
        self.logits = {"softmax": _log}.get(ends or "", lambda x: x)

    def rounded(self, bits: int) -> dict[str, list[list[np.ndarray]]]:
        """The weights of each layer, with so many bits."""
        aware = quantize_aware(
            self.student, weight_bits=bits, keep_zeros=False, keep_clusters=False
        )
        model = plain(aware)
        return {
            path: [model.get_layer(name).get_weights() for name in place.names]
            for path, place in self.layers.items()
        }

    def divergence(self, changed: Mapping[str, list[list[np.ndarray]]]) -> float:
        """With these weights in place of those of their layers."""
        for path, weights in changed.items():
            self._put(self.layers[path], weights)
        try:
            outputs = self._outputs(self.model)
            return float(self.loss(self.logits(self.wanted), self.logits(outputs)))
        finally:
            for path in changed:
                self._put(self.layers[path], self.layers[path].weights)

    def _put(self, place: Place, weights: list[list[np.ndarray]]) -> None:
        for name, own in zip(place.names, weights, strict=True):
            self.model.get_layer(name).set_weights(own)

    def _outputs(self, model: keras.Model) -> np.ndarray:
        return np.asarray(predict(model, self.inputs, batch_size=self.batch_size, verbose=0))


def _place(step: Step, aware: keras.Model) -> Place:
    names = [step.name]
    if isinstance(step.operation, keras.layers.SeparableConv2D):
        names = [f"{step.name}_depthwise", step.name]
    weights, kernels = [], list[np.ndarray]()
    for name in names:
        layer: Any = aware.get_layer(name)
        both = isinstance(layer, keras.layers.Bidirectional)
        parts = [layer.forward_layer, layer.backward_layer] if both else [layer]
        own = [w for part in parts for w in _unrounded(part, kernels)]
        weights.append(own)
    return Place(names, weights, kernels)


def _unrounded(layer: OnGrid, kernels: list[np.ndarray]) -> list[np.ndarray]:
    own = [getattr(owner, name) for owner, name in layer.targets()]
    kernels.extend(keras.ops.convert_to_numpy(w) for w in own)
    return [keras.ops.convert_to_numpy(w) for w in layer.weights_without_grids()]


def _log(probabilities: Any) -> np.ndarray:
    return np.log(np.maximum(probabilities, 1e-12))


def gathered(inputs: Any) -> tuple[Any, np.ndarray | None]:
    """All inputs, and the teacher's outputs that came with them."""
    parts = inputs.values() if isinstance(inputs, dict) else inputs
    several = isinstance(inputs, (dict, list)) and len(inputs) > 0
    if hasattr(inputs, "shape") or (several and all(hasattr(x, "shape") for x in parts)):
        return keras.tree.map_structure(np.asarray, inputs), None
    batches, signals = [], []
    for x in _batches(inputs):
        if isinstance(x, Mapping) and "signals" in x:
            signals.append(_whole(x["signals"]))
            x = x["inputs"]
        batches.append(keras.tree.map_structure(np.asarray, x))
    if not batches:
        raise ValueError("`inputs` held no batch. Expected some hundred inputs of the student.")
    x = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
    return x, np.concatenate(signals) if signals else None


def _whole(signals: Mapping[str, Any]) -> np.ndarray:
    outputs = signals.get(_ADDRESS)
    if not hasattr(outputs, "shape"):
        raise ValueError(
            f"The batches of `inputs` have no whole '{_ADDRESS}' to compare with: their signals are "
            f"{listing(signals)}. Write the store without `top_k` and `sampled`, or give `teacher`."
        )
    return np.asarray(outputs)


def _batches(data: Any) -> Iterator[Any]:
    if isinstance(data, tuple):  # (x, y)
        data = [data]
    indexed = isinstance(data, keras.utils.PyDataset)
    for batch in map(data.__getitem__, range(len(data))) if indexed else data:
        yield batch[0] if isinstance(batch, tuple) else batch
