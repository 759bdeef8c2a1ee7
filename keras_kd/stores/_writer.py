"""Writing: the teacher is asked once, and what it says is kept."""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import listing
from keras_kd.data._ids import shown
from keras_kd.data._mixes import Pool
from keras_kd.data._pipelines import Batch, batches_of, count_of, pool_of
from keras_kd.data._views import Augment
from keras_kd.stores import _digest
from keras_kd.stores._answers import Answers
from keras_kd.stores._codecs import StoreError
from keras_kd.stores._index import finish
from keras_kd.stores._lock import locked
from keras_kd.stores._manifest import (
    EXAMPLES,
    FORMAT,
    MANIFEST,
    Manifest,
    Path,
    checksum,
    differences,
    fingerprint,
    load,
    replace,
    sealed,
    shard_name,
)  # fmt: skip
from keras_kd.stores._progress import progress, size

DTYPES = ("float16", "float32", "int8")
_SHARD_BYTES = 64 << 20


def write(
    teacher: keras.Model,
    data: Any,
    path: str | os.PathLike[str],
    *,
    addresses: Sequence[str] = ("output",),
    augment: Augment | None = None,
    views: int = 1,
    dtype: str | Mapping[str, str] = "float16",
    top_k: int | None = None,
    temperatures: float | Sequence[float] = (1.0,),
    batch_size: int = 128,
    shard_size: int | None = None,
    shard_index: int = 0,
    num_shards: int = 1,
    name: str | None = None,
) -> Manifest | None:
    """Asks a teacher once for its answers to every example, and writes them to a folder.

    Whatever ends it, call it again with the same arguments and it goes on at the shard where it
    was; the files are, byte for byte, those of a run that nothing ended. What it would take is
    estimated first, and nothing is written when the disk has not that much left.

    Several processes or machines write one store together: each with its own `shard_index` and
    the same `num_shards`, to one folder or, with `keras_kd.stores.merge` at the end, to several.

    What is lost: nothing with `"float32"`; with `"float16"` at most one part in 2,048 of each
    number; with `"int8"` at most 1/254 of an example's largest number; with `top_k` how the
    teacher tells the other classes apart.

    Args:
        teacher: The `keras.Model` to ask, always in inference mode. An ensemble is one too.
        data: Examples with ids, in an order that stays: see `keras_kd.data.feed`.
        path: The folder. It is made when it is not there.
        addresses: What to keep: `"output"`, and paths of layers. Defaults to `("output",)`.
        augment: A `keras_kd.data.Augment`: the teacher answers for views of the examples.
        views: How many views of each example. Defaults to `1`.
        dtype: `"float16"`, `"float32"` or, for features, `"int8"`; or a dict by address. Defaults
            to `"float16"`.
        top_k: Of `"output"`, keep the largest logits only, so many, with what
            `keras_kd.losses.SparseSoftTarget` needs of the rest. Defaults to `None`: all.
        temperatures: With `top_k`: at which the answers will be used. Defaults to `(1.0,)`.
        batch_size: How many examples the teacher is asked at once. Defaults to `128`.
        shard_size: Examples in one shard, a multiple of `batch_size`. Defaults to what makes
            about 64 MB.
        shard_index: Which of `num_shards` writers this is, from 0. Defaults to `0`.
        num_shards: How many writers there are. Defaults to `1`.
        name: What the store says that the teacher is called. Defaults to `teacher.name`.

    Returns:
        The `Manifest` of the finished store; `None` while shards of other writers are missing.

    Raises:
        StoreError: If the folder holds another store, another process is writing there, the disk
            is too small, the teacher's answers cannot be stored, or two examples share an id.

    Example:

    >>> import tempfile
    >>> part = keras_kd.data.load("digits")["test"]
    >>> teacher = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
    ...                             keras.layers.Dense(10)])
    >>> store = keras_kd.stores.write(teacher, part, tempfile.mkdtemp())
    >>> store.examples, store.bytes_per_example()
    (640, 20)
    """
    folder = Path(path)
    _check_arguments(addresses, views, augment, dtype, batch_size, shard_index, num_shards)
    pool = pool_of(data, augment)
    stream = batches_of(data, batch_size)
    first = next(stream, None)
    if first is None:
        raise ValueError("`data` has no examples.")
    if shard_size is not None and (shard_size < 1 or shard_size % batch_size):
        raise ValueError(
            f"`shard_size` must be a multiple of batch_size={batch_size}. Received: {shard_size}."
        )
    temperatures = tuple(float(t) for t in np.atleast_1d(np.asarray(temperatures, "float64")))
    if not temperatures or min(temperatures) <= 0:
        raise ValueError(f"`temperatures` must be above 0. Received: {temperatures}.")
    dtypes = dict.fromkeys(addresses, dtype) if isinstance(dtype, str) else dict(dtype)
    answers = Answers(teacher, addresses, dtypes, top_k, temperatures, first.x)
    each = views * sum(codec.bytes() for codec in answers.codecs.values())
    if shard_size is None:
        shard_size = max(1, _SHARD_BYTES // (each * batch_size)) * batch_size
    settings = {
        "signals": [
            {"address": path, **codec.get_config()} for path, codec in answers.codecs.items()
        ],
        "views": views,
        "augment": None if augment is None else augment.get_config(),
        "shard_size": shard_size,
        "batch_size": batch_size,
        "teacher": {"name": name or teacher.name, "fingerprint": fingerprint(teacher)},
        "data": {"inputs": _described(first.x), "mixed_among": pool and pool.identity},
    }
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / f".writing-{shard_index:05d}-of-{num_shards:05d}.lock"
    with locked(lock, f"The store '{folder}'"):
        _settle(folder, settings)
        count = count_of(data)
        _check_room(folder, each, count, num_shards)
        writer = _Writer(folder, answers, augment, pool, settings)
        with progress(f"{folder.name}: {size(each)} each", _share(count, num_shards)) as advance:
            total = 0
            for number, batch in enumerate(_again(first, stream)):
                total += len(batch.ids)
                shard = number * batch_size // shard_size
                if shard % num_shards == shard_index:
                    writer.take(shard, batch)
                    advance(len(batch.ids))
            writer.close()
        replace(folder / EXAMPLES, {"examples": total})
        return finish(folder)


class _Writer:
    """Writes the shards that are not there yet, one after the other."""

    def __init__(
        self,
        folder: Path,
        answers: Answers,
        augment: Augment | None,
        pool: Pool | None,
        settings: dict[str, Any],
    ):
        self.folder, self.answers, self.augment, self.pool = folder, answers, augment, pool
        self.settings = settings
        self.manifest = Manifest(folder, load(folder / MANIFEST))
        self.shard: int | None = None
        self.columns: dict[str, list[np.ndarray]] = {}
        self.known: np.ndarray | None = None
        self.met = 0

    def take(self, shard: int, batch: Batch) -> None:
        """One batch, of this shard."""
        if shard != self.shard:
            self.close()
            self.shard = shard
            there = self.folder / shard_name(shard) / "ids.npy"
            self.known = np.load(there) if there.exists() else None
            self.met = 0
        if self.known is not None:
            self._compare(batch.ids)
            return
        self._put("ids.npy", batch.ids)
        self._put("data.npy", _digest.of(batch.x))
        views = [self._view(batch, view) for view in range(self.settings["views"])]
        for names, parts in zip(self.manifest.files, zip(*views, strict=True), strict=True):
            for column, name in names.items():
                self._put(name, np.stack([part[column] for part in parts], axis=1))

    def _view(self, batch: Batch, view: int) -> list[dict[str, np.ndarray]]:
        x = batch.x
        if self.augment is not None:
            views = np.full(len(batch.ids), view)
            x, _ = self.augment.mixed(x, None, ids=batch.ids, views=views, pool=self.pool)
        said = self.answers.ask(x, self.settings["batch_size"])
        encoded = []
        for address, codec, signal in zip(
            self.manifest.signals, self.manifest.codecs, said, strict=True
        ):
            columns = codec.encode(signal)
            self._check_finite(batch.ids, address, signal, columns)
            encoded.append(columns)
        return encoded

    @staticmethod
    def _check_finite(ids: np.ndarray, address: str, signal: Any, columns: Mapping) -> None:
        for stored in columns.values():
            if stored.dtype.kind != "f" or np.isfinite(stored).all():
                continue
            bad = ~np.isfinite(stored).reshape(len(stored), -1).all(axis=1)
            whose = f"The teacher's '{address}' for the example {shown(ids[bad.argmax()])}"
            if all(np.isfinite(leaf).all() for leaf in keras.tree.flatten(signal)):
                raise StoreError(
                    f"{whose} is beyond what {stored.dtype.name} holds. Write with dtype='float32'."
                )
            raise StoreError(f"{whose} holds NaN or infinite values.")

    def _put(self, name: str, part: np.ndarray) -> None:
        self.columns.setdefault(name, []).append(part)

    def _compare(self, ids: np.ndarray) -> None:
        assert self.known is not None
        known = self.known[self.met : self.met + len(ids)]
        if len(known) < len(ids) or not (known == ids).all():
            other = shown(ids[0] if len(known) < len(ids) else ids[(known != ids).argmax()])
            raise StoreError(
                f"{shard_name(self.shard or 0)} of '{self.folder}' was written for other examples: "
                f"{other} now stands where another stood. Give the data in the same order each "
                "time, not shuffled, or write to another folder."
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
            with open(aside / name, "wb") as file:
                np.save(file, np.concatenate(parts))
                file.flush()
                os.fsync(file.fileno())
            files[name] = {
                "bytes": (aside / name).stat().st_size, "crc32": checksum(aside / name)
            }  # fmt: skip
        examples = sum(len(part) for part in self.columns["ids.npy"])
        replace(aside / "shard.json", {"examples": examples, "files": files})
        os.rename(aside, final)
        self.columns, self.shard = {}, None


def _again(first: Batch, rest: Iterator[Batch]) -> Iterator[Batch]:
    yield first
    yield from rest


def _settle(folder: Path, settings: dict[str, Any]) -> None:
    """Puts the settings down, or proves that the store begun here has the same."""
    settings = json.loads(json.dumps(settings))
    try:
        content = load(folder / MANIFEST)
    except FileNotFoundError:
        content = {"format": FORMAT, "settings": settings, "complete": False}
        replace(folder / MANIFEST, sealed(content))
        return
    there = Manifest(folder, content).settings
    if told := differences(settings, there):
        raise StoreError(
            f"'{folder}' holds a store written otherwise: {'; '.join(told[:3])}. Write to another "
            "folder, or remove this one."
        )


def _check_room(folder: Path, each: int, count: int | None, num_shards: int) -> None:
    if count is None:
        return
    # Ids, digests and the index take some tens of bytes more.
    written = sum(f.stat().st_size for f in folder.glob("shard-*/*"))
    needed = (_share(count, num_shards) or 0) * (each + 64) - written
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"The store would take {size(needed)} ({count:,} examples of {size(each)}), and the "
            f"disk of '{folder}' has {size(free)} left. Fewer views, top_k, dtype='int8' or "
            "another disk would do."
        )


def _share(count: int | None, num_shards: int) -> int | None:
    return None if count is None else math.ceil(count / num_shards)


def _described(x: Any) -> Any:
    """Shape and type of one example's inputs."""
    leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(x)]
    return [
        {"shape": list(leaf.shape[1:]), "dtype": "string" if leaf.dtype.kind in "OSU" else leaf.dtype.name}
        for leaf in leaves
    ]  # fmt: skip


