"""Examples in memory: inputs, labels and ids."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a data set, such as its training examples; or arrays of your own.

    Args:
        x: Inputs, `(examples, ...)`, or a tree of these. Of `keras_kd.data.load`: images, float32
            in [0, 1], `(examples, height, width, channels)`, or texts, `(examples,)`.
        y: Labels, `(examples, ...)`; `None` where there are none.
        ids: A text or a number for each example. It is the example's own: the same whatever else
            is loaded or held out.

    Raises:
        ValueError: If the three differ in length.
    """

    x: Any
    y: Any
    ids: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", np.asarray(self.ids))
        lengths = {len(leaf) for leaf in (*keras.tree.flatten(self.x), self.ids)}
        lengths |= set() if self.y is None else {len(self.y)}
        if len(lengths) > 1:
            count = len(self.x) if isinstance(self.x, np.ndarray) else "a tree of"
            raise ValueError(
                "A part has an id, and a label if any has one, for each example. Received: "
                f"{count} inputs, {0 if self.y is None else len(self.y)} labels, "
                f"{len(self.ids)} ids."
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        shapes = [f"{leaf.shape[1:]} {leaf.dtype}" for leaf in keras.tree.flatten(self.x)]
        labels = "no labels" if self.y is None else f"labels {self.y.shape[1:]} {self.y.dtype}"
        return f"<Part: {len(self):,} examples, inputs {', '.join(shapes)}, {labels}>"

    def take(self, which: np.ndarray) -> "Part":
        """The examples at the positions `which`."""
        x = keras.tree.map_structure(lambda leaf: leaf[which], self.x)
        return Part(x, None if self.y is None else self.y[which], self.ids[which])
