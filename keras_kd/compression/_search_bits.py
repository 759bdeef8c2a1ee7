"""Which layers can do with few bits: each rounded alone, then the cheapest first."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_kd._core.scalars import count
from keras_kd.compression._sensitivity import Sensitivity

#: Bytes of a number that is not rounded: a bias, the scale and shift of a norm.
_FLOAT = 4


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
    batch_size = count(batch_size, "batch_size")
    measure = Sensitivity(student, inputs, teacher, loss, batch_size)
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
