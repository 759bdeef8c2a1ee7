"""Where files are put: all at once, or not at all."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


def checked_path(path: str | os.PathLike[str], folder: bool) -> Path:
    """`path`, once it is known that something can be written there."""
    target = Path(path)
    if not folder and target.is_dir():
        raise ValueError(f"`path` must name a file; '{target}' is a folder.")
    if folder and target.exists() and not _is_saved_model(target):
        raise ValueError(
            f"`path` must name a new folder, or that of a former SavedModel; '{target}' is "
            "something else."
        )
    if not target.parent.is_dir():
        raise ValueError(f"The folder '{target.parent}' of `path` does not exist. Create it first.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise ValueError(f"The folder '{target.parent}' of `path` cannot be written to.")
    return target


def _is_saved_model(path: Path) -> bool:
    return path.is_dir() and (path / "saved_model.pb").is_file()


@contextlib.contextmanager
def placing(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target`. What is in it when all went well is moved to the folder of
    `target`, each thing under its own name. Otherwise what was there before stays."""
    stage = target.parent / f".{target.stem}-{uuid.uuid4().hex[:8]}"
    new, former = stage / "new", stage / "former"
    try:
        new.mkdir(parents=True)
        former.mkdir()
        yield new
        moved: list[Path] = []
        try:
            for thing in sorted(new.iterdir()):
                place = target.parent / thing.name
                if place.exists():
                    os.rename(place, former / thing.name)
                moved.append(place)
                os.rename(thing, place)
        except BaseException:
            for place in moved:
                if place.exists():
                    os.rename(place, new / place.name)
                if (former / place.name).exists():
                    os.rename(former / place.name, place)
            raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)
