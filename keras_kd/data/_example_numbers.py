"""Numbers in place of ids: what a projector that remembers each example is given."""

from typing import Any

import keras
import numpy as np

from keras_kd._core.addresses import IDS
from keras_kd._examples._ids import as_bytes, shown


class Numbers:
    """The examples' numbers, from 0 on in the order of `ids`, as the signal `"ids"`.

    For `join` of `keras_kd.data.feed` and `keras_kd.stores.read`: the batches then bring what
    `keras_kd.projectors.MemoryBank` needs. An example that is not among `ids` has the number -1.

    Args:
        ids: The ids of the training data, each once.

    Raises:
        ValueError: If an id comes twice.

    Example:

    >>> data = keras_kd.data.load("digits")
    >>> numbers = keras_kd.data.Numbers(data.ids_train)
    >>> batch, y = keras_kd.data.feed(data["train"], batch_size=3, join=numbers)[1]
    >>> batch["signals"]["ids"].tolist()
    [3, 4, 5]
    """

    def __init__(self, ids: Any):
        ids = as_bytes(ids)
        self._order = np.argsort(ids, kind="stable").astype("int32")
        self._ids = ids[self._order]
        twice = self._ids[1:] == self._ids[:-1]
        if twice.any():
            raise ValueError(f"Each id comes once, and {shown(self._ids[twice.argmax()])} twice.")

    def __len__(self) -> int:
        return len(self._ids)

    def __call__(self, ids: Any, views: Any = None) -> dict[str, np.ndarray]:
        """The numbers of these examples, by address."""
        wanted = as_bytes(ids)
        found = np.minimum(np.searchsorted(self._ids, wanted), len(self._ids) - 1)
        known = self._ids[found] == wanted
        return {IDS: np.where(known, self._order[found], -1).astype("int32")}

    def signature(self) -> dict[str, Any]:
        """KerasTensors like what a call gives."""
        return {IDS: keras.KerasTensor((None,), "int32")}
