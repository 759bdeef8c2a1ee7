"""Where two models differ: by class, by example, by confusion, by any label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_kd.report._intervals import Paired, bootstrap, paired
from keras_kd.report._tasks import Classes

#: More values than this are no slices but a measurement.
_MOST_SLICES = 50


@dataclass(frozen=True)
class Group:
    """Some of the examples, and how each model fares on them.

    Args:
        name: What they have in common.
        examples: How many there are.
        by_model: Share of right answers by model's name (for numbers, the mean absolute error);
            the mean over its runs.
        change: From the baseline to the judged model, in the same unit; `None` without a baseline.
    """

    name: str
    examples: int
    by_model: Mapping[str, float]
    change: Paired | None


@dataclass(frozen=True)
class Changed:
    """Examples that one of two models answers rightly.

    Args:
        lost: Those that were right and are wrong, by their place in the data.
        won: Those that were wrong and are right.
        before: Answers of the baseline to all examples, as words.
        after: Answers of the judged model.
        truth: The labels, as words.
    """

    lost: np.ndarray
    won: np.ndarray
    before: Sequence[str]
    after: Sequence[str]
    truth: Sequence[str]


@dataclass(frozen=True)
class Confusion:
    """One way to err, and how often, in each model's mean over its runs.

    Args:
        truth: The class.
        answer: What it was taken for.
        before: How often by the baseline.
        after: How often by the judged model.
    """

    truth: str
    answer: str
    before: float
    after: float


def change_of(before: np.ndarray, after: np.ndarray, seed: int = 0) -> Paired:
    """From one model's errors to another's, both `(runs, examples)`.

    Over the runs, when both have as many; over the examples, when it is one of each or when the
    runs are no pairs, of which then the means are taken.
    """
    if len(before) == len(after) > 1:
        return paired(before.mean(axis=1), after.mean(axis=1), seed=seed)
    return bootstrap(before.mean(axis=0), after.mean(axis=0), seed=seed)


def groups(
    values: np.ndarray,
    wrong: Mapping[str, np.ndarray],
    pair: tuple[str, str] | None,
    counts_errors: bool,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Group]:
    """A `Group` for each of `values`; `wrong` is `(runs, examples)` by model."""
    good = (lambda w: 1 - w.mean()) if counts_errors else (lambda w: w.mean())
    found = []
    for value in np.unique(values):
        which = values == value
        name = str(value) if names is None else names[int(value)]
        change = None
        if pair is not None:
            before, after = (wrong[model][:, which] for model in pair)
            # Right answers change as errors do, the other way round.
            sides = (after, before) if counts_errors else (before, after)
            change = change_of(*sides, seed=seed)
        by_model = {model: float(good(w[:, which])) for model, w in wrong.items()}
        found.append(Group(name, int(which.sum()), by_model, change))
    return found


def check_slices(slices: Mapping[str, np.ndarray], examples: int) -> dict[str, np.ndarray]:
    """The slices as arrays, one value for each example."""
    checked = {name: np.asarray(values) for name, values in slices.items()}
    for name, values in checked.items():
        if values.shape != (examples,):
            raise ValueError(
                f"`slices[{name!r}]` must have one value for each of the {examples} examples. "
                f"Received shape {values.shape}."
            )
        if len(np.unique(values)) > _MOST_SLICES:
            raise ValueError(
                f"`slices[{name!r}]` has {len(np.unique(values))} different values, and at most "
                f"{_MOST_SLICES} make a table. Sort them into bins first, for example with "
                "np.digitize."
            )
    return checked


def changed(task: Classes, before: np.ndarray, after: np.ndarray) -> Changed:
    """Between two runs, given their answers."""
    wrong = [task.wrong(answers).astype(bool) for answers in (before, after)]
    named = [[task.names[c] for c in task.decisions(answers)] for answers in (before, after)]
    return Changed(
        lost=np.flatnonzero(~wrong[0] & wrong[1]),
        won=np.flatnonzero(wrong[0] & ~wrong[1]),
        before=named[0],
        after=named[1],
        truth=[task.names[c] for c in task.y],
    )


def confusions(
    before: np.ndarray, after: np.ndarray, names: Sequence[str], most: int = 10
) -> list[Confusion]:
    """The confusions that changed most, from two matrices `[truth, answer]`."""
    difference = np.abs(after - before)
    np.fill_diagonal(difference, 0)
    order = np.argsort(-difference, axis=None, kind="stable")[:most]
    places = zip(*np.unravel_index(order, difference.shape), strict=True)
    return [
        Confusion(names[i], names[j], float(before[i, j]), float(after[i, j]))
        for i, j in places
        if difference[i, j] > 0
    ]
