"""One process at a time: a lock that the system takes back when its holder dies."""

import contextlib
import os
import pathlib
import platform
from collections.abc import Callable, Iterator
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def locked(path: pathlib.Path, refusal: Callable[[str], Exception]) -> Iterator[None]:
    """Holds the lock file `path`, or raises `refusal(holder)` when someone else does."""
    while True:
        file = open(path, "a+")  # noqa: SIM115, it stays open while the lock is held
        if not take(file):
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise refusal(holder)
        try:  # the holder before may have removed the file between opening and locking it
            if os.stat(path).st_ino == os.fstat(file.fileno()).st_ino:
                break
        except FileNotFoundError:
            pass
        file.close()
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node() or 'this machine'}")
        file.flush()
        yield
    finally:
        if fcntl is not None:
            path.unlink(missing_ok=True)
        file.close()
        if fcntl is None:
            with contextlib.suppress(OSError):  # someone else holds it already
                path.unlink()


def take(file: IO[str]) -> bool:
    """Whether the lock on an open file could be had."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            file.seek(1 << 20)  # a place that nobody reads
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True
