"""What a forecast says: of a student that was not trained, and of where distilling is worth it."""

import dataclasses
import functools
import html
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from keras_kd._core.files import replacing
from keras_kd._core.plain_text import plain_text
from keras_kd._core.scalars import count, is_number
from keras_kd.auto._forecasting._law import Law, Seen, fit, forms, left_out
from keras_kd.auto._forecasting._runs import Run

#: Fewer points say nothing about a law's level, three exponents and their scatter.
FEWEST = 6
FEWEST_OF_ALL = 4
#: An error is at least so far from chance, for the logarithm.
_UNLEARNED = 0.97
_AXES = ("size", "examples", "epochs")
#: How far beyond the largest run `worth_until` looks.
_FARTHEST = 1000.0


@dataclass(frozen=True)
class Prediction:
    """What is forecast: `low` and `high` are the ends of the interval.

    Args:
        value: The median.
        low: Below it lies half of what the level leaves out.
        high: Above it lies the other half.
        level: How likely what is measured lies between them.
    """

    value: float
    low: float
    high: float
    level: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f}, {self.level:.0%})"


@dataclass(frozen=True)
class Forecast:
    """What students that were not trained will reach, from short runs of others.

    The law is one of two, the one by which each pair of runs was the likelier from the others:
    `g = F + K S^-a N^-b E^-c`, a product of powers above a floor, or `g = F + (A S^-a + B N^-b +
    C E^-c)^q`, which is the law of Busbridge et al. for one teacher. `S` is the number of weights,
    `N` of examples, `E` of epochs; `1 / error = 1 / chance + 1 / g`, so that `g` is the error where
    that is small, and the error of guessing is its bound. The floor `F` is expected about the
    teacher's own error. Distilling changes the level, how it depends on each of the three, and the
    floor.

    Args:
        runs: A `Run` for each short training.
        score_name: What is forecast: `"accuracy"`, or `"R²"` of a regression.
        chance: The error of a student that has learned nothing: of the most frequent answer; of a
            regression 1.
        teacher: The teacher's error on the validation data.
        tested: Number of validation examples.
        seed: Of the draws.
        notes: What else there is to say.

    Raises:
        ValueError: If fewer than four points are left of the runs.
    """

    runs: tuple[Run, ...]
    score_name: str
    chance: float
    teacher: float
    tested: int
    seed: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(pairs(self.done)) < FEWEST_OF_ALL:
            raise ValueError(
                f"A forecast needs runs at {FEWEST_OF_ALL} points or more that did not fail. "
                f"Received {len(pairs(self.done))}."
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Forecast":
        """The forecast that `save` wrote.

        Args:
            path: Of the file.

        Raises:
            ValueError: If it is no file of a forecast.
        """
        try:
            with open(path, encoding="utf-8") as file:
                kept = json.load(file)
            runs = tuple(Run(**run) for run in kept.pop("runs"))
            return cls(runs=runs, **{**kept, "notes": tuple(kept["notes"])})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"'{os.fspath(path)}' is no file that Forecast.save wrote. Expected its JSON."
            ) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the runs as JSON, from which `Forecast.load` makes the same forecast.

        Args:
            path: Where to.
        """
        with replacing(path) as unfinished:
            told = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)
            unfinished.write_text(told, encoding="utf-8")

    def predict(
        self,
        *,
        size: float,
        examples: float,
        epochs: float,
        distilled: bool = True,
        level: float = 0.9,
    ) -> Prediction:
        """The score that a student will have.

        The interval is of one training, measured on as many new examples as the validation data
        have: it holds what is not known of the law, how runs scatter about it, and the sampling of
        both sets of examples.

        Args:
            size: Number of weights.
            examples: Number of training examples.
            epochs: Number of epochs.
            distilled: Whether with the teacher. Defaults to `True`.
            level: How likely the score lies in the interval, between 0 and 1. Defaults to `0.9`.

        Returns:
            A `keras_kd.auto.Prediction`.

        Raises:
            ValueError: If an argument is no number above 0, or `level` does not lie between 0 and 1.
        """
        errors = self._errors(size, examples, epochs)[:, int(distilled)]
        rng = np.random.default_rng([self.seed, 1])
        errors = errors + math.sqrt(2) * self._deviation(errors) * rng.normal(size=len(errors))
        return _interval(1 - np.maximum(errors, 0), level)

    def gain(
        self, *, size: float, examples: float, epochs: float, level: float = 0.9
    ) -> Prediction:
        """What distilling adds to the score: that of the distilled student less that of the same
        student alone.

        The interval is of one pair of trainings and of as many examples as one likes: a difference
        that is measured on a finite test set scatters more.

        Args:
            size: Number of weights.
            examples: Number of training examples.
            epochs: Number of epochs.
            level: How likely the difference lies in the interval. Defaults to `0.9`.

        Returns:
            A `keras_kd.auto.Prediction`.

        Raises:
            ValueError: As `predict` does.
        """
        errors = self._errors(size, examples, epochs)
        return _interval(errors[:, 0] - errors[:, 1], level)

    def worth_until(
        self,
        axis: str = "examples",
        *,
        size: float | None = None,
        examples: float | None = None,
        epochs: float | None = None,
        level: float = 0.9,
    ) -> float | None:
        """Where distilling stops being worth it: the largest value of one axis at which the
        interval of `gain` lies above 0.

        Args:
            axis: `"size"`, `"examples"` or `"epochs"`. Defaults to `"examples"`.
            size: Number of weights. Defaults to `None`: of the largest run; the same for the other
                two. The axis itself is looked at from its smallest run up to a thousand times the
                largest.
            examples: Number of training examples.
            epochs: Number of epochs.
            level: Of the interval. Defaults to `0.9`.

        Returns:
            The value; `math.inf` when distilling is worth it as far as one looks; `None` when it
            cannot be told from chance anywhere.

        Raises:
            ValueError: If `axis` is none of the three or is given itself, and as `predict` does.
        """
        given = {"size": size, "examples": examples, "epochs": epochs}
        if axis not in _AXES or given[axis] is not None:
            raise ValueError(
                "`axis` must be 'size', 'examples' or 'epochs', the one that is not given. "
                f"Received: axis={axis!r}, {axis}={given.get(axis)!r}."
            )
        low, high = self.reach[axis]
        steps = np.geomspace(low, _FARTHEST * high, 61)
        at = {name: given[name] or self.reach[name][1] for name in _AXES}
        worth = [self.gain(**{**at, axis: step}, level=level).low > 0 for step in steps]
        if not any(worth):
            return None
        last = max(place for place, good in enumerate(worth) if good)
        return math.inf if last == len(steps) - 1 else float(steps[last])

    @property
    def reach(self) -> dict[str, tuple[int, int]]:
        """The smallest and the largest value of each axis among the runs."""
        values = {name: [getattr(run, name) for run in self.done] for name in _AXES}
        return {name: (min(each), max(each)) for name, each in values.items()}

    @property
    def done(self) -> list[Run]:
        """The runs that did not fail."""
        return [run for run in self.runs if run.error is not None]

    @property
    def law(self) -> str:
        """The law that was taken, as a formula."""
        return self._chosen[0].form.formula

    @property
    def likelihoods(self) -> dict[str, float]:
        """Of each law how likely a pair of runs is from the others, the mean of the logarithms; the
        largest was taken."""
        return dict(self._chosen[1])

    @property
    def exponents(self) -> dict[str, Prediction]:
        """Of size, examples and epochs, of a student alone: by which power what lies above the
        floor falls."""
        return {
            name: _interval(self._chosen[0].powers()[:, place], 0.9)
            for place, name in enumerate(_AXES)
        }

    def plot(self, path: str | os.PathLike[str] | None = None, *, level: float = 0.9) -> Any:
        """A picture: the score against size, examples and epochs, alone and distilled, with
        intervals, and below what distilling adds.

        Args:
            path: Where to write it, `.png`, `.svg` or `.pdf`. Defaults to `None`: it is not written.
            level: Of the intervals. Defaults to `0.9`.

        Returns:
            A matplotlib `Figure`.

        Raises:
            ModuleNotFoundError: If matplotlib is not installed.
        """
        from keras_kd.auto._forecasting._picture import picture

        figure = picture(self, level)
        if path is not None:
            with replacing(path) as unfinished:
                figure.savefig(unfinished)
        return figure

    def __str__(self) -> str:
        return plain_text(self._show)

    def _show(self, console: Console) -> None:
        for line in self.summary():
            console.print(line)
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for heading in ("student", "weights", "examples", "epochs", "alone", "distilled"):
            table.add_column(heading, justify="left" if heading == "student" else "right")
        for (size, examples, epochs), pair in pairs(self.runs).items():
            scores = ["" if r is None else "failed" if r.error is None else f"{1 - r.error:.4f}"
                      for r in pair]  # fmt: skip
            name = next(run.student for run in pair if run is not None)
            table.add_row(name, f"{size:,}", f"{examples:,}", str(epochs), *scores)
        console.print(table)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def summary(self) -> list[str]:
        """What is to be known first, in sentences."""
        reach = {name: ends[1] for name, ends in self.reach.items()}
        falls = ", ".join(f"{n} {p.value:.2f}" for n, p in self.exponents.items())
        lines = [
            f"{len(pairs(self.done))} points, {self.law}; {self.score_name} of the teacher "
            f"{1 - self.teacher:.4f}. Exponents: {falls}.",
            f"Four times the examples, {4 * reach['examples']:,}, of the largest student for "
            f"{reach['epochs']} epochs:",
        ]
        at = {**reach, "examples": 4 * reach["examples"]}
        for distilled, name in ((False, "alone"), (True, "distilled")):
            lines.append(f"  {name}: {self.predict(**at, distilled=distilled)}")
        until = self.worth_until()
        if until is None:
            lines.append("Of no number of examples can it be told that distilling helps.")
        elif math.isinf(until):
            lines.append("Distilling is worth it for as many examples as one looks at.")
        else:
            lines.append(
                f"Distilling is worth it up to about {until:,.0f} examples; beyond, the difference "
                "cannot be told from none."
            )
        best = min(
            (r.error for r in self.done if not r.distilled and r.error is not None), default=1
        )
        if best < self.teacher:
            lines.append(
                f"The teacher is worse than a student of these runs alone ({1 - best:.4f}): look at "
                "it before anything is distilled."
            )
        return [*lines, *self.notes]

    # How it is computed.

    @functools.cached_property
    def _chosen(self) -> tuple[Law, dict[str, float]]:
        """The law that was taken, and how likely the runs are by each."""
        return choose(self._seen(), self._g(self.teacher), self.seed)

    def _seen(self) -> Seen:
        points, y, variance = [], [], []
        largest = self.largest
        for point, pair in pairs(self.done).items():
            errors = [math.nan if run is None else run.error for run in pair]
            middle = float(np.nanmean(np.array(errors, "float64")))
            points.append(np.log(point) - largest)
            y.append([self._g(error) for error in errors])
            bounded = self._bounded(middle)
            slope = 1 / bounded + 1 / (self.chance - bounded)
            variance.append((slope * self._deviation(bounded)) ** 2)
        return Seen(np.array(points), np.array(y), np.array(variance))

    @property
    def largest(self) -> np.ndarray:
        """The logarithms of the largest size, examples and epochs."""
        return np.log([self.reach[name][1] for name in _AXES])

    def _bounded(self, error: Any) -> Any:
        """An error as the logarithm bears it: half an example wrong at least, below chance."""
        return np.clip(error, 0.5 / (self.tested + 1), _UNLEARNED * self.chance)

    def _g(self, error: Any) -> Any:
        bounded = self._bounded(error)
        return np.log(bounded / (1 - bounded / self.chance))

    def _deviation(self, error: Any) -> Any:
        """Of an error measured on as many examples as the validation data have."""
        if self.score_name == "accuracy":
            bounded = np.clip(error, 0, 1)
            return np.sqrt(bounded * (1 - bounded) / self.tested)
        return np.abs(error) * math.sqrt(2 / self.tested)  # of squares of normal residuals

    def _errors(self, size: Any, examples: Any, epochs: Any) -> np.ndarray:
        """Draws of the error of a pair of runs, alone and distilled, `(draws, 2)`."""
        given = {"size": size, "examples": examples, "epochs": epochs}
        for name, value in given.items():
            if not is_number(value) or not 0 < value < math.inf:
                raise ValueError(f"`{name}` must be a number above 0. Received: {name}={value!r}.")
        point = np.log([size, examples, epochs]) - self.largest
        rng = np.random.default_rng([self.seed, 0])
        g = self._chosen[0].draws(point, rng)
        return 1 / (1 / self.chance + np.exp(-g))


def choose(seen: Seen, teacher: float, seed: int) -> tuple[Law, dict[str, float]]:
    """The law by which the runs are the likeliest from each other, and how likely by each."""
    offered = forms(teacher, best_alone(seen, teacher))
    found = {form.name: left_out(form, seen, seed) for form in offered}
    best = max(offered, key=lambda form: found[form.name])
    return fit(best, seen, seed), found


def best_alone(seen: Seen, teacher: float) -> float:
    """The `log g` of the best run alone; that of the teacher where there is none."""
    alone = seen.y[:, 0]
    return float(np.nanmin(alone)) if np.isfinite(alone).any() else teacher


def pairs(
    runs: Sequence[Run],
) -> dict[tuple[int, int, int], tuple[Run | None, Run | None]]:
    """By size, examples and epochs: the run alone and the distilled one."""
    found: dict[tuple[int, int, int], list[Run | None]] = {}
    for run in runs:
        both = found.setdefault((run.size, run.examples, run.epochs), [None, None])
        both[int(run.distilled)] = run
    return {point: (both[0], both[1]) for point, both in found.items()}


def _interval(draws: np.ndarray, level: float) -> Prediction:
    if not is_number(level) or not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1. Received: level={level!r}.")
    outside = (1 - level) / 2
    low, value, high = np.quantile(draws, [outside, 0.5, 1 - outside])
    return Prediction(float(value), float(low), float(high), float(level))


def chance_of(task: str, y: np.ndarray) -> float:
    """The error of the most frequent answer; of a regression that of the mean."""
    if task == "regression":
        return 1.0
    _, counts = np.unique(y, axis=0, return_counts=True)
    return float(1 - counts.max() / counts.sum())


def check_runs(runs: int) -> int:
    return count(runs, "runs", least=FEWEST, most=40)
