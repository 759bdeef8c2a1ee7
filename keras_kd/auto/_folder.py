"""The folder of a search: what it was asked for, how much of the budget is spent, one at a time."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_kd._core.files import check_folder, named, remove_leftovers, replacing
from keras_kd._core.locks import locked

SETTINGS, CLOCK, PLAN, RESULT = "settings.json", "clock.json", "plan.json", "result.json"
HOPELESS = "hopeless.json"
#: The share of a budget that is not planned with.
_SPARE = 0.04
BEST = "best.keras"
STUDENT, DISTILLED, ALONE = "student", "distilled", "alone"


def write_json(path: Path, content: Any) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def read_json(path: Path) -> Any:
    """What was written; `None` when nothing was."""
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"'{path}' is damaged: it is not what a search writes. Remove that file, or give "
            "another folder."
        ) from error


@contextlib.contextmanager
def held(folder: Any, settings: dict[str, Any]) -> Iterator[Path]:
    """The folder of a search with these settings, for one process at a time."""

    def refusal(holder: str) -> ValueError:
        return ValueError(
            f"'{folder}' is the folder of a search that is going on, in {holder}. Wait until it is "
            "done, or give another `folder`."
        )

    path = named(folder)
    check_folder(path)
    (path / "trials").mkdir(parents=True, exist_ok=True)
    with locked(path / ".running.lock", refusal):
        for name in (SETTINGS, CLOCK, PLAN, RESULT, HOPELESS, BEST):
            remove_leftovers(path / name)
        begun = read_json(path / SETTINGS)
        if begun is None:
            write_json(path / SETTINGS, settings)
        elif others := [f"{n} was {begun.get(n)!r}, not {v!r}" for n, v in settings.items()
                        if begun.get(n) != v]:  # fmt: skip
            raise ValueError(
                f"'{path}' holds a search with other settings: {'; '.join(others)}. Give another "
                "`folder`, or remove that one."
            )
        yield path


class Clock:
    """The budget: what runs before this one spent of it counts too.

    Args:
        folder: Where what is spent is kept.
        budget: Seconds.
    """

    def __init__(self, folder: Path, budget: float):
        self.path, self.budget = folder / CLOCK, budget
        self.before = float((read_json(self.path) or {}).get("spent", 0.0))
        self.began = time.perf_counter()

    @property
    def spent(self) -> float:
        return self.before + time.perf_counter() - self.began

    @property
    def left(self) -> float:
        """Seconds for all but the last comparison and what is slower than it was measured to be."""
        return (1 - _SPARE) * self.budget - self.spent

    def until(self, reserve: float = 0.0) -> float:
        """When the budget is spent but for `reserve`, as a time of `time.perf_counter`."""
        return time.perf_counter() + self.left - reserve

    def keep(self) -> None:
        write_json(self.path, {"spent": self.spent, "budget": self.budget})
