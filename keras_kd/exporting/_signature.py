"""What goes into a student and what comes out of it: named arrays, and their structure."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import listing

Arrays = dict[str, np.ndarray]

#: Names that Keras gave, not the student.
_NOBODYS = re.compile(r"(keras_tensor|input|input_layer)(_\d+)?")

NOT_FLOAT32 = {"float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"}


@dataclass(frozen=True)
class Signature:
    """How a student takes its inputs.

    Args:
        structure: The structure in which it takes them, with each one's place instead of it.
        names: The name of each place.
    """

    structure: Any
    names: tuple[str, ...]

    def arranged(self, values: list[Any]) -> Any:
        """`values`, by place, in the structure."""
        return keras.tree.map_structure(lambda place: values[place], self.structure)


def signature_of(student: keras.Model, inputs: Any) -> Signature:
    """The signature of `student`, called with a structure such as `inputs`."""
    structure = _places(inputs)
    tensors = tensors_of(student)
    names = _named(structure, [tensor.name for tensor in tensors] or None, "input")
    if len(names) == len(tensors):
        names = _telling(names, tensors)
    return Signature(structure, tuple(names))


def tensors_of(student: keras.Model) -> list[Any]:
    """The symbolic inputs of `student`; none for a subclassed model."""
    return list(getattr(student, "inputs", None) or [])


def input_structure(student: keras.Model) -> Any:
    """The symbolic inputs as the student takes them."""
    if isinstance(student, keras.Sequential):
        return tensors_of(student)[0]
    return student.input


def arrays_of(student: keras.Model, signature: Signature, inputs: Any, argument: str) -> Arrays:
    """`inputs` as arrays by name, of the types that the file takes."""
    arrays = [_array(leaf, argument) for leaf in keras.tree.flatten(inputs)]
    tensors = tensors_of(student)
    if tensors and len(arrays) != len(tensors):
        raise ValueError(
            f"The student '{student.name}' takes {len(tensors)} inputs, "
            f"{listing([tensor.name for tensor in tensors])}; `{argument}` has {len(arrays)}."
        )
    lengths = {len(x) if x.ndim else 0 for x in arrays}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            f"`{argument}` must have one and the same number of examples, at least 1, for each "
            f"input. Received shapes: {', '.join(str(x.shape) for x in arrays)}."
        )
    kinds = {tensor.name: tensor.dtype for tensor in tensors}  # a dict may go by these names
    found = {}
    for place, (name, x) in enumerate(zip(signature.names, arrays, strict=True)):
        wanted = kinds.get(name, tensors[place].dtype if tensors else x.dtype)
        found[name] = x.astype(plain(wanted))
    _check_shapes(student, signature, found, argument)
    return found


def _array(leaf: Any, argument: str) -> np.ndarray:
    found = np.asarray(keras.ops.convert_to_numpy(leaf) if keras.ops.is_tensor(leaf) else leaf)
    if found.dtype.kind == "O" and not isinstance(found.flat[0], (str, bytes)):
        raise ValueError(
            f"`{argument}` cannot be made an array of numbers. Each example needs the same shape."
        )
    plain(found.dtype)
    return found


def _check_shapes(
    student: keras.Model, signature: Signature, arrays: Arrays, argument: str
) -> None:
    tensors = tensors_of(student)
    by_name = {tensor.name: tensor for tensor in tensors}
    for place, (name, x) in enumerate(arrays.items()):
        if not tensors:
            return
        wanted = tuple(by_name.get(name, tensors[place]).shape[1:])
        came = x.shape[1:]
        if len(wanted) != len(came) or any(
            w is not None and w != c for w, c in zip(wanted, came, strict=True)
        ):
            raise ValueError(
                f"The input '{name}' of the student '{student.name}' has the shape "
                f"{(None, *wanted)}; `{argument}` has {x.shape}."
            )


def plain(kind: Any) -> str:
    """The type in the file: float32 for every float."""
    if kind.kind in "OSU" if isinstance(kind, np.dtype) else kind == "string":
        raise ValueError(
            "The student takes strings, which a device file cannot. Keep what turns text into "
            "numbers outside of it, and have it written beside the file: export(..., text=...)."
        )
    name = keras.backend.standardize_dtype(kind)
    return "float32" if name in NOT_FLOAT32 else name


def count(arrays: Arrays) -> int:
    return len(next(iter(arrays.values())))


def outputs_of(student: keras.Model, signature: Signature, arrays: Arrays) -> Arrays:
    """The student's outputs by name."""
    tensors = tensors_of(student)
    size = 1 if tensors and tensors[0].shape[0] == 1 else 32
    columns: list[list[np.ndarray]] = []
    names: list[str] = []
    for start in range(0, count(arrays), size):
        batch = [x[start : start + size] for x in arrays.values()]
        outputs = student(signature.arranged(batch), training=False)
        names = names or _named(outputs, getattr(student, "output_names", None), "output")
        columns.append([keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(outputs)])
    joined = [np.concatenate(column) for column in zip(*columns, strict=True)]
    return dict(zip(names, joined, strict=True))


# Names.


def _telling(names: list[str], tensors: list[Any]) -> list[str]:
    """The names that the student gave its inputs, and for others one that says what they are."""
    told: list[str] = []
    for name, tensor in zip(names, tensors, strict=True):
        if _NOBODYS.fullmatch(name):
            kind = _kind(tensor)
            others = {*told, *(n for n in names if n != name)}
            numbered = (kind if n == 1 else f"{kind}_{n}" for n in itertools.count(1))
            name = next(n for n in numbered if n not in others)
        told.append(name)
    return told


def _kind(tensor: Any) -> str:
    """What an input is, by its type and shape."""
    if not str(tensor.dtype).startswith(("float", "bfloat")):
        return "image" if len(tensor.shape) == 4 else "tokens"
    return {2: "features", 3: "sequence", 4: "image", 5: "video"}.get(len(tensor.shape), "input")


def _leaves(structure: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`(name, leaf)` for each leaf: its keys and positions, joined by `_`."""
    if isinstance(structure, dict):
        items: Any = structure.items()
    elif isinstance(structure, (list, tuple)):
        items = enumerate(structure)
    else:
        yield prefix, structure
        return
    for key, value in items:
        yield from _leaves(value, f"{prefix}_{key}" if prefix else str(key))


def _places(structure: Any) -> Any:
    """`structure` with each leaf's place in Keras's order instead of it; fit for JSON."""
    leaves = len(keras.tree.flatten(structure))
    return keras.tree.pack_sequence_as(structure, list(range(leaves)))


def _named(structure: Any, known: list[str] | None, word: str) -> list[str]:
    """A name for each leaf of `structure`, in Keras's order; no two alike."""
    if known is None or isinstance(structure, dict):
        by_place = {place: name for name, place in _leaves(_places(structure))}
        known = [by_place[place] for place in sorted(by_place)]
        known = [f"{word}_{n}" if n.isdigit() else n or word for n in known]
    names = [re.sub(r"\W", "_", name) for name in known]
    if len(set(names)) == len(names):
        return names
    return [f"{name}_{place}" for place, name in enumerate(names)]
