"""What a person sees while a store is written: on stderr, and only at a terminal."""

import contextlib
import sys
from collections.abc import Callable, Iterator


def size(count: float) -> str:
    """`1234567` -> `'1.2 MB'`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError


@contextlib.contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar with examples per second and the time left; gives `advance(examples)`."""
    if not sys.stderr.isatty():
        yield lambda examples: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task):
            return Text(f"{task.speed:,.0f}/s" if task.speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(
            "{task.completed:,.0f} of {task.total:,.0f}" if total else "{task.completed:,.0f}"
        ),
        Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda examples: bar.update(task, advance=examples)
