"""Trials: each is a training of its own, written as it ends and never done twice."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._core.files import replacing
from keras_kd.auto import _folder
from keras_kd.auto._space import Space, Values
from keras_kd.auto._task import Judged
from keras_kd.auto._training import OutOfTime, Timing, Trainer
from keras_kd.compression import plain, quantize_aware


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Args:
        values: `"student"` (with its number format), `"recipe"` and its settings,
            `"learning_rate"`, `"views"`.
        epochs: How long it was trained; its learning rate fell to 0 within them.
        score: Accuracy on the validation data, of a regression R²; `None` of a failed one.
        loss: The mean loss on the labels there; `None` of a failed one.
        seconds: What it took.
        why: Why it failed; `None` when it did not.
        part: `"default"` or `"search"`.
        costs: What its file takes: `"size"`, `"latency"`, `"parameters"`, `"flops"`, `"arena"`.
    """

    values: dict[str, Any]
    epochs: int
    score: float | None
    loss: float | None
    seconds: float
    why: str | None
    part: str
    costs: dict[str, float | None]

    @property
    def objective(self) -> float:
        """What trials are ranked by: the score, and of equal ones the loss."""
        if self.score is None or self.loss is None:
            return float("-inf")
        return Judged(self.score, self.loss, np.empty(0)).objective

    @property
    def key(self) -> str:
        """Its name on the disk."""
        return key_of(self.values, self.epochs)


def key_of(values: Values, epochs: int) -> str:
    told = json.dumps({**values, "epochs": epochs}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


class Trials:
    """Runs trials, and keeps them in a folder.

    Args:
        folder: That of the search.
        space: What values may be.
        trainer: What trains.
        tell: Called with the trial before it runs (`None`) and when it is done.
    """

    def __init__(
        self, folder: Path, space: Space, trainer: Trainer, tell: Callable[[Values, int, Any], None]
    ):
        self.folder, self.space, self.trainer, self.tell = folder, space, trainer, tell
        self.done: dict[str, Trial] = {}
        self.times: dict[str, tuple[float, float]] = {}  # by student: start, and a step's seconds
        self.any_time: tuple[float, float] | None = None
        self._load()

    def _load(self) -> None:
        """The trials of earlier runs, in the order in which they ended."""
        paths = (self.folder / "trials").glob("*.json")
        for path in sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name)):
            trial = Trial(**_folder.read_json(path))
            if trial.values["student"] in self.space.students:
                self.done[trial.key] = trial
                self._learn(trial)
                self.tell(trial.values, trial.epochs, trial)

    def seconds(self, student: str, epochs: int) -> float:
        """What a trial will take, as far as one knows."""
        known = list(self.times.values()) or ([self.any_time] if self.any_time else [(0.0, 0.0)])
        start, step = self.times.get(student) or tuple(np.max(known, axis=0))
        return float(start + step * epochs * self.trainer.steps)

    def mean_times(self) -> tuple[float, float]:
        """Seconds until the first step, and of a step: the mean over students."""
        start, step = np.mean(list(self.times.values()) or [self.any_time or (0.0, 0.0)], axis=0)
        return float(start), float(step)

    def has(self, values: Values, epochs: int) -> bool:
        """Whether this trial is done."""
        return key_of(values, epochs) in self.done

    def time(self, student: str, steps: int = 12) -> None:
        """How long a trial of this student takes, from a few steps."""
        values = self.space.default(student)
        timing = Timing(float("inf"), steps)
        model = self.trainer.build(self.space.students[student].candidate)
        self.trainer.train(model, values, 2, timing=timing)
        self.any_time = timing.start, timing.step

    def run(self, values: Values, epochs: int, part: str, until: float, keep: bool) -> Trial:
        """The trial with these values; what was done already is not trained again.

        `keep`: whether its student is kept as well.

        Raises:
            OutOfTime: When it is `until`.
        """
        key = key_of(values, epochs)
        if key in self.done:
            return self.done[key]
        self.tell(values, epochs, None)
        trial = self._trained(values, epochs, part, until, keep)
        _folder.write_json(self.folder / "trials" / f"{key}.json", dataclasses.asdict(trial))
        self.done[key] = trial
        self.tell(values, epochs, trial)
        return trial

    def _trained(self, values: Values, epochs: int, part: str, until: float, keep: bool) -> Trial:
        fitting = self.space.students[values["student"]]
        began = time.perf_counter()

        def ended(judged: Judged | None, why: str | None) -> Trial:
            score, loss = (None, None) if judged is None else (judged.score, judged.loss)
            took = time.perf_counter() - began
            return Trial(values, epochs, score, loss, took, why, part, fitting.costs)

        path = self.folder / "trials" / key_of(values, epochs)
        try:
            student = self.trainer.build(fitting.candidate)
            timing = self.trainer.train(student, values, epochs, until=until)
            judged = self.judged(student, fitting.format)
        except (OutOfTime, MemoryError, OSError):
            raise
        except Exception as error:  # whatever a candidate dies of, the search goes on
            return ended(None, f"{type(error).__name__}: {str(error).strip()[:500]}")
        if not np.isfinite(judged.loss):
            return ended(None, "its loss on the validation data is NaN or infinite")
        extra = time.perf_counter() - began - timing.start - timing.step * timing.count
        self.times[values["student"]] = timing.start + max(0.0, extra), timing.step
        with replacing(path.with_suffix(".npz")) as unfinished:
            np.savez(unfinished, wrong=judged.wrong.astype("float32"))
        if keep:
            write_student(path.with_suffix(".keras"), student)
        trial = ended(judged, None)
        if trial.objective > max((t.objective for t in self.done.values()), default=-np.inf):
            write_student(self.folder / _folder.BEST, student)
        return trial

    def judged(self, student: keras.Model, format: str) -> Judged:
        """How good a student is on the validation data, its weights rounded to four bits where its
        file has four."""
        held = self.trainer.answers.data.validation
        model = rounded(student) if format == "int4" else student
        outputs = model.predict(held.x, batch_size=256, verbose=0)
        return self.trainer.task.judge(np.asarray(outputs), held.y)

    def wrong(self, trial: Trial) -> np.ndarray:
        """Per validation example, whether it was wrong."""
        with np.load(self.folder / "trials" / f"{trial.key}.npz") as arrays:
            return arrays["wrong"]

    def student(self, trial: Trial) -> keras.Model | None:
        """The student of a trial that was kept."""
        path = self.folder / "trials" / f"{trial.key}.keras"
        return keras.saving.load_model(path, compile=False) if path.exists() else None

    def _learn(self, trial: Trial) -> None:
        """What a trial of an earlier run took says what the next ones take."""
        if trial.why is None and trial.values["student"] not in self.times:
            steps = max(1, trial.epochs * self.trainer.steps)
            start = min(trial.seconds / 2, 3.0)
            self.times[trial.values["student"]] = start, (trial.seconds - start) / steps


def rounded(student: keras.Model, bits: int = 4) -> keras.Model:
    """The student with weights as a file of so many bits has them; as it is, where that cannot be
    told."""
    try:
        return plain(quantize_aware(student, weight_bits=bits))
    except (ValueError, ImportError):
        return student


def write_student(path: Path, student: keras.Model) -> None:
    with replacing(path) as unfinished:
        student.save(unfinished)
