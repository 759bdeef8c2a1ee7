"""What a search found, and how it is shown."""

import html
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from rich.console import Console
from rich.table import Table

from keras_kd import exporting
from keras_kd._core.files import check_page, replacing
from keras_kd._core.plain_text import plain_text
from keras_kd.auto import _page, _plots
from keras_kd.auto._limits import Limits, amount
from keras_kd.auto._space import ALONE
from keras_kd.auto._trials import Trial
from keras_kd.report import Report as Comparison

_WINNER = ", winner"
_ALONE_IS_BETTER = (
    "On the validation data the labels alone did clearly better than the teacher, so the file is that "
    "of the student alone."
)


@dataclass(frozen=True)
class Best:
    """A student that a search ended with.

    Args:
        file: The `.tflite` file, proven; the proof lies beside it. `None` of a control that was not
            written.
        student_file: The same student as a `.keras` file.
        format: The number format of the file.
        values: What it was trained with.
        epochs: How long.
        aware_epochs: For how many epochs it was then trained with rounding in mind.
        costs: What the file takes: `"size"` in bytes, `"latency"` in milliseconds, `"parameters"`,
            `"flops"`, `"arena"`.
        score: On the validation data, of the file.
        test_score: On the test data, of the file; `None` without test data.
    """

    file: Path | None
    student_file: Path
    format: str
    values: dict[str, Any]
    epochs: int
    aware_epochs: int
    costs: dict[str, float | None]
    score: float
    test_score: float | None

    @property
    def student(self) -> keras.Model:
        """The student as a Keras model, from its file."""
        return keras.saving.load_model(self.student_file, compile=False)

    @property
    def proof(self) -> Any:
        """The proof beside the file, as a dict."""
        if self.file is None:
            return None
        return json.loads(self.file.with_name(f"{self.file.name}.json").read_text("utf-8"))

    @property
    def card(self) -> Any:
        """What the file says of itself."""
        return None if self.file is None else exporting.card(self.file)


@dataclass(frozen=True)
class Result:
    """What `keras_kd.auto.compress` found; `print` shows it.

    Args:
        best: The winner: the distilled student, unless the control is clearly better on the
            validation data.
        distilled: The best student that learned from the teacher.
        control: The same student from the labels alone; `None` where there was no time for it.
        teacher: What was measured of the teacher, by name.
        trials: A `Trial` for each training of the search, failed ones among them.
        dropped: Students that were left out, before training or by a forecast, and why.
        limits: What was asked for.
        verdict: Whether distilling was worth it, in one sentence with its interval.
        default: How the winner does against the default recipe, in one sentence.
        mattered: By setting, how much the score depended on it; empty for few trials.
        notes: What else there is to say, warnings first.
        seconds: What all of it took.
        budget: What it might take.
        code: The lines of Python that train the winner again.
        score_name: What the score is.
        comparison: A `keras_kd.report.Report` of teacher, student alone and distilled.
        folder: Where all of it lies.
    """

    best: Best
    distilled: Best
    control: Best | None
    teacher: dict[str, Any]
    trials: tuple[Trial, ...]
    dropped: dict[str, str]
    limits: Limits
    verdict: str
    default: str
    mattered: dict[str, float]
    notes: tuple[str, ...]
    seconds: float
    budget: float
    code: str
    score_name: str
    comparison: Comparison
    folder: Path

    @property
    def helped(self) -> bool:
        """Whether the winner is one that learned from the teacher."""
        return self.best.values["recipe"] != ALONE

    @property
    def report(self) -> "Report":
        """The page."""
        return Report(self)

    def summary(self) -> list[str]:
        """What is to be known first, in sentences."""
        best = self.best
        takes = ", ".join(
            f"{name} {amount(name, value)}"
            for name, value in best.costs.items()
            if value is not None and name in ("size", "latency", "parameters", "arena")
        )
        lines = [
            self.verdict,
            *(() if self.helped else (_ALONE_IS_BETTER,)),
            f"{best.file}: {best.values['student']}, {takes}. Limits: {self.limits}.",
            self.default,
            f"{len(self.trials)} trials; {self.seconds / 60:.1f} of {self.budget / 60:.1f} minutes.",
        ]
        return [*lines, *self.notes]

    def rows(self) -> list[tuple[str, float | None, float | None, float | None, float | None]]:
        """Name, score on validation and test data, size, latency: of the teacher, the student alone,
        and distilled; the winner is named so."""
        teacher = self.teacher
        found = [("teacher", teacher["score"], teacher.get("test_score"), teacher.get("size"),
                  teacher.get("latency"))]  # fmt: skip
        for name, one in (("student alone", self.control), ("distilled", self.distilled)):
            if one is not None:
                costs = one.costs
                name += _WINNER if one.values == self.best.values else ""
                found.append(
                    (name, one.score, one.test_score, costs.get("size"), costs.get("latency"))
                )
        return found

    def __str__(self) -> str:
        return plain_text(self._show)

    def _show(self, console: Console) -> None:
        for line in self.summary():
            console.print(line)
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        headings = ("", f"{self.score_name}, validation", "test", "size", "one example")
        for place, heading in enumerate(headings):
            table.add_column(heading, justify="right" if place else "left")
        for name, held, test, size, took in self.rows():
            table.add_row(name, *shown(held, test, size, took))
        console.print(table)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def shown(*values: float | None) -> list[str]:
    """Scores, size and latency as cells."""
    held, test, size, took = values
    return [
        "" if held is None else f"{held:.4f}",
        "" if test is None else f"{test:.4f}",
        "" if size is None else amount("size", size),
        "" if took is None else amount("latency", took),
    ]


