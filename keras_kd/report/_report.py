"""`Report`: what `compare` found, as text, as a page, as pictures, as a dict."""

import dataclasses
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from keras_kd._core.files import replacing
from keras_kd.report import _html, _plots, _rows, _tables
from keras_kd.report._costs import Costs
from keras_kd.report._differences import Changed, Confusion, Group
from keras_kd.report._importance import Importance
from keras_kd.report._intervals import FEWEST, Paired
from keras_kd.report._similarity import Similarity
from keras_kd.report._verdict import p_value, verdict


@dataclass(frozen=True)
class ModelReport:
    """One model of a report.

    Args:
        name: Its name.
        scores: By key, one number for each run; `None` where a score has no meaning.
        wrong: Per run and example, 1 for an error and 0 for none; for numbers, the distance.
        reads: How its outputs were read, and why.
        costs: What it costs; of the first run.
        seconds: Time that its answers took.
        bins: For a reliability diagram, of the first run: per bin the number of answers, their
            mean confidence and their share of right ones.
    """

    name: str
    scores: Mapping[str, Sequence[float | None]]
    wrong: np.ndarray
    reads: str
    costs: Costs
    seconds: float
    bins: tuple[np.ndarray, np.ndarray, np.ndarray] | None

    def score(self, key: str) -> float | None:
        """The mean over the runs."""
        values = [value for value in self.scores[key] if value is not None]
        return float(np.mean(values)) if values else None


@dataclass(frozen=True)
class Report:
    """What `keras_kd.report.compare` found.

    `print(report)` for a terminal; in a notebook it shows itself; `save("report.html")` writes one
    page with everything inside; `to_dict()` is for programs.

    Args:
        task: `"classification"`, `"multi_label"` or `"regression"`.
        counts_errors: Whether answers are right or wrong; else near or far.
        examples: Number of examples.
        models: A `ModelReport` by name.
        teacher: Name of the teacher, if any.
        baseline: Name of the model compared with, if any.
        judged: Name of the model judged.
        change: From the baseline to the judged model, per example; `None` without a baseline.
        p_value: Of McNemar's exact test, for single models.
        temperature: Softening of the KL.
        batch_size: Examples at once.
        classes: A `Group` for each class.
        slices: By name, a `Group` for each value.
        changed: Examples that one of both answers rightly; of their first runs.
        confusions: Those that changed most.
        pictures: Images of examples that changed, by place.
        histories: Training curves by name.
        importance: Of the layer asked for.
        similarity: Of the models asked for.
    """

    task: str
    counts_errors: bool
    examples: int
    models: Mapping[str, ModelReport]
    teacher: str | None
    baseline: str | None
    judged: str
    change: Paired | None
    p_value: float | None
    temperature: float
    batch_size: int
    classes: Sequence[Group]
    slices: Mapping[str, Sequence[Group]]
    changed: Changed | None
    confusions: Sequence[Confusion]
    pictures: Mapping[int, np.ndarray]
    histories: Mapping[str, Mapping[str, Sequence[float]]]
    importance: Importance | None
    similarity: Similarity | None

    @property
    def verdict(self) -> str:
        """Whether the judged model is better, in one sentence."""
        return verdict(
            judged=self.judged,
            baseline=self.baseline,
            teacher=self.teacher,
            change=self.change,
            errors={name: float(m.wrong.mean()) for name, m in self.models.items()},
            parameters={name: m.costs.parameters for name, m in self.models.items()},
            examples=self.examples,
            runs=self._runs,
            counts_errors=self.counts_errors,
        )

    @property
    def _runs(self) -> int:
        """The number of runs that are pairs; 0 when the examples are."""
        if self.baseline is None:
            return 0
        before, after = (len(self.models[name].wrong) for name in (self.baseline, self.judged))
        return before if before == after > 1 else 0

    def show(self, console: Console | None = None) -> None:
        """Prints verdict and tables to the terminal, or to a given `rich` console."""
        _tables.show(self.verdict, self.details(), _rows.tables(self), console or Console())

    def details(self) -> list[str]:
        """What belongs to the verdict, a sentence each."""
        lines = []
        if self.changed is not None:
            lines.append(
                f"{len(self.changed.won):,} examples went from wrong to right, "
                f"{len(self.changed.lost):,} from right to wrong"
                + (
                    f" (McNemar's exact test: p = {p_value(self.p_value)})."
                    if self.p_value is not None
                    else " (in the first runs)."
                )
            )
        if self.change is not None:
            over = "runs" if self._runs else "examples"
            how = "bootstrap-t" if self.p_value is None else "the dual of McNemar's test"
            lines.append(
                f"An interval over {over} needs at least {FEWEST}, and differences that are not all the same."
                if self.change.too_few
                else f"The interval is over {over} ({how})."
            )
        return lines

    def __str__(self) -> str:
        text = io.StringIO()
        self.show(
            Console(file=text, width=100, color_system=None, highlight=False, force_jupyter=False)
        )
        return text.getvalue().rstrip()

    def figures(self) -> dict[str, Any]:
        """A matplotlib `Figure` by name, for all that can be drawn of this report.

        Raises:
            ModuleNotFoundError: If matplotlib is not installed.
        """
        return _plots.figures(self)

    def _repr_html_(self) -> str:
        return _html.body(self, pictures=_plots.available())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the report as one page, `.html`, that needs nothing else: pictures are inside.

        Raises:
            ValueError: If `path` does not end in `.html`.
            ModuleNotFoundError: If matplotlib is not installed.
        """
        if os.fspath(path).rpartition(".")[2].lower() not in ("html", "htm"):
            raise ValueError(
                f"A report is saved as a page: `path` must end in .html. Received: {path}"
            )
        page = _html.page(self)
        with replacing(path) as unfinished:
            unfinished.write_text(page, encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as dicts, lists, strings and floats that `json.dumps` takes."""
        whole = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del whole["pictures"]
        models = {
            name: {
                "scores": dict(m.scores),
                "errors" if self.counts_errors else "error": list(
                    m.wrong.sum(axis=1) if self.counts_errors else m.wrong.mean(axis=1)
                ),
                "reads": m.reads,
                "costs": m.costs,
                "seconds": m.seconds,
            }
            for name, m in self.models.items()
        }
        changed = self.changed and {"lost": self.changed.lost, "won": self.changed.won}
        return _plain({"verdict": self.verdict, **whole, "models": models, "changed": changed})


def _plain(value: Any) -> Any:
    """`value` in types that JSON has; what is no number becomes `None`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
