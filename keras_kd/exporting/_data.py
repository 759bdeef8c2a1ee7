"""Examples to compare on and to calibrate with, from whatever form they are in."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_kd._core.keras_private import layers_of
from keras_kd.data import Part
from keras_kd.exporting._signature import (
    Arrays,
    Signature,
    arrays_of,
    input_structure,
    plain,
    signature_of,
    tensors_of,
)

_RANDOM_EXAMPLES = 128
_BATCH = 32
_BATCH_KEYS = {"id", "x", "y", "weight"}


class Examples(NamedTuple):
    """Inputs by name, how the student takes them, and what the labels say, if anything does."""

    signature: Signature
    inputs: Arrays
    labels: Any = None


def examples_of(
    student: keras.Model,
    data: Any,
    labels: Any,
    seed: int,
    argument: str = "examples",
    span: tuple[float, float] = (0.0, 1.0),
) -> Examples:
    """All examples of `data`; random ones, floats within `span`, when there are none."""
    if data is None and labels is not None:
        raise ValueError("`labels` are those of `examples`. Give both.")
    if data is None:
        inputs = _random(student, seed, span)
    elif _is_dataset(data):
        if labels is not None:
            raise ValueError(f"`labels` go with arrays; a dataset as `{argument}` has its own.")
        inputs, labels = _joined(_batches(student, data), argument)
    else:
        inputs = data
    signature = signature_of(student, inputs)
    return Examples(signature, arrays_of(student, signature, inputs, argument), labels)


class Drawn(NamedTuple):
    """Calibration examples: how many of them at most are for the ranges, and whether they are in an
    order of no meaning (else all, in order)."""

    examples: Examples
    most: int | None
    shuffled: bool


def drawn_of(student: keras.Model, data: Any, batches: int, seed: int) -> Drawn:
    """The arrays, or `batches` batches of a dataset, drawn with `seed` where its length is known."""
    if isinstance(data, Part):
        data = data.x
    if not _is_dataset(data):
        every = examples_of(student, data, None, seed, "calibration")
        return Drawn(every, batches * _BATCH, shuffled=True)
    inputs, _ = _joined(_drawn(student, data, batches, seed), "calibration")
    signature = signature_of(student, inputs)
    examples = Examples(signature, arrays_of(student, signature, inputs, "calibration"))
    return Drawn(examples, None, shuffled=False)


def _random(student: keras.Model, seed: int, span: tuple[float, float]) -> Any:
    """Random examples in the structure of the student's inputs."""
    tensors = tensors_of(student)
    if not tensors:
        raise ValueError(
            f"The student '{student.name}' does not say what its inputs are, for it is neither "
            "Functional nor Sequential. Give `examples`."
        )
    layers = layers_of(student)
    sizes = [layer.input_dim for layer in layers if isinstance(layer, keras.layers.Embedding)]
    rng = np.random.default_rng(seed)
    arrays = []
    for tensor in tensors:
        shape, kind = tuple(tensor.shape[1:]), plain(tensor.dtype)
        if None in shape:
            raise ValueError(
                f"The student '{student.name}' leaves a size of its input '{tensor.name}' open, "
                f"{(None, *shape)}. Give `examples` of the size that the file is to take."
            )
        drawn = rng.random((_RANDOM_EXAMPLES, *shape))
        if kind == "float32":
            drawn = span[0] + drawn * (span[1] - span[0])
        else:
            drawn = np.floor(drawn * min(sizes, default=2))
        arrays.append(drawn.astype(kind))
    return keras.tree.pack_sequence_as(input_structure(student), arrays)


# Datasets.


def _is_dataset(data: Any) -> bool:
    """Whether `data` gives batches, rather than being arrays."""
    if isinstance(data, (np.ndarray, list, tuple, Mapping)) or keras.ops.is_tensor(data):
        return False
    return isinstance(data, (Part, Iterable, Callable, keras.utils.PyDataset))  # type: ignore[arg-type]


def _is_tf_data(data: Any) -> bool:
    """Whether `data` is a `tf.data.Dataset`, without asking for tensorflow."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(data, tf.data.Dataset)


def _batches(student: keras.Model, data: Any) -> Iterator[Any]:
    """The batches of a dataset, one after the other."""
    if isinstance(data, Part):
        yield data.x, data.y
    elif isinstance(data, keras.utils.PyDataset):
        yield from (data[index] for index in range(_length(data, "examples")))
    elif _is_tf_data(data):
        if int(data.cardinality()) == -1:
            raise ValueError(
                "`examples` is a tf.data.Dataset without an end. Take what is to be compared: "
                "examples.take(10)."
            )
        yield from _in_batches(student, data)
    else:
        yield from data() if callable(data) else data


def _drawn(student: keras.Model, data: Any, batches: int, seed: int) -> Iterator[Any]:
    """Some batches: drawn where the number of all is known, else the first ones."""
    if _is_tf_data(data):
        data = _in_batches(student, data)
        length = int(data.cardinality())
    elif isinstance(data, keras.utils.PyDataset):
        length = _length(data, "calibration")
    else:
        length = len(data) if isinstance(data, Sized) else -1
    wanted = range(batches)
    if length >= 0:
        wanted = sorted(np.random.default_rng(seed).permutation(length)[:batches])  # type: ignore[assignment]
    if isinstance(data, keras.utils.PyDataset):
        yield from (data[int(index)] for index in wanted)
        return
    left = set(map(int, wanted))
    for index, batch in enumerate(data() if callable(data) else data):
        if index in left:
            left.discard(index)
            yield batch
        if not left:
            return


def _length(data: Any, argument: str) -> int:
    if data.num_batches is None:
        raise ValueError(f"`{argument}` is a PyDataset without an end. Give one that has a length.")
    return len(data)


def _in_batches(student: keras.Model, data: Any) -> Any:
    """A `tf.data.Dataset` of batches, also where `data` gives single examples."""
    x, _ = _unpacked(data.element_spec)
    leaves, tensors = keras.tree.flatten(x), tensors_of(student)
    single = bool(tensors) and leaves[0].shape.rank == len(tensors[0].shape) - 1
    return data.batch(_BATCH) if single else data


def _unpacked(batch: Any) -> tuple[Any, Any]:
    """Inputs and labels of a batch, in the forms that `fit` and `keras_kd.data` know."""
    if isinstance(batch, Mapping) and {"id", "x"} <= set(batch) <= _BATCH_KEYS:
        return batch["x"], batch.get("y")
    x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    if isinstance(x, Mapping) and set(x) == {"inputs", "signals"}:
        x = x["inputs"]
    return x, y


def _joined(batches: Iterator[Any], argument: str) -> tuple[Any, Any]:
    """The batches as one: inputs, and labels where there are some."""
    pairs = [_unpacked(batch) for batch in batches]
    if not pairs:
        raise ValueError(f"`{argument}` has no batch.")

    def whole(*leaves: Any) -> np.ndarray:
        return np.concatenate([keras.ops.convert_to_numpy(leaf) for leaf in leaves])

    xs, ys = zip(*pairs, strict=True)
    try:
        x = keras.tree.map_structure(whole, *xs)
        y = None if ys[0] is None else keras.tree.map_structure(whole, *ys)
    except ValueError as error:
        raise ValueError(
            f"The batches of `{argument}` do not go together: {error}. Each example needs the "
            "same shape."
        ) from error
    return x, y
