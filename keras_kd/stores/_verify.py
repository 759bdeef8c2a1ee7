"""Verifying: the teacher predicts some examples again, and the outputs are compared."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.deprecated import warn
from keras_kd._core.external import ExternalTeacher
from keras_kd._core.function_teacher import Teacher, as_teacher
from keras_kd._core.positions import fits_positions
from keras_kd._examples._batches import Batch, batches_of
from keras_kd._examples._ids import shown
from keras_kd._examples._part import Part
from keras_kd._examples._pool import Pool, pool_of
from keras_kd._padding import masks_of_batch
from keras_kd.data import Augment
from keras_kd.stores._codecs import StoreError
from keras_kd.stores._draws import Draws
from keras_kd.stores._form import dtype_of, form_in
from keras_kd.stores._manifest import Manifest, Path
from keras_kd.stores._probe import EXAMPLES, TOLERANCE
from keras_kd.stores._ragged import Ragged, prepared, within
from keras_kd.stores._store import Store
from keras_kd.stores._teachers import Outputs, outputs_of


@dataclass(frozen=True)
class Verified:
    """What `verify` found when all was well.

    Args:
        examples: How many examples were compared.
        largest: For each address, the largest difference between an output computed now and the
            stored one, as a part of the largest number in it.
    """

    examples: int
    largest: dict[str, float]


def verify(
    path: str | os.PathLike[str],
    data: Any,
    teacher: keras.Model | Callable[[Any], Any],
    *,
    among: Part | None = None,
    sample: int = 256,
    seed: int = 0,
) -> Verified:
    """Compares every file with its checksum, and a sample of outputs with those computed now.

    Args:
        path: The store's folder.
        data: The examples with ids, or some of them; see `keras_kd.data.feed`.
        teacher: The teacher whose outputs it holds, or the function.
        among: As for `keras_kd.stores.read`. Defaults to `None`.
        sample: How many examples are compared. Defaults to `256`.
        seed: Which of them. Defaults to `0`.

    Returns:
        A `Verified`.

    Raises:
        StoreError: If a file is damaged, or the store holds outputs of another teacher or for
            other data; if an output differs, it names the example.

    Example:

    >>> import tempfile
    >>> part = keras_kd.data.load("digits")["test"]
    >>> teacher = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
    ...                             keras.layers.Dense(10)])
    >>> folder = tempfile.mkdtemp()
    >>> manifest = keras_kd.stores.write(teacher, part, folder)
    >>> keras_kd.stores.verify(folder, part, teacher, sample=100).examples
    100
    """
    if isinstance(data, keras.Model):
        warn(
            "stores.verify(path, teacher, data)", "stores.verify(path, data, teacher), as for read"
        )
        data, teacher = teacher, data
    form = form_in(Manifest.read(Path(path)).codecs)  # sums at all temperatures are looked at
    store = Store(path, check=True, temperature=form.temperatures[0] if form.top_k else None)
    store.shards.check_all()
    manifest = store.manifest
    store.check_teacher(teacher)
    teacher = as_teacher(teacher, manifest.teacher["name"])
    augment = store.check_augment(None)
    pool = pool_of(data, augment, among)
    store.check_pool(pool)
    chosen = _chosen(store, sample, seed)
    source: Outputs | None = None
    largest = dict.fromkeys(manifest.signals, 0.0)
    compared = 0
    for batch in batches_of(data, manifest.batch_size):
        rows = store.rows(batch.ids)
        which = np.flatnonzero(np.isin(rows, chosen))
        if not len(which):
            continue
        x = keras.tree.map_structure(lambda leaf, which=which: np.asarray(leaf)[which], batch.x)
        some = batch._replace(ids=batch.ids[which], x=x, y=None, weight=None)
        store.check_data(some)
        if source is None:
            source = _outputs_like(store, teacher, x)
        views = rows[which] % manifest.views  # one view of each will do
        if augment is not None:
            x, _ = augment.mixed(x, None, ids=some.ids, views=views, pool=pool)
        computed = source.compute(x, manifest.batch_size, some.ids, views)
        outputs = dict(zip(manifest.signals, computed, strict=True))
        for address, apart in _compared(store, outputs, some.ids, views, 0.0).items():
            largest[address] = max(largest[address], apart)
        compared += len(which)
    if not compared:
        raise StoreError("None of the sample is among `data`: give all of them, or sample more.")
    return Verified(compared, largest)


def check_outputs(
    store: Store, teacher: Any, batch: Batch, augment: Augment | None, pool: Pool | None
) -> None:
    """Raises when a teacher's outputs for the first examples of a batch are not the stored ones.

    Rounding as on another backend or device is allowed, where `verify` wants the same again.
    """
    x = keras.tree.map_structure(lambda leaf: np.asarray(leaf)[:EXAMPLES], batch.x)
    ids = batch.ids[:EXAMPLES]
    views = np.zeros(len(ids), "int64")
    if augment is not None:
        x, _ = augment.mixed(x, None, ids=ids, views=views, pool=pool)
    if isinstance(teacher, (keras.Model, ExternalTeacher)):
        computed = _outputs_like(store, teacher, x).compute(x, len(ids), ids, views)
        outputs = dict(zip(store.manifest.signals, computed, strict=True))
    else:
        masks = {  # of a function nothing is known but what it returns
            address: codec.mask(store.columns(names, store.rows(ids), views))
            for address, codec, names in zip(
                store.manifest.signals, store.manifest.codecs, store.manifest.files, strict=True
            )
            if isinstance(codec, Ragged)
        }
        outputs = _outputs(teacher(x), store, ids, views, masks, masks_of_batch({}, x).values())
    outputs = keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)
    _compared(store, outputs, ids, views, TOLERANCE)


def _outputs(
    output: Any,
    store: Store,
    ids: np.ndarray,
    views: np.ndarray,
    masks: Mapping[str, np.ndarray],
    given: Iterable[Any],
) -> dict[str, Any]:
    """What a function returned, prepared as the store holds it; layers it has none, unless it
    returns them by name beside its output."""
    outputs = {}
    named = isinstance(output, Mapping) and OUTPUT in output
    for address, codec in zip(store.manifest.signals, store.manifest.codecs, strict=True):
        first, *keys = address.split("/")
        if named and address in output:
            found = output[address]
        elif first == OUTPUT:
            found = output
            for key in keys:
                found = found[key if isinstance(found, Mapping) else int(key)]
        else:
            continue
        kind = within(codec)
        starts = kind.starts(ids, views) if isinstance(kind, Draws) else None
        signal = keras.ops.convert_to_tensor(found)
        fitting = next((mask for mask in given if fits_positions(mask, signal)), None)
        outputs[address] = prepared(codec, signal, starts, masks.get(address, fitting))
    return outputs


def _compared(
    store: Store, outputs: Mapping[str, Any], ids: np.ndarray, views: np.ndarray, least: float
) -> dict[str, float]:
    """How far outputs computed now are from the stored ones, at most; raises when too far.

    Args:
        store: The store.
        outputs: By address, the prepared outputs for `ids` in their `views`.
        least: A tolerance that is granted even where the codec loses less.
    """
    manifest, rows, largest = store.manifest, store.rows(ids), {}
    for address, codec, names in zip(
        manifest.signals, manifest.codecs, manifest.files, strict=True
    ):
        if address not in outputs:
            continue
        columns = store.columns(names, rows, views)
        apart, most = codec.apart(outputs[address], columns), max(codec.tolerance, least)
        largest[address] = float(apart.max())
        if not (apart <= most).all():
            worst = int(np.argmax(~(apart <= most)))
            raise StoreError(
                f"The store '{manifest.folder}' is not what the teacher predicts: its "
                f"'{address}' for the example {shown(ids[worst])}, view {views[worst]}, "
                f"differs by {apart[worst]:.2g} of the largest number (expected at most "
                f"{most:.2g})."
            )
    return largest


def _chosen(store: Store, sample: int, seed: int) -> np.ndarray:
    total = store.manifest.examples
    return np.random.default_rng(seed).choice(total, min(sample, total), replace=False)


def _outputs_like(store: Store, teacher: Teacher, x: Any) -> Outputs:
    """The teacher's outputs in the form in which the store holds them."""
    codecs = dict(zip(store.manifest.signals, store.manifest.codecs, strict=True))
    dtypes = {path: dtype_of(codec) for path, codec in codecs.items()}
    return outputs_of(teacher, list(codecs), dtypes, form_in(codecs.values()), x)
