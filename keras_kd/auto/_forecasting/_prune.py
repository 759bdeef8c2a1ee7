"""Which students of a search can still be the best, from the trials that are done."""

from collections.abc import Sequence

from keras_kd.auto._files import Fitting
from keras_kd.auto._forecasting._forecast import FEWEST_OF_ALL, Forecast, chance_of
from keras_kd.auto._forecasting._runs import Run
from keras_kd.auto._trials import Trials


def prune(
    fitting: Sequence[Fitting], trials: Trials, teacher: float, epochs: int, level: float = 0.9
) -> tuple[list[Fitting], dict[str, str]]:
    """The students that may be the best after `epochs`, and why the others will not be.

    A law of size and epochs is fitted to the best trial of each student and length. A student goes
    whose upper end lies below the best lower end. What architectures differ by counts as scatter,
    so students of several makes have wide intervals and stay.

    Args:
        fitting: The students.
        trials: What was tried of them.
        teacher: The teacher's score on the validation data.
        epochs: Of a trial of full length.
        level: Of the intervals.

    Returns:
        Students in their order, all of them for fewer than four points, and reasons by name.
    """
    trainer = trials.trainer
    data, task = trainer.answers.data, trainer.task
    best: dict[tuple[int, int], Run] = {}
    for trial in trials.done.values():
        student = trials.space.students.get(trial.values["student"])
        if trial.score is None or student is None:
            continue
        size, error = student.candidate.parameters, 1 - trial.score
        before = best.get((size, trial.epochs))
        if before is None or before.error is None or error < before.error:
            best[size, trial.epochs] = Run(
                student.name, size, len(data.train), trial.epochs, True, error, trial.seconds
            )
    if len(best) < FEWEST_OF_ALL:
        return list(fitting), {}
    forecast = Forecast(
        runs=tuple(best.values()),
        score_name=task.score_name,
        chance=chance_of(task.name, data.validation.y),
        teacher=1 - teacher,
        tested=len(data.validation),
    )
    told = {
        one.name: forecast.predict(
            size=one.candidate.parameters, examples=len(data.train), epochs=epochs, level=level
        )
        for one in fitting
    }
    leader = max(told, key=lambda name: told[name].low)
    dropped = {
        name: f"at most {each.high:.3f} after {epochs} epochs by the forecast, where '{leader}' has "
        f"{told[leader].low:.3f} at least"
        for name, each in told.items()
        if each.high < told[leader].low
    }
    return [one for one in fitting if one.name not in dropped], dropped
