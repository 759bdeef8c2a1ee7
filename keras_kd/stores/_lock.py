"""One writer at a time: a lock that the system takes back when its holder dies."""

import contextlib
import os
from collections.abc import Iterator
from typing import IO

from keras_kd.stores._codecs import StoreError
from keras_kd.stores._manifest import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def locked(path: Path, whose: str) -> Iterator[None]:
    """Holds the lock file `path`, or raises when another writer does."""
    while True:
        file = open(path, "a+")  # noqa: SIM115, it stays open while the lock is held
        if not _take(file):
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise StoreError(
                f"{whose} is being written by {holder}. Wait until it is done; to write with "
                "several processes, give each its own `shard_index`."
            )
        try:  # the holder before may have removed the file between opening and locking it
            if os.stat(path).st_ino == os.fstat(file.fileno()).st_ino:
                break
        except FileNotFoundError:
            pass
        file.close()
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {_host()}")
        file.flush()
        yield
    finally:
        if fcntl is not None:
            path.unlink(missing_ok=True)
        file.close()
        if fcntl is None:
            with contextlib.suppress(OSError):  # someone else holds it already
                path.unlink()


def writing(folder: Path, shard_index: int, num_shards: int) -> Path:
    """The lock file of one of several writers."""
    return folder / f".writing-{shard_index:05d}-of-{num_shards:05d}.lock"


def refuse_others(folder: Path, num_shards: int, whose: str) -> None:
    """Raises when a writer is at work that counts the writers otherwise: their shards overlap."""
    for path in folder.glob(".writing-?????-of-?????.lock"):
        if path.name.endswith(f"-of-{num_shards:05d}.lock"):
            continue
        with contextlib.suppress(FileNotFoundError), open(path, "r+") as file:
            if not _take(file):
                raise StoreError(
                    f"{whose} is being written by {file.read().strip() or 'another process'} as one "
                    f"of {int(path.stem.rpartition('-')[2])} writers. Received: num_shards="
                    f"{num_shards}. Give every writer the same `num_shards`."
                )


def _take(file: IO[str]) -> bool:
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


def _host() -> str:
    import platform

    return platform.node() or "this machine"
