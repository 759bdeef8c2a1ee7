"""The whole set, from which a mixed example takes its partner."""

import hashlib
from typing import Any

import numpy as np

from keras_kd._examples._batches import Batches
from keras_kd._examples._ids import as_bytes
from keras_kd._examples._part import Part


class Pool:
    """The examples that partners are chosen from: the whole set, whatever order it is in.

    Args:
        part: The whole set.
    """

    def __init__(self, part: Part):
        self.part = part
        ids = as_bytes(part.ids)
        self._order = np.argsort(ids, kind="stable")
        self.ids = ids
        self.identity = hashlib.sha256(b"\n".join(ids[self._order].tolist())).hexdigest()[:32]

    def partners(self, ids: np.ndarray, views: np.ndarray, seed: int) -> np.ndarray:
        """For each example the position of its partner, which follows from its id and view."""
        chosen = [
            int.from_bytes(
                hashlib.blake2b(b"%b\n%d\n%d" % (i, v, seed), digest_size=8).digest(), "big"
            )
            for i, v in zip(as_bytes(ids).tolist(), views.tolist(), strict=True)
        ]
        count = np.uint64(len(self._order))
        return self._order[(np.array(chosen, "uint64") % count).astype("int64")]

    def others(
        self, ids: np.ndarray, views: np.ndarray, seed: int, classes: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The partners: images as they are, ids, and labels as `(batch, classes)`."""
        which = self.partners(ids, views, seed)
        if classes and self.part.y is None:
            raise ValueError("Labels cannot be mixed with those of a set that has none: y=None.")
        theirs = one_hot(self.part.y[which], classes) if classes else np.empty((len(which), 0))
        return self.part.x[which], self.ids[which], theirs.astype("float32")


def one_hot(y: np.ndarray, classes: int) -> np.ndarray:
    """Labels as `(batch, classes)`, whichever of the two forms they have."""
    y = np.asarray(y)
    return np.eye(classes, dtype="float32")[y.astype(int)] if y.ndim == 1 else y.astype("float32")


def pool_of(data: Any, augment: Any, among: Part | None = None) -> Pool | None:
    """Where partners come from, when `augment` mixes."""
    if augment is None or augment.mix is None:
        return None
    part = among or (data.part if isinstance(data, Batches) else data)
    if not isinstance(part, Part):
        raise TypeError(
            f"{type(augment.mix).__name__} mixes an example with any other one of the set: give "
            f"the whole set, as a keras_kd.data.Part: among=part. Received: {type(part).__name__}."
        )
    return Pool(part)
