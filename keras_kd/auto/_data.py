"""The examples of a search: three parts in memory, and what kind of inputs they are."""

import hashlib
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd.auto._task import as_array
from keras_kd.data import Dataset, Part

#: The share of the training examples that is held out where no validation data are given.
_HELD_OUT = 0.15
_FEWEST = 20


@dataclass(frozen=True)
class Data:
    """Parts with labels as their task has them, and what was done to get them, in words."""

    train: Part
    validation: Part
    test: Part | None
    notes: tuple[str, ...]

    @property
    def identity(self) -> list[Any]:
        """Which examples these are, as far as a few of them tell."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation):
            places = np.unique(np.linspace(0, len(part) - 1, 64).astype(int))
            digest.update(np.ascontiguousarray(part.x[places]).tobytes())
            digest.update(np.ascontiguousarray(part.y).tobytes())
        return [len(self.train), len(self.validation), digest.hexdigest()[:16]]

    def relabelled(self, label: Any) -> "Data":
        """The same with other labels, `label(y)` of each part."""

        def new(part: Part) -> Part:
            return Part(part.x, label(part.y), part.ids)

        test = None if self.test is None else new(self.test)
        return Data(new(self.train), new(self.validation), test, self.notes)


def data_of(train: Any, validation: Any, test: Any) -> Data:
    """The parts, validation data held out of the training examples where none are given."""
    notes = []
    if isinstance(train, Dataset):
        validation = validation if validation is not None else train.parts.get("validation")
        test = test if test is not None else train.parts.get("test")
        train = train["train"]
    whole = part_of(train, "train")
    if validation is None:
        rank = np.random.default_rng(0).permutation(len(whole))
        count = round(_HELD_OUT * len(whole))
        if count < _FEWEST:
            raise ValueError(
                f"There are no validation data, and {len(whole)} training examples are too few to "
                f"hold some out. Give `validation`, {_FEWEST} examples or more."
            )
        kept, held = whole.take(np.sort(rank[count:])), whole.take(np.sort(rank[:count]))
        notes.append(
            f"No validation data were given: {count:,} of {len(whole):,} training examples were "
            "held out to choose by."
        )
    else:
        kept, held = whole, part_of(validation, "validation")
    if test is None:
        notes.append(
            "No test data were given: the figures are of the validation data that the choice was "
            "made by, and look better than they are."
        )
    return Data(kept, held, None if test is None else part_of(test, "test"), tuple(notes))


def part_of(data: Any, argument: str) -> Part:
    """A pair of arrays, or a part, as a part with ids."""
    if isinstance(data, Part):
        found = data
    elif isinstance(data, (tuple, list)) and len(data) == 2:
        x, y = data
        x = keras.tree.map_structure(as_array, x)
        found = Part(x, as_array(y), np.array([f"{argument}/{i}" for i in range(len(y))]))
    else:
        raise TypeError(
            f"`{argument}` must be a pair of arrays (x, y) or a keras_kd.data.Part; `train` may be "
            f"a keras_kd.data.Dataset. Received: {type(data).__name__}."
        )
    if found.y is None:
        raise ValueError(f"`{argument}` has no labels, by which students are compared.")
    if not isinstance(found.x, np.ndarray):
        raise ValueError(
            f"keras_kd.auto is for models of one input. `{argument}` has "
            f"{len(keras.tree.flatten(found.x))}."
        )
    return found


def kind_of(x: np.ndarray) -> str:
    """`"images"`, `"tokens"` or `"columns"`; `"other"` for what no student of the ladder takes."""
    if x.ndim == 4 and x.shape[-1] <= 8:
        return "images"
    if x.ndim == 2:
        return "tokens" if x.dtype.kind in "iu" else "columns"
    return "other"
