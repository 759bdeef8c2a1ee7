"""Less of a term once it stops helping."""

from typing import Any

import keras

from keras_kd._core.messages import did_you_mean, listing
from keras_kd._core.scalars import count
from keras_kd.callbacks._monitor import Mode, Monitor
from keras_kd.distiller import Distiller
from keras_kd.schedules import Adjustable


class Plateau(keras.callbacks.Callback):
    """Lowers the weight of a term, or drops the term, when the student stops getting better.

    When the monitored number has not been better than ever for `patience` epochs, the weight is
    multiplied by `factor`. A factor of 0 drops the term: it adds nothing from then on. (It is still
    computed, for nothing is compiled anew.)

    The term's weight must be a `keras_kd.schedules.Adjustable`. It is saved and restored with the
    distiller; how long the plateau has lasted is not.

    Args:
        term: Name of the term in the logs.
        monitor: Name in the logs of what decides. Defaults to `"val_accuracy"`.
        factor: What the weight is multiplied by, from 0 to below 1. Defaults to `0.5`.
        patience: Epochs without a better value before that. Defaults to `3`.
        mode: `"max"` when larger is better, `"min"` when smaller is. Defaults to `"auto"`: decided
            by the name.
        min_delta: By how much a value must be better to count. Defaults to `0.0`.
        cooldown: Epochs after a change that are not counted. Defaults to `0`.
        min_weight: The weight is never brought below this. Defaults to `0.0`.

    Attributes:
        changes: The changes so far: pairs of the epoch, counted from 1, and the new weight.

    Raises:
        ValueError: If a number is out of range; when training begins, if there is no such term or
            its weight cannot be changed.

    Example:

    >>> student, teacher = [
    ...     keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]) for _ in range(2)
    ... ]
    >>> hint = keras_kd.Term(keras_kd.losses.SoftTarget(), weight=keras_kd.schedules.Adjustable(8.0))
    >>> distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=[hint])
    >>> distiller.compile(keras.optimizers.SGD(0.0))  # a student that does not learn
    >>> plateau = keras_kd.callbacks.Plateau("soft_target", monitor="loss", patience=1, factor=0.25,
    ...                                      min_delta=100.0)
    >>> history = distiller.fit(np.ones((8, 4)), epochs=3, verbose=0, callbacks=[plateau])
    >>> plateau.changes
    [(2, 2.0), (3, 0.5)]
    """

    def __init__(
        self,
        term: str,
        monitor: str = "val_accuracy",
        *,
        factor: float = 0.5,
        patience: int = 3,
        mode: Mode = "auto",
        min_delta: float = 0.0,
        cooldown: int = 0,
        min_weight: float = 0.0,
    ):
        super().__init__()
        if not 0 <= factor < 1:
            raise ValueError(f"`factor` must be from 0 to below 1. Received: factor={factor!r}.")
        if not 0 <= min_weight < float("inf"):
            raise ValueError(
                f"`min_weight` must be 0 or more. Received: min_weight={min_weight!r}."
            )
        self.term, self.monitor = term, Monitor(monitor, mode, min_delta)
        self.factor = factor
        self.patience, self.cooldown = count(patience, "patience"), count(cooldown, "cooldown", 0)
        self.min_weight = min_weight
        self.changes: list[tuple[int, float]] = []
        self._waited = self._resting = 0

    @property
    def weight(self) -> Adjustable:
        """The weight of the term in training."""
        if not isinstance(self.model, Distiller):
            raise ValueError(
                f"Plateau changes a term of a keras_kd.Distiller, and '{self.model.name}' is none."
            )
        terms = dict(zip(self.model.term_names, self.model.terms, strict=True))
        if self.term not in terms:
            raise ValueError(
                f"`term` must name one of the terms, {listing(terms)}. Received: {self.term!r}."
                + did_you_mean(self.term, terms)
            )
        weight = terms[self.term].weight
        if not isinstance(weight, Adjustable):
            raise ValueError(
                f"The weight of the term '{self.term}' is {weight!r}, which is fixed. Before "
                "training, give the term one that can be changed: "
                "term.weight = keras_kd.schedules.Adjustable(...)."
            )
        return weight

    def on_train_begin(self, logs: Any = None) -> None:
        assert self.weight is not None  # an error before the first step, not after an epoch
        self._waited = self._resting = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        value = self.monitor.read(logs or {})
        if value is None:
            return
        better, resting = self.monitor.improves(value), self._resting > 0
        if better:
            self.monitor.best = value
        self._resting -= resting
        self._waited = 0 if better or resting else self._waited + 1
        weight = self.weight
        lower = max(weight.now * self.factor, self.min_weight)
        if self._waited >= self.patience and lower < weight.now:
            weight.assign(lower)
            self.changes.append((epoch + 1, lower))
            self._waited, self._resting = 0, self.cooldown
