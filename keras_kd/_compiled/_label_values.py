"""Labels that cannot be right: no class of that number, several where one is meant, mixed ones.

All labels are looked at where they are arrays, before training. Where they come batch by batch, the
step checks them and the value check raises.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._checks._values import LABEL_CHECKS
from keras_kd._compiled._label_assignment import LabelPart
from keras_kd._compiled._losses import Applied
from keras_kd._compiled._outputs import Output, Outputs
from keras_kd._core.addresses import parse
from keras_kd._core.hard_labels import mixed
from keras_kd._core.tensors import Tensor

#: Rows of labels that are looked at in one go.
_ROWS = 65_536


@dataclass(frozen=True)
class Check:
    """What must hold for the labels of one output."""

    part: LabelPart
    address: str
    width: int | None
    rank: int | None
    wrong: Callable[[Any, int | None, int | None], Any]  # labels, columns, rank -> true where wrong
    message: Callable[[str], str]
    of_classes: bool = False  # whether it is of class numbers, out of range

    @classmethod
    def of(cls, output: Output, part: LabelPart, wrong: Any, message: Any, **more: Any) -> "Check":
        return cls(part, output.address, output.width, output.rank, wrong, message, **more)

    def found(self, y: Tensor, width: int | None, rank: int | None) -> Tensor:
        """True where a label is wrong; `None` when such labels cannot be checked."""
        y = self.part.find(y)
        if y is None or keras.tree.is_nested(y):
            return None
        return self.wrong(ops.convert_to_tensor(y), width, rank)


def label_checks(
    applied: Iterable[Applied], terms: Iterable[Any], students: Mapping[str, keras.Model]
) -> list[Check]:
    """The checks for what `compile` applies to labels, and for the terms that read them."""
    made: list[Check] = []
    for one in applied:
        kind = type(one.resolved()).__name__
        if kind == "SparseCategoricalCrossentropy":
            wrong, message = _no_class(one.ignored()), _class_text(one)
            made.append(Check.of(one.output, one.part, wrong, message, of_classes=True))
        elif kind in ("BinaryCrossentropy", "BinaryFocalCrossentropy"):
            made.append(Check.of(one.output, one.part, _no_share, _share_text(one)))
            if one.output.among is not None and one.output.width != 1:
                made.append(Check.of(one.output, one.part, _several, _several_text(one)))
    outputs = Outputs((), students)
    for term in terms:
        if getattr(getattr(term, "loss", None), "hard_labels", False):
            for output in outputs.of(term):
                part = LabelPart(
                    output.model, parse(output.address).role, output.keys, f"Term '{term.name}'"
                )
                made.append(Check.of(output, part, _mixed, _mixed_text(term.name, output)))
    return made


def _no_class(ignored: int | None) -> Callable[..., Any]:
    def wrong(y: Tensor, width: int | None, rank: int | None) -> Tensor:
        if "float" not in keras.backend.standardize_dtype(y.dtype):
            y = ops.cast(y, "int32")
        bad = y < 0
        if width is not None:
            bad = ops.logical_or(bad, y >= width)
        return bad if ignored is None else ops.logical_and(bad, ops.not_equal(y, ignored))

    return wrong


def _no_share(y: Tensor, width: int | None, rank: int | None) -> Tensor:
    y = ops.cast(y, "float32")
    return ops.logical_or(y < 0, y > 1)


def _several(y: Tensor, width: int | None, rank: int | None) -> Tensor:
    if len(y.shape) != rank:
        return None
    return ops.sum(ops.cast(y, "float32"), axis=-1) > 1.5


def _mixed(y: Tensor, width: int | None, rank: int | None) -> Tensor:
    if len(y.shape) != rank or y.shape[-1] != width or width == 1:
        return None
    return mixed(y)


def _class_text(one: Applied) -> Callable[[str], str]:
    def message(where: str) -> str:
        ignored, width = one.ignored(), one.output.width
        expected = "0 or above" if width is None else f"from 0 to {width - 1}"
        more = "" if ignored is None else f", or {ignored} where there is no label"
        remedy = (
            f"If rows without a label are marked so, write {one.ignoring()}; else look at how the "
            "labels are numbered."
            if ignored is None
            else "Look at how the labels are numbered."
        )
        return (
            f"{one.part.reader} takes class numbers {expected} for '{one.output.address}'{more}, and "
            f"{where}. {remedy}"
        )

    return message


def _share_text(one: Applied) -> Callable[[str], str]:
    return lambda where: (
        f"{one.part.reader} applies {one.shown()} to '{one.output.address}', which takes labels from "
        f"0 to 1, and {where}. Give rows without a label a `sample_weight` of 0 and any label from "
        "0 to 1; labels of -1 and 1 go with keras.losses.Hinge."
    )


def _several_text(one: Applied) -> Callable[[str], str]:
    return lambda where: (
        f"{where[0].upper()}{where[1:]}: several labels for one example, as {one.shown()} reads "
        f"them. But Term '{one.output.among}' compares the columns of '{one.output.address}' as the "
        "classes of one softmax, of which one alone is right. Take keras_kd.recipes.binary(), or "
        "keras_kd.losses.BinarySoftTarget in that term."
    )


def _mixed_text(name: str, output: Any) -> Callable[[str], str]:
    return lambda where: (
        f"Term '{name}' needs the one right class of each example for '{output.address}': its "
        f"number, or an exact one-hot row. And {where}. For mixed labels (MixUp, CutMix, smoothing) "
        "take a loss that needs none, such as keras_kd.losses.SoftTarget."
    )


# Looking at them.


def faults(checks: Sequence[Check], y: Tensor, signals: Any) -> Tensor:
    """Per check, 1 when a label of this batch is wrong: of the first `LABEL_CHECKS`, as many as the
    value check has room for. `check_arrays` knows no such limit."""
    found = []
    for check in checks[:LABEL_CHECKS]:
        pred = signals.get(check.address) if y is not None else None
        width, rank = check.width, check.rank
        if pred is not None and ops.is_tensor(pred):
            width, rank = pred.shape[-1], len(pred.shape)
        wrong = None if y is None else check.found(y, width, rank)
        found.append(ops.zeros(()) if wrong is None else ops.cast(ops.any(wrong), "float32"))
    found += [ops.zeros(())] * (LABEL_CHECKS - len(found))
    return ops.stack(found)


@contextlib.contextmanager
def explained(checks: Sequence[Check]) -> Iterator[None]:
    """Turns a backend's error about a class number out of range into the check's message."""
    try:
        yield
    except Exception as error:
        found_numbers = _OF_LABELS.search(str(error))
        message = next((c.message for c in checks if c.of_classes), None)
        if found_numbers is None or message is None:
            raise
        found = next(group for group in found_numbers.groups() if group)
        raise ValueError(message(f"a batch holds {found}")) from error


#: In the messages of TensorFlow and of torch.
_OF_LABELS = re.compile(
    r"label value of (-?\d+) which is outside|index (-?\d+) is out of bounds|Target (-?\d+) is out"
)


def check_arrays(checks: Sequence[Check], y: Tensor) -> None:
    """Raises when labels given as arrays are wrong; other labels are left to the step."""
    leaves = keras.tree.flatten(y)
    if not checks or not leaves or not all(_is_array(leaf) for leaf in leaves):
        return
    arrays = keras.tree.map_structure(_array, y)
    for start in range(0, max(len(leaf) for leaf in keras.tree.flatten(arrays)), _ROWS):
        part = keras.tree.map_structure(lambda a, start=start: a[start : start + _ROWS], arrays)
        for check in checks:
            wrong = check.found(part, check.width, check.rank)
            if wrong is not None and (bad := ops.convert_to_numpy(wrong)).any():
                place = tuple(int(i) for i in np.argwhere(bad)[0])
                value = np.asarray(check.part.find(part))[place].tolist()
                where = f"`y` holds {value} in row {start + place[0]}"
                raise ValueError(check.message(where))


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype") and len(leaf.shape) > 0


def _array(leaf: Any) -> Any:
    return ops.convert_to_numpy(leaf) if ops.is_tensor(leaf) else np.asarray(leaf)
