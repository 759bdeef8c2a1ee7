"""Reading: answers joined to examples by id, whatever their order, and the same views again."""

import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_kd.data._ids import as_bytes, shown
from keras_kd.data._mixes import Pool
from keras_kd.data._pipelines import Batch, Batches, checked, feed, is_tf_data, pool_of
from keras_kd.data._sets import Part
from keras_kd.data._views import Augment
from keras_kd.stores import _digest
from keras_kd.stores._codecs import StoreError, TopK
from keras_kd.stores._columns import Column, Shards
from keras_kd.stores._manifest import INDEX, Manifest, Path, differences, fingerprint

Paths = str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]]
#: How many examples are looked at before reading begins.
_SAMPLE = 32


class Store:
    """A finished store, asked for the answers to some examples by their ids.

    Args:
        path: The folder.
        role: Whose answers these are: the first half of the signals' addresses. Defaults to
            `"teacher"`.
        temperature: With the largest logits alone: the temperature of the loss that uses them.
            Defaults to the one that was stored.
        check: Whether each file is compared with its checksum when it is first read. Defaults to
            `True`.

    Raises:
        StoreError: If the store is unfinished, damaged, of a newer format or without that
            temperature.

    Example:

    >>> import tempfile
    >>> part = keras_kd.data.load("digits")["test"]
    >>> teacher = keras.Sequential([keras.layers.Flatten(), keras.layers.Rescaling(2.0)])
    >>> answer = teacher(part.x[7:8])
    >>> folder = tempfile.mkdtemp()
    >>> manifest = keras_kd.stores.write(teacher, part, folder)
    >>> signals = keras_kd.stores.Store(folder)(part.ids[7:8], views=np.array([0]))
    >>> bool((signals["teacher:output"] == np.asarray(keras.ops.convert_to_numpy(answer))).all())
    True
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        role: str = "teacher",
        temperature: float | None = None,
        check: bool = True,
    ):
        self.manifest = Manifest.read(Path(path))
        self.role = role
        self.shards = Shards(self.manifest, check=check)
        for name in INDEX:
            entry = self.manifest.index.get(name)
            if entry is None:
                raise StoreError(f"'{path}' is damaged: its manifest names no {name}.")
            self.manifest.check_file("", name, entry, content=check)
        self._ids = Column(self.manifest.folder / INDEX[0]).array
        self._rows = Column(self.manifest.folder / INDEX[1], "int64", ()).array
        self._places = [
            codec.at(temperature) if isinstance(codec, TopK) else 0
            for codec in self.manifest.codecs
        ]

    def rows(self, ids: Any) -> np.ndarray:
        """The places of these examples in the store."""
        asked = as_bytes(ids)
        kind = self._ids.dtype
        short = asked.astype(kind)  # to the very type of the index, which is not copied so
        found = np.minimum(np.searchsorted(self._ids, short), len(self._ids) - 1)
        missing = self._ids[found] != asked
        if missing.any():
            others = f" (and {int(missing.sum()) - 1} more of these)" if missing.sum() > 1 else ""
            raise StoreError(
                f"The store '{self.manifest.folder}' has no answer for the example "
                f"{shown(asked[missing.argmax()])}{others}. It was written for "
                f"{self.manifest.examples:,} examples, such as {shown(self._ids[0])}. Write it for "
                "these data, or leave the example out."
            )
        return self._rows[found]

    def __call__(self, ids: np.ndarray, views: np.ndarray) -> dict[str, Any]:
        """The signals of these examples in these views, by address."""
        rows, signals = self.rows(ids), {}
        for address, codec, names, place in zip(
            self.manifest.signals, self.manifest.codecs, self.manifest.files, self._places,
            strict=True,
        ):  # fmt: skip
            columns = {
                column: self.shards.take(name, rows, views) for column, name in names.items()
            }
            signal = codec.decode(columns)
            if isinstance(codec, TopK):
                sums = np.ascontiguousarray(signal.log_sum_exp[..., place])
                signal = signal._replace(log_sum_exp=sums)
            signals[f"{self.role}:{address}"] = signal
        return signals

    def signature(self) -> dict[str, Any]:
        """KerasTensors like what a call gives."""
        return {
            f"{self.role}:{address}": codec.signature()
            for address, codec in zip(self.manifest.signals, self.manifest.codecs, strict=True)
        }

    def check_data(self, batch: Batch) -> None:
        """Raises when these are other data under the same ids."""
        stored = self.manifest.settings["data"]["inputs"]
        rows = self.rows(batch.ids)
        leaves = keras.tree.flatten(batch.x)
        shapes = [tuple(entry["shape"]) for entry in stored]
        if [tuple(np.shape(leaf)[1:]) for leaf in leaves] != shapes:
            raise StoreError(
                f"The store '{self.manifest.folder}' was written for inputs of shape "
                f"{shapes}. Received: {[tuple(np.shape(leaf)[1:]) for leaf in leaves]}."
            )
        good = _digest.same(_digest.of(batch.x), self.shards.take("data.npy", rows))
        if not good.all():
            raise StoreError(
                f"The store '{self.manifest.folder}' was written for other data: the example "
                f"{shown(batch.ids[good.argmin()])} looked different then. Give the very images "
                "(scaled in the same way) that the teacher was asked about; what changes them at "
                "random belongs into `augment`."
            )

    def check_teacher(self, teacher: keras.Model | str) -> None:
        """Raises when the store holds another teacher's answers."""
        known = self.manifest.teacher
        now = teacher if isinstance(teacher, str) else fingerprint(teacher)
        if now != known["fingerprint"]:
            name = "" if isinstance(teacher, str) else f" '{teacher.name}'"
            raise StoreError(
                f"The store '{self.manifest.folder}' holds the answers of the teacher "
                f"'{known['name']}' with the fingerprint {known['fingerprint']}; the teacher{name} "
                f"given has {now}: its weights are others. Write a store of its own for it."
            )

    def check_pool(self, pool: Pool | None) -> None:
        """Raises when examples are mixed with others than the teacher saw them mixed with."""
        if pool is not None and pool.identity != self.manifest.settings["data"]["mixed_among"]:
            raise StoreError(
                f"The store '{self.manifest.folder}' holds answers for examples mixed among "
                f"{self.manifest.examples:,}; `data` are other examples, or only some of them "
                f"({len(pool.ids):,}). Give the very set that the teacher was asked about."
            )

    def check_augment(self, augment: Augment | None) -> Augment | None:
        """The views the store was written for; raises when `augment` draws others."""
        stored = self.manifest.augment
        if augment is None:
            return None if stored is None else Augment.from_config(stored)
        if stored is None or (told := differences(augment.get_config(), stored)):
            what = "for the examples as they are" if stored is None else f"otherwise: {told[0]}"
            raise StoreError(
                f"The teacher's answers in '{self.manifest.folder}' were given {what}. Answers for "
                "one view are wrong for another: leave `augment` out to see the very views the "
                "teacher saw, or write the store again with this `augment`."
            )
        return augment


