"""What a set is once it is here: parts of inputs, labels and ids, and what is known of the set."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_kd._core.messages import did_you_mean, listing
from keras_kd._examples._part import Part

Pair = tuple[np.ndarray, np.ndarray]
#: How much to hold out: a fraction of the examples, or their number.
Amount = float | int | None


class NotAvailable(RuntimeError):
    """A data set that exists but cannot be had here: not prepared, and not to be fetched."""


@dataclass(frozen=True)
class Info:
    """What is known of a data set.

    Args:
        name: The name given to `load`.
        classes: Number of classes.
        class_names: Their names, in the order of the labels.
        shape: Shape of one image, channels last; `()` of texts.
        counts: Number of examples of each part.
        source: Where the data come from.
        licence: Under which terms, as far as the source states them.
    """

    name: str
    classes: int
    class_names: tuple[str, ...]
    shape: tuple[int, ...]
    counts: Mapping[str, int]
    source: str
    licence: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: its parts by name, and what is known of it.

    `train` and `test` are pairs `(x, y)`, ready for `fit(*data.train, validation_data=data.test)`.
    `x_train`, `y_train`, `ids_train` (and the same of `test` and `validation`) are the arrays.

    Args:
        info: What is known of the set.
        parts: The parts by name: `"train"`, `"test"` and, when there is one, `"validation"`.

    Example:

    >>> data = keras_kd.data.load("digits")
    >>> data.x_train.shape, data.x_test.shape
    ((1157, 8, 8, 1), (640, 8, 8, 1))
    >>> x, y = data.train
    >>> str(data.ids_train[12]), int(y[12])
    ('digits/00012', 2)
    """

    info: Info
    parts: Mapping[str, Part]

    def __getitem__(self, part: str) -> Part:
        if part not in self.parts:
            have = ", ".join(repr(name) for name in self.parts)
            hint = " Hold some out: load(..., validation=0.1)." if part == "validation" else ""
            raise ValueError(
                f"The data set '{self.info.name}' has no part '{part}'. Expected {have}.{hint}"
            )
        return self.parts[part]

    def __contains__(self, part: str) -> bool:
        return part in self.parts

    @property
    def train(self) -> Pair:
        return self.x_train, self.y_train

    @property
    def test(self) -> Pair:
        return self.x_test, self.y_test

    @property
    def validation(self) -> Pair:
        return self.x_validation, self.y_validation

    @property
    def x_train(self) -> np.ndarray:
        return self["train"].x

    @property
    def y_train(self) -> np.ndarray:
        return self["train"].y

    @property
    def ids_train(self) -> np.ndarray:
        return self["train"].ids

    @property
    def x_test(self) -> np.ndarray:
        return self["test"].x

    @property
    def y_test(self) -> np.ndarray:
        return self["test"].y

    @property
    def ids_test(self) -> np.ndarray:
        return self["test"].ids

    @property
    def x_validation(self) -> np.ndarray:
        return self["validation"].x

    @property
    def y_validation(self) -> np.ndarray:
        return self["validation"].y

    @property
    def ids_validation(self) -> np.ndarray:
        return self["validation"].ids

    def holding_out(self, part: str, amount: float | int) -> "Dataset":
        """This set with `amount` of its training examples moved to the new part `part`.

        Which ones follows from their ids alone, so it is the same on every machine. More is more
        of the same: what 0.1 holds out, 0.2 holds out too.
        """
        whole = self["train"]
        count = _count(amount, len(whole), part)
        ranks = [hashlib.blake2b(str(i).encode(), digest_size=8).digest() for i in whole.ids]
        order = np.argsort(np.array(ranks, dtype="S8"), kind="stable")
        out, kept = np.sort(order[:count]), np.sort(order[count:])
        parts = {**self.parts, "train": whole.take(kept), part: whole.take(out)}
        counts = {name: len(examples) for name, examples in parts.items()}
        return replace(self, info=replace(self.info, counts=counts), parts=parts)

    def with_class_names(self, class_names: Sequence[str]) -> "Dataset":
        """This set with its labels numbered in the order of `class_names`, such as that of a
        teacher's outputs.

        Raises:
            ValueError: If `class_names` leaves out a class of the set, or names one twice.
        """
        named = list(class_names)
        missing = [name for name in self.info.class_names if name not in named]
        if missing or len(set(named)) < len(named):
            raise ValueError(
                f"`class_names` must name every class of '{self.info.name}' once. "
                + (f"It leaves out {listing(missing)}." if missing else "It names one twice.")
                + f" Received: {listing(named, 20)}."
                + (did_you_mean(missing[0], named) if missing else "")
            )
        number = np.array([named.index(name) for name in self.info.class_names], "int32")
        parts = {n: Part(p.x, number[p.y], p.ids) for n, p in self.parts.items()}
        info = replace(self.info, classes=len(named), class_names=tuple(named))
        return replace(self, info=info, parts=parts)


def _count(amount: float | int, of: int, argument: str) -> int:
    """How many of `of` examples `amount` stands for."""
    count = 0
    if isinstance(amount, int) and not isinstance(amount, bool):
        count = amount
    elif isinstance(amount, float) and 0 < amount < 1:
        count = round(amount * of)
    if not 0 < count < of:
        raise ValueError(
            f"`{argument}` must be a fraction between 0 and 1, or a number of examples below "
            f"{of}, how many there are to train on. Received: {argument}={amount!r}."
        )
    return count
