"""The teacher, measured before anything is learned from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd import stores
from keras_kd._core.function_teacher import as_teacher
from keras_kd._core.last_activation import PROBABILITIES
from keras_kd._core.texts import predict
from keras_kd._training_choices import teaching
from keras_kd.auto._data import Data, kind_of
from keras_kd.auto._task import Judged, Numbers, Task
from keras_kd.report import Report, bootstrap, compare

_COLUMNS = 512  # of inputs that are wider, so many random projections
_SAMPLE = 5000
#: An overfitted teacher: so good on what it was trained on, and so much worse on what it was not.
_PERFECT, _FALLS = 0.995, 0.10


@dataclass(frozen=True)
class Teacher:
    """A teacher as losses on logits want it.

    Args:
        model: A `keras.Model` without a last softmax or sigmoid, or a teacher of
            `keras_kd.sources`.
        name: What stores call it.
    """

    model: Any
    name: str

    @property
    def is_keras(self) -> bool:
        return isinstance(self.model, keras.Model)

    @property
    def fingerprint(self) -> str:
        """Which teacher it is."""
        return stores.fingerprint(self.model) if self.is_keras else self.model.fingerprint()

    def predict(self, x: Any) -> np.ndarray:
        if self.is_keras:
            return np.asarray(predict(self.model, x, batch_size=256, verbose=0))
        rows = [self.model(x[place : place + 256]) for place in range(0, len(x), 256)]
        return np.concatenate([np.asarray(row) for row in rows])


def teacher_of(teacher: Any) -> Teacher:
    """The teacher without its last softmax or sigmoid, where it can be taken off."""
    found = as_teacher(teacher, getattr(teacher, "__name__", type(teacher).__name__))
    if isinstance(found, keras.Model):
        return Teacher(teaching(found, tuple(PROBABILITIES)), found.name)
    return Teacher(found, found.name)


def check_outputs(outputs: np.ndarray, name: str) -> None:
    """An error when the teacher cannot teach."""
    bad = ~np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)
    if bad.any():
        raise ValueError(
            f"The teacher '{name}' gives NaN or infinity for {bad.sum():,} of {len(bad):,} "
            "validation examples, the first of them at "
            f"position {int(bad.argmax())}. Nothing can be learned from it: look at these inputs, "
            "or at how the teacher was trained."
        )


def measured(
    teacher: Teacher, task: Task, data: Data, outputs: np.ndarray
) -> tuple[dict[str, Any], list[str]]:
    """What the teacher is and takes, and warnings where it is not worth learning from; `outputs` are
    its logits for the validation data."""
    sample = data.train.take(np.arange(min(len(data.train), _SAMPLE)))
    judged = task.judge(outputs, data.validation.y)
    inside = task.judge(teacher.predict(sample.x), sample.y).score
    linear = task.judge(linear_outputs(task, data), data.validation.y)
    found: dict[str, Any] = {
        "name": teacher.name,
        "score": judged.score,
        "train_score": inside,
        "linear_score": linear.score,
    }
    below = is_below(judged, linear)
    few = data.validation.take(np.arange(min(len(data.validation), 2000)))
    asked = teacher.model if teacher.is_keras else outputs[: len(few)]  # its costs, if it has any
    report = compare({"teacher": asked}, (few.x, few.y), task=_REPORT.get(task.name), latency=False)
    assert isinstance(report, Report)  # of no language models
    scores, costs = report.models["teacher"], report.models["teacher"].costs
    for key in ("ece", "brier", "log_loss"):
        if key in scores.scores:
            found[key] = scores.score(key)
    found["parameters"], found["flops"] = costs.parameters, costs.flops
    found["size"] = None if costs.parameters is None else 4 * costs.parameters
    found["confidence"] = _confidence(task, outputs)
    return found, list(_warnings(task, found, below))


def is_below(judged: Judged, linear: Judged) -> bool:
    """Whether one is worse than a linear model, by more than chance."""
    change = bootstrap(list(linear.wrong), list(judged.wrong))
    return not change.too_few and change.direction == "more"


_REPORT = {"classification": "classification", "multi_label": None, "regression": "regression"}


def _warnings(task: Task, found: dict[str, Any], below: bool) -> Iterator[str]:
    of, score = task.score_name, found["score"]
    if below:
        yield (
            f"The teacher is not worth learning from as it is: its {of} on the validation data is "
            f"{_shown(score)}, that of a linear model {_shown(found['linear_score'])}. Look at how "
            "its inputs are scaled, at the order of its classes, and at its training."
        )
    elif found["train_score"] >= _PERFECT and found["train_score"] - score > _FALLS:
        yield (
            f"The teacher knows its training data by heart: its {of} there is "
            f"{_shown(found['train_score'])}, on the validation data {_shown(score)}. Its answers "
            "on training data are little more than the labels; answers from a teacher that did "
            "not see them (out of fold), or views of the images, teach more."
        )


def _confidence(task: Task, logits: np.ndarray) -> float | None:
    """The mean probability of what is predicted."""
    if isinstance(task, Numbers):
        return None
    if task.name == "multi_label":
        return float((1 / (1 + np.exp(-np.abs(logits.astype("float64"))))).mean())
    p = np.exp(logits.astype("float64") - logits.max(axis=1, keepdims=True))
    return float((p.max(axis=1) / p.sum(axis=1)).mean())


def _shown(score: float) -> str:
    return f"{score:.3f}"


def linear_outputs(task: Task, data: Data) -> np.ndarray:
    """What ridge regression on the inputs, or on random projections of wide ones, predicts for the
    validation data."""
    train = data.train.take(
        np.random.default_rng(0).permutation(len(data.train))[: min(len(data.train), _SAMPLE)]
    )
    seen, held = (
        train.x.reshape(len(train), -1),
        data.validation.x.reshape(len(data.validation), -1),
    )
    if kind_of(data.train.x) == "tokens":  # which words occur
        seen, held = _words(seen), _words(held)
    seen, held = seen.astype("float64"), held.astype("float64")
    if seen.shape[1] > _COLUMNS:
        project = np.random.default_rng(0).normal(size=(seen.shape[1], _COLUMNS))
        seen, held = seen @ project, held @ project
    mean, deviation = seen.mean(axis=0), seen.std(axis=0)
    scale = np.where(deviation > 1e-9, deviation, 1.0)
    seen = np.pad((seen - mean) / scale, ((0, 0), (0, 1)), constant_values=1.0)
    held = np.pad((held - mean) / scale, ((0, 0), (0, 1)), constant_values=1.0)
    square = seen.T @ seen + 0.1 * len(seen) ** 0.5 * np.eye(seen.shape[1])
    weights = np.linalg.solve(square, seen.T @ task.targets(train.y))
    return held @ weights


def _words(x: np.ndarray) -> np.ndarray:
    rows = np.zeros((len(x), _COLUMNS))
    np.add.at(rows, (np.arange(len(x))[:, None], x % _COLUMNS), 1.0)
    return rows
