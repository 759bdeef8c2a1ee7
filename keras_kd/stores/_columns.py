"""Columns: numbers on disk, of which only those that are needed come into memory."""

import math
import os
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd.stores._codecs import StoreError
from keras_kd.stores._manifest import BLOCK, Manifest, shard_name

#: A store of at most so many bytes is held in memory; of a larger one, what is needed is read.
#: (Mapped files would do for both, were it not for systems that map whole files at a touch.)
BUDGET = 96 << 20
#: How many files are kept open.
OPEN = 200


class Damaged(Exception):
    """A block of a file does not have its checksum."""


class Column:
    """One `.npy` file.

    Args:
        path: The file.
        dtype: The type of number it must hold, or `None` for any.
        shape: The shape of one example in it, or `None` for any.
        whole: Whether it is brought into memory. Defaults to `False`.
        sums: What the checksums of its blocks must be. Defaults to `None`: not checked.
        good: Which blocks are known to have theirs; is kept up to date.
    """

    def __init__(
        self,
        path: Path,
        dtype: str | None = None,
        shape: tuple[int, ...] | None = None,
        *,
        whole: bool = False,
        sums: list[int] | None = None,
        good: np.ndarray | None = None,
    ):
        self._sums = sums
        self._good = np.full(len(sums or ()), False) if good is None else good
        self._file = open(path, "rb")  # noqa: SIM115, it stays open while it is read from
        try:
            version = np.lib.format.read_magic(self._file)
            header = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}")
            self.shape, fortran, self.dtype = header(self._file)
            self._start = self._file.tell()
            # Mapped: the sorted ids are searched in place. Nothing is in memory until it is read.
            mapped = np.memmap(path, self.dtype, "r", self._start, self.shape)
            self.array = np.asarray(mapped)  # what a memmap's own indexing adds is felt per batch
        except Exception as error:  # whatever strange bytes lead to
            raise StoreError(f"'{path}' is damaged: it is no array: {error}.") from error
        wrong = (dtype is not None and self.dtype != np.dtype(dtype)) or fortran
        if wrong or (shape is not None and self.shape[1:] != shape):
            raise StoreError(
                f"'{path}' is damaged: it holds {self.dtype} of shape {self.shape[1:]}, expected "
                f"{dtype} of shape {shape}."
            )
        self._lock = threading.Lock()
        size = os.path.getsize(path)
        self._check(np.array([0]), np.array([size - 1 if whole else self._start]))
        self._in_memory = np.array(self.array) if whole else None

    def _check(self, first: np.ndarray, last: np.ndarray) -> None:
        """Raises `Damaged` when a block with one of these bytes is not as it was written."""
        if self._sums is None or not len(first):
            return
        first, last = first // BLOCK, last // BLOCK
        if self._good[first].all() and self._good[last].all() and (last - first).max() < 2:
            return
        touched = np.concatenate([np.arange(a, b + 1) for a, b in zip(first, last, strict=True)])
        for block in np.unique(touched):
            if not self._good[block]:
                content = self._read(int(block) * BLOCK, BLOCK)
                if zlib.crc32(content) != self._sums[block]:
                    raise Damaged
                self._good[block] = True

    def take(self, rows: np.ndarray, views: np.ndarray | None = None) -> np.ndarray:
        """A copy of the numbers of these examples, each in its view."""
        if self._in_memory is not None:
            return self._in_memory[rows] if views is None else self._in_memory[rows, views]
        shape = self.shape[1:] if views is None else self.shape[2:]
        places = rows if views is None else rows * self.shape[1] + views
        size = self.dtype.itemsize * math.prod(shape)
        starts = self._start + places * size
        self._check(starts, starts + max(size - 1, 0))
        if len(places) and (np.diff(places) == 1).all():  # in order: one piece
            content = self._read(int(starts[0]), size * len(places))
        else:
            content = b"".join([self._read(start, size) for start in starts.tolist()])
        return np.frombuffer(content, self.dtype).reshape(len(places), *shape)

    def _read(self, place: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), size, place)
        with self._lock:
            self._file.seek(place)
            return self._file.read(size)


