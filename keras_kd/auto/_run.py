"""The steps of a search, in their order."""

import contextlib
import dataclasses
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd.auto import _folder, _search
from keras_kd.auto._answers import ask
from keras_kd.auto._candidates import candidates_of
from keras_kd.auto._code import code_of
from keras_kd.auto._data import Data
from keras_kd.auto._files import Files, Fitting, chosen, spread
from keras_kd.auto._finish import Finish, Finished, outputs_of
from keras_kd.auto._folder import Clock
from keras_kd.auto._forecasting._prune import prune
from keras_kd.auto._importance import importance
from keras_kd.auto._progress import Progress
from keras_kd.auto._result import Best, Result
from keras_kd.auto._space import ALONE, Space
from keras_kd.auto._task import Labels, Numbers, Task
from keras_kd.auto._teacher import Teacher, measured
from keras_kd.auto._training import OutOfTime, Trainer
from keras_kd.auto._trials import Trial, Trials
from keras_kd.report import Report, bootstrap, compare

#: Of a budget from here on, all files are measured, the teacher's too.
_THOROUGH = 180.0
#: The share of the budget that the teacher's answers to views may take.
_FOR_VIEWS = 0.1
#: The share after which no further file is measured.
_FOR_MEASURING = 0.25


class Run:
    """The steps of one call, in their order."""

    def __init__(
        self,
        teacher: Teacher,
        outputs: np.ndarray,
        data: Data,
        task: Task,
        files: Files,
        folder: Path,
        clock: Clock,
        progress: Progress,
    ):
        self.teacher, self.data, self.task, self.files = teacher, data, task, files
        self.outputs = outputs
        self.folder, self.clock, self.progress = folder, clock, progress
        self.trials: Trials | None = None
        self.notes = list(data.notes)
        progress.score = task.score_name

    def all(
        self,
        students: Sequence[Any] | None,
        epochs: int | None,
        most: int | None,
        seed: int,
    ) -> Result:
        tell = self.progress.stage
        tell("measuring the teacher")
        about, warnings = measured(self.teacher, self.task, self.data, self.outputs)
        self.notes = [*warnings, *self.notes]
        tell("the teacher's answers")
        spare = _FOR_VIEWS * self.clock.budget
        answers, notes = ask(self.teacher, self.task, self.data, self.folder, spare, seed)
        self.notes += notes
        tell("students within the limits")
        thorough = self.clock.budget >= _THOROUGH
        offered, left_out = candidates_of(
            students, self.teacher, self.task, self.data.train.x, self.files.over
        )
        ordered = spread(offered, self.files.limits)
        until = self.clock.until((1 - _FOR_MEASURING) * self.clock.budget)
        fitting, dropped = chosen(self.files, ordered, thorough, tell, until)
        dropped |= left_out
        about["latency"] = self._teacher_latency(about) if thorough else None
        trainer = Trainer(self.task, answers, seed)
        space = Space(self.task, fitting, answers)
        self.trials = trials = Trials(self.folder, space, trainer, self.progress.trial)
        plan = self._searched(trials, epochs, most, seed, about["score"])
        dropped |= space.hopeless
        finish = Finish(trials, self.files, plan, self.clock, tell)
        if epochs is None:
            best = finish.ranked()[0].values["student"]
            end = _search.end_of(trials, self.files.seconds)
            finish.plan = _search.longer(plan, trials, best, self.clock, end)
        distilled = finish.distilled()
        control = finish.alone(distilled)
        winner = finish.best(distilled, control)
        self.notes += [*winner.notes, *finish.notes]
        tell("comparing")
        return self._result(winner, distilled, control, trials, about, dropped)

    def leave_a_file(self) -> None:
        """The best student so far as a file, for whoever stops the search."""
        path = self.folder / _folder.BEST
        if self.trials is None or not path.exists():
            return
        self.progress.stage("the best student so far as a file")
        best = max(self.trials.done.values(), key=lambda trial: trial.objective)
        format = self.trials.space.students[best.values["student"]].format
        with contextlib.suppress(Exception):  # the Keras model is there in any case
            student = keras.saving.load_model(path, compile=False)
            self.files.write(student, path.with_suffix(".tflite"), format)

    def _searched(
        self, trials: Trials, epochs: int | None, most: int | None, seed: int, teacher: float
    ) -> _search.Plan:
        """The search itself; returns how long its trials were. `teacher`: its score."""
        plan = _search.kept_plan(self.folder)
        first = next(iter(trials.space.students))
        self.progress.stage("how long a trial takes")
        trials.time(first)
        self._check_budget(trials, first, epochs)
        end = _search.end_of(trials, self.files.seconds)
        short = plan.short if plan else _search.plan_short(trials, self.clock, end, epochs)
        looked_at = _search.defaults(trials, short, self.clock.until(end.files))
        self.clock.keep()
        if plan is None:
            plan = _search.plan_of(trials, self.clock, end, short, epochs)
            _folder.write_json(self.folder / _folder.PLAN, dataclasses.asdict(plan))
        if not looked_at:
            raise self._too_short(trials, first, epochs)
        best = max(looked_at, key=lambda t: t.objective)
        last = end.trainings * trials.seconds(best.values["student"], plan.final)
        reserve = end.files + last
        until = self.clock.until(reserve)
        with contextlib.suppress(OutOfTime):
            self._defaults_in_full(trials, plan, best.values["student"], end.files)
        self.clock.keep()
        if plan.units:
            trials.space.hopeless = self._hopeless(trials, teacher, plan)
            _search.search(trials, plan, seed, most, until)
        self.clock.keep()
        return plan

    def _hopeless(self, trials: Trials, teacher: float, plan: _search.Plan) -> dict[str, str]:
        """Students that a forecast from the trials so far rules out, and why. What was found at first
        is kept: a search that goes on is over the same students."""
        if self.files.limits.accuracy is not None:  # the smallest is looked for
            return {}
        path = self.folder / _folder.HOPELESS
        found = _folder.read_json(path)
        if found is None:
            students = list(trials.space.students.values())
            _, found = prune(students, trials, teacher, plan.full)
            _folder.write_json(path, found)
        return found

    def _defaults_in_full(
        self, trials: Trials, plan: _search.Plan, best: str, reserve: float
    ) -> None:
        """The default recipe for as long as a trial is at most, on the best student; where an
        accuracy is to be kept, on the smallest first, until one keeps it."""
        wanted, names = self.files.limits.accuracy, [best]
        if wanted is not None:
            students = trials.space.students
            names = sorted(students, key=lambda n: students[n].costs.get("size") or math.inf)
        for number, name in enumerate(names):
            until = self.clock.until(reserve)
            values = trials.space.default(name)
            late = trials.seconds(name, plan.full) > until - time.perf_counter()
            if number and late and not trials.has(values, plan.full):
                break
            trial = trials.run(values, plan.full, "default", until, keep=True)
            if wanted is not None and (trial.score or 0) >= wanted:
                break

    def _check_budget(self, trials: Trials, student: str, epochs: int | None) -> None:
        need = 3 * trials.seconds(student, epochs or 1) + 2 * self.files.seconds
        if need > self.clock.left and not trials.done:
            raise self._too_short(trials, student, epochs)

    def _too_short(self, trials: Trials, student: str, epochs: int | None) -> ValueError:
        one = trials.seconds(student, epochs or 1)
        need = 3 * one + 2 * self.files.seconds
        return ValueError(
            f"`budget` is too short: {self.clock.budget:.0f} s, of which {self.clock.spent:.0f} "
            f"went into measuring. One trial of '{student}' for {epochs or 1} epochs takes about "
            f"{one:.1f} s here, and an export {self.files.seconds:.0f} s. A trial, the winner "
            f"and its control need at least budget='{self.clock.spent + need:.0f} s'."
        )

    def _teacher_latency(self, about: dict[str, Any]) -> float | None:
        """That of the teacher's own file, and its size."""
        if not self.teacher.is_keras:
            return None
        self.progress.stage("the teacher as a file")
        with tempfile.TemporaryDirectory() as folder:
            try:
                costs = self.files.write(
                    self.teacher.model, Path(folder, "t.tflite"), "float32", proven=False
                )
            except Exception:  # what cannot be converted has no file, and is no worse a teacher
                return None
        about["size"] = costs["size"]
        return costs["latency"]

    # What is told.

    def _result(
        self,
        best: Finished,
        distilled: Finished,
        control: Finished | None,
        trials: Trials,
        about: dict[str, Any],
        dropped: dict[str, str],
    ) -> Result:
        part = self.data.validation if self.data.test is None else self.data.test
        theirs = self.teacher.predict(part.x)
        outputs = {"teacher": theirs}
        for name, one in (("student alone", control), ("distilled", distilled)):
            if one is not None:
                outputs[name] = (
                    outputs_of(one.path, part.x)
                    if one.written
                    else np.asarray(one.student.predict(part.x, batch_size=256, verbose=0))
                )
        scores = {name: self.task.judge(out, part.y).score for name, out in outputs.items()}
        tested = self.data.test is not None
        if tested:
            about["test_score"] = scores["teacher"]
        comparison = compare(
            outputs, (part.x, _flat(self.task, part.y)), task=_named(self.task),
            from_logits=None if isinstance(self.task, Numbers) else True, latency=False,
        )  # fmt: skip
        assert isinstance(comparison, Report)  # of no language models
        fitting = trials.space.students[best.values["student"]]

        def told(one: Finished | None, name: str) -> Best | None:
            return None if one is None else _best(one, fitting, scores[name] if tested else None)

        alone = best.values["recipe"] == ALONE
        told_best = told(best, "student alone" if alone else "distilled")
        told_distilled = told(distilled, "distilled")
        assert told_best is not None and told_distilled is not None
        done = tuple(trials.done.values())
        return Result(
            best=told_best,
            distilled=told_distilled,
            control=told(control, "student alone"),
            teacher=about,
            trials=done,
            dropped=dropped,
            limits=self.files.limits,
            verdict=comparison.verdict,
            default=_default(distilled.trial, trials),
            mattered=importance(done, trials.space),
            notes=tuple(self.notes),
            seconds=self.clock.spent,
            budget=self.clock.budget,
            code=code_of(best, trials.trainer, fitting.candidate, fitting.format),
            score_name=self.task.score_name,
            comparison=comparison,
            folder=self.folder,
        )


