"""`Report`: the numbers, with what prints them and draws them."""

import os
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from keras_kd._core.files import check_page, replacing
from keras_kd._core.plain_text import plain_text
from keras_kd.report import _html, _plots, _rows, _tables
from keras_kd.report._results import Results


@dataclass(frozen=True)
class Report(Results):
    """What `keras_kd.report.compare` found.

    `print(report)` for a terminal; a notebook displays it as a page; `save("report.html")` writes one
    page with everything inside; `to_dict()` is for programs.

    Args:
        task: `"classification"`, `"multi_label"` or `"regression"`.
        counts_errors: Whether predictions are right or wrong; otherwise they have a distance.
        examples: Number of examples.
        models: A `ModelReport` by name.
        teacher: Name of the teacher, if any.
        baseline: Name of the model compared with, if any.
        judged: Name of the model that the verdict is about.
        change: From the baseline to the judged model, per example; `None` without a baseline.
        p_value: Of McNemar's exact test, for single models.
        temperature: Softening of the KL.
        batch_size: Examples at once.
        classes: A `Group` for each class.
        slices: By name, a `Group` for each value.
        changed: Examples that exactly one of both predicts rightly; of their first runs.
        confusions: Those that changed most.
        pictures: Images of examples that changed, by index.
        histories: Training curves by name.
        importance: Of the channels of a layer, if computed.
        similarity: Of the layers of two models, if computed.
    """

    def show(self, console: Console | None = None) -> None:
        """Prints verdict and tables to the terminal, or to a given `rich` console."""
        _tables.show(self.verdict, self.details(), _rows.tables(self), console or Console())

    def __str__(self) -> str:
        return plain_text(self.show)

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
        check_page(path)
        page = _html.page(self)
        with replacing(path) as unfinished:
            unfinished.write_text(page, encoding="utf-8")
