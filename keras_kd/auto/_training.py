"""One training: a student from its values, alone or with the teacher; nothing else decides on it."""

import time
from typing import Any

import keras
import numpy as np

from keras_kd._training_choices import batch_size, momentum_for, rate
from keras_kd.auto._answers import Answers
from keras_kd.auto._candidates import Candidate
from keras_kd.auto._space import ALONE, Values, code_of, terms_of
from keras_kd.auto._task import Task
from keras_kd.distiller import Distiller
from keras_kd.terms import Labels


class OutOfTime(Exception):
    """The budget is spent."""


class Diverged(RuntimeError):
    """A student that turned NaN."""


class Timing(keras.callbacks.Callback):
    """How long it takes until the first step is done, and each step after it; stops at `until`."""

    def __init__(self, until: float, steps: int | None = None):
        super().__init__()
        self.until, self.most = until, steps
        self.began = time.perf_counter()
        self.first: float | None = None
        self.last = self.began
        self.count, self.late = 0, False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.last = now = time.perf_counter()
        self.count += 1
        if self.first is None:
            self.first = now
        self.late = now > self.until
        if self.late or (self.most is not None and self.count >= self.most):
            self.model.stop_training = True  # an error here would leave JAX without its variables

    @property
    def start(self) -> float:
        """Seconds until the first step was done."""
        return (self.first or time.perf_counter()) - self.began

    @property
    def step(self) -> float:
        """Seconds of a later step."""
        return (self.last - (self.first or self.began)) / max(1, self.count - 1)


class Trainer:
    """Trains students of one task on one teacher's answers.

    Args:
        task: What is learned.
        answers: Where examples and answers come from.
        seed: Of weights and orders, the same for all trainings.
    """

    def __init__(self, task: Task, answers: Answers, seed: int):
        self.task, self.answers, self.seed = task, answers, seed
        self.batch_size = batch_size(len(answers.data.train))

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return -(-len(self.answers.data.train) // self.batch_size)

    def build(self, candidate: Candidate) -> keras.Model:
        """The student as it begins: a seed gives the same weights each time."""
        keras.utils.set_random_seed(self.seed)
        student = candidate.build()
        for layer in student.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = momentum_for(self.steps)
        return student

    def train(
        self,
        student: keras.Model,
        values: Values,
        epochs: int,
        *,
        until: float = float("inf"),
        timing: Timing | None = None,
    ) -> Timing:
        """Trains `student` for `epochs`.

        Raises:
            OutOfTime: When it is `until`, a time of `time.perf_counter`.
            Diverged: When the student holds NaN.
        """
        timing = timing or Timing(until)
        views = values["views"]
        alone = values["recipe"] == ALONE
        order = self.batch_size, self.seed
        if alone:
            batches = self.answers.plain(views, *order)
        else:
            batches = self.answers.batches(views, *order, hint="hint" in values)
        distiller = Distiller(
            student=student, teacher=None if alone else self.answers.live, terms=terms_of(values)
        )
        labelled = any(isinstance(term, Labels) for term in distiller.terms)
        distiller.compile(
            keras.optimizers.Adam(rate(values["learning_rate"], epochs * self.steps)),
            loss=self.task.loss() if labelled else None,
        )
        distiller.fit(batches, epochs=epochs, shuffle=False, verbose=0, callbacks=[timing])
        if timing.late and timing.count < epochs * self.steps:
            raise OutOfTime
        if not all(np.isfinite(weight).all() for weight in student.get_weights()):
            raise Diverged("its weights hold NaN or infinite values: the learning rate is too high")
        return timing

    def code(self, candidate: Candidate, values: Values, epochs: int) -> list[str]:
        """The same training, as it is written in Python."""
        build, _, more = candidate.code.partition("; ")
        lines = [f"keras.utils.set_random_seed({self.seed})", f"student = {build}"]
        lines += [more] if more else []
        if any(isinstance(x, keras.layers.BatchNormalization) for x in candidate.build().layers):
            lines += [
                "for layer in student.layers:",
                "    if isinstance(layer, keras.layers.BatchNormalization):",
                f"        layer.momentum = {momentum_for(self.steps)}",
            ]
        return [*lines, *self.fit_code("student", values, epochs)]

    def fit_code(self, student: str, values: Values, epochs: int) -> list[str]:
        """The lines that train what is called `student`."""
        peak, total = values["learning_rate"], epochs * self.steps
        warming = max(1, round(0.1 * total))
        labelled = any(isinstance(term, Labels) for term in terms_of(values))
        alone = values["recipe"] == ALONE
        teacher = ", teacher=teacher" if self.answers.live is not None and not alone else ""
        order = self.batch_size, self.seed
        if alone:
            batches = self.answers.plain_code(values["views"], *order)
        else:
            batches = self.answers.code(values["views"], *order, hint="hint" in values)
        return [
            f"batches = {batches}",
            f"distiller = kd.Distiller(student={student}{teacher}, terms={code_of(values)})",
            f"rate = keras.optimizers.schedules.CosineDecay({peak / 10!r}, {max(1, total - warming)}, "
            f"warmup_target={peak!r}, warmup_steps={warming})",
            "distiller.compile(keras.optimizers.Adam(rate), "
            f"loss={self.task.code if labelled else None})",
            f"distiller.fit(batches, epochs={epochs}, shuffle=False, verbose=0)",
        ]
