"""`forecast`: short runs out of one store of the teacher's answers, and the law fitted to them."""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_kd import students as ladder
from keras_kd._core.optional import require
from keras_kd._core.scalars import count, is_number
from keras_kd.auto import _folder
from keras_kd.auto._answers import ask
from keras_kd.auto._candidates import Candidate, candidates_of, check_student, name_of
from keras_kd.auto._data import data_of, kind_of
from keras_kd.auto._folder import Clock
from keras_kd.auto._forecasting._design import Point, design
from keras_kd.auto._forecasting._forecast import (
    FEWEST,
    Forecast,
    chance_of,
    check_runs,
    pairs,
)  # fmt: skip
from keras_kd.auto._forecasting._runs import Run, Runs
from keras_kd.auto._limits import seconds
from keras_kd.auto._progress import Progress
from keras_kd.auto._task import Task, task_of
from keras_kd.auto._teacher import check_outputs, teacher_of
from keras_kd.auto._training import OutOfTime

_WIDTHS = (0.25, 0.5, 1.0)
#: Of all examples, what the runs have at least and at most; and never fewer than so many.
_SHARES, _FEW = (1 / 16, 1 / 2), 50
#: Epochs of the longest run, the first that the budget allows, and how many times the shortest's.
_LENGTHS, _SPAN = (24, 18, 12, 9, 8, 6, 5, 4), 4
#: The share of the budget that runs are planned for: times are estimates.
_PLANNED = 0.85
#: By how much the ends of an axis must differ.
_LEAST_SPAN = 1.5


def forecast(
    teacher: Any,
    train: Any,
    *,
    validation: Any = None,
    students: Callable[[float], Any] | Sequence[Any] | None = None,
    sizes: Sequence[float] | None = None,
    examples: tuple[int, int] | None = None,
    epochs: tuple[int, int] | None = None,
    runs: int = 8,
    budget: Any = "15 min",
    folder: Any = "keras_kd_forecast",
    seed: int = 0,
    verbose: bool | None = None,
) -> Forecast:
    """What students will reach that were not trained, from a few short runs of others.

    The teacher predicts every training example once, into a store. Then students of several sizes
    are trained at a few points, each with its own number of examples and epochs, once from the
    labels alone and once distilled by the task's default recipe: the points spread over all three
    (a Latin hypercube in the logarithms, with the largest corner), so that the effect of each can be
    told apart. A law of the error in size, examples and epochs is fitted to them; it says what a
    larger student, more examples or more epochs will come to, alone and distilled, with an interval,
    and where distilling stops being worth it.

    A law of powers above a floor takes what it has seen further. It knows nothing of overfitting, of
    another architecture or of other settings than those of its runs: the learning rate falls to 0
    within the epochs of each, batches are those that all examples would have.

    Everything is written to `folder` as it comes: called again with the same arguments, a forecast
    that was stopped goes on where it was, and what was spent of the budget counts.

    Needs the extra `tune`.

    Args:
        teacher: A `keras.Model`, a teacher of `keras_kd.sources`, or a function from a batch to
            logits (for a regression, to numbers), as `keras_kd.auto.compress` takes it.
        train: `(x, y)`, a `keras_kd.data.Part`, or a `keras_kd.data.Dataset`: classification,
            several labels or regression, with one input.
        validation: The same, which errors are measured on. Defaults to `None`: 15 % of the training
            examples.
        students: A function `build(width)`, or a list of names of `keras_kd.students`, Keras models
            and such functions. Defaults to `None`: convolutions for images, dense layers for
            columns, a text network for tokens, at several widths.
        sizes: The widths that students are built at, two or more numbers, for a function and for
            `None`. Defaults to `None`: `(0.25, 0.5, 1.0)`.
        examples: The fewest and the most examples of a run. Defaults to `None`: from a sixteenth to
            half of all.
        epochs: The fewest and the most epochs. Defaults to `None`: a quarter of the most, and as
            many as the budget allows, at most 24.
        runs: At how many points, each of which is trained twice. Defaults to `8`.
        budget: Seconds, or a text such as `"15 min"`. Defaults to `"15 min"`.
        folder: Where everything is written. Defaults to `"keras_kd_forecast"`.
        seed: Of weights, orders, points and draws. Defaults to `0`.
        verbose: Whether what is done is shown on the standard error. Defaults to `None`: on a
            terminal.

    Returns:
        A `keras_kd.auto.Forecast`: `predict`, `gain`, `worth_until`, `plot`, `save`; `print` shows
        it.

    Raises:
        TypeError: If an argument is of no kind that is known.
        ValueError: If there are fewer than 6 runs, sizes, examples or epochs do not vary, the task
            is another one, the teacher gives NaN, the budget is too short (it says how long the runs
            take), or `folder` holds something else.
        RuntimeError: If so many runs failed that fewer than 6 points are left.
        ModuleNotFoundError: If the extra `tune` is not installed.

    Example:

    ```python
    data = kd.data.load("digits", validation=0.2)
    forecast = kd.auto.forecast(teacher, data, epochs=(3, 12), budget="5 min", folder="forecast")
    print(forecast)
    print(forecast.predict(size=50_000, examples=917, epochs=30))
    forecast.plot("forecast.png")
    ```

    Reference: Busbridge, Shidani, Weers, Ramapuram, Littwin, Webb, "Distillation Scaling Laws",
    ICML 2025, arXiv:2502.08606: the law for a teacher that is given is one of the two.
    """
    began = time.perf_counter()
    wanted, runs, seed = seconds(budget), check_runs(runs), count(seed, "seed", least=0)
    require("scipy", extra="tune", purpose="keras_kd.auto.forecast plans its runs")
    model = teacher_of(teacher)
    data = data_of(train, validation, None)
    notes = data.notes[:-1]  # the last is of the test data, of which there are none
    outputs = model.predict(data.validation.x)
    check_outputs(outputs, model.name)
    task, _ = task_of(data.validation.y, outputs)
    data = data.relabelled(lambda y: task_of(y, np.zeros((len(y), task.outputs)))[1])
    offered = _students(students, sizes, model, task, data.train.x)
    parameters = [student.parameters for student in offered]
    _check_span((min(parameters), max(parameters)), "sizes of the students")
    all_of_them = len(data.train)
    ends = _ends(examples, "examples", all_of_them) or _default_examples(all_of_them)
    lengths = _ends(epochs, "epochs", None)
    settings = {
        "kind": "forecast", "teacher": model.fingerprint, "data": data.identity,
        "students": [[student.name, student.parameters] for student in offered],
        "examples": list(ends), "epochs": None if lengths is None else list(lengths), "runs": runs,
        "seed": seed,
    }  # fmt: skip
    progress = Progress(verbose)
    progress.score = task.score_name
    with _folder.held(folder, settings) as path:
        clock = Clock(path, wanted)
        clock.began = began
        try:
            with progress.running(clock):
                progress.stage("the teacher's answers")
                answers, told = ask(model, task, data, path, 0.0, seed)
                notes += () if answers.folders else tuple(told)
                made = Runs(path, task, answers, offered, seed, progress.trial)
                points = _plan(made, runs, ends, lengths, clock, progress.stage)
                done, late = _made(made, points, clock)
        finally:
            clock.keep()
    _check_done(done, runs, clock, late)
    if late:
        notes += (f"The budget was spent after {len(pairs(done))} of {runs} points.",)
    held = data.validation
    return Forecast(
        runs=tuple(done),
        score_name=task.score_name,
        chance=chance_of(task.name, held.y),
        teacher=1 - task.judge(outputs, held.y).score,
        tested=len(held),
        seed=seed,
        notes=tuple(notes),
    )


