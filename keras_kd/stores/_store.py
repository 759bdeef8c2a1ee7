"""A finished store, read by id; and the checks that it fits the data and the teacher."""

import os
from typing import Any

import keras
import numpy as np

from keras_kd._core.addresses import MASK
from keras_kd._core.external import ExternalTeacher
from keras_kd._core.files import named
from keras_kd._core.messages import see
from keras_kd._core.models import no_model
from keras_kd._examples._batches import Batch
from keras_kd._examples._ids import as_bytes, shown
from keras_kd._examples._pool import Pool
from keras_kd.data import Augment
from keras_kd.stores._codecs import StoreError, TopK
from keras_kd.stores._columns import Column, Shards
from keras_kd.stores._manifest import INDEX, Manifest, differences
from keras_kd.stores._ragged import Ragged, within
from keras_kd.stores._teachers import fingerprint_of, weights_of


class Store:
    """A finished store: the teacher's outputs for some examples by their ids.

    Args:
        path: The folder.
        role: The teacher's role, the first half of the signals' addresses. Defaults to
            `"teacher"`.
        temperature: With the largest logits alone: the temperature of the loss that uses them.
            Defaults to the one that was stored.
        check: Whether what is read is compared with its checksums. Defaults to `True`.

    Raises:
        StoreError: If the store is unfinished, damaged, of a newer format or without that
            temperature.

    Example:

    >>> import tempfile
    >>> part = keras_kd.data.load("digits")["test"]
    >>> teacher = keras.Sequential([keras.layers.Flatten(), keras.layers.Rescaling(2.0)])
    >>> output = teacher(part.x[7:8])
    >>> folder = tempfile.mkdtemp()
    >>> manifest = keras_kd.stores.write(teacher, part, folder)
    >>> signals = keras_kd.stores.Store(folder)(part.ids[7:8], views=np.array([0]))
    >>> bool((signals["teacher:output"] == np.asarray(keras.ops.convert_to_numpy(output))).all())
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
        self.manifest = Manifest.read(named(path))
        self.role = role
        self.shards = Shards(self.manifest, check=check)
        for name in INDEX:
            entry = self.manifest.index.get(name)
            if entry is None:
                raise StoreError(f"'{path}' is damaged: its manifest names no {name}.")
            self.manifest.check_file("", name, entry, content=check)
        self._ids = Column(self.manifest.folder / INDEX[0]).array
        self._rows = Column(self.manifest.folder / INDEX[1], "int64", ()).array
        self._places = [codec.at(temperature) for codec in self.manifest.codecs]

    def rows(self, ids: Any) -> np.ndarray:
        """The places of these examples in the store."""
        wanted = as_bytes(ids)
        kind = self._ids.dtype
        short = wanted.astype(kind)  # to the very type of the index, which is not copied so
        found = np.minimum(np.searchsorted(self._ids, short), len(self._ids) - 1)
        missing = self._ids[found] != wanted
        if missing.any():
            others = f" (and {int(missing.sum()) - 1} more of these)" if missing.sum() > 1 else ""
            raise StoreError(
                f"The store '{self.manifest.folder}' has no outputs for the example "
                f"{shown(wanted[missing.argmax()])}{others}. It was written for "
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
            columns = self.columns(names, rows, views)
            signal = codec.decode(columns)
            if isinstance(within(codec), TopK):
                sums = np.ascontiguousarray(signal.log_sum_exp[..., place])
                signal = signal._replace(log_sum_exp=sums)
            signals[f"{self.role}:{address}"] = signal
            if isinstance(codec, Ragged):
                signals[MASK] = codec.mask(columns)
        return signals

    def columns(
        self, names: dict[str, str], rows: np.ndarray, views: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What the files of a signal hold for these examples."""
        shards = self.shards
        return {
            column: (shards.take_rows if name in self.manifest.ends else shards.take)(
                name, rows, views
            )
            for column, name in names.items()
        }

    def signature(self) -> dict[str, Any]:
        """KerasTensors like what a call gives."""
        signature = {}
        for address, codec in zip(self.manifest.signals, self.manifest.codecs, strict=True):
            signature[f"{self.role}:{address}"] = codec.signature()
            if isinstance(codec, Ragged):
                signature[MASK] = keras.KerasTensor((None, codec.shape[0]), "bool")
        return signature

    def check_data(self, batch: Batch) -> None:
        """Raises when these are other data under the same ids."""
        stored = self.manifest.settings["data"]["inputs"]
        rows = self.rows(batch.ids)
        if not stored:
            return  # made from ids alone: `from_answers` without `data`
        leaves = keras.tree.flatten(batch.x)
        shapes = [tuple(entry["shape"]) for entry in stored]
        if [tuple(np.shape(leaf)[1:]) for leaf in leaves] != shapes:
            raise StoreError(
                f"The store '{self.manifest.folder}' was written for inputs of shape "
                f"{shapes}. Received: {[tuple(np.shape(leaf)[1:]) for leaf in leaves]}."
            )
        digest = self.manifest.digest
        apart = digest.apart(digest.of(batch.x), self.shards.take("data.npy", rows))
        if not (apart <= 1).all():
            raise StoreError(
                f"The store '{self.manifest.folder}' was written for other data: the example "
                f"{shown(batch.ids[np.argmax(~(apart <= 1))])} looked different then. Give the very "
                "images (scaled in the same way) that the teacher predicted; what changes "
                f"them at random belongs into `augment`.{see('other-data')}"
            )

    def check_teacher(self, teacher: Any) -> None:
        """Raises when the store holds another teacher's outputs, by its name or fingerprint."""
        name, known = self.manifest.teacher["name"], self.manifest.teacher["fingerprint"]
        stated = (
            f"The store '{self.manifest.folder}' holds the outputs of the teacher '{name}' with "
            f"the fingerprint {known}"
        )
        if isinstance(teacher, str):
            if teacher not in (name, known):
                raise StoreError(f"{stated}. Received: teacher='{teacher}', which is neither.")
            return
        if not isinstance(teacher, (keras.Model, ExternalTeacher)):
            if callable(teacher) and not isinstance(teacher, type):
                return  # has no fingerprint: compared by its outputs
            raise no_model(teacher, "teacher", "a keras.Model, a function, a name or a fingerprint")
        weights = self.manifest.teacher.get("weights")
        if weights is None and isinstance(teacher, keras.Model):
            # Of format 1, whose fingerprint is of the weights alone.
            now, weights = weights_of(teacher), known
        else:
            now = fingerprint_of(teacher)
        if now != known:
            others = "its weights are others"
            if weights is not None and weights_of(teacher) == weights:
                others = "its weights are the same, and its layers compute something else"
            raise StoreError(
                f"{stated}; the teacher '{teacher.name}' given has {now}: {others}. "
                "Write a store of its own for it."
            )

    def check_pool(self, pool: Pool | None) -> None:
        """Raises when examples are mixed with others than the teacher saw them mixed with."""
        if pool is not None and pool.identity != self.manifest.settings["data"]["mixed_among"]:
            raise StoreError(
                f"The store '{self.manifest.folder}' holds outputs for examples mixed among "
                f"{self.manifest.examples:,}; `data` are other examples, or only some of them "
                f"({len(pool.ids):,}). Give the very set that the teacher predicted."
            )

    def check_augment(self, augment: Augment | None) -> Augment | None:
        """The views the store was written for; raises when `augment` draws others."""
        stored = self.manifest.augment
        if augment is None:
            return None if stored is None else Augment.from_config(stored)
        if stored is None or (stated := differences(augment.get_config(), stored)):
            what = "for the examples as they are" if stored is None else f"otherwise: {stated[0]}"
            raise StoreError(
                f"The teacher's outputs in '{self.manifest.folder}' were computed {what}. Outputs for "
                "one view are wrong for another: leave `augment` out to see the very views the "
                "teacher saw, or write the store again with this `augment`."
            )
        return augment
