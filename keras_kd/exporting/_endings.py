"""What an output ends in, and the softmax that a file is given on top of its student."""

from collections.abc import Iterable

import keras
import numpy as np

from keras_kd._core.last_activation import PROBABILITIES, ending_of
from keras_kd.exporting._labels import Decision
from keras_kd.exporting._signature import Arrays


def endings_of(student: keras.Model, outputs: Arrays) -> dict[str, str | None]:
    """`"softmax"` or `"sigmoid"` by output, as the student's layers tell; `None` for others."""
    tensors = getattr(student, "outputs", None) or []
    if len(tensors) != len(outputs):
        return dict.fromkeys(outputs)
    found = zip(outputs, map(ending_of, tensors), strict=True)
    return {name: ending if ending in PROBABILITIES else None for name, ending in found}


def softmax_outputs(
    asked: bool, student: keras.Model, outputs: Arrays, decisions: dict[str, Decision]
) -> tuple[str, ...]:
    """The outputs that get a softmax: those of classes. An error where one has it already."""
    if not asked:
        return ()
    names = tuple(name for name, decision in decisions.items() if decision == "classes")
    if not names:
        raise ValueError(
            "`softmax` turns the logits of classes into probabilities, and the student "
            f"'{student.name}' has no output that decides between classes. Leave it out."
        )
    endings = endings_of(student, outputs)
    for name in names:
        twice = endings[name] or ("softmax" if _probabilities(outputs[name]) else None)
        if twice:
            raise ValueError(
                f"`softmax`: the output '{name}' of the student '{student.name}' ends in a {twice} "
                "already, and a second one would flatten its probabilities. Leave `softmax` out."
            )
    return names


def with_softmax(outputs: Arrays, names: Iterable[str]) -> Arrays:
    """The outputs, those of these names turned to probabilities."""
    return {**outputs, **{name: _softmax(outputs[name]) for name in names}}


def _softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x.astype("float64") - x.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype("float32")


def _probabilities(x: np.ndarray) -> bool:
    """Whether every row is a distribution, whatever the layers tell."""
    x = x.astype("float64")
    return bool((x >= 0).all() and np.allclose(x.sum(axis=-1), 1, atol=1e-3))
