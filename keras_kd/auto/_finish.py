"""The end of a search: the best trial and its control trained long, rounded with care, written,
proven and measured; the better of the two is the student."""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd import sources
from keras_kd._core.files import replacing
from keras_kd._core.optional import require_keras
from keras_kd.auto import _folder
from keras_kd.auto._files import Files
from keras_kd.auto._folder import Clock
from keras_kd.auto._search import BITS, Plan
from keras_kd.auto._space import Values, alone, without_hint
from keras_kd.auto._task import Judged
from keras_kd.auto._training import Diverged, OutOfTime
from keras_kd.auto._trials import Trial, Trials, write_student
from keras_kd.compression import plain, quantize_aware
from keras_kd.exporting import ExportError

#: What rounding may cost before the student is trained with it.
_MAY_LOSE = 0.005
_AWARE_SHARE, AWARE_RATE = 0.25, 0.1
_DIVERGED = "There is no control: the same student alone diverged at the winner's learning rate."
_TRIED = 3


@dataclass
class Finished:
    """A student at its end.

    Args:
        trial: The trial that it comes from.
        values: What it was trained with: those of the trial or, of the control, the labels alone.
        epochs: How long it was trained.
        aware: Epochs of training with rounding in mind; 0 for none.
        student: The model.
        path: Its file.
        written: Whether there is a file, proven; a control may be left a Keras model.
        costs: What the file takes.
        score: On the validation data, of the file.
        float_score: The same of the model.
        notes: What there is to say.
    """

    trial: Trial
    values: Values
    epochs: int
    student: keras.Model
    path: Path
    written: bool
    costs: dict[str, float | None]
    score: float
    float_score: float
    aware: int = 0
    notes: list[str] = field(default_factory=list)


