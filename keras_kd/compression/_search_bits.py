"""Which layers can do with few bits: each rounded alone, then the cheapest first."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.last_activation import last_activation
from keras_kd._core.messages import listing
from keras_kd._core.scalars import count
from keras_kd.compression._graph import Graph, Step
from keras_kd.compression._grid_layers import OnGrid
from keras_kd.compression._quantization_scheme import WITH_KERNEL
from keras_kd.compression._quantize import plain, quantize_aware
from keras_kd.losses import SoftTarget

#: Bytes of a number that is not rounded: a bias, the scale and shift of a norm.
_FLOAT = 4
_ADDRESS = "teacher:output"


@dataclasses.dataclass(frozen=True)
class LayerBits:
    """A layer in the table of `FoundBits`.

    Args:
        path: Its path in the student.
        weights: Number of its weights that are rounded.
        divergence: By number of bits, how far the student is from its teacher when this layer alone
            has so few.
        bits: The number that was chosen.
    """

    path: str
    weights: int
    divergence: dict[int, float]
    bits: int

    def bytes(self, bits: int) -> int:
        """The size of its rounded weights at so many bits, packed."""
        return math.ceil(self.weights * bits / 8)


@dataclasses.dataclass(frozen=True)
class FoundBits:
    """What `search_bits` found; `print` shows it as a table.

    Args:
        layers: The layers, in the order in which they run.
        bytes: Size of all weights: the rounded ones packed, the others in four bytes.
        divergence: How far the student is from its teacher with all of this, before any training.
        unrounded: The same of the student as it is.
    """

    layers: tuple[LayerBits, ...]
    bytes: int
    divergence: float
    unrounded: float

    @property
    def bits(self) -> dict[str, int]:
        """For the argument `bits` of `quantize_aware`."""
        return {layer.path: layer.bits for layer in self.layers}

    def __str__(self) -> str:
        choices = sorted(self.layers[0].divergence, reverse=True)
        rows = [["layer", "weights", *(f"{b} bits" for b in choices), "chosen", "bytes"]]
        for layer in self.layers:
            alone = [f"{layer.divergence[b]:.5f}" for b in choices]
            size = f"{layer.bytes(layer.bits):,}"
            rows.append([layer.path, f"{layer.weights:,}", *alone, str(layer.bits), size])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        lines.append(
            f"{self.bytes:,} bytes in all; divergence from the teacher {self.divergence:.5f}, "
            f"unrounded {self.unrounded:.5f}"
        )
        return "\n".join(lines)


def search_bits(
    student: keras.Model,
    inputs: Any,
    *,
    max_bytes: int,
    choices: Sequence[int] = (8, 4, 2),
    teacher: Any = None,
    loss: keras.losses.Loss | None = None,
    batch_size: int = 64,
    verbose: bool = True,
) -> FoundBits:
    """How many bits each layer's weights get, so that all fit into a size.

    Each layer is rounded alone, with each number of bits, and the student's divergence `d` from
    its teacher is measured. Then, from the most bits on, the step down is taken, again and again,
    that costs least for the bytes it saves,

    `(d(layer, fewer) - d(layer, now)) / (bytes(layer, now) - bytes(layer, fewer))`

    until the weights fit; bytes that are left go to the layers that gain most by more. Layers are
    taken to cost what they cost alone: `divergence` of the result was measured with all together.

    The student has then to be trained with these bits: `quantize_aware(student, bits=found.bits)`,
    under the `keras_kd.Distiller`. Files: LiteRT's int8 holds a weight of four bits in a byte, and
    only gzip sees that it has few values; int4 files have four bits throughout.

    Args:
        student: A trained float student, as for `quantize_aware`.
        inputs: Some hundred inputs without labels: an array, or a list or dict of arrays as the
            student takes them; or batches `x`, `(x, y)`, or those of `keras_kd.stores.read`, whose
            signal `"teacher:output"` is then what is compared with.
        max_bytes: Bytes that all weights may take: those that are rounded packed (two of four bits
            in a byte), four for each of the others (biases, norms).
        choices: Numbers of bits from 2 to 8. Defaults to `(8, 4, 2)`.
        teacher: A `keras.Model`, or its outputs for `inputs` as an array. Defaults to what a store
            holds, else to the student itself before it is rounded.
        loss: What divergence is: a loss of the teacher's outputs and the student's. Defaults to
            `keras_kd.losses.SoftTarget(1.0)`, the Kullback-Leibler divergence, of a student with
            one number as output to the mean squared difference.
        batch_size: Number of inputs in a batch. Defaults to `64`.
        verbose: Whether a progress bar is shown. Defaults to `True`.

    Returns:
        A `FoundBits`: `bits`, the table, and what the whole costs.

    Raises:
        ValueError: If the weights do not fit with the fewest bits either (it says what they take),
            if there are no inputs, or the teacher's outputs do not have the student's shape; and
            as `quantize_aware`.

    Example:

    >>> student = keras.Sequential(
    ...     [keras.Input((8,)), keras.layers.Dense(16, name="wide"), keras.layers.Dense(2, name="out")]
    ... )
    >>> images = np.random.default_rng(0).normal(size=(64, 8))
    >>> found = keras_kd.compression.search_bits(student, images, max_bytes=220, verbose=False)
    >>> sorted(found.bits), found.bytes <= 220
    (['out', 'wide'], True)

    Reference: Dong, Yao, Gholami, Mahoney, Keutzer, "HAWQ", ICCV 2019, arXiv:1905.03696, section 3
    (sensitivities by curvature); by divergence: Cai et al., "ZeroQ", CVPR 2020, arXiv:2001.00281,
    section 3.3.
    """
    max_bytes = count(max_bytes, "max_bytes")
    numbers = {count(b, "choices", least=2, most=8) for b in choices}
    bits = sorted(numbers, reverse=True)
    if not bits:
        raise ValueError("`choices` must hold a number of bits. Received: choices=().")
    measure = _Measure(student, inputs, teacher, loss, batch_size)
    sizes = {path: sum(w.size for w in layer.kernels) for path, layer in measure.layers.items()}
    rest = _FLOAT * (measure.parameters - sum(sizes.values()))
    layers = [LayerBits(path, size, {}, bits[0]) for path, size in sizes.items()]
    least = rest + sum(layer.bytes(bits[-1]) for layer in layers)
    if least > max_bytes:
        raise ValueError(
            f"With {bits[-1]} bits for each layer the weights of student '{student.name}' take "
            f"{least:,} bytes, {rest:,} of them for biases and the like, more than max_bytes="
            f"{max_bytes:,}. Allow more, give fewer `choices`, or shrink the student."
        )
    bar = keras.utils.Progbar(len(layers) * len(bits), verbose=int(verbose), unit_name="layer")
    for b in bits:
        weights = measure.rounded(b)
        for layer in layers:
            layer.divergence[b] = measure.divergence({layer.path: weights[layer.path]})
            bar.add(1)
    layers = _greedy(layers, bits, max_bytes - rest)
    chosen = {b: measure.rounded(b) for b in {layer.bits for layer in layers}}
    together = {layer.path: chosen[layer.bits][layer.path] for layer in layers}
    size = rest + sum(layer.bytes(layer.bits) for layer in layers)
    return FoundBits(tuple(layers), size, measure.divergence(together), measure.divergence({}))


def _greedy(layers: list[LayerBits], bits: list[int], max_bytes: int) -> list[LayerBits]:
    now = [layer.bits for layer in layers]

    def size() -> int:
        return sum(layer.bytes(b) for layer, b in zip(layers, now, strict=True))

    def price(place: int, other: int) -> float:
        """Divergence for a byte that is saved (or gained by one that is spent)."""
        layer, b = layers[place], now[place]
        saved = layer.bytes(b) - layer.bytes(other)
        return (layer.divergence[other] - layer.divergence[b]) / saved if saved else math.inf

    while size() > max_bytes:
        steps = [(p, b) for p in range(len(now)) for b in bits if b < now[p]]
        place, b = min(steps, key=lambda step: price(*step))
        now[place] = b
    while True:  # what is left over
        free = max_bytes - size()
        steps = [
            (p, b)
            for p, layer in enumerate(layers)
            for b in bits
            if b > now[p]
            and layer.bytes(b) - layer.bytes(now[p]) <= free
            and layer.divergence[b] < layer.divergence[now[p]]
        ]
        if not steps:
            break
        place, b = max(
            steps, key=lambda s: layers[s[0]].divergence[now[s[0]]] - layers[s[0]].divergence[s[1]]
        )
        now[place] = b
    return [dataclasses.replace(layer, bits=b) for layer, b in zip(layers, now, strict=True)]


@dataclasses.dataclass
class _Place:
    """The layers of the model that is measured that stand for one of the student's, and their
    weights unrounded; `kernels` are those that are rounded."""

    names: list[str]
    weights: list[list[np.ndarray]]
    kernels: list[np.ndarray]


class _Measure:
    """The student with weights that change, and how far it is from its teacher."""

    def __init__(self, student: Any, inputs: Any, teacher: Any, loss: Any, batch_size: int):
        self.student, self.batch_size = student, batch_size
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

    def _put(self, place: _Place, weights: list[list[np.ndarray]]) -> None:
        for name, own in zip(place.names, weights, strict=True):
            self.model.get_layer(name).set_weights(own)

    def _outputs(self, model: keras.Model) -> np.ndarray:
        return np.asarray(model.predict(self.inputs, batch_size=self.batch_size, verbose=0))


def _place(step: Step, aware: keras.Model) -> _Place:
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
    return _Place(names, weights, kernels)


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
            f"{listing(signals)}. Write the store without `top_k`, or give `teacher`."
        )
    return np.asarray(outputs)


def _batches(data: Any) -> Iterator[Any]:
    if isinstance(data, tuple):  # (x, y)
        data = [data]
    indexed = isinstance(data, keras.utils.PyDataset)
    for batch in map(data.__getitem__, range(len(data))) if indexed else data:
        yield batch[0] if isinstance(batch, tuple) else batch