def _students(
    given: Any, sizes: Sequence[float] | None, teacher: Any, task: Task, x: np.ndarray
) -> list[Candidate]:
    """The students, the largest first."""
    if given is not None and not _is_function(given):
        if sizes is not None:
            raise ValueError(
                "`sizes` are the widths of students that a function builds: give students=build, or "
                f"leave `sizes` out. Received: sizes={sizes!r} and students={given!r}."
            )
        return candidates_of(given, teacher, task, x)[0]
    widths = _WIDTHS if sizes is None else _checked_widths(sizes)
    build = _default_build(task, x) if given is None else given
    called = "width" if given is None else name_of(given)
    found = []
    for width in widths:
        make, name = partial(build, width), f"{called} {width:g}"
        model = make()
        check_student(model, name, task, x)
        weights = model.count_params()
        found.append(
            Candidate(name, "given", make, f"build({width:g})", weights, weights, len(model.layers))
        )
    return sorted(found, key=lambda student: -student.parameters)


def _is_function(given: Any) -> bool:
    return callable(given) and not isinstance(given, keras.Model)


def _checked_widths(sizes: Any) -> list[float]:
    good = isinstance(sizes, Sequence) and not isinstance(sizes, str)
    if not good or not all(is_number(width) and 0 < width < math.inf for width in sizes):
        raise ValueError(
            "`sizes` must be the widths that students are built at, numbers above 0 such as "
            f"(0.25, 0.5, 1.0). Received: sizes={sizes!r}."
        )
    if len(set(sizes)) < 2:
        raise ValueError(
            "`sizes` do not vary, so nothing can be told of the size of a student. Give two or more, "
            f"such as (0.25, 0.5, 1.0). Received: sizes={sizes!r}."
        )
    return [float(width) for width in dict.fromkeys(sizes)]


