"""Progress: what a person sees while `fit` runs."""

import sys
import time
from typing import IO, Any

import keras
from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.table import Table

from keras_kd._core.scalars import finite
from keras_kd.callbacks._schedules import scheduled_values, shares

_BAR = 20
_REDRAWN = 0.1  # seconds: more often is only slower


class Progress(keras.callbacks.Callback):
    """Shows each epoch as a row: the loss and what it is made of, what moves, and how good it is.

    A row holds the loss; each term's share of it; the temperatures and weights that move; the
    metrics (of the validation, when there is one); how far the student is above or below a
    baseline; and the time left.

    On a terminal the rows are a table, and a live line below it follows the batches. In a notebook
    one table grows. Elsewhere, such as in a log file, each epoch is one plain line. Use it with
    `fit(verbose=0)`, and list it before callbacks that change a weight.

    Args:
        baseline: What the student is compared with, such as the accuracy of the same student
            trained alone. Defaults to `None`.
        monitor: Name in the logs of the metric that is compared. Defaults to `"val_accuracy"`.
        file: Where to write. Defaults to `None`: the standard output.

    Example:

    >>> student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> distiller = keras_kd.Distiller(student=student, terms=[keras_kd.Labels(weight=2.0)])
    >>> distiller.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> x, y = np.zeros((8, 4)), np.array([0, 1, 2, 0, 1, 2, 0, 1])
    >>> progress = keras_kd.callbacks.Progress(baseline=2.0, monitor="loss")
    >>> history = distiller.fit(x, y, epochs=1, verbose=0, callbacks=[progress])
    epoch 1/1  loss 2.197  labels 100 %  against 2 +0.197  left 0:00
    """

    def __init__(
        self,
        baseline: float | None = None,
        *,
        monitor: str = "val_accuracy",
        file: IO[str] | None = None,
    ):
        super().__init__()
        self.baseline = None if baseline is None else finite(baseline, "baseline")
        self.monitor, self.file = monitor, file
        self._rows: list[dict[str, str]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self._console = Console(file=self.file or sys.stdout, highlight=False, markup=False)
        self._rows, self._handle = [], None
        self._drawn = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch, self._began = epoch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        if self._console.is_terminal and now - self._drawn >= _REDRAWN:
            self._drawn = now
            self._redraw(self._live(batch + 1, logs or {}, now))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._rows.append(self._row(epoch, logs or {}))
        if self._console.is_jupyter:
            self._show_in_notebook()
        elif self._console.is_terminal:
            self._redraw("")
            first = len(self._rows) == 1 or list(self._rows[-1]) != list(self._rows[-2])
            self._console.print(_table(self._rows[-1:], header=first))
        else:
            cells = (f"{heading} {text}" for heading, text in self._rows[-1].items())
            print("  ".join(cells), file=self._console.file, flush=True)

    # What is shown.

    def _row(self, epoch: int, logs: dict[str, Any]) -> dict[str, str]:
        """The cells of one epoch by their headings."""
        parts, scheduled = shares(self.model, logs), scheduled_values(self.model, logs)
        row = {"epoch": f"{epoch + 1}/{self.params['epochs']}", "loss": f"{logs['loss']:.4g}"}
        row |= {name: f"{100 * share:.0f} %" for name, share in parts.items()}
        row |= {name: f"{value:.4g}" for name, value in scheduled.items()}
        row |= {name: f"{logs[name]:.4g}" for name in _metrics(logs, {*parts, *scheduled})}
        if self.baseline is not None and self.monitor in logs:
            row[f"against {self.baseline:g}"] = f"{logs[self.monitor] - self.baseline:+.3f}"
        remaining = self.params["epochs"] - epoch - 1
        row["left"] = _clock(remaining * (time.perf_counter() - self._began))
        return row

    def _live(self, batch: int, logs: dict[str, Any], now: float) -> str:
        steps = self.params.get("steps")
        line = f"epoch {self._epoch + 1}/{self.params['epochs']}  "
        if steps:
            done = min(batch / steps, 1.0)
            full = round(_BAR * done)
            epochs = self.params["epochs"] - self._epoch
            left = (now - self._began) * (epochs / done - 1)
            line += f"{'━' * full}{'╌' * (_BAR - full)} {batch}/{steps}  left {_clock(left)}"
        else:
            line += f"{batch} batches"
        return line + "".join(f"  {k} {v:.4g}" for k, v in logs.items() if k == "loss")

    # Where it is shown.

    def _redraw(self, line: str) -> None:
        """The last line of the terminal, anew. Nothing to clean up, whatever ends the training."""
        self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))
        self._console.print(line[: self._console.width - 1], end="", soft_wrap=True)
        self._console.file.flush()

    def _show_in_notebook(self) -> None:
        from IPython.display import display

        table = _table(self._rows, header=True)
        if self._handle is None:
            self._handle = display(table, display_id=True)
        else:
            self._handle.update(table)


def _metrics(logs: dict[str, Any], known: set[str]) -> list[str]:
    """The names of the metrics: those of the validation where there are any."""
    skipped = {"loss", "learning_rate", *known}
    names = [name for name in logs if name.removeprefix("val_") not in skipped]
    return [name for name in names if f"val_{name}" not in logs]


def _table(rows: list[dict[str, str]], *, header: bool) -> Table:
    """Rows of cells under their headings, of widths that do not depend on the rows."""
    table = Table(box=None, show_header=header, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in rows[-1]:
        words = heading.replace("_", " ")
        width = max(8, *map(len, words.split()))
        table.add_column(words, justify="right", width=width, vertical="bottom")
    for row in rows:
        table.add_row(*(row.get(heading, "") for heading in rows[-1]))
    return table


def _clock(seconds: float) -> str:
    """`3723` -> `'1:02:03'`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
