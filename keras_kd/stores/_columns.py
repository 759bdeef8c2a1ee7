"""Columns: numbers on disk, mapped into memory a little at a time."""

import mmap
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd.stores._codecs import StoreError
from keras_kd.stores._manifest import Manifest, shard_name

#: How much of the files may stay in memory before it is given back, in bytes.
BUDGET = 96 << 20
#: What the system brings into memory around each number that is read.
AROUND = 64 << 10


class Column:
    """One `.npy` file, mapped.

    Args:
        path: The file.
        dtype: The type of number it must hold.
        shape: The shape of one example in it, or `None` for any.
    """

    def __init__(self, path: Path, dtype: str | None = None, shape: tuple[int, ...] | None = None):
        with open(path, "rb") as file:
            try:
                version = np.lib.format.read_magic(file)
                read = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}")
                whole, fortran, kind = read(file)
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                self.array = np.frombuffer(self._map, kind, int(np.prod(whole)), file.tell())
            except (ValueError, AttributeError, OSError) as error:
                raise StoreError(f"'{path}' is damaged: it is no array: {error}.") from error
        self.array = self.array.reshape(whole)
        wrong = (dtype is not None and kind != np.dtype(dtype)) or fortran
        if wrong or (shape is not None and whole[1:] != shape):
            raise StoreError(
                f"'{path}' is damaged: it holds {kind} of shape {whole[1:]}, expected {dtype} of "
                f"shape {shape}."
            )
        self._touched = 0

    def take(self, *where: Any) -> np.ndarray:
        """A copy of the numbers at these places."""
        self._touched = min(len(self._map), self._touched + len(where[0]) * AROUND)
        return self.array[where]

    @property
    def resident(self) -> int:
        """At most so many bytes of the file are in memory on its account."""
        return self._touched

    def forget(self) -> None:
        """Gives the memory back; what is read again comes back from the file."""
        if hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)
        self._touched = 0


class Shards:
    """The columns of a finished store, opened and checked when they are first read."""

    def __init__(self, manifest: Manifest, *, check: bool = True):
        self.manifest, self._check = manifest, check
        self._open: dict[tuple[int, str], Column] = {}
        self._checked: set[int] = set()
        self._specs = {"ids.npy": (None, ()), "data.npy": ("float32", (3,))} | {
            names[column]: (kind, (manifest.views, *shape))
            for names, codec in zip(manifest.files, manifest.codecs, strict=True)
            for column, (kind, shape) in codec.columns().items()
        }
        self._resident = 0
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
            self._checked.add(number)

    def take(self, name: str, rows: np.ndarray, views: np.ndarray | None = None) -> np.ndarray:
        """The numbers of a column for these examples, each in its view."""
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

    def _read(self, number: int, name: str, places: np.ndarray, views: Any) -> np.ndarray:
        column = self._column(number, name)
        before = column.resident
        said = column.take(places) if views is None else column.take(places, views)
        self._resident += column.resident - before
        if self._resident > BUDGET:
            for other in list(self._open.values()):
                other.forget()
            self._resident = 0
        return said

    def _column(self, number: int, name: str) -> Column:
        if (number, name) not in self._open:
            if self._check and number not in self._checked:
                self._inspect(number, content=True)
                self._checked.add(number)
            path = self.manifest.folder / shard_name(number) / name
            self._open[number, name] = Column(path, *self._specs[name])
        return self._open[number, name]