class Finish:
    """Turns the best trial into a file, and the same student alone into another one; the better of
    them is the student that the search ends with.

    Args:
        trials: What was found.
        files: Writes files.
        plan: How long things take.
        clock: The budget.
        tell: Called with what is being done, in words.
    """

    def __init__(
        self,
        trials: Trials,
        files: Files,
        plan: Plan,
        clock: Clock,
        tell: Callable[[str], None],
    ):
        self.trials, self.files, self.plan, self.clock = trials, files, plan, clock
        self.tell = tell
        self.notes: list[str] = []

    def distilled(self) -> Finished:
        """The best trial's student, in a file that keeps the limits.

        Raises:
            RuntimeError: If there is none.
        """
        if (kept := self._kept(_folder.DISTILLED)) is not None:
            return kept
        best: Finished | None = None
        why = ""
        tried, too_large = 0, set()
        for trial in self.ranked():
            if trial.values["student"] in too_large or tried == _TRIED:
                continue
            tried += 1
            student, epochs, judged = self._trained_long(trial)
            try:
                found = self._written(
                    _folder.DISTILLED, trial, trial.values, epochs, student, judged
                )
            except ExportError as error:
                why = str(error)
                self.tell(f"{trial.values['student']}: {why.splitlines()[0]}")
                continue
            broken = self.files.limits.broken(found.costs)
            if not broken:
                return self._keep(_folder.DISTILLED, found)
            too_large.add(trial.values["student"])
            found.notes.append(f"The file does not keep the limit of {', '.join(broken)}.")
            best = best or found
        if best is None:
            raise RuntimeError(
                f"No student could be written as a file. The last one: {why or 'no trial ended'}"
            )
        return self._keep(_folder.DISTILLED, best)

    def best(self, distilled: Finished, control: Finished | None) -> Finished:
        """The distilled one, unless the control is better on the validation data by more than one
        standard error of the difference; its files are copied to where the student of a search
        lies."""
        better = distilled
        if control is not None and control.written and control.score > distilled.score:
            within = not self.files.limits.broken(control.costs)
            if self._clearly(control, distilled) and (
                within or self.files.limits.broken(distilled.costs)
            ):
                better = control
            else:
                self.notes.append(
                    f"On the validation data the student alone has {control.score:.4f} and the "
                    f"distilled one {distilled.score:.4f}, a difference within its standard error. "
                    f"'{control.path.name}' is the student alone."
                )
        wanted = self.files.limits.accuracy
        if wanted is not None and better.score < wanted:
            better.notes.append(
                f"No student has the accuracy of {wanted:.4g} on the validation data; this one has "
                f"{better.score:.4f}."
            )
        return dataclasses.replace(better, path=self._copied(better.path))

    def _clearly(self, one: Finished, other: Finished) -> bool:
        """Whether the first file is better by more than one standard error of the paired
        difference."""
        held = self.trials.trainer.answers.data.validation
        first, second = (
            self.trials.trainer.task.judge(outputs_of(each.path, held.x), held.y).wrong
            for each in (one, other)
        )
        gain = second - first
        return bool(gain.mean() > gain.std(ddof=1) / math.sqrt(len(gain)))

    def _copied(self, path: Path) -> Path:
        """The files of a student under the name that stays, unless they are there."""
        for each in sorted(path.parent.glob(f"{path.stem}.*")):
            if each.suffixes in ([".json"], [".lock"]):
                continue
            target = each.with_name(each.name.replace(path.stem, _folder.STUDENT, 1))
            content = each.read_bytes()
            if each.suffixes[-1:] == [".json"]:  # the proof, which names its file
                content = content.replace(
                    f'"path": "{path.name}"'.encode(),
                    f'"path": "{_folder.STUDENT}.tflite"'.encode(),
                )
            if not target.exists() or target.read_bytes() != content:
                with replacing(target) as unfinished:
                    unfinished.write_bytes(content)
        return path.with_name(f"{_folder.STUDENT}{path.suffix}")

    # What is done is not done again, unless further trials were.

    def _keep(self, name: str, found: Finished) -> Finished:
        told = {
            field.name: getattr(found, field.name)
            for field in dataclasses.fields(found)
            if field.name not in ("trial", "student", "path")
        }
        content = {**told, "trial": found.trial.key, "trials": sorted(self.trials.done)}
        _folder.write_json(self.trials.folder / f"{name}.json", content)
        return found

    def _kept(self, name: str) -> Finished | None:
        content = _folder.read_json(self.trials.folder / f"{name}.json")
        path = self.trials.folder / f"{name}.tflite"
        if content is None or content.pop("trials") != sorted(self.trials.done):
            return None
        if content["written"] and not path.exists():
            return None
        student = keras.saving.load_model(path.with_suffix(".keras"), compile=False)
        trial = self.trials.done[content.pop("trial")]
        return Finished(trial=trial, student=student, path=path, **content)

    def ranked(self) -> list[Trial]:
        """The trials that may win, the best first: those of full length, if there are any."""
        done = [t for t in self.trials.done.values() if t.why is None]
        full = [t for t in done if t.epochs >= self.plan.full] or done
        if not full:
            failed = [t.why for t in self.trials.done.values()]
            raise RuntimeError(
                f"Every trial failed. The first of them: {failed[0] if failed else 'none was run'}"
            )
        # The default comes first among equals.
        full.sort(key=lambda t: (-t.objective, t.part != "default"))
        wanted = self.files.limits.accuracy
        good = [t for t in full if wanted is not None and (t.score or 0) >= wanted]
        if good:
            good.sort(key=lambda t: (t.costs.get("size") or math.inf, -t.objective))
            return good + [t for t in full if t not in good]
        return full

    # A student as a file.

    def _written(
        self,
        name: str,
        trial: Trial,
        values: Values,
        epochs: int,
        student: keras.Model,
        judged: Judged,
    ) -> Finished:
        """Its file, with rounding in mind where that helps."""
        fitting = self.trials.space.students[values["student"]]
        path = self.trials.folder / f"{name}.tflite"
        aware = 0
        self.tell(f"the file of {fitting.name}")
        error: ExportError | None = None
        try:
            costs = self.files.write(student, path, fitting.format)
            score = self.score(path)
        except ExportError as failed:
            error, score = failed, -math.inf
        if fitting.format in BITS and judged.score - score > _MAY_LOSE:
            # Of the time that is left the control has its share first.
            rest = 0.0
            if name == _folder.DISTILLED:
                rest = self.trials.seconds(values["student"], epochs) + 2 * self.files.seconds
            found = self._aware(values, student, fitting.format, epochs, score, path, rest)
            if found is not None:
                student, aware, costs, score = found
                error = None
        if error is not None:
            raise error
        costs = self.files.measured_again(path, student, costs)
        write_student(path.with_suffix(".keras"), student)
        costs = {**fitting.costs, **{k: v for k, v in costs.items() if v is not None}}
        return Finished(
            trial, values, epochs, student, path, True, costs, score, judged.score, aware
        )

    def _trained_long(self, trial: Trial) -> tuple[keras.Model, int, Judged]:
        """The student of the final training, or that of the trial where it is as good."""
        fitting = self.trials.space.students[trial.values["student"]]
        kept = self.trials.student(trial)
        epochs = self.plan.final
        reserve = self.trials.seconds(trial.values["student"], epochs) + 2 * self.files.seconds
        until = self.clock.until(reserve)
        long = None
        worth = kept is None or epochs > trial.epochs
        if worth and (
            kept is None or until - time.perf_counter() > reserve - 2 * self.files.seconds
        ):
            self.tell(f"{fitting.name} for {epochs} epochs")
            student = self.trials.trainer.build(fitting.candidate)
            try:
                self.trials.trainer.train(student, trial.values, epochs, until=until)
                long = student, epochs, self.trials.judged(student, fitting.format)
            except (OutOfTime, Diverged):
                pass
        if kept is None and long is None:  # trained again, for no longer than it was
            kept = self.trials.trainer.build(fitting.candidate)
            self.trials.trainer.train(kept, trial.values, trial.epochs)
        if kept is None:
            assert long is not None
            return long
        judged = self.trials.judged(kept, fitting.format)
        if long is not None and long[2].objective >= judged.objective:
            return long
        return kept, trial.epochs, judged

    def _aware(
        self,
        values: Values,
        student: keras.Model,
        format: str,
        epochs: int,
        score: float,
        path: Path,
        rest: float,
    ) -> Any:
        """The student trained on with rounding in mind, where its file is better for it."""
        try:
            require_keras("3.9", purpose="Rounding is trained with quantize_aware()")
            aware = quantize_aware(student, weight_bits=BITS[format])
        except (ImportError, ValueError):
            return None
        more = max(1, round(_AWARE_SHARE * epochs))
        rest += 2 * self.files.seconds
        if self.trials.seconds(values["student"], more) + rest > self.clock.left:
            return None
        self.tell(f"{values['student']} with rounding in mind for {more} epochs")
        values = {**without_hint(values), "learning_rate": AWARE_RATE * values["learning_rate"]}
        try:
            self.trials.trainer.train(aware, values, more, until=self.clock.until(rest))
        except (OutOfTime, Diverged):
            return None
        ready = plain(aware)
        former = {each: each.read_bytes() for each in path.parent.glob(f"{path.stem}*.*")}
        try:
            costs = self.files.write(ready, path, format)
            after = self.score(path)
        except ExportError:
            return None
        if after < score:  # no better: the former file and its proof again
            for each, content in former.items():
                each.write_bytes(content)
            return None
        return ready, more, costs, after

    def score(self, path: Path) -> float:
        """How good a file is on the validation data."""
        data = self.trials.trainer.answers.data
        return self.trials.trainer.task.judge(
            outputs_of(path, data.validation.x), data.validation.y
        ).score

    # The control.

    def alone(self, distilled: Finished) -> Finished | None:
        """The same student from the labels alone: as long, at the same rate, in the same format.

        `None`, and a line in `notes`, where there is no time for it or it diverges. It is left a Keras model where there is no time for a
        file, unless it is the better one.
        """
        trial, trainer = distilled.trial, self.trials.trainer
        values, epochs = alone(trial.values), distilled.epochs
        kept = self._kept(_folder.ALONE)
        if kept is not None and (kept.epochs, kept.trial.key) == (epochs, trial.key):
            return kept
        fitting = self.trials.space.students[trial.values["student"]]
        self.tell(f"the control: {fitting.name} alone for {epochs} epochs")
        student = trainer.build(fitting.candidate)
        try:
            until = self.clock.until(0.5 * self.files.seconds)
            trainer.train(student, values, epochs, until=until)
        except OutOfTime:
            self.notes.append("There was no time for the control, the same student alone.")
            return None
        except Diverged:
            self.notes.append(_DIVERGED)
            return None
        judged = self.trials.judged(student, fitting.format)
        if not np.isfinite(judged.loss):
            self.notes.append(_DIVERGED)
            return None
        notes = []
        better = judged.score > distilled.score
        if better or fitting.format in BITS or self.clock.left > self.files.seconds:
            try:
                found = self._written(_folder.ALONE, trial, values, epochs, student, judged)
                return self._keep(_folder.ALONE, found)
            except ExportError as error:
                notes.append(f"The control stays a Keras model: {str(error).splitlines()[0]}")
        path = self.trials.folder / f"{_folder.ALONE}.tflite"
        write_student(path.with_suffix(".keras"), student)
        found = Finished(
            trial, values, epochs, student, path, False, dict(fitting.costs), judged.score,
            judged.score, notes=notes,
        )  # fmt: skip
        return self._keep(_folder.ALONE, found)


def outputs_of(path: Path, x: np.ndarray) -> np.ndarray:
    """What a file gives, run as it is on a device."""
    file = sources.LiteRTTeacher(path, kind="values", num_threads=1)
    return np.asarray(file(x))
