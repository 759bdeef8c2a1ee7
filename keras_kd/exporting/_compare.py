"""The numbers of a proof: how two sets of answers to the same examples compare."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_kd.exporting._endings import endings_of
from keras_kd.exporting._labels import Decision, by_output
from keras_kd.exporting._proof import Answer, ExportError
from keras_kd.exporting._signature import Arrays


class Comparison(NamedTuple):
    """An `Answer` for each output, on how many examples all agree, and how far off each one is.

    `deviation` is the mean difference over how much the student's outputs vary from example to
    example: 0 for the same numbers, 1 for one and the same output for everything.
    """

    answers: tuple[Answer, ...]
    agreeing: int
    deviation: dict[str, float]


def decisions_of(student: keras.Model, ours: Arrays, asked: Any) -> dict[str, Decision]:
    """What is compared of each output: as asked, or as its last activation and shape tell."""
    if isinstance(asked, Mapping):
        unknown = set(asked) - set(ours)
        if unknown:
            raise ValueError(f"`decision` names {sorted(unknown)}, the outputs are {sorted(ours)}.")
    given = asked if isinstance(asked, Mapping) else dict.fromkeys(ours, asked)
    endings = endings_of(student, ours)
    found = {}
    for name, wanted in ours.items():
        decision = given.get(name)
        if decision is None:
            if endings[name] == "sigmoid":
                decision = 0.5
            else:
                decision = "classes" if wanted.ndim > 1 and wanted.shape[-1] > 1 else "values"
        if decision not in ("classes", "values") and not isinstance(decision, (int, float)):
            raise ValueError(
                "`decision` must be 'classes', 'values' or a threshold, or a dict of these by the "
                f"names of the outputs. Received: {decision!r}."
            )
        found[name] = decision
    return found


def compared(
    ours: Arrays,
    theirs: Arrays,
    decisions: dict[str, Decision],
    tolerance: float,
    labels: Any = None,
    teacher: Arrays | None = None,
) -> Comparison:
    """The file's answers beside the student's; an error where they cannot be compared."""
    truths = by_output(labels, list(ours))
    answers, deviation, all_agree = [], {}, None
    for name, wanted in ours.items():
        came = theirs.get(name)
        if came is None or came.shape != wanted.shape:
            had = ", ".join(f"'{n}' {(1, *x.shape[1:])}" for n, x in theirs.items())
            raise ExportError(
                f"The file should have the output '{name}' of shape {(1, *wanted.shape[1:])}. "
                f"It has {had}."
            )
        if came.dtype.kind not in "fiub":
            raise ExportError(
                f"The file's output '{name}' should be numbers. It is of the type {came.dtype}."
            )
        wanted, came = wanted.astype("float64"), came.astype("float64")
        if not np.isfinite(wanted).all():
            raise ExportError(
                f"The student's own output '{name}' is not finite on these examples, so nothing "
                "can be compared with it. Give other `examples`."
            )
        difference = np.abs(came - wanted)
        if not np.isfinite(difference).all():
            raise ExportError(f"The file's output '{name}' is not finite where the student's is.")
        decision, truth = decisions[name], truths.get(name)
        if decision == "values":
            agree = difference <= tolerance * _span(wanted)
        else:
            agree = decided(came, decision) == decided(wanted, decision)
        whole = agree.reshape(len(agree), -1).all(axis=1)
        all_agree = whole if all_agree is None else all_agree & whole
        varies = np.abs(wanted - wanted.mean(axis=0)).mean() or 0.1 * np.abs(wanted).mean()
        deviation[name] = (
            float(difference.mean() / varies) if varies else float(difference.max() > 0)
        )
        from_teacher = None if teacher is None else teacher.get(name)
        answers.append(
            Answer(
                name=name,
                decision=decision,
                agreement=float(agree.mean()),
                max_difference=float(difference.max()),
                mean_difference=float(difference.mean()),
                accuracy=accuracy(came, decision, truth),
                student_accuracy=accuracy(wanted, decision, truth),
                divergence=None if from_teacher is None else divergence(from_teacher, came),
                student_divergence=None
                if from_teacher is None
                else divergence(from_teacher, wanted),
            )
        )
    return Comparison(tuple(answers), 0 if all_agree is None else int(all_agree.sum()), deviation)


def decided(answers: np.ndarray, decision: Decision) -> np.ndarray:
    """The decisions that `answers` stand for."""
    return answers.argmax(axis=-1) if decision == "classes" else answers > float(decision)


def _span(values: np.ndarray) -> np.ndarray:
    """From the smallest to the largest, for each entry of the last axis by itself; where they are
    all the same, their size."""
    rows = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    span = np.ptp(rows, axis=0)
    span = np.where(span > 0, span, np.abs(rows).max(axis=0))
    return span if values.ndim > 1 else span[0]


def accuracy(answers: np.ndarray, decision: Decision, labels: np.ndarray | None) -> float | None:
    """Share of the decisions that are as `labels` say; those below 0 say nothing."""
    if labels is None or decision == "values":
        return None
    mine = decided(answers, decision)
    if decision == "classes" and labels.shape == answers.shape:
        labels = labels.argmax(axis=-1)
    elif decision != "classes":
        labels = np.where(labels < 0, -1, labels > 0.5)
    labels = labels.reshape(mine.shape)
    known = labels >= 0
    return float((mine == labels)[known].mean()) if known.any() else None


def divergence(teacher: np.ndarray, answers: np.ndarray) -> float | None:
    """Mean of KL(teacher || answers) over the examples, in nats; `None` for shapes that differ."""
    if teacher.shape != answers.shape or answers.shape[-1] < 2:
        return None
    target, other = _log_probabilities(teacher), _log_probabilities(answers)
    return float((np.exp(target) * (target - other)).sum(axis=-1).mean())


def _log_probabilities(x: np.ndarray) -> np.ndarray:
    """Of logits; or of probabilities, which are known by their sum."""
    x = x.astype("float64")
    if (x >= 0).all() and np.allclose(x.sum(axis=-1), 1, atol=0.05):
        x = np.log(np.clip(x, 1e-7, None))
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
