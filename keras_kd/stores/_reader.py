"""Reading: stored outputs joined to examples by id, in any order, and the same views again."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._examples._batches import Batch, Batches, Join, checked, is_tf_data
from keras_kd._examples._part import Part
from keras_kd._examples._pool import pool_of
from keras_kd.data import Augment, feed
from keras_kd.stores._codecs import StoreError
from keras_kd.stores._logit_checks import SAMPLE, check_kinds, values_of
from keras_kd.stores._manifest import differences
from keras_kd.stores._store import Store
from keras_kd.stores._verify import check_outputs

Paths = str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]]
#: How many examples are looked at before reading begins.
_SAMPLE = 32


class _Joined:
    """Several stores, and other joins, as one."""

    def __init__(self, joins: Sequence[Join]):
        self.joins = joins

    def __call__(self, ids: np.ndarray, views: np.ndarray) -> dict[str, Any]:
        return {k: v for join in self.joins for k, v in join(ids, views).items()}

    def signature(self) -> dict[str, Any]:
        return {k: v for join in self.joins for k, v in join.signature().items()}


def read(
    path: Paths,
    data: Any,
    *,
    teacher: keras.Model | Callable[[Any], Any] | str | None = None,
    augment: Augment | None = None,
    among: Part | None = None,
    temperature: float | None = None,
    batch_size: int = 128,
    shuffle: bool = False,
    seed: int = 0,
    check: bool = True,
    join: Join | None = None,
) -> Any:
    """Batches for `fit` with the teacher outputs stored for them: no teacher is needed.

    Outputs are found by id, so the examples may come in any order, shuffled, in other batches, or
    only some of them. A store of several views gives view `e % views` in epoch `e`, and the
    student sees the pixels that the teacher saw.

    Gives `({"inputs": x, "signals": {"teacher:output": ...}}, y)`. With `top_k` the signal is the
    triple that `keras_kd.losses.SparseSoftTarget` takes, with `sampled` the pair that
    `keras_kd.losses.SampledSoftTarget` takes.

    Args:
        path: The store's folder; or a dict of several by the role of each teacher.
        data: The examples, with ids, as `keras_kd.data.feed` takes them.
        teacher: The teacher that the outputs must be of, its fingerprint, or the name it was
            written under. A model must have that fingerprint; a model, or any function from a
            batch of inputs to the output, predicts a few examples, and its outputs must be the
            stored ones, but for how another backend or device rounds. Defaults to `None`: not
            checked.
        augment: The views that are expected. Defaults to `None`: those of the store.
        among: Where the views mix examples: the whole set that the teacher predicted. Defaults
            to `None`: `data`, when that is a `Part`.
        temperature: With `top_k` and `sampled`: the temperature of the loss. Defaults to the one stored.
        batch_size: For data that are not in batches yet. Defaults to `128`.
        shuffle: For a `Part`: whether each epoch has an order of its own. Defaults to `False`.
        seed: Of these orders. Defaults to `0`.
        check: Whether what is read is compared with its checksums, and a few examples with those
            that the teacher saw (of a store that knows ids alone, which `from_answers` writes
            without `data`, no inputs are compared). Defaults to `True`.
        join: A function `(ids, views) -> signals` for what else the batches are to bring, such as
            `keras_kd.data.Numbers(ids)`. Defaults to `None`.

    Returns:
        A `keras.utils.PyDataset` for a `Part` or a `PyDataset` (without tensorflow, unless views
        are drawn); a `tf.data.Dataset` for a `tf.data.Dataset` or a function.

    Raises:
        StoreError: If the store is missing, unfinished or damaged, was written for other data,
            another teacher or other views, or has no outputs for an example (then from the batch);
            if it holds probabilities as an output, where losses read logits.

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
        pool = pool_of(data, drawn, among)
        store.check_pool(pool)
        if differing := differences(_views_of(store), _views_of(stores[0])):
            raise StoreError(
                f"The stores '{store.manifest.folder}' and '{stores[0].manifest.folder}' hold "
                f"outputs for different views: {differing[0]}."
            )
        if check:
            sample = _sample(data)
            if sample is not None:
                store.check_data(sample)
                if teacher is not None and not isinstance(teacher, str):
                    check_outputs(store, teacher, sample, drawn, pool)
            _check_logits(store, sample)
    return feed(
        data,
        augment=drawn,
        views=stores[0].manifest.views,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        among=among,
        join=_Joined(stores if join is None else [*stores, join]),
    )


def _check_logits(store: Store, sample: Batch | None) -> None:
    """Raises when an output is probabilities: by the manifest or, in format 1, by the values."""
    kinds: Mapping[str, str | None] = store.manifest.values
    if None in kinds.values() and sample is not None:
        ids = sample.ids[:SAMPLE]
        signals = store(ids, np.zeros(len(ids), "int64"))
        kinds = values_of({address.partition(":")[2]: each for address, each in signals.items()})
    where = f"The store '{store.manifest.folder}' holds no logits: its"
    check_kinds(kinds, where, already_kept=True)


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