class Report:
    """The page of a result.

    Args:
        result: What is told.
    """

    def __init__(self, result: Result):
        self.result = result

    def figures(self) -> dict[str, Any]:
        """A matplotlib `Figure` by name: accuracy against size and latency, and what mattered."""
        result = self.result
        finished = [t for t in result.trials if t.score is not None]
        found = {}
        for cost, label, factor in (
            ("size", "size of the file (kB)", 1e-3),
            ("latency", "one example (ms)", 1.0),
        ):

            def point(costs: Any, score: Any, cost: str = cost, factor: float = factor) -> Any:
                value = costs.get(cost)
                return (None if value is None else factor * value), score

            limit = getattr(result.limits, cost)
            control = result.control
            found[f"{result.score_name} against {cost}"] = _plots.pareto(
                [point(t.costs, t.score) for t in finished],
                point(result.distilled.costs, result.distilled.score),
                None if control is None else point(control.costs, control.score),
                point(result.teacher, result.teacher["score"]),
                None if limit is None else factor * limit,
                label,
                f"{result.score_name} on the validation data",
                result.helped,
            )
        found["what mattered"] = _plots.bars(result.mattered, len(finished))
        return {name: figure for name, figure in found.items() if figure is not None}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one page, `.html`, that needs nothing else: pictures are inside.

        Args:
            path: Where to.

        Raises:
            ValueError: If `path` does not end in `.html`.
            ModuleNotFoundError: If matplotlib is not installed.
        """
        check_page(path)
        page = _page.page(self.result, self._pictures())
        with replacing(path) as unfinished:
            unfinished.write_text(page, encoding="utf-8")

    def _pictures(self) -> dict[str, str]:
        return {name: _plots.as_uri(figure) for name, figure in self.figures().items()}

    def _repr_html_(self) -> str:
        """In a notebook: the pictures."""
        return "".join(
            f'<p>{html.escape(name.capitalize())}</p><img alt="{html.escape(name)}" width="560" '
            f'src="{uri}">'
            for name, uri in self._pictures().items()
        )

    def __str__(self) -> str:
        return str(self.result)
