"""Where two models differ: by class, by slice, by example, by confusion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_kd.report._intervals import Paired, bootstrap, paired
from keras_kd.report._mcnemar import mcnemar
from keras_kd.report._tasks import Classification

#: A slice of more values is refused: its values are measurements.
_MOST_SLICES = 50


@dataclass(frozen=True)
class Group:
    """Some of the examples, and how often each model is right on them.

    Args:
        name: The class, or the value of the slice, that they have in common.
        examples: Number of examples.
        by_model: Share of right predictions by model's name (in a regression, the mean absolute
            error); the mean over its runs.
        change: From the baseline to the judged model, in the same unit; `None` without a baseline.
    """

    name: str
    examples: int
    by_model: Mapping[str, float]
    change: Paired | None


@dataclass(frozen=True)
class Changed:
    """Examples that exactly one of two models predicts rightly.

    Args:
        lost: Those that the baseline has right and the judged model wrong, by index.
        won: Those that the baseline has wrong and the judged model right.
        before: Predictions of the baseline for all examples, as class names.
        after: Predictions of the judged model.
        truth: The labels, as class names.
    """

    lost: np.ndarray
    won: np.ndarray
    before: Sequence[str]
    after: Sequence[str]
    truth: Sequence[str]


@dataclass(frozen=True)
class Confusion:
    """One class predicted as another, and how often: the mean over each model's runs.

    Args:
        truth: The class.
        answer: The class that is predicted instead.
        before: How often by the baseline.
        after: How often by the judged model.
    """

    truth: str
    answer: str
    before: float
    after: float


def change_of(before: np.ndarray, after: np.ndarray, seed: int = 0) -> Paired:
    """From one model's errors to another's, both `(runs, examples)`.

    Over the runs, when both models have equally many; else over the examples, of the means over the
    runs.
    """
    if len(before) == len(after) > 1:
        return paired(before.mean(axis=1), after.mean(axis=1), seed=seed)
    return bootstrap(before.mean(axis=0), after.mean(axis=0), seed=seed)


def change_and_p_value(
    before: np.ndarray, after: np.ndarray, counts_errors: bool, seed: int
) -> tuple[Paired, float | None]:
    """The change of the errors, `(runs, examples)`; and McNemar's p for single models."""
    change = change_of(before, after, seed)
    if not counts_errors or len(before) > 1 or len(after) > 1:
        return change, None
    lost, won = ((after[0] - before[0] == sign).sum() for sign in (1, -1))
    return change, mcnemar(int(lost), int(won))


def groups(
    values: np.ndarray,
    wrong: Mapping[str, np.ndarray],
    pair: tuple[str, str] | None,
    counts_errors: bool,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Group]:
    """A `Group` for each of `values`; `wrong` is `(runs, examples)` by model."""
    score = (lambda w: 1 - w.mean()) if counts_errors else (lambda w: w.mean())
    by_value = []
    for value in np.unique(values):
        mask = values == value
        name = str(value) if names is None else names[int(value)]
        change = None
        if pair is not None:
            before, after = (wrong[model][:, mask] for model in pair)
            # Right predictions change as errors do, with the sign reversed.
            ordered = (after, before) if counts_errors else (before, after)
            change = change_of(*ordered, seed=seed)
        by_model = {model: float(score(w[:, mask])) for model, w in wrong.items()}
        by_value.append(Group(name, int(mask.sum()), by_model, change))
    return by_value


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


def changed(task: Classification, before: np.ndarray, after: np.ndarray) -> Changed:
    """The examples that changed between two runs, given their predictions."""
    wrong = [task.errors(predictions).astype(bool) for predictions in (before, after)]
    named = [
        [task.class_names[c] for c in task.decisions(predictions)]
        for predictions in (before, after)
    ]
    return Changed(
        lost=np.flatnonzero(~wrong[0] & wrong[1]),
        won=np.flatnonzero(wrong[0] & ~wrong[1]),
        before=named[0],
        after=named[1],
        truth=[task.class_names[c] for c in task.y],
    )


def confusions(
    before: np.ndarray, after: np.ndarray, names: Sequence[str], how_many: int = 10
) -> list[Confusion]:
    """The confusions that changed most, from two matrices `[label, prediction]`."""
    difference = np.abs(after - before)
    np.fill_diagonal(difference, 0)
    order = np.argsort(-difference, axis=None, kind="stable")[:how_many]
    cells = zip(*np.unravel_index(order, difference.shape), strict=True)
    return [
        Confusion(names[i], names[j], float(before[i, j]), float(after[i, j]))
        for i, j in cells
        if difference[i, j] > 0
    ]