def _default_build(task: Task, x: np.ndarray) -> Callable[[float], keras.Model]:
    """One make for each kind of inputs, of any width."""
    shape, kind = tuple(int(n) for n in x.shape[1:]), kind_of(x)

    def units(width: float, *most: int) -> tuple[int, ...]:
        return tuple(max(1, round(width * each)) for each in most)

    if kind == "images":
        return lambda width: ladder.cnn(shape, task.outputs, widths=units(width, 16, 32, 64))
    if kind == "columns":
        return lambda width: ladder.mlp(shape, task.outputs, units=units(width, 64, 64))
    if kind == "tokens":
        vocabulary = int(x.max()) + 1
        return lambda width: ladder.text_cnn(
            shape, task.outputs, vocabulary=vocabulary,
            width=units(width, 32)[0], filters=units(width, 32)[0],
        )  # fmt: skip
    raise ValueError(
        f"There are no students of several widths for inputs of shape {(None, *shape)}. Give a "
        "function: students=build, where build(width) gives a keras.Model."
    )


def _ends(given: Any, argument: str, most: int | None) -> tuple[int, int] | None:
    """The smallest and the largest of an axis, as given."""
    if given is None:
        return None
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise ValueError(
            f"`{argument}` must be two whole numbers, the fewest and the most of a run. Received: "
            f"{argument}={given!r}."
        )
    low, high = (count(value, argument, most=most) for value in given)
    _check_span((low, high), f"`{argument}`")
    return low, high


def _check_span(ends: tuple[int, int], what: str) -> None:
    if ends[1] < _LEAST_SPAN * ends[0]:
        raise ValueError(
            f"The {what} do not vary, so nothing can be told of their effect: they go from "
            f"{ends[0]:,} to {ends[1]:,}. The largest must be {_LEAST_SPAN} times the smallest at "
            "least."
        )


def _default_examples(count: int) -> tuple[int, int]:
    low, high = (max(_FEW, round(share * count)) for share in _SHARES)
    if high > count or high < _LEAST_SPAN * low:
        raise ValueError(
            f"There are {count:,} training examples, too few for runs on parts of them: half of "
            f"them must be {_LEAST_SPAN * _FEW:.0f} at least."
        )
    return low, high


def _plan(
    made: Runs,
    runs: int,
    examples: tuple[int, int],
    epochs: tuple[int, int] | None,
    clock: Clock,
    tell: Callable[[str], None],
) -> list[Point]:
    """Where runs are made: as the call that began this forecast planned it, or as the budget
    allows."""
    kept = _folder.read_json(made.folder / _folder.PLAN)
    if kept is not None:
        return [(place, n, e) for place, n, e in kept]
    tell("how long a run takes")
    sizes = [student.parameters for student in made.students]
    corner: Point = (int(np.argmax(sizes)), examples[1], 1)
    start, step = made.time(corner)

    def takes(points: Sequence[Point]) -> float:
        return 2 * sum(start + step * made.steps(point) for point in points)

    lengths = [epochs] if epochs is not None else [(-(-most // _SPAN), most) for most in _LENGTHS]
    for ends in lengths:
        points = design(runs, sizes, examples, ends, made.seed)
        if takes(points) <= _PLANNED * clock.left:
            _folder.write_json(made.folder / _folder.PLAN, points)
            return points
    need = clock.spent + takes(points) / _PLANNED
    raise ValueError(
        f"`budget` is too short: {clock.budget:.0f} s, of which {clock.spent:.0f} are spent. The "
        f"largest run, {examples[1]:,} examples for {ends[1]} epochs, takes about "
        f"{takes(points[:1]) / 2:.1f} s here, and all {2 * runs} together "
        f"{takes(points):.0f} s. Give budget='{math.ceil(need)} s', or fewer examples or epochs."
    )


def _made(made: Runs, points: Sequence[Point], clock: Clock) -> tuple[list[Run], bool]:
    """The runs at all points, or those before the budget was spent; and whether it was."""
    done: list[Run] = []
    try:
        for number, point in enumerate(points):
            until = clock.until()
            pair = [made.run(number, point, distilled, until) for distilled in (False, True)]
            done += pair
            clock.keep()
    except OutOfTime:
        return done, True
    return done, False


def _check_done(done: list[Run], runs: int, clock: Clock, late: bool) -> None:
    whole = [p for p in pairs(done).values() if all(r and r.error is not None for r in p)]
    if len(whole) >= FEWEST:
        return
    if late:
        raise ValueError(
            f"`budget` is spent, {clock.budget:.0f} s, after {len(whole)} of {runs} points, and "
            f"{FEWEST} are needed. Call again with a larger budget: what is done is kept."
        )
    why = next((run.why for run in done if run.why is not None), "two points are the same")
    raise RuntimeError(
        f"Of {runs} points {len(whole)} are left, and {FEWEST} are needed. The first that failed: "
        f"{why}"
    )
