"""The loss of an epoch, whatever the sizes of its batches."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class SumOfMeans(keras.metrics.Metric):
    """The sum of several means, each over as many values as there were of it.

    A term on sequences is the mean over valid positions, of which one batch has more than another;
    one on labels that are partly unknown, over the known ones. So each part has its own count, and
    the same data gives the same loss in one batch or in ten.
    """

    def __init__(self, parts: int, name: str = "loss"):
        super().__init__(name=name, dtype="float32")
        self.totals = self.add_variable((parts,), "zeros", name="totals")
        self.counts = self.add_variable((parts,), "zeros", name="counts")

    def update_state(self, values: Sequence[Any], counts: Sequence[Any]) -> None:
        count = ops.stack([ops.cast(count, "float32") for count in counts])
        value = ops.stack([ops.cast(value, "float32") for value in values])
        self.totals.assign_add(value * count)
        self.counts.assign_add(count)

    def result(self) -> Any:
        return ops.sum(ops.divide_no_nan(ops.convert_to_tensor(self.totals), self.counts))