class Shards:
    """The columns of a finished store, opened and checked when they are first read."""

    def __init__(self, manifest: Manifest, *, check: bool = True):
        self.manifest, self._check, self._views = manifest, check, manifest.views
        self._open: dict[tuple[int, str], Column] = {}
        self._good: dict[tuple[int, str], np.ndarray] = {}
        self._specs: dict[str, Any] = {"ids.npy": (None, ())}
        self._specs["data.npy"] = "float32", manifest.digest.shape
        for names, codec in zip(manifest.files, manifest.codecs, strict=True):
            for column, (kind, shape, *rows) in codec.columns().items():
                self._specs[names[column]] = kind, shape if rows else (manifest.views, *shape)
        files = [entry for shard in manifest.shards for entry in shard["files"].values()]
        self._in_memory = sum(entry["bytes"] for entry in files) <= BUDGET
        self._lock = threading.Lock()
        for number in range(len(manifest.shards)):
            self._inspect(number, content=False)

    def _inspect(self, number: int, content: bool) -> None:
        files = self.manifest.shards[number]["files"]
        for name in self._specs:
            if name not in files:
                raise StoreError(
                    f"'{self.manifest.folder}' is damaged: its manifest names no file '{name}' in "
                    f"{shard_name(number)}."
                )
            self.manifest.check_file(shard_name(number), name, files[name], content)

    def check_all(self) -> None:
        """Reads every file and compares it with its checksum."""
        for number in range(len(self.manifest.shards)):
            self._inspect(number, content=True)

    def take(self, name: str, rows: np.ndarray, views: np.ndarray | None = None) -> np.ndarray:
        """The numbers of a column for these examples, each in its view."""
        if len(self.manifest.shards) == 1:
            return self._read(0, name, rows, views)
        shards, places = np.divmod(rows, self.manifest.shard_size)
        found = np.unique(shards)
        if len(found) == 1:
            return self._read(int(found[0]), name, places, views)
        kind, shape = self._specs[name]
        out = np.empty((len(rows), *(shape if views is None else shape[1:])), kind or "O")
        for number in found:
            here = np.flatnonzero(shards == number)
            some = None if views is None else views[here]
            out[here] = self._read(int(number), name, places[here], some)
        return out

    def take_rows(self, name: str, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        """The rows of these examples in their views, those of one behind those of the other."""
        shards, places = np.divmod(rows, self.manifest.shard_size)
        starts, stops = np.zeros(len(rows), "int64"), np.zeros(len(rows), "int64")
        flat = places * self.manifest.views + views
        ends = self.manifest.ends[name]
        for number in np.unique(shards):
            here = shards == number
            stops[here] = self._read(int(number), ends, *np.divmod(flat[here], self._views))
            after = here & (flat > 0)
            if after.any():
                before = np.divmod(flat[after] - 1, self._views)
                starts[after] = self._read(int(number), ends, *before)
        counts = stops - starts
        out_ends = np.cumsum(counts)
        kind, shape = self._specs[name]
        out = np.empty((int(counts.sum()), *shape), kind)
        for number in np.unique(shards):
            here = shards == number
            into = _runs(out_ends[here] - counts[here], counts[here])
            out[into] = self._read(int(number), name, _runs(starts[here], counts[here]), None)
        return out

    def _read(self, number: int, name: str, places: np.ndarray, views: Any) -> np.ndarray:
        try:
            return self._column(number, name).take(places, views)
        except Damaged:
            raise self.manifest.damaged(shard_name(number), name) from None

    def _column(self, number: int, name: str) -> Column:
        with self._lock:
            if (number, name) in self._open:
                return self._open[number, name]
            path = self.manifest.folder / shard_name(number) / name
            sums = self.manifest.shards[number]["files"][name]["crc32"] if self._check else None
            good = self._good.setdefault((number, name), np.full(len(sums or ()), False))
            column = Column(path, *self._specs[name], whole=self._in_memory, sums=sums, good=good)
            if len(self._open) >= OPEN and not self._in_memory:
                self._open.pop(next(iter(self._open)))  # closed once nobody reads from it
            self._open[number, name] = column
            return column


def _runs(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """`starts[0], starts[0] + 1, ...` so many times, then the same of the next."""
    ends = np.cumsum(counts)
    return np.repeat(starts - (ends - counts), counts) + np.arange(int(counts.sum()))
