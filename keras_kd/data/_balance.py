"""Balance: classes that are rare counted more, or met more often."""

from typing import Any

import numpy as np

from keras_kd._examples._batches import Batches


def class_weights(labels: Any, *, classes: int | None = None) -> dict[int, float]:
    """Weights under which every class counts the same, for `fit(class_weight=...)`.

    `weight_c = examples / (classes · examples of c)`, so that the mean weight of an example is 1.

    Args:
        labels: Class numbers, `(examples,)`.
        classes: Number of classes. Defaults to `None`: as many as there are in `labels`.

    Raises:
        ValueError: If a class has no example.

    Example:

    >>> keras_kd.data.class_weights([0, 0, 0, 1])
    {0: 0.6666666666666666, 1: 2.0}
    """
    counts = _counts(labels, classes)
    return {c: float(counts.sum() / (len(counts) * n)) for c, n in enumerate(counts.tolist())}


class Balanced(Batches):
    """Batches in which every class is met equally often, whatever its share of the set.

    Each epoch has as many examples as the set; those of rare classes come several times in it,
    and of frequent ones come some, others in the next epoch. An example keeps its id.

    Args:
        part: A `keras_kd.data.Part` with class numbers as labels.
        batch_size: Examples in a batch. Defaults to `128`.
        seed: Of the order. Defaults to `0`.
        classes: Number of classes. Defaults to `None`: as many as there are.
        **kwargs: As in `keras_kd.data.Batches`.

    Raises:
        ValueError: If a class has no example.

    Example:

    >>> part = keras_kd.data.load("digits")["train"]
    >>> rare = part.take(np.flatnonzero((part.y > 0) | (np.arange(1157) < 100)))
    >>> batches = keras_kd.data.Balanced(rare, batch_size=len(rare))
    >>> counts = np.bincount(batches[0]["y"])
    >>> int(counts.max() - counts.min())
    1
    """

    def __init__(
        self,
        part: Any,
        *,
        batch_size: int = 128,
        seed: int = 0,
        classes: int | None = None,
        **kwargs: Any,
    ):
        counts = _counts(part.y, classes)
        self._members = [np.flatnonzero(np.asarray(part.y) == c) for c in range(len(counts))]
        super().__init__(part, batch_size=batch_size, shuffle=True, seed=seed, **kwargs)

    def on_epoch_end(self) -> None:
        self.epoch += 1
        total, classes = len(self.part.ids), len(self._members)
        rng = np.random.default_rng((self.seed, self.epoch))
        share = np.full(classes, total // classes)
        share[rng.permutation(classes)[: total % classes]] += 1
        order = np.concatenate(
            [self._turn(c, int(n), self.epoch) for c, n in enumerate(share)]
        )  # fmt: skip
        rng.shuffle(order)
        self._order = order

    def _turn(self, label: int, count: int, epoch: int) -> np.ndarray:
        """The next `count` of a class, every member before any comes again."""
        members = self._members[label]
        start = epoch * count
        places = np.arange(start, start + count)
        rounds = np.unique(places // len(members))
        orders = {
            r: np.random.default_rng((self.seed, label, int(r))).permutation(members)
            for r in rounds
        }
        return np.array(
            [orders[r][p] for r, p in zip(*np.divmod(places, len(members)), strict=True)]
        )


def _counts(labels: Any, classes: int | None) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels) or labels.min() < 0:
        raise ValueError(
            "`labels` must be class numbers, one for each example. Received: shape "
            f"{labels.shape}, type {labels.dtype}."
        )
    counts = np.bincount(labels, minlength=classes or 0)
    if classes is not None and len(counts) > classes:
        raise ValueError(f"There are {classes} classes, and a label is {len(counts) - 1}.")
    if not counts.all():
        raise ValueError(
            f"Class {int((counts == 0).argmax())} has no example, so nothing can be made of it."
        )
    return counts