def _best(one: Finished, fitting: Fitting, test: float | None) -> Best:
    return Best(
        file=one.path if one.written else None,
        student_file=one.path.with_suffix(".keras"),
        format=fitting.format,
        values=one.values,
        epochs=one.epochs,
        aware_epochs=one.aware,
        costs=one.costs,
        score=one.score,
        test_score=test,
    )


def _default(best: Trial, trials: Trials) -> str:
    """The winning trial beside the best one of the default recipe, in one sentence."""
    defaults = [t for t in trials.done.values() if t.part == "default" and t.why is None]
    if best.part == "default" or not defaults:
        return "The default recipe was the best that was found."
    other = max(defaults, key=lambda t: (t.epochs, t.objective))
    change = bootstrap(list(trials.wrong(other)), list(trials.wrong(best)))
    if change.too_few or change.direction == "unclear":
        return (
            f"The default was as good: {other.score:.4f} with {other.values['recipe']} at its "
            f"defaults, {best.score:.4f} with what was found, a difference that the validation data "
            "cannot tell from chance."
        )
    return (
        f"What was found is better than the default recipe on the validation data: {best.score:.4f} "
        f"against {other.score:.4f}."
    )


def _named(task: Task) -> str | None:
    return None if isinstance(task, Labels) and task.outputs == 1 else task.name


def _flat(task: Task, y: np.ndarray) -> np.ndarray:
    """The labels as `report.compare` knows them."""
    return y[:, 0].astype("int32") if isinstance(task, Labels) and task.outputs == 1 else y
