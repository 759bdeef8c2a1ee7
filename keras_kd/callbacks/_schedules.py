"""What follows the step, made visible: the temperatures and weights in the logs."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_kd._core.scalars import at
from keras_kd.distiller import Distiller
from keras_kd.projectors import Temperature


class Schedules(keras.callbacks.Callback):
    """Puts the temperatures and weights that move into the logs of each epoch.

    Then all that reads the logs has them: the history of `fit`, `keras.callbacks.CSVLogger`,
    `keras.callbacks.TensorBoard`. List it before those, and before a `Plateau`. Each number stands under the name of its
    term and its own, such as `"soft_target_temperature"` or `"hint_weight"`, with the value that
    it had in the last step of the epoch. Numbers that cannot move are left out.

    Example:

    >>> student, teacher = [
    ...     keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]) for _ in range(2)
    ... ]
    >>> cooling = keras.optimizers.schedules.PolynomialDecay(8.0, 3, end_learning_rate=2.0)
    >>> soft = keras_kd.Term(keras_kd.losses.SoftTarget(temperature=cooling))
    >>> distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=[soft])
    >>> distiller.compile("sgd")
    >>> history = distiller.fit(np.ones((8, 4)), epochs=4, verbose=0,
    ...                         callbacks=[keras_kd.callbacks.Schedules()])
    >>> history.history["soft_target_temperature"]
    [8.0, 6.0, 4.0, 2.0]
    """

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None:
            logs.update(scheduled_values(self.model, logs))


def scheduled_values(model: keras.Model, logs: Mapping[str, Any]) -> dict[str, float]:
    """The scheduled and trained numbers of the terms, at the last step taken; as the logs have them, if
    they do."""
    if not isinstance(model, Distiller):
        return {}
    step, found = last_step(model), {}
    for name, term in zip(model.term_names, model.terms, strict=True):
        if isinstance(term.weight, LearningRateSchedule):
            found[f"{name}_weight"] = _number(at(term.weight, step))
        for layer in term.projectors():
            if isinstance(layer, Temperature):
                learned = layer.lowest + layer.span * ops.sigmoid(layer.theta)
                found[f"{name}_temperature"] = _number(learned)
        for of, schedule in _scheduled(getattr(term, "loss", None)):
            found[f"{name}_{of}"] = _number(schedule(step))
    return {name: logs.get(name, value) for name, value in found.items()}


def shares(model: keras.Model, logs: Mapping[str, Any]) -> dict[str, float]:
    """Each term's part of the sum of all, from 0 to 1, by the epoch's means and the last weights."""
    if not isinstance(model, Distiller):
        return {}
    step = last_step(model)
    parts = {
        name: abs(logs.get(f"{name}_weight", _number(at(term.weight, step))) * logs[name])
        for name, term in zip(model.term_names, model.terms, strict=True)
        if name in logs
    }
    total = sum(parts.values())
    return {name: part / total if total else 0.0 for name, part in parts.items()}


def last_step(model: Distiller) -> int:
    """The step that was taken last, counted from 0."""
    return max(int(ops.convert_to_numpy(model._step)) - 1, 0)


def _scheduled(loss: Any) -> Iterator[tuple[str, LearningRateSchedule]]:
    """The schedules of a loss, and of the loss inside it, by the name of the argument."""
    for name, value in vars(loss).items() if isinstance(loss, keras.losses.Loss) else ():
        if isinstance(value, LearningRateSchedule):
            yield name, value
        elif isinstance(value, keras.losses.Loss):
            yield from _scheduled(value)


def _number(value: Any) -> float:
    return float(ops.convert_to_numpy(value))
