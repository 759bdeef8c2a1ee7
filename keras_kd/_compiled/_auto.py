"""What `"auto"` stands for in `compile`: what the student itself was compiled with."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_kd._core.last_activation import ending
from keras_kd._core.messages import listing


def loss_of(loss: Any, students: Mapping[str, keras.Model], labels: bool) -> Any:
    """The loss; for `"auto"`, as in KerasHub, the cross-entropy with integer labels, on logits or on
    the probabilities of a softmax. Without a term for the labels, none."""
    if not _is_auto(loss):
        return loss
    endings = {ending(student) for student in students.values()}
    if "sigmoid" in endings:
        raise ValueError(
            "loss='auto' is the cross-entropy of classes, and the student ends in a sigmoid. Give "
            "for example loss=keras.losses.BinaryCrossentropy()."
        )
    probabilities = "softmax" in endings
    made = keras.losses.SparseCategoricalCrossentropy(from_logits=not probabilities)
    return made if labels else None


def optimizer_of(optimizer: Any, students: Mapping[str, keras.Model]) -> Any:
    """The optimizer; for `"auto"` a new one like the student's own."""
    if not _is_auto(optimizer):
        return optimizer
    found = [_own(s, "optimizer", "optimizer", "optimizer='adam'") for s in students.values()]
    settings = [{**one.get_config(), "name": type(one).__name__} for one in found]
    if any(other != settings[0] for other in settings):
        raise ValueError(
            f"optimizer='auto' is the optimizer of the students, and those of {listing(students)} "
            "differ. Give one for all, such as optimizer='adam'."
        )
    return found[0]


def metrics_of(metrics: Any, weighted: Any, students: Mapping[str, keras.Model]) -> tuple[Any, Any]:
    """Metrics and weighted metrics; for `"auto"` new ones like the student's own.

    Where a student has them under the other argument alone, as causal models have, it is those.
    """
    given = {"metrics": metrics, "weighted_metrics": weighted}
    if not any(map(_is_auto, given.values())):
        return metrics, weighted
    own = {role: _metrics(student, given) for role, student in students.items()}
    made = {
        name: {role: found[name] for role, found in own.items()} if _is_auto(value) else value
        for name, value in given.items()
    }
    if len(students) == 1:
        (role,) = students
        made = {n: made[n][role] if _is_auto(value) else value for n, value in given.items()}
    return made["metrics"], made["weighted_metrics"]


def _metrics(student: keras.Model, given: Mapping[str, Any]) -> dict[str, Any]:
    """A student's own metrics, under the arguments for which `"auto"` was given."""
    asked = [name for name, value in given.items() if _is_auto(value)]
    found = {name: _read(student, name) for name in given}
    if len(asked) == 1 and not found[asked[0]]:
        found = dict.fromkeys(asked, found["metrics"] or found["weighted_metrics"])
    if not any(found.values()):
        _own(student, asked[0], "metrics", f"{asked[0]}=['accuracy']")
    return found


def _own(student: keras.Model, argument: str, what: str, instead: str) -> Any:
    """What the student was compiled with under this argument."""
    found = _read(student, argument)
    if not found:
        has = "was not compiled" if not student.compiled else f"has no {what}"
        raise ValueError(
            f"{argument}='auto' is what the student itself was compiled with, and '{student.name}' "
            f"{has}. Models of KerasHub are from the beginning; for others write {instead}."
        )
    return found


def _read(student: keras.Model, argument: str) -> Any:
    """An object of its own, made of what the student was compiled with."""
    config = student.get_compile_config() if student.compiled else None
    return keras.saving.deserialize_keras_object((config or {}).get(argument))


def _is_auto(given: Any) -> bool:
    return isinstance(given, str) and given == "auto"
