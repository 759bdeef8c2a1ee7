"""Batches: examples with their ids, whatever form they came in."""

import itertools
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np

from keras_kd._core.messages import listing
from keras_kd._core.optional import require_tensorflow
from keras_kd._examples._ids import as_bytes
from keras_kd._examples._part import Part

KEYS = ("id", "x", "y", "weight")
FORMS = (
    "a keras_kd.data.Part, a tf.data.Dataset, a keras.utils.PyDataset or a function that returns "
    "an iterator, each of which gives {'id': ..., 'x': ..., 'y': ...}"
)


def not_data(data: Any) -> TypeError:
    """The error that `data` are no examples with ids."""
    arrays = isinstance(data, (tuple, list, np.ndarray))
    advice = (
        " Arrays become one with ids: keras_kd.data.Part(x, y, ids=np.arange(len(x)))." * arrays
    )
    return TypeError(f"`data` must be {FORMS}. Received: {type(data).__name__}.{advice}")


class Batch(NamedTuple):
    """Some examples: their ids as bytes, their inputs, and, where there are any, their labels."""

    ids: np.ndarray
    x: Any
    y: Any = None
    weight: Any = None


class Join(Protocol):
    """What adds to a batch: the signals of these examples in these views."""

    def __call__(self, ids: np.ndarray, views: np.ndarray) -> dict[str, Any]: ...

    def signature(self) -> dict[str, Any]: ...


def one_by_one(data: keras.utils.PyDataset) -> Iterator[Any]:
    """The batches of `data` once: in older Keras a loop over them does not end."""
    count = data.num_batches
    return (data[i] for i in (itertools.count() if count is None else range(count)))


class Batches(keras.utils.PyDataset):
    """Examples in memory as batches `{"id", "x", "y"}`, in order or shuffled anew for each epoch.

    Args:
        part: A `keras_kd.data.Part`: inputs, labels and ids.
        batch_size: Examples in a batch; the last one may have fewer. Defaults to `128`.
        shuffle: Whether each epoch has an order of its own. Defaults to `False`.
        seed: Of the orders. Defaults to `0`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` as in
            `keras.utils.PyDataset`.

    Example:

    >>> part = keras_kd.data.load("digits")["train"]
    >>> batches = keras_kd.data.Batches(part, batch_size=500)
    >>> len(batches), batches[2]["id"][0].decode(), batches[2]["x"].shape
    (3, 'digits/01000', (157, 8, 8, 1))
    """

    def __init__(
        self,
        part: Part,
        *,
        batch_size: int = 128,
        shuffle: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.part, self.batch_size, self.shuffle, self.seed = part, batch_size, shuffle, seed
        self.epoch = -1
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        self.epoch += 1
        order = np.arange(len(self.part.ids))
        if self.shuffle:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        self._order = order

    def __len__(self) -> int:
        return -(-len(self._order) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return one_by_one(self)

    def __getitem__(self, index: int) -> dict[str, Any]:
        which: Any = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        if not self.shuffle and len(which):
            which = slice(which[0], which[-1] + 1)  # a view, not a copy
        x = keras.tree.map_structure(lambda leaf: leaf[which], self.part.x)
        batch = {"id": as_bytes(self.part.ids[which]), "x": x}
        return batch if self.part.y is None else {**batch, "y": self.part.y[which]}


def tf_data(part: Part) -> Any:
    """The examples of `part` as a `tf.data.Dataset` of `{"id", "x", "y"}`, one by one, in order.

    Shuffle, filter and take from it as you like, then give it to `keras_kd.data.feed` or
    `keras_kd.stores.read`: the ids go along.

    Args:
        part: A `keras_kd.data.Part`.

    Example:

    >>> data = keras_kd.data.tf_data(keras_kd.data.load("digits")["test"])
    >>> first = next(iter(data.skip(5)))
    >>> first["id"].numpy().decode(), int(first["y"])
    ('digits/01162', 5)
    """
    tf = require_tensorflow("keras_kd.data.tf_data builds pipelines")
    fields = {"id": as_bytes(part.ids), "x": part.x}
    if part.y is not None:
        fields["y"] = part.y
    return tf.data.Dataset.from_tensor_slices(fields)


def checked(batch: Any) -> Batch:
    """A batch with ids, once it is known to be one."""
    if not isinstance(batch, Mapping) or not {"id", "x"} <= set(batch) <= set(KEYS):
        came = listing(batch) if isinstance(batch, Mapping) else type(batch).__name__
        raise ValueError(
            "Examples with ids come as {'id': ..., 'x': ..., 'y': ...}; 'y' and 'weight' may be "
            f"left out. Received: {came}."
        )
    if batch.get("weight") is not None and batch.get("y") is None:
        raise ValueError("Received a 'weight' for each example, but no 'y'.")
    return Batch(as_bytes(batch["id"]), batch["x"], batch.get("y"), batch.get("weight"))


def is_tf_data(data: Any) -> bool:
    """Whether `data` is a `tf.data.Dataset`, without importing tensorflow."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(data, tf.data.Dataset)


def batch_of_one(example: Mapping) -> dict[str, Any]:
    """One example as a batch of one."""
    return keras.tree.map_structure(lambda leaf: np.asarray(leaf)[np.newaxis], dict(example))


def batches_of(data: Any, batch_size: int) -> Iterator[Batch]:
    """The examples in the order of `data`, in full batches of `batch_size` but for the last."""
    if isinstance(data, Part):
        for index in range(-(-len(data.ids) // batch_size)):
            yield checked(Batches(data, batch_size=batch_size)[index])
        return
    if isinstance(data, keras.utils.PyDataset):
        stream: Any = (data[index] for index in range(len(data)))
    elif is_tf_data(data):
        stream = data.as_numpy_iterator()
    elif callable(data):
        stream = data()
    else:
        raise not_data(data)
    yield from _cut(_as_batches(stream), batch_size)


def _as_batches(stream: Iterator[Any]) -> Iterator[Batch]:
    for item in stream:
        single = isinstance(item, Mapping) and "id" in item and np.ndim(item["id"]) == 0
        yield checked(batch_of_one(item) if single else item)


def _cut(stream: Iterator[Batch], size: int) -> Iterator[Batch]:
    """The same examples in batches of `size`."""
    held: list[Batch] = []
    count = 0
    for batch in stream:
        held.append(batch)
        count += len(batch.ids)
        while count >= size:
            whole = _concatenated(held)
            yield _slice(whole, slice(0, size))
            count -= size
            held = [_slice(whole, slice(size, None))] if count else []
    if held:
        yield _concatenated(held)


def _concatenated(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    fields = [dict(zip(KEYS, batch, strict=True)) for batch in batches]
    present = [{k: v for k, v in field.items() if v is not None} for field in fields]
    joined = keras.tree.map_structure(lambda *leaves: np.concatenate(leaves), *present)
    return Batch(joined["id"], joined["x"], joined.get("y"), joined.get("weight"))


def _slice(batch: Batch, which: slice) -> Batch:
    def cut(tree: Any) -> Any:
        return None if tree is None else keras.tree.map_structure(lambda leaf: leaf[which], tree)

    return Batch(*(cut(field) for field in batch))


def count_of(data: Any) -> int | None:
    """How many examples `data` has, where it can be known beforehand."""
    if isinstance(data, Part):
        return len(data.ids)
    if is_tf_data(data) and data.element_spec["id"].shape.rank == 0:
        count = int(data.cardinality())
        return count if count >= 0 else None
    return None
