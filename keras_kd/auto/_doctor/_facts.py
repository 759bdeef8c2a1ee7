"""What checks look at: measured once, when the first of them needs it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import numpy as np

from keras_kd.auto._data import Data
from keras_kd.auto._task import Classes, Judged, Task
from keras_kd.auto._teacher import Teacher, linear_outputs, measured
from keras_kd.data import Augment, Part


@dataclass
class Facts:
    """Teacher, student, examples, and how training is planned.

    Args:
        given: The teacher as it was given.
        teacher: The teacher as losses on logits want it.
        student: The student; `None` where there is none yet.
        data: The examples, labels as the task has them.
        task: What is learned.
        outputs: The teacher's logits for the validation data.
        sample: Some of the training examples.
        disguised: Whether the teacher's outputs were probabilities, of which logits were made.
        store: The folder of stored answers.
        augment: The views that training draws.
        batches: What `fit` will get.
        batch_size: Examples in a step.
        epochs: How long training will be.
        learning_rate: The highest of Adam.
        seed: Of draws.
    """

    given: Any
    teacher: Teacher
    student: keras.Model | None
    data: Data
    task: Task
    outputs: np.ndarray
    sample: Part
    disguised: bool
    store: Any
    augment: Augment | None
    batches: Any
    batch_size: int
    epochs: int
    learning_rate: float | None
    seed: int
    #: What is done to inputs and to outputs before other checks: faults found before that are mended
    #: for those that follow, so that one fault is told once.
    convert: Callable[[Any], Any] = lambda x: x
    order: list[int] | None = None
    #: The logits that training will learn from for `sample`; set where a store has them.
    stored: np.ndarray | None = None
    #: What checks found, in numbers, for `suggest`.
    numbers: dict[str, Any] = field(default_factory=dict)
    #: What could not be looked at, and why: it is no finding, and least of all a fine one.
    notes: list[str] = field(default_factory=list)

    @property
    def classes(self) -> bool:
        """Whether the task is one class of several."""
        return isinstance(self.task, Classes)

    @property
    def judged(self) -> Judged:
        """The teacher on the validation data."""
        return self.task.judge(self.outputs, self.data.validation.y)

    def predict(self, x: Any) -> np.ndarray:
        """The teacher's logits, with what was found so far mended."""
        outputs = as_logits(self.teacher.predict(self.convert(x)), self.disguised)
        return outputs if self.order is None else outputs[:, self.order]

    def inside(self) -> np.ndarray:
        """The logits for training examples that training will learn from."""
        return self.predict(self.sample.x) if self.stored is None else self.stored

    @cached_property
    def linear(self) -> np.ndarray:
        """A linear model's outputs for the validation data."""
        return linear_outputs(self.task, self.data)

    @cached_property
    def measured(self) -> dict[str, Any]:
        """What the teacher is and takes."""
        return measured(self.teacher, self.task, self.data, self.outputs)[0]


def as_logits(outputs: np.ndarray, are_probabilities: bool) -> np.ndarray:
    """Outputs that losses can read."""
    return np.log(np.maximum(outputs, 1e-7)) if are_probabilities else outputs


def probabilities(facts: Facts, logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Of each class; or of yes, of several labels."""
    z = logits.astype("float64") / temperature
    if not facts.classes:
        return 1 / (1 + np.exp(-np.clip(z, -60, 60)))
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def percent(share: float) -> str:
    return f"{share:.1%}"
