"""The folder of a run: what is in it, and how a run that is started again finds its place."""

import argparse
import contextlib
import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._core.files import remove_leftovers, replacing
from keras_kd._core.locks import locked
from keras_kd.callbacks import Best, read_best

STUDENT, STATE, LOG, SUMMARY = "student.keras", "state.npz", "log.csv", "summary.json"
SETTINGS = "settings.json"
#: What makes a run another run.
_SETTINGS = ("teacher", "student", "data", "scale", "recipe", "set", "batch_size",
             "learning_rate", "augment", "validation", "seed")  # fmt: skip


@contextlib.contextmanager
def held(out: Path) -> Iterator[None]:
    """The folder of a run, made when it is not there, for one process at a time."""

    def refusal(holder: str) -> ValueError:
        return ValueError(
            f"'{out}' is the folder of a run that is going on, in {holder}. Wait until it is done, "
            "or give another --out."
        )

    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".running.lock", refusal):
        for name in (STUDENT, STATE, LOG, SUMMARY, SETTINGS):
            remove_leftovers(out / name)
        yield


def settle(options: argparse.Namespace, classes: Sequence[str]) -> None:
    """Puts the settings down, or proves that the run begun here has the same.

    `classes` are the names of the outputs, in their order.
    """
    path = options.out / SETTINGS
    asked = {n: getattr(options, n) for n in _SETTINGS}
    asked |= {"teacher": str(options.teacher), "set": dict(options.set), "classes": list(classes)}
    begun = read_settings(options.out)
    if begun is None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(asked, indent=2), encoding="utf-8")
        return
    begun.setdefault("classes", asked["classes"])  # runs of before did not put them down
    others = [f"{n} was {begun.get(n)!r}, not {v!r}" for n, v in asked.items() if begun.get(n) != v]
    if others:
        raise ValueError(
            f"'{options.out}' holds a run with other settings: {'; '.join(others)}. Give another "
            "--out, or remove that folder."
        )


def read_settings(out: Path) -> dict[str, Any] | None:
    """What the run in this folder was asked for; `None` where there is none."""
    path = out / SETTINGS
    if not path.exists():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"'{path}' is damaged: it is not what a run writes. Give another --out, or remove that "
            "folder. The order of the classes of a student in it is told by --classes."
        ) from error


def trim(path: Path, done: int) -> None:
    """Keeps the lines of the epochs that are done: the others are trained again."""
    if not path.exists():
        return
    try:
        with open(path, newline="") as file:
            header, *rows = [*csv.reader(file)] or [[]]
        # The last line may have been cut off, and say 1 for 10.
        kept = [row for place, row in enumerate(rows) if place == int(row[0]) < done]
    except (ValueError, IndexError, csv.Error) as error:
        raise ValueError(
            f"'{path}' is damaged: it is not what a run writes. Remove it, and the next epoch "
            "begins another."
        ) from error
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        csv.writer(file).writerows([header, *kept] if done else [])


def if_stopped(options: argparse.Namespace) -> str:
    """What there is, and how to go on."""
    path, state = options.out / STUDENT, options.out / STATE
    if not state.exists():
        return "No epoch was done, so nothing was written. Run the same command to start again."
    with np.load(state) as file:
        done = int(file["epochs"])
    best = read_best(path)
    kept = (
        f"{path} is the best student so far (epoch {best.epoch}, {_how_good(best)}). "
        if best is not None and math.isfinite(best.value)
        else ""
    )
    return f"{kept}Run the same command again to go on after epoch {done} of {options.epochs}."


def _how_good(best: Best) -> str:
    if best.monitor == "val_accuracy":
        return f"validation accuracy {best.value:.1%}"
    return f"validation loss {best.value:.4g}"