class _Joined:
    """Several stores asked as one."""

    def __init__(self, stores: list[Store]):
        self.stores = stores

    def __call__(self, ids: np.ndarray, views: np.ndarray) -> dict[str, Any]:
        return {k: v for store in self.stores for k, v in store(ids, views).items()}

    def signature(self) -> dict[str, Any]:
        return {k: v for store in self.stores for k, v in store.signature().items()}


def read(
    path: Paths,
    data: Any,
    *,
    teacher: keras.Model | str | None = None,
    augment: Augment | None = None,
    temperature: float | None = None,
    batch_size: int = 128,
    shuffle: bool = False,
    seed: int = 0,
    check: bool = True,
) -> Any:
    """Batches for `fit` with the answers that were stored for them: no teacher is needed.

    Answers are found by id, so the examples may come in any order, shuffled, in other batches, or
    only some of them. A store of several views gives view `e % views` in epoch `e`, and the
    student sees the pixels that the teacher saw.

    Gives `({"inputs": x, "signals": {"teacher:output": ...}}, y)`. With `top_k` the signal is the
    triple that `keras_kd.losses.SparseSoftTarget` takes.

    Args:
        path: The store's folder; or a dict of several by the role of each teacher.
        data: The examples, with ids, as `keras_kd.data.feed` takes them.
        teacher: A teacher, or its fingerprint, that the answers must be of. Defaults to `None`:
            not asked.
        augment: The views that are expected. Defaults to `None`: those of the store.
        temperature: With `top_k`: the temperature of the loss. Defaults to the one stored.
        batch_size: For data that are not in batches yet. Defaults to `128`.
        shuffle: For a `Part`: whether each epoch has an order of its own. Defaults to `False`.
        seed: Of these orders. Defaults to `0`.
        check: Whether files are compared with their checksums, and the first examples with those
            that the teacher saw. Defaults to `True`.

    Returns:
        A `keras.utils.PyDataset` for a `Part` or a `PyDataset` (without tensorflow, unless views
        are drawn); a `tf.data.Dataset` for a `tf.data.Dataset` or a function.

    Raises:
        StoreError: If the store is missing, unfinished or damaged, was written for other data,
            another teacher or other views, or has no answer for an example (then from the batch).

    Example:

    >>> import tempfile
    >>> part = keras_kd.data.load("digits")["train"]
    >>> teacher = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
    ...                             keras.layers.Dense(10)])
    >>> folder = tempfile.mkdtemp()
    >>> manifest = keras_kd.stores.write(teacher, part, folder)
    >>> batch, y = keras_kd.stores.read(folder, part, batch_size=32, shuffle=True)[0]
    >>> batch["signals"]["teacher:output"].shape
    (32, 10)
    """
    by_role = path if isinstance(path, Mapping) else {"teacher": path}
    stores = [
        Store(folder, role=role, temperature=temperature, check=check)
        for role, folder in by_role.items()
    ]
    for store in stores:
        if teacher is not None:
            store.check_teacher(teacher)
        drawn = store.check_augment(augment)
        store.check_pool(pool_of(data, drawn))
        if told := differences(_views_of(store), _views_of(stores[0])):
            raise StoreError(
                f"The stores '{store.manifest.folder}' and '{stores[0].manifest.folder}' hold "
                f"answers for different views: {told[0]}."
            )
        if check:
            sample = _sample(data)
            if sample is not None:
                store.check_data(sample)
    return feed(
        data,
        augment=drawn,
        views=stores[0].manifest.views,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        join=stores[0] if len(stores) == 1 else _Joined(stores),
    )


def _views_of(store: Store) -> dict[str, Any]:
    return {"augment": store.manifest.augment, "views": store.manifest.views}


def _sample(data: Any) -> Batch | None:
    """A few examples to look at before reading begins."""
    if isinstance(data, Part):
        places = np.unique(np.linspace(0, len(data.ids) - 1, _SAMPLE).astype(int))
        return checked(Batches(data.take(places), batch_size=_SAMPLE)[0])
    if isinstance(data, keras.utils.PyDataset):
        return checked(data[0])
    if is_tf_data(data) and data.element_spec["id"].shape.rank == 0:
        data = data.take(_SAMPLE).batch(_SAMPLE)
    if is_tf_data(data):
        first = next(iter(data.take(1)), None)
        if first is None:
            return None
        fields = keras.tree.map_structure(lambda leaf: leaf.numpy(), dict(first))
        return checked(fields)
    return None  # a generator may not be run twice: `verify` looks at its examples
