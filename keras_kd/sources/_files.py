"""What teachers from model files share: named inputs and outputs, batches of a fixed size."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._core.external import ExternalTeacher
from keras_kd._core.function_teacher import files_hash
from keras_kd._core.messages import did_you_mean, listing

Arrays = dict[str, np.ndarray]


class FileTeacher(ExternalTeacher):
    """A teacher that is a file, or a folder, of another runtime.

    Args:
        path: Where it is.
        name: What stores and messages call it; the file's name where it is `None`.
        **kwargs: As of `ExternalTeacher`.
    """

    def __init__(self, path: Any, name: str | None, **kwargs: Any):
        self.path = Path(path)
        if not self.path.exists():
            raise ValueError(f"There is no file '{self.path}'.")
        super().__init__(name or self.path.stem, **kwargs)

    def shapes(self) -> list[Sequence[Any]]:
        """The shape of each input, the batch first, as the file states it."""
        raise NotImplementedError

    @property
    def input_shape(self) -> tuple[int | None, ...] | None:
        """The shape of one example, `None` for sizes that vary; `None` of several inputs."""
        shapes = self.shapes()
        return _sizes(shapes[0])[1:] if len(shapes) == 1 else None

    def weights_hash(self) -> str:
        inside = sorted(
            p for p in self.path.rglob("*") if p.is_file() and p.name != "fingerprint.pb"
        )
        return files_hash(inside if self.path.is_dir() else [self.path])


def by_name(x: Any, names: Sequence[str], whose: str) -> Arrays:
    """The inputs under the names that a file has for them.

    Args:
        x: An array, arrays in the order of the names, or a dict of arrays.
        names: The names.
        whose: Whose names, as the start of an error's sentence.
    """
    if isinstance(x, Mapping):
        if set(x) != set(names):
            wrong = next(iter(set(x) - set(names)), "")
            raise ValueError(
                f"{whose} takes the inputs {listing(names)}. Received: {listing(map(str, x))}."
                + did_you_mean(str(wrong), names)
            )
        return {name: np.asarray(x[name]) for name in names}
    leaves = keras.tree.flatten(x)
    if len(leaves) != len(names):
        raise ValueError(
            f"{whose} takes {len(names)} inputs, {listing(names)}. Received: {len(leaves)}."
        )
    return {name: np.asarray(leaf) for name, leaf in zip(names, leaves, strict=True)}


def check_shape(array: np.ndarray, expected: Sequence[Any], name: str, whose: str) -> None:
    """Raises when an input of one example has not the shape that the file states."""
    sizes = _sizes(expected)
    came = list(array.shape)
    fits = len(came) == len(sizes) and all(
        size is None or size == here for size, here in zip(sizes[1:], came[1:], strict=True)
    )
    if not sizes or fits:
        return
    advice = ""
    if len(came) == len(sizes) == 4:
        turned = [came[3], came[1], came[2]]
        if all(size is None or size == here for size, here in zip(sizes[1:], turned, strict=True)):
            advice = " It has channels first: data_format='channels_first'."
    raise ValueError(
        f"{whose} takes '{name}' of shape {(None, *sizes[1:])}. Received: {(None, *came[1:])}."
        + advice
    )


def _sizes(shape: Sequence[Any]) -> tuple[int | None, ...]:
    """A shape in which only fixed sizes are numbers: runtimes write the others as texts or -1."""
    return tuple(
        int(size) if isinstance(size, (int, np.integer)) and size > 0 else None for size in shape
    )


def in_batches_of(
    size: int | None, inputs: Arrays, run: Callable[[Arrays], Mapping[str, np.ndarray]]
) -> Arrays:
    """What `run` gives for `inputs`, in batches of `size` where the file takes no others."""
    examples = len(next(iter(inputs.values())))
    if size is None:
        return dict(run(inputs))
    parts = []
    for start in range(0, examples, size):
        some = np.minimum(np.arange(start, start + size), examples - 1)  # the last one repeated
        outputs = run({name: array[some] for name, array in inputs.items()})
        parts.append({name: array[: examples - start] for name, array in outputs.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def choose(outputs: Arrays, first: str | None, whose: str) -> str:
    """The name of the output: `first`, or the only one, or `"logits"`."""
    if first is not None and first not in outputs:
        raise ValueError(
            f"{whose} has no output '{first}'. Expected one of {listing(outputs)}."
            + did_you_mean(first, outputs)
        )
    name = first or ("logits" if "logits" in outputs else None)
    if name is None and len(outputs) > 1:
        raise ValueError(
            f"{whose} has several outputs: {listing(outputs)}. Choose the output: "
            f"output={next(iter(outputs))!r}."
        )
    return name or next(iter(outputs))
