"""Files that are never half-written, and folders that can be written to."""

import contextlib
import glob
import os
import pathlib
import uuid
from collections.abc import Iterator

_Path = str | os.PathLike[str]


def named(path: _Path) -> pathlib.Path:
    """`path`, which has to name something: an empty one would be the folder one happens to be in."""
    if not os.fspath(path):
        raise ValueError("The path is empty: ''. Expected the name of a file or a folder.")
    return pathlib.Path(path)


@contextlib.contextmanager
def replacing(path: _Path) -> Iterator[pathlib.Path]:
    """A temporary name beside `path`, of the same ending; renamed to `path` when all went well.

    Whatever interrupts the writing, `path` holds either its former content or the new one. Where
    `path` is a symbolic link, that holds for the file that it leads to, and the link stays.
    """
    path = writable(path)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def writable(path: _Path) -> pathlib.Path:
    """`path` with symbolic links followed, once it is known that its folder takes a new file."""
    path = pathlib.Path(os.path.realpath(named(path)))
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder '{path.parent}' to write '{path.name}' to. Create it first."
        )
    check_folder(path.parent)
    return path


def check_folder(folder: _Path) -> None:
    """An error when nothing can be written to `folder`, or where it is to be created."""
    there = pathlib.Path(os.path.realpath(named(folder)))
    while not there.exists():
        there = there.parent
    if there.is_dir() and not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(
            f"The folder '{there}' cannot be written to. Give a path in another one, or get "
            "the permission to write there."
        )


def remove_leftovers(path: _Path) -> None:
    """Removes what processes that were killed left of `replacing(path)`; nobody may be writing."""
    path = pathlib.Path(os.path.realpath(path))
    for left in path.parent.glob(f".{'[0-9a-f]' * 8}-{glob.escape(path.name)}"):
        left.unlink(missing_ok=True)


def check_page(path: _Path) -> None:
    """Raises a `ValueError` unless `path` is that of a page."""
    if os.fspath(path).rpartition(".")[2].lower() not in ("html", "htm"):
        raise ValueError(f"A report is saved as a page: `path` must end in .html. Received: {path}")
