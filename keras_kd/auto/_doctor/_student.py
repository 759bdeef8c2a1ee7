"""Can the student learn? A hundred examples by heart, in seconds, with a copy of it."""

import math
import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd._core.last_activation import PROBABILITIES, last_activation
from keras_kd._training_choices import momentum_for, teaching
from keras_kd.auto._data import Data, kind_of
from keras_kd.auto._doctor._facts import Facts
from keras_kd.auto._doctor._findings import Finding
from keras_kd.auto._teacher import linear_outputs
from keras_kd.auto._training import Timing

_EXAMPLES, _BATCH, _STEPS, _LONG = 100, 50, 150, 600
_RATES = (1e-2, 1e-3)
_ENOUGH, _SLACK = 0.9, 0.1
_SECONDS = 20.0  # of one run at most
_GAP = 100  # times the student's weights


@dataclass(frozen=True)
class Run:
    """A short training: its rate, its length, the loss at its ends, how many were learned, and whether
    time ended it."""

    rate: float
    steps: int
    first: float
    last: float
    score: float
    late: bool


class _SinceFirstStep(Timing):
    """Stops when time is up, which begins after the first step: compiling is not the student's."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.first is None:
            self.until = time.perf_counter() + _SECONDS
        super().on_train_batch_end(batch, logs)


class ShortRuns:
    """Trains a copy of the student on a hundred examples, from the same weights each time."""

    def __init__(self, facts: Facts):
        assert facts.student is not None
        self.task, self.seed = facts.task, facts.seed
        copy = keras.models.clone_model(facts.student)
        if not copy.built:
            copy.build(facts.student.input_shape)
        copy.set_weights(facts.student.get_weights())
        self.model = teaching(copy, tuple(PROBABILITIES))
        for layer in copy.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = momentum_for(_STEPS)
        rank = np.random.default_rng(facts.seed).permutation(len(facts.data.train))[:_EXAMPLES]
        self.part = facts.data.train.take(np.sort(rank))
        self.model.compile(keras.optimizers.Adam(1e-3), loss=facts.task.loss())
        self.model.optimizer.build(self.model.trainable_variables)
        variables = (*self.model.variables, *self.model.optimizer.variables)
        self.kept = [(v, keras.ops.convert_to_numpy(v)) for v in variables]
        linear = linear_outputs(facts.task, Data(self.part, self.part, None, ()))
        #: What the student has to reach: a linear model, on which inputs it can be told apart at all.
        self.bar = min(_ENOUGH, self._score(linear) - _SLACK)

    def _score(self, outputs: np.ndarray) -> float:
        return self.task.judge(outputs, self.part.y).score

    def run(self, rate: float, steps: int = _STEPS) -> Run:
        for variable, value in self.kept:
            variable.assign(value)
        self.model.optimizer.learning_rate = rate
        rng = np.random.default_rng(self.seed)
        turns = math.ceil(steps * _BATCH / len(self.part))
        order = np.concatenate([rng.permutation(len(self.part)) for _ in range(turns)])
        order = order[: steps * _BATCH]
        first = self._loss()
        timing = _SinceFirstStep(math.inf)
        self.model.fit(
            self.part.x[order], self.part.y[order],
            batch_size=_BATCH, epochs=1, shuffle=False, verbose=0, callbacks=[timing],
        )  # fmt: skip
        outputs = self._outputs()
        finite = bool(np.isfinite(outputs).all())
        score = self._score(outputs) if finite else -math.inf
        last = self._loss() if finite else math.inf
        return Run(rate, timing.count, first, last, score, timing.late and timing.count < steps)

    def _outputs(self) -> np.ndarray:
        return np.asarray(self.model.predict(self.part.x, batch_size=_EXAMPLES, verbose=0))

    def _loss(self) -> float:
        return self.task.judge(self._outputs(), self.part.y).loss


def student_learns(facts: Facts) -> list[Finding]:
    """Whether the student learns a hundred examples by heart, and at the learning rate given."""
    if facts.student is None:
        return []
    findings = []
    ends = last_activation(facts.student)
    if ends is not None:
        findings.append(
            Finding(
                "student_logits",
                "error",
                f"The student ends in a {ends}, and losses read logits. It is looked at without it.",
                "student = kd.with_logits(student)",
            )
        )
    if not facts.student.trainable_weights:
        return [
            *findings,
            Finding(
                "student_learns",
                "error",
                "The student has no weights that are trained: "
                f"{facts.student.count_params():,} weights, all of them frozen.",
                "student.trainable = True",
            ),
        ]
    try:
        runs = ShortRuns(facts)
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        facts.notes.append(
            "Whether the student learns was not looked at: it is trained as a copy, and cannot be "
            f"copied. {told[0]}"
        )
        return findings
    return findings + _judged(facts, runs)


def _judged(facts: Facts, runs: ShortRuns) -> list[Finding]:
    asked = facts.learning_rate
    done: list[Run] = []
    for rate in (*(() if asked is None else (asked,)), *(r for r in _RATES if r != asked)):
        done.append(runs.run(rate))
        if done[-1].score >= runs.bar:
            break
    best = max(done, key=lambda run: run.score)
    if best.score < runs.bar:  # slow, or unable: the better rate once more, for longer
        best = runs.run(best.rate, _LONG)
        done.append(best)
    of, count = facts.task.score_name, len(runs.part)
    facts.numbers["learning_rate"] = best.rate
    told = "; ".join(f"{of} {r.score:.2f} after {r.steps} steps at {r.rate:g}" for r in done)
    told = f"of {count} training examples, a copy of the student learned by Adam: {told}"
    if best.score < runs.bar and any(run.late for run in done):
        facts.notes.append(
            "Whether the student learns was not looked at to the end, "
            f"{_SECONDS:.0f} s were too short: {told}."
        )
        return []
    if best.score < runs.bar:
        return [
            Finding(
                "student_learns",
                "error",
                f"The student cannot learn {count} examples by heart: {told}. It should reach "
                f"{runs.bar:.2f} here (a linear model does). Look at its layers that are frozen, its "
                "activations, its regularization, and the range of its inputs.",
                f"student = {_another(facts)}",
            )
        ]
    findings = [Finding("student_learns", "fine", told[0].upper() + told[1:] + ".")]
    if asked is None:
        return findings
    mine = done[0]
    if mine.score >= runs.bar or best is mine:
        said = f"At {asked:g} the student learns: {of} {mine.score:.2f} after {mine.steps} steps."
        return [*findings, Finding("learning_rate", "fine", said)]
    high = asked > best.rate
    grown = not math.isfinite(mine.last) or mine.last > mine.first
    findings.append(
        Finding(
            "learning_rate",
            "error" if high else "warning",
            f"The learning rate is too {'high' if high else 'low'}: {told}; at {asked:g} the loss went "
            f"from {mine.first:.3g} to {mine.last:.3g}" + (", it grew." if grown else "."),
            f"optimizer = keras.optimizers.Adam({best.rate:g})",
        )
    )
    return findings


def _another(facts: Facts) -> str:
    """A student that is known to learn, in Python."""
    x = facts.data.train.x
    if kind_of(x) == "images":
        return f"kd.students.small({x.shape[1:]}, {facts.task.outputs})"
    return (
        f"keras.Sequential([keras.Input({x.shape[1:]}), keras.layers.Flatten(), "
        f'keras.layers.Dense(64, "relu"), keras.layers.Dense({facts.task.outputs})])'
    )


def gap(facts: Facts) -> Finding | None:
    """Whether the teacher is so much larger that a model between the two may help."""
    if facts.student is None or not facts.teacher.is_keras:
        return None
    ours, theirs = facts.student.count_params(), facts.teacher.model.count_params()
    if not ours:
        return None
    told = f"the teacher has {theirs:,} weights, the student {ours:,}: {theirs / ours:.0f} times as many"
    facts.numbers["gap"] = theirs / ours
    if theirs > _GAP * ours:
        return Finding(
            "gap",
            "warning",
            f"The gap is large: {told}. The papers name no number from which an assistant between the "
            f"two helps, nor do weights measure it well; more than {_GAP} times is where this one says "
            "to try it.",
            "_, student = kd.procedures.assistant([build_middle, build_student], fit, teacher=teacher)",
            "Mirzadeh et al., Improved Knowledge Distillation via Teacher Assistant, 2020, section 4; "
            "Cho, Hariharan, On the Efficacy of Knowledge Distillation, 2019, section 3.",
        )
    return Finding("gap", "fine", f"{told[0].upper()}{told[1:]}.")
