"""Tables for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_kd.report import _rows


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        name: Name of the model.
        errors: Errors on the test set, one number for each seed.
        agreement: Share of the test set on which it predicts the same class as the teacher.
        parameters: Number of weights.
        milliseconds: Time for one image.
    """

    name: str
    errors: Sequence[int]
    agreement: float
    parameters: int
    milliseconds: float


def table(rows: Sequence[Row], examples: int) -> Table:
    """The rows as a `rich` table; `examples` is the size of the test set.

    Errors are a mean and, when there are several seeds, their standard deviation. Kilobytes are
    those of the weights in float32.
    """
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    drawn.add_column("", no_wrap=True)
    for heading in (f"errors of {examples:,}", "in %", "as teacher", "weights", "kB", "ms"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        drawn.add_row(
            row.name,
            _mean(row.errors),
            f"{100 * np.mean(row.errors) / examples:.1f}",
            f"{100 * row.agreement:.1f} %",
            f"{row.parameters:,}",
            _kilobytes(4 * row.parameters),
            f"{row.milliseconds:.2f}",
        )
    return drawn


def _kilobytes(size: int) -> str:
    return f"{size / 1000:.1f}" if size < 1_000_000 else f"{size / 1000:,.0f}"


def _mean(values: Sequence[int]) -> str:
    """`47.2 ± 5.1`; one value alone as it is."""
    if len(values) == 1:
        return f"{values[0]}"
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def show(
    verdict: str, details: Sequence[str], tables: Sequence[_rows.Table], console: Console
) -> None:
    """Prints the verdict and the tables of a report."""
    console.print(Text(verdict, style="bold"))
    for line in details:
        console.print(Text(line))
    for table_rows in tables:
        console.print()
        console.print(_rich_table(table_rows))
        if table_rows.note:
            console.print(Text(table_rows.note, style="dim"))


def _rich_table(table_rows: _rows.Table) -> Table:
    drawn = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=table_rows.title, title_justify="left",
        title_style="bold",
    )  # fmt: skip
    for column, heading in enumerate(table_rows.headings):
        drawn.add_column(Text(heading), justify="right" if column else "left")
    for row in table_rows.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn
