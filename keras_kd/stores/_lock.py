"""One writer at a time of each part of a store."""

import contextlib
from collections.abc import Iterator

from keras_kd._core import locks
from keras_kd.stores._codecs import StoreError
from keras_kd.stores._manifest import Path


@contextlib.contextmanager
def locked(path: Path, whose: str) -> Iterator[None]:
    """Holds the lock file `path`, or raises when another writer does."""

    def refusal(holder: str) -> StoreError:
        return StoreError(
            f"{whose} is being written by {holder}. Wait until it is done; to write with "
            "several processes, give each its own `shard_index`."
        )

    with locks.locked(path, refusal):
        yield


def writing(folder: Path, shard_index: int, num_shards: int) -> Path:
    """The lock file of one of several writers."""
    return folder / f".writing-{shard_index:05d}-of-{num_shards:05d}.lock"


def refuse_others(folder: Path, num_shards: int, whose: str) -> None:
    """Raises when a writer is at work that counts the writers otherwise: their shards overlap."""
    for path in folder.glob(".writing-?????-of-?????.lock"):
        if path.name.endswith(f"-of-{num_shards:05d}.lock"):
            continue
        with contextlib.suppress(FileNotFoundError), open(path, "r+") as file:
            if not locks.take(file):
                raise StoreError(
                    f"{whose} is being written by {file.read().strip() or 'another process'} as one "
                    f"of {int(path.stem.rpartition('-')[2])} writers. Received: num_shards="
                    f"{num_shards}. Give every writer the same `num_shards`."
                )
