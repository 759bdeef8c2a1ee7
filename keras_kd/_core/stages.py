"""The stages of long work, shown on the standard error."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextlib.contextmanager
def showing_stages(stages: int) -> Iterator[Callable[[str], None]]:
    """A function to call as each stage begins: a bar on a terminal, else one plain line each."""
    done = iter(range(stages))
    if not sys.stderr.isatty():
        yield lambda text: print(f"[{next(done) + 1}/{stages}] {text}", file=sys.stderr, flush=True)
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        work = bar.add_task("", total=stages)
        yield lambda text: bar.update(work, description=text, completed=next(done))