def _check_arguments(
    addresses: Sequence[str],
    views: int,
    augment: Augment | None,
    dtype: str | Mapping[str, str],
    batch_size: int,
    shard_index: int,
    num_shards: int,
) -> None:
    if isinstance(addresses, str) or not addresses or len(set(addresses)) < len(addresses):
        raise ValueError(
            "`addresses` must be a list of different paths, such as ('output', 'block3'). "
            f"Received: {addresses!r}."
        )
    dtypes = dict.fromkeys(addresses, dtype) if isinstance(dtype, str) else dict(dtype)
    if set(dtypes) != set(addresses) or not set(dtypes.values()) <= set(DTYPES):
        raise ValueError(
            f"`dtype` must be one of {listing(DTYPES)}, or a dict with one for each of "
            f"{listing(addresses)}. Received: dtype={dtype!r}."
        )
    for argument, value in (
        ("views", views),
        ("batch_size", batch_size),
        ("num_shards", num_shards),
    ):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"`{argument}` must be a whole number above 0. Received: {value!r}.")
    if not 0 <= shard_index < num_shards:
        raise ValueError(
            f"`shard_index` must be from 0 to num_shards - 1 = {num_shards - 1}. Received: "
            f"shard_index={shard_index}."
        )
    if views > 1 and augment is None:
        raise ValueError(
            f"Without `augment` all views of an example are alike. Received: views={views}."
        )
