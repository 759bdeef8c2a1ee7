"""One shard after the other: computed, encoded, written aside, then renamed in one move."""

import os
import shutil
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_kd._examples._batches import Batch
from keras_kd._examples._ids import shown
from keras_kd._examples._pool import Pool
from keras_kd.data import Augment
from keras_kd.stores._codecs import Codec, StoreError
from keras_kd.stores._manifest import (
    RECORD,
    Path,
    checksums,
    replace,
    sealed,
    shard_name,
    to_go_on,
)
from keras_kd.stores._ragged import Rows
from keras_kd.stores._teachers import Outputs


class ShardWriter:
    """Writes the shards that are not there yet, one after the other."""

    def __init__(
        self,
        folder: Path,
        outputs: Outputs,
        augment: Augment | None,
        pool: Pool | None,
        settings: dict[str, Any],
    ):
        self.folder, self.outputs, self.augment, self.pool = folder, outputs, augment, pool
        self.settings = settings
        self.manifest = to_go_on(folder)
        self.shard: int | None = None
        self.columns: dict[str, list[np.ndarray]] = {}
        self.known: np.ndarray | None = None
        self.looked: np.ndarray | None = None
        self.met = 0

    def take(self, shard: int, batch: Batch) -> None:
        """One batch, of this shard."""
        if shard != self.shard:
            self.close()
            self.shard = shard
            there = self.manifest.record(shard) is not None
            self.known, self.looked = (
                self.manifest.kept(shard, name) if there else None
                for name in ("ids.npy", "data.npy")
            )
            self.met = 0
        if self.known is not None:
            self._compare(batch)
            return
        self._put("ids.npy", batch.ids)
        self._put("data.npy", self.manifest.digest.of(batch.x, len(batch.ids)))
        views = [self._view(batch, view) for view in range(self.settings["views"])]
        for names, parts in zip(self.manifest.files, zip(*views, strict=True), strict=True):
            counts = {name: np.stack([part[c] for part in parts], 1) for c, name in names.items()
                      if name in self.manifest.ends.values()}  # fmt: skip
            for column, name in names.items():
                given = [part[column] for part in parts]
                if name in self.manifest.ends:
                    self._put(name, _by_example(given, counts[self.manifest.ends[name]]))
                else:
                    self._put(name, np.stack(given, axis=1))

    def _view(self, batch: Batch, view: int) -> list[dict[str, np.ndarray]]:
        x, views = batch.x, np.full(len(batch.ids), view)
        if self.augment is not None:
            x, _ = self.augment.mixed(x, None, ids=batch.ids, views=views, pool=self.pool)
        outputs = self.outputs.compute(x, self.settings["batch_size"], batch.ids, views)
        encoded = []
        for address, codec, signal in zip(
            self.manifest.signals, self.manifest.codecs, outputs, strict=True
        ):
            columns = codec.encode(signal)
            self._check_finite(batch.ids, address, codec, signal, columns)
            encoded.append(columns)
        return encoded

    @staticmethod
    def _check_finite(
        ids: np.ndarray, address: str, codec: Codec, signal: Any, columns: Mapping
    ) -> None:
        unseen = codec.unseen_faults(signal)
        if unseen.any():
            bad = unseen.reshape(len(unseen), -1).any(axis=1)
            raise StoreError(
                f"The teacher's '{address}' for the example {shown(ids[bad.argmax()])} holds NaN or "
                "infinite values."
            )
        for name, stored in columns.items():
            if stored.dtype.kind != "f" or np.isfinite(stored).all():
                continue
            bad = ~np.isfinite(stored).reshape(len(stored), -1).all(axis=1)
            kind = codec.columns()[name]
            if isinstance(kind, Rows):  # of each, how many of its rows are bad
                of = np.repeat(np.arange(len(ids)), columns[kind.ends])
                bad = np.bincount(of, bad, len(ids)) > 0
            whose = f"The teacher's '{address}' for the example {shown(ids[bad.argmax()])}"
            if all(np.isfinite(leaf).all() for leaf in keras.tree.flatten(signal)):
                raise StoreError(
                    f"{whose} is beyond what {stored.dtype.name} holds. Write with dtype='float32'."
                )
            raise StoreError(f"{whose} holds NaN or infinite values.")

    def _put(self, name: str, part: np.ndarray) -> None:
        self.columns.setdefault(name, []).append(part)

    def _compare(self, batch: Batch) -> None:
        """Raises when these are not the examples that the shard was written for."""
        assert self.known is not None and self.looked is not None
        ids = batch.ids
        known = self.known[self.met : self.met + len(ids)]
        if len(known) < len(ids) or not (known == ids).all():
            other = shown(ids[0] if len(known) < len(ids) else ids[(known != ids).argmax()])
            raise StoreError(
                f"{shard_name(self.shard or 0)} of '{self.folder}' was written for other examples: "
                f"{other} now stands where another stood. Give the data in the same order each "
                "time, not shuffled, or write to another folder."
            )
        looked = self.looked[self.met : self.met + len(ids)]
        now = self.manifest.digest.of(batch.x, len(ids))
        apart = self.manifest.digest.apart(now, looked)
        if not (apart <= 1).all():
            raise StoreError(
                f"{shard_name(self.shard or 0)} of '{self.folder}' was written for other data: the "
                f"example {shown(ids[np.argmax(~(apart <= 1))])} looked different then. Give the "
                "very data that the first run had, or write to another folder."
            )
        self.met += len(ids)

    def close(self) -> None:
        """Commits the shard at hand: written aside, then renamed in one move."""
        if self.shard is None or not self.columns:
            if self.known is not None and self.met != len(self.known):
                raise StoreError(
                    f"{shard_name(self.shard or 0)} of '{self.folder}' was written for "
                    f"{len(self.known)} examples, and the data now end after {self.met} of them. "
                    "Write to another folder."
                )
            return
        final = self.folder / shard_name(self.shard)
        aside = self.folder / f".{final.name}.tmp"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        files = {}
        for name, parts in self.columns.items():
            whole = np.concatenate(parts)
            if name in self.manifest.ends.values():
                whole = np.cumsum(whole, dtype="int64").reshape(whole.shape)
            with open(aside / name, "wb") as file:
                np.save(file, np.ascontiguousarray(whole))  # readers expect rows
                file.flush()
                os.fsync(file.fileno())
            files[name] = {
                "bytes": (aside / name).stat().st_size, "crc32": checksums(aside / name)
            }  # fmt: skip
            if name in self.manifest.ends:
                files[name]["rows"] = len(whole)
        examples = sum(len(part) for part in self.columns["ids.npy"])
        record = {"examples": examples, "files": files, "settings": self.manifest.settings_sum}
        replace(aside / RECORD, sealed(record))
        os.rename(aside, final)
        self.columns, self.shard = {}, None


def _by_example(views: list[np.ndarray], counts: np.ndarray) -> np.ndarray:
    """The rows of several views, those of one example together; `counts` is (examples, views)."""
    if len(views) == 1:
        return views[0]
    parts = [np.split(rows, np.cumsum(counts[:-1, v])) for v, rows in enumerate(views)]
    return np.concatenate([part for of_example in zip(*parts, strict=True) for part in of_example])
