"""The search: the default recipe first, then Hyperband by keras-tuner over everything else."""

import contextlib
import dataclasses
import io
import json
import logging
import time
from dataclasses import dataclass
from typing import Any

from keras_kd._core.optional import require
from keras_kd.auto import _folder
from keras_kd.auto._folder import Clock
from keras_kd.auto._training import OutOfTime
from keras_kd.auto._trials import Trial, Trials

#: Lengths of a trial, in epochs: few, so that another run comes to the same ones.
_LENGTHS = (1, 2, 3, 4, 6, 9, 12, 18, 27, 36, 48, 60)
_FACTOR = 3
#: The share of the time that is left which the last trainings are planned to take.
_SURE = 0.9
#: Trials of Hyperband's first bracket, and what they take in trainings of full length, by units.
_BRACKETS = {27: (40, 4.0), 9: (13, 3.0), 3: (4, 2.0)}
#: Bits of a weight in the number formats whose students may be trained with rounding in mind.
BITS = {"int8": 8, "int4": 4}


class _Enough(Exception):
    """No further trial fits into the search."""


@dataclass(frozen=True)
class Plan:
    """How long trials are.

    Args:
        short: Epochs of the first look at each student.
        full: Epochs of a trial that was never killed.
        final: Epochs of the winner and of the control.
        units: Hyperband's largest resource, in which `full` is divided; 0: there is no time for it.
    """

    short: int
    full: int
    final: int
    units: int


@dataclass(frozen=True)
class End:
    """What winner and control take: files, in seconds, and trainings, in final ones. Those of few bits
    may be trained on with rounding in mind, and written again."""

    files: float
    trainings: float


def end_of(trials: Trials, export: float) -> End:
    """`export`: seconds that one takes."""
    few = any(one.format in BITS for one in trials.space.students.values())
    return End(4.2 * export, 2.5) if few else End(2.2 * export, 2.0)


def plan_short(trials: Trials, clock: Clock, end: End, epochs: int | None) -> int:
    """Epochs of the first look: a third of a trial of full length, as far as one knows its time."""
    return max(1, plan_of(trials, clock, end, 1, epochs).full // _FACTOR)


def plan_of(trials: Trials, clock: Clock, end: End, short: int, epochs: int | None) -> Plan:
    """The plan that the rest of the budget allows."""
    start, step = trials.mean_times()
    epoch = step * trials.trainer.steps
    left = clock.left - end.files
    if epochs is not None:
        return Plan(short, epochs, 2 * epochs, 9 if epochs >= 9 else 3)
    for units, (count, lengths) in _BRACKETS.items():
        full = (left - (count + 3) * start) / ((lengths + 1 + 2 * end.trainings) * epoch)
        if full >= (_LENGTHS[-1] if units == 27 else units):
            found = max(_length(full), short)
            return Plan(short, found, 2 * found, units)
    found = max(short, _length((left - 3 * start) / ((1 + end.trainings) * epoch)))
    return Plan(short, found, found, 0)


def longer(plan: Plan, trials: Trials, student: str, clock: Clock, end: End) -> Plan:
    """The plan whose last trainings take what the search has left of the budget, up to four times the
    length of a trial."""
    first, second = (trials.seconds(student, epochs) for epochs in (1, 2))
    for_each = _SURE * (clock.left - end.files) / end.trainings
    fitting = 1 + int((for_each - first) / max(second - first, 1e-6))
    most = min(4 * plan.full, _LENGTHS[-1])
    return dataclasses.replace(plan, final=max(plan.final, min(fitting, most)))


def _length(epochs: float) -> int:
    return max([length for length in _LENGTHS if length <= epochs], default=1)


def defaults(trials: Trials, short: int, until: float) -> list[Trial]:
    """The default recipe on each student, for a first look."""
    found = []
    for number, name in enumerate(trials.space.students):
        values = trials.space.default(name)
        late = trials.seconds(name, short) > until - time.perf_counter()
        if number and late and not trials.has(values, short):
            break
        try:
            found.append(trials.run(values, short, "default", until, keep=True))
        except OutOfTime:
            break
    return found


def search(trials: Trials, plan: Plan, seed: int, most: int | None, until: float) -> None:
    """Hyperband over the whole space, until it is `until` or there were `most` trials."""
    tuner: Any = require("keras_tuner", extra="tune", purpose="keras_kd.auto searches")
    space = tuner.HyperParameters()
    trials.space.declare(space)
    oracle = tuner.oracles.HyperbandOracle(
        objective=tuner.Objective("objective", "max"),
        max_epochs=plan.units,
        factor=_FACTOR,
        hyperband_iterations=1000,
        seed=seed + 1,  # 0 would be drawn at random
        hyperparameters=space,
        max_consecutive_failed_trials=1_000_000,
    )

    class Search(tuner.Tuner):
        """Runs the trials that the oracle draws."""

        def on_trial_begin(self, trial: Any) -> None:
            if most is not None and int(trial.trial_id) >= most:
                raise _Enough
            values, epochs = self._asked(trial)
            known = trials.seconds(values["student"], epochs)
            if known > until - time.perf_counter():
                raise _Enough

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
            values, epochs = self._asked(trial)
            full = epochs >= plan.full
            try:
                done = trials.run(values, epochs, "search", until, keep=full)
            except (OutOfTime, MemoryError, OSError) as error:
                # Past the tuner's own net for what a trial dies of: no other would fare better.
                raise tuner.errors.FatalError(str(error)) from error
            if done.why is not None:
                raise tuner.errors.FailedTrialError(done.why)
            return {"objective": done.objective}

        def _asked(self, trial: Any) -> tuple[dict[str, Any], int]:
            drawn = trial.hyperparameters.values
            share = drawn["tuner/epochs"] / plan.units
            return trials.space.values(drawn), max(1, round(plan.full * share))

        def load_model(self, trial: Any) -> Any:
            return trials.student(trial)

    with _quiet(), contextlib.suppress(_Enough):
        try:
            made = Search(
                oracle=oracle, directory=str(trials.folder), project_name="tuner", overwrite=False
            )
        except (ValueError, KeyError, json.JSONDecodeError) as error:
            raise ValueError(
                f"'{trials.folder / 'tuner'}' is damaged: it is not what a search writes. Remove "
                "it; the trials that are done are not trained again."
            ) from error
        try:
            made.search(verbose=0)
        except tuner.errors.FatalError as error:
            if not isinstance(error.__cause__, OutOfTime):
                raise error.__cause__ or error from None


@contextlib.contextmanager
def _quiet() -> Any:
    """Without what keras-tuner prints of its own."""
    logger = logging.getLogger("keras_tuner")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def kept_plan(folder: Any) -> Plan | None:
    """The plan of the run that began this search."""
    kept = _folder.read_json(folder / _folder.PLAN)
    return None if kept is None else Plan(**kept)
