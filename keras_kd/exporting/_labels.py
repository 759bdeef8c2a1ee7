"""The true answers to examples: found by output, and checked before any work."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import listing
from keras_kd.exporting._signature import Arrays

Decision = str | float


def by_output(labels: Any, names: list[str]) -> Arrays:
    """The labels of each output that has some; those of one kind are the first output's."""
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        leaves = keras.tree.flatten(labels) if isinstance(labels, (list, tuple)) else [labels]
        if len(leaves) != len(names) or not all(map(np.ndim, leaves)):
            leaves = [labels]
        labels = dict(zip(names, leaves, strict=False))
    return {
        name: np.asarray(keras.ops.convert_to_numpy(y) if keras.ops.is_tensor(y) else y)
        for name, y in labels.items()
    }


def check_labels(labels: Any, ours: Arrays, decisions: dict[str, Decision]) -> None:
    """An error where no accuracy could be told by `labels`, or a wrong one."""
    found = by_output(labels, list(ours))
    if unknown := set(found) - set(ours):
        raise ValueError(
            f"`labels` names {listing(sorted(unknown))}, the outputs are {listing(ours)}."
        )
    for name, truth in found.items():
        wanted, decision = ours[name], decisions[name]
        who = f"`labels` of the output '{name}'"
        if truth.dtype.kind not in "fiub" and truth.dtype.name != "bfloat16":
            raise ValueError(f"{who} must be numbers. Received: the type {truth.dtype}.")
        if len(np.atleast_1d(truth)) != len(wanted):
            raise ValueError(
                f"{who} must be as many as the examples, {len(wanted)}. Received: the shape "
                f"{truth.shape}."
            )
        if decision == "values":
            continue
        decided = wanted.shape[:-1] if decision == "classes" else wanted.shape
        one_hot = decision == "classes" and truth.shape == wanted.shape
        if not one_hot and _without_ones(truth.shape) != _without_ones(decided):
            rows = f", or one-hot rows, {wanted.shape}" if decision == "classes" else ""
            raise ValueError(
                f"{who} must have the shape of the decisions, {decided}{rows}. Received: the "
                f"shape {truth.shape}."
            )
        _check_values(
            who, truth, wanted.shape[-1] if decision == "classes" and not one_hot else None
        )


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` without axes of one entry at its end; that of the examples stays."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _check_values(who: str, truth: np.ndarray, classes: int | None) -> None:
    """Of so many classes the numbers; `None`: a side of a threshold, or one-hot rows."""
    values = truth.astype("float64")
    low, high = values.min(), values.max()
    good = np.isfinite(values).all() and high <= (1 if classes is None else classes - 1)
    if good and (classes is None or (values == np.floor(values)).all()):
        return
    wanted = (
        "from 0 to 1"
        if classes is None
        else f"whole numbers from 0 to {classes - 1}, for the output has {classes} classes"
    )
    raise ValueError(
        f"{who} must be {wanted}; below 0 where they are not known. Received: numbers from "
        f"{low:g} to {high:g}, of the type {truth.dtype}."
    )
