"""Where files are put: all at once, or not at all."""

import contextlib
import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from keras_kd._core.files import named, remove_leftovers, replacing
from keras_kd._core.locks import locked
from keras_kd.exporting._proof import ExportError


def checked_path(path: str | os.PathLike[str], marker: str = "") -> Path:
    """`path`, once it is known that something can be written there: a file, or a folder that may
    be there already when it has the file `marker` in it."""
    target = named(path)
    if not marker and target.is_dir():
        raise ValueError(f"`path` must name a file; '{target}' is a folder.")
    if marker and target.exists() and not (target / marker).is_file():
        raise ValueError(
            f"`path` must name a new folder, or that of a former SavedModel; '{target}' is "
            "something else."
        )
    for parent in dict.fromkeys((target.parent, _real(target).parent)):
        if not parent.is_dir():
            raise ValueError(f"The folder '{parent}' of `path` does not exist. Create it first.")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise ValueError(f"The folder '{parent}' of `path` cannot be written to.")
    return target


def _real(path: Path) -> Path:
    """Where symbolic links lead to: they stay, and what they stand for is replaced."""
    return Path(os.path.realpath(path))


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target`. What is in it when all went well is put into the folder of
    `target`, each thing under its own name, `target` last. Otherwise what was there before stays.

    One export at a time may be at work on a file; the next one removes what a killed one left.
    """
    real = _real(target)

    def refusal(holder: str) -> ExportError:
        return ExportError(
            f"'{target}' is being exported to by {holder}. Wait until it is done, or give another "
            "`path`."
        )

    with locked(real.with_name(f".{real.name}.lock"), refusal):
        for left in real.parent.glob(f".{glob.escape(real.name)}-{'[0-9a-f]' * 8}"):
            _clear(left, real)
        stage = real.with_name(f".{real.name}-{uuid.uuid4().hex[:8]}")
        new, former = stage / "new", stage / "former"
        try:
            new.mkdir(parents=True)
            former.mkdir()
            yield new
            _put_all(
                sorted(new.iterdir(), key=lambda t: (t.name == target.name, t)), target, former
            )
        finally:
            _clear(stage, real)


def _clear(stage: Path, real: Path) -> None:
    """Removes a hidden folder; the former SavedModel in it goes back where it is missing."""
    if (stage / "former" / real.name).is_dir() and not real.exists():
        os.rename(stage / "former" / real.name, real)
    shutil.rmtree(stage, ignore_errors=True)


def _put_all(things: list[Path], target: Path, former: Path) -> None:
    """Puts things beside `target`, or leaves what was there when one of them cannot be put."""
    put: list[Path] = []
    try:
        for thing in things:
            place = _real(target.parent / thing.name)
            remove_leftovers(place)
            if place.exists() and (place.is_dir() or thing.is_dir()):
                os.rename(place, former / thing.name)
            elif place.exists():
                shutil.copy2(place, former / thing.name)
            put.append(place)
            _put(thing, place)
    except BaseException:
        for thing, place in zip(things, put, strict=False):
            before = former / thing.name
            if place.is_dir():
                shutil.rmtree(place)
            if before.exists():
                _put(before, place)
            else:
                place.unlink(missing_ok=True)
        raise


def _put(thing: Path, place: Path) -> None:
    """A file in one move, whatever was there; a folder where there is none."""
    if thing.is_dir():
        os.rename(thing, place)
        return
    with replacing(place) as temporary:
        shutil.move(thing, temporary)  # which copies to another file system
