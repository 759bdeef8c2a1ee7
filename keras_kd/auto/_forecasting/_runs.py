"""The short runs of a forecast: each point trained alone and distilled, and kept as it ends."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._training_choices import batch_size
from keras_kd.auto import _folder
from keras_kd.auto._answers import Answers
from keras_kd.auto._candidates import Candidate
from keras_kd.auto._files import Fitting
from keras_kd.auto._forecasting._design import Point
from keras_kd.auto._space import Space, Values, alone
from keras_kd.auto._task import Judged, Task
from keras_kd.auto._training import OutOfTime, Timing, Trainer
from keras_kd.auto._trials import Trial


@dataclass(frozen=True)
class Run:
    """One short training of a forecast.

    Args:
        student: Its name.
        size: Its number of weights.
        examples: How many training examples it had.
        epochs: How often it saw them.
        distilled: Whether with the teacher; without, from the labels alone.
        error: 1 less the score, on the validation data; `None` of a failed run.
        seconds: What it took.
        why: Why it failed; `None` when it did not.
    """

    student: str
    size: int
    examples: int
    epochs: int
    distilled: bool
    error: float | None
    seconds: float = 0.0
    why: str | None = None


class Runs:
    """Trains at points of a design, and keeps what came out.

    Args:
        folder: Where.
        task: What is learned.
        answers: All examples and the teacher's answers.
        students: The students, by place.
        seed: Of the examples that are taken, and of each run with its number added.
        tell: Called with what begins (`None`) and with what is done, as a trial.
    """

    def __init__(
        self,
        folder: Path,
        task: Task,
        answers: Answers,
        students: Sequence[Candidate],
        seed: int,
        tell: Callable[[Values, int, Trial | None], None],
    ):
        self.folder, self.task, self.answers, self.students = folder, task, answers, students
        self.seed, self.tell = seed, tell
        self.rank = np.random.default_rng(seed).permutation(len(answers.data.train))
        space = Space(task, [Fitting(student, "float32") for student in students], answers)
        self.values = [space.default(name) for name in space.students]

    def trainer(self, examples: int, number: int = 0) -> Trainer:
        """Of the first `examples` in an order that is drawn once; batches as all examples have."""
        data = self.answers.data
        part = data.train.take(np.sort(self.rank[:examples]))
        fewer = dataclasses.replace(self.answers, data=dataclasses.replace(data, train=part))
        trainer = Trainer(self.task, fewer, self.seed + number)
        trainer.batch_size = batch_size(len(data.train))
        return trainer

    def time(self, point: Point, steps: int = 12) -> tuple[float, float]:
        """Seconds until the first step of the largest run, and of each step after it."""
        place, examples, _ = point
        trainer, timing = self.trainer(examples), Timing(float("inf"), steps)
        trainer.train(trainer.build(self.students[place]), self.values[place], steps, timing=timing)
        return timing.start, timing.step

    def steps(self, point: Point) -> int:
        """Of one run at this point."""
        _, examples, epochs = point
        return epochs * -(-examples // batch_size(len(self.answers.data.train)))

    def kept(self, number: int, distilled: bool) -> Run | None:
        """What a run of an earlier call came to."""
        found = _folder.read_json(self._path(number, distilled))
        return None if found is None else Run(**found)

    def run(self, number: int, point: Point, distilled: bool, until: float) -> Run:
        """The run at a point of the design; what was done is not trained again.

        Raises:
            OutOfTime: When it is `until`.
        """
        done = self.kept(number, distilled)
        if done is not None:
            return done
        place, examples, epochs = point
        student = self.students[place]
        way = "distilled" if distilled else "alone"
        values = self.values[place] if distilled else alone(self.values[place])
        shown = {**values, "student": f"{student.name}, {examples:,} examples, {way}"}
        self.tell(shown, epochs, None)
        began = time.perf_counter()
        judged, why = self._trained(number, point, values, until)
        took = time.perf_counter() - began
        error = None if judged is None else 1 - judged.score
        run = Run(student.name, student.parameters, examples, epochs, distilled, error, took, why)
        _folder.write_json(self._path(number, distilled), dataclasses.asdict(run))
        score, loss = (None, None) if judged is None else (judged.score, judged.loss)
        self.tell(shown, epochs, Trial(shown, epochs, score, loss, took, why, "forecast", {}))
        return run

    def _trained(
        self, number: int, point: Point, values: Values, until: float
    ) -> tuple[Judged | None, str | None]:
        place, examples, epochs = point
        trainer = self.trainer(examples, number)
        try:
            student = trainer.build(self.students[place])
            trainer.train(student, values, epochs, until=until)
        except (OutOfTime, MemoryError, OSError):
            raise
        except Exception as error:  # the others may still tell enough
            return None, f"{type(error).__name__}: {str(error).strip()[:500]}"
        held = self.answers.data.validation
        outputs: Any = student.predict(held.x, batch_size=256, verbose=0)
        judged = self.task.judge(np.asarray(outputs), held.y)
        if not np.isfinite(judged.loss):
            return None, "its loss on the validation data is NaN or infinite"
        return judged, None

    def _path(self, number: int, distilled: bool) -> Path:
        way = "distilled" if distilled else "alone"
        return self.folder / "trials" / f"{number:02d}_{way}.json"
