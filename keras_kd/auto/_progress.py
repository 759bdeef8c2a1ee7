"""What a person sees while a search runs: one live table on a terminal, and nothing in a log."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from keras_kd.auto._folder import Clock
from keras_kd.auto._limits import amount
from keras_kd.auto._space import Values, settings_of
from keras_kd.auto._trials import Trial

_SHOWN = 12


class Progress:
    """The trials so far, what is being done, and the time that is left.

    Args:
        verbose: Whether to show anything; `None`: on a terminal.
        score: What the score is called.
    """

    def __init__(self, verbose: bool | None):
        self.console = Console(file=sys.stderr, highlight=False, markup=False)
        self.shown = self.console.is_terminal if verbose is None else verbose
        self.score = "score"
        self.clock: Clock | None = None
        self.trials: list[Trial] = []
        self.doing = ""
        self.live: Live | None = None

    @contextlib.contextmanager
    def running(self, clock: Clock) -> Iterator[None]:
        self.clock = clock
        if not self.shown or not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, get_renderable=self._table, refresh_per_second=2,
                  transient=False, redirect_stdout=False, redirect_stderr=False) as live:  # fmt: skip
            self.live = live
            yield
        self.live = None

    def stage(self, text: str) -> None:
        """What is being done."""
        self.doing = text
        if self.shown and not self.console.is_terminal:
            self.console.print(f"{self._clock()}  {text}")

    def trial(self, values: Values, epochs: int, done: Trial | None) -> None:
        if done is None:
            self.stage(f"{_what(values)}, {epochs} epochs")
        else:
            self.trials.append(done)

    def _clock(self) -> str:
        left = 0.0 if self.clock is None else max(0.0, self.clock.left)
        return f"{int(left // 60)}:{int(left % 60):02d} left"

    def _table(self) -> Any:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for heading in ("student", "recipe", "epochs", self.score, "size", "s"):
            table.add_column(
                heading, justify="left" if heading in ("student", "recipe") else "right"
            )
        best = sorted(self.trials, key=lambda t: -t.objective)[:_SHOWN]
        for trial in best:
            size = trial.costs.get("size")
            table.add_row(
                trial.values["student"], _recipe(trial.values), str(trial.epochs),
                "failed" if trial.score is None else f"{trial.score:.4f}",
                "" if size is None else amount("size", size), f"{trial.seconds:.1f}",
            )  # fmt: skip
        line = f"{len(self.trials)} trials  {self._clock()}  {self.doing}"
        return Group(table, Text(line[: self.console.width - 1]))


def _what(values: Values) -> str:
    return f"{values['student']}: {_recipe(values)}"


def _recipe(values: Values) -> str:
    settings = " ".join(f"{k} {v:g}" for k, v in settings_of(values).items())
    return f"{values['recipe']} {settings} rate {values['learning_rate']:g}" + (
        f" views {values['views']}" if values["views"] > 1 else ""
    )
