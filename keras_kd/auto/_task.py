"""What is learned: classes, several labels, or numbers; and how good outputs are."""

from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np


@dataclass(frozen=True)
class Judged:
    """How good outputs are.

    Args:
        score: The more the better: the share of right answers; of a regression, R².
        loss: The mean loss, which tells apart what is right equally often.
        wrong: Per example, 1 for an error and 0 for none; of a regression, the mean distance.
    """

    score: float
    loss: float
    wrong: np.ndarray

    @property
    def objective(self) -> float:
        """The score; of equal scores, the smaller loss is the better."""
        return self.score - 1e-4 * float(np.clip(self.loss, 0, 10))


class Task:
    """One kind of labels.

    Args:
        outputs: How many numbers a student gives for an example.
    """

    name: ClassVar[str]
    score_name: ClassVar[str] = "accuracy"
    #: The loss on the labels, as it is written in Python.
    code: ClassVar[str]

    def __init__(self, outputs: int):
        self.outputs = outputs

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipes that are searched over, the default one first."""
        raise NotImplementedError

    def loss(self) -> keras.losses.Loss:
        """The loss on the labels."""
        raise NotImplementedError

    def judge(self, outputs: np.ndarray, y: np.ndarray) -> Judged:
        raise NotImplementedError

    def targets(self, y: np.ndarray) -> np.ndarray:
        """What a linear model regresses, `(examples, outputs)`."""
        return y


class Classes(Task):
    name = "classification"
    code = "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"

    @property
    def recipes(self) -> tuple[str, ...]:
        others = (
            "dkd",
            "dist",
            "logit_standardization",
        )  # of two logits these see what is constant
        return ("hinton", *(others if self.outputs > 2 else ()))

    def loss(self) -> keras.losses.Loss:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def judge(self, outputs: np.ndarray, y: np.ndarray) -> Judged:
        logits = outputs.astype("float64")
        logits = logits - logits.max(axis=1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        wrong = (logits.argmax(axis=1) != y).astype("float64")
        return Judged(float(1 - wrong.mean()), float(-log_p[np.arange(len(y)), y].mean()), wrong)

    def targets(self, y: np.ndarray) -> np.ndarray:
        return 2.0 * np.eye(self.outputs)[y] - 1


class Labels(Task):
    """Yes or no, once or for each of several labels; an example is right when all are."""

    name = "multi_label"
    recipes = ("binary",)  # type: ignore[assignment]
    code = "keras.losses.BinaryCrossentropy(from_logits=True)"

    def loss(self) -> keras.losses.Loss:
        return keras.losses.BinaryCrossentropy(from_logits=True)

    def judge(self, outputs: np.ndarray, y: np.ndarray) -> Judged:
        logits = outputs.astype("float64")
        wrong = ((logits > 0) != (y > 0.5)).any(axis=1).astype("float64")
        loss = np.logaddexp(0, logits) - y * logits
        return Judged(float(1 - wrong.mean()), float(loss.mean()), wrong)

    def targets(self, y: np.ndarray) -> np.ndarray:
        return 2.0 * y - 1


class Numbers(Task):
    name = "regression"
    score_name = "R²"
    recipes = ("regression",)  # type: ignore[assignment]
    code = "keras.losses.MeanSquaredError()"

    def loss(self) -> keras.losses.Loss:
        return keras.losses.MeanSquaredError()

    def judge(self, outputs: np.ndarray, y: np.ndarray) -> Judged:
        squares = ((outputs.astype("float64") - y) ** 2).mean(axis=0)
        spread = np.maximum(y.astype("float64").var(axis=0), 1e-12)
        wrong = np.abs(outputs - y).mean(axis=1).astype("float64")
        return Judged(float((1 - squares / spread).mean()), float(squares.mean()), wrong)


def task_of(y: np.ndarray, outputs: np.ndarray) -> tuple[Task, np.ndarray]:
    """The task that labels and the teacher's outputs stand for, and the labels as it takes them.

    Raises:
        ValueError: If they are none of the tasks that are searched for.
    """
    if outputs.ndim != 2 or y.ndim > 2:
        raise ValueError(
            "keras_kd.auto is for classification, multi-label classification and regression: a "
            f"teacher that gives a row of numbers for each example. This one gives "
            f"{(None, *outputs.shape[1:])} for labels of shape {(None, *y.shape[1:])}. For other "
            "tasks put the parts together yourself: the guides for language models and detection "
            "show how."
        )
    width = outputs.shape[1]
    whole = y.dtype.kind in "iub" or bool((y == np.round(y)).all())
    flat = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim == 2 and y.shape[1] == width > 1 and whole and set(np.unique(y)) <= {0, 1}:
        if (y.sum(axis=1) == 1).all():
            return Classes(width), y.argmax(axis=1).astype("int32")
        return Labels(width), y.astype("float32")
    if flat.ndim == 1 and width > 1 and whole:
        if flat.min() < 0 or flat.max() >= width:
            raise ValueError(
                f"The teacher gives {width} logits, so labels must be from 0 to {width - 1}. "
                f"Received labels from {flat.min():g} to {flat.max():g}."
            )
        return Classes(width), flat.astype("int32")
    if flat.ndim == 1 and width == 1 and whole and set(np.unique(flat)) <= {0, 1}:
        return Labels(1), flat[:, None].astype("float32")
    numbers = y.reshape(len(y), -1).astype("float32")
    if numbers.shape[1] == width:
        return Numbers(width), numbers
    raise ValueError(
        f"The labels, {(None, *y.shape[1:])} of {y.dtype}, do not go with the teacher's outputs, "
        f"{(None, width)}. Expected a class number or a one-hot row for each example, a row of 0 "
        "and 1 for several labels, or as many numbers as the teacher gives."
    )


def as_array(y: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(y) if keras.ops.is_tensor(y) else y)
