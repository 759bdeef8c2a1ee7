"""Pipelines: examples with ids, in any of the forms people have them, on their way to `fit`."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np

from keras_kd._core.messages import listing
from keras_kd.data._ids import as_bytes
from keras_kd.data._mixes import Pool
from keras_kd.data._sets import Part
from keras_kd.data._views import Augment, tensorflow


class Join(Protocol):
    """What adds to a batch: the signals of these examples in these views."""

    def __call__(self, ids: np.ndarray, views: np.ndarray) -> dict[str, Any]: ...

    def signature(self) -> dict[str, Any]: ...


_KEYS = ("id", "x", "y", "weight")
_FORMS = (
    "a keras_kd.data.Part, a tf.data.Dataset, a keras.utils.PyDataset or a function that returns "
    "an iterator, each of which gives {'id': ..., 'x': ..., 'y': ...}"
)


class Batch(NamedTuple):
    """Some examples: their ids as bytes, their inputs, and, where there are any, their labels."""

    ids: np.ndarray
    x: Any
    y: Any = None
    weight: Any = None


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
    tf = tensorflow("keras_kd.data.tf_data builds pipelines")
    fields = {"id": as_bytes(part.ids), "x": part.x}
    if part.y is not None:
        fields["y"] = part.y
    return tf.data.Dataset.from_tensor_slices(fields)


def feed(
    data: Any,
    *,
    augment: Augment | None = None,
    views: int = 1,
    batch_size: int = 128,
    shuffle: bool = False,
    seed: int = 0,
    join: Join | None = None,
) -> Any:
    """Batches `(x, y)` for `fit`, each example seen through one of its views.

    In epoch `e` (counted from 0) every example is in its view `e % views`. What a view looks like
    follows from the example's id alone, so it is the same in any order and any batch.

    Args:
        data: Examples with ids: a `keras_kd.data.Part`; or a `tf.data.Dataset` (batched or not), a
            `keras.utils.PyDataset` or a function that returns an iterator, which give
            `{"id": ..., "x": ..., "y": ...}` (`"y"` and `"weight"` may be left out).
        augment: A `keras_kd.data.Augment`. Defaults to `None`: the examples as they are.
        views: How many views each example has. Defaults to `1`.
        batch_size: For data that are not in batches yet. Defaults to `128`.
        shuffle: For a `Part`: whether each epoch has an order of its own. Defaults to `False`.
        seed: Of these orders. Defaults to `0`.
        join: A function `(ids, views) -> signals`; the batches are then `({"inputs": x,
            "signals": signals}, y)`. Defaults to `None`.

    Returns:
        A `tf.data.Dataset` for a `tf.data.Dataset` or a function, a `keras.utils.PyDataset` for
        the other two (which needs no tensorflow, unless views are drawn).

    Example:

    >>> part = keras_kd.data.load("digits")["train"]
    >>> x, y = keras_kd.data.feed(part, batch_size=32)[0]
    >>> x.shape, y.shape
    ((32, 8, 8, 1), (32,))
    """
    if not isinstance(views, int) or views < 1:
        raise ValueError(f"`views` must be a whole number above 0. Received: views={views!r}.")
    if views > 1 and augment is None:
        raise ValueError(
            f"Without `augment` all views of an example are alike. Received: views={views}."
        )
    if isinstance(data, Part):
        data = Batches(data, batch_size=batch_size, shuffle=shuffle, seed=seed)
    elif shuffle:
        raise ValueError(
            "`shuffle` orders a keras_kd.data.Part. Shuffle other data where they come from."
        )
    if isinstance(data, keras.utils.PyDataset):
        return Feed(data, augment=augment, views=views, join=join)
    pool_of(data, augment)
    return _tf_feed(_stream(data), augment, views, batch_size, join)


def pool_of(data: Any, augment: Augment | None) -> Pool | None:
    """Where partners come from, when `augment` mixes and `data` are in memory."""
    part = data.part if isinstance(data, Batches) else data
    mixes = augment is not None and augment.mix is not None
    if not mixes or (isinstance(part, Part) and not isinstance(part.x, np.ndarray)):
        return None
    if not isinstance(part, Part):
        assert augment is not None
        raise TypeError(
            f"{type(augment.mix).__name__} mixes an example with any other one of the set: give "
            f"the whole set, as a keras_kd.data.Part. Received: {type(data).__name__}."
        )
    return Pool(part)


class Feed(keras.utils.PyDataset):
    """What `feed` makes of batches with ids: batches for `fit`."""

    def __init__(
        self,
        data: keras.utils.PyDataset,
        *,
        augment: Augment | None = None,
        views: int = 1,
        join: Join | None = None,
    ):
        super().__init__(
            workers=data.workers,
            use_multiprocessing=data.use_multiprocessing,
            max_queue_size=data.max_queue_size,
        )
        self.data, self.augment, self.views, self.join = data, augment, views, join
        self.pool = pool_of(data, augment)
        self.epoch = 0

    @property
    def num_batches(self) -> int | None:
        return self.data.num_batches

    def __len__(self) -> int:
        return len(self.data)

    def on_epoch_begin(self) -> None:
        if hasattr(self.data, "on_epoch_begin"):
            self.data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self.data.on_epoch_end()

    def __getitem__(self, index: int) -> tuple:
        batch = checked(self.data[index])
        x, y, view = batch.x, batch.y, np.full(len(batch.ids), self.epoch % self.views)
        if self.augment is not None:
            x, y = self.augment.mixed(x, y, ids=batch.ids, views=view, pool=self.pool)
        if self.join is not None:
            x = {"inputs": x, "signals": self.join(batch.ids, view)}
        return tuple(part for part in (x, y, batch.weight) if part is not None)


def checked(batch: Any) -> Batch:
    """A batch with ids, once it is known to be one."""
    if not isinstance(batch, Mapping) or not {"id", "x"} <= set(batch) <= set(_KEYS):
        came = listing(batch) if isinstance(batch, Mapping) else type(batch).__name__
        raise ValueError(
            "Examples with ids come as {'id': ..., 'x': ..., 'y': ...}; 'y' and 'weight' may be "
            f"left out. Received: {came}."
        )
    if batch.get("weight") is not None and batch.get("y") is None:
        raise ValueError("Received a 'weight' for each example, but no 'y'.")
    ids = batch["id"].numpy() if hasattr(batch["id"], "numpy") else batch["id"]
    return Batch(as_bytes(ids), batch["x"], batch.get("y"), batch.get("weight"))


def is_tf_data(data: Any) -> bool:
    """Whether `data` is a `tf.data.Dataset`, without asking for tensorflow."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(data, tf.data.Dataset)


def _stream(data: Any) -> Any:
    """`data` as a `tf.data.Dataset`, batched or not."""
    if is_tf_data(data):
        spec = data.element_spec
        if not isinstance(spec, Mapping) or not {"id", "x"} <= set(spec) <= set(_KEYS):
            checked(spec)
        return data
    if not callable(data):
        raise TypeError(f"`data` must be {_FORMS}. Received: {data!r}.")
    tf = tensorflow("A generator is fed")
    first = next(iter(data()), None)
    if first is None:
        raise ValueError("The function given as `data` returned an iterator without examples.")
    batched = np.ndim(first["id"] if isinstance(first, Mapping) and "id" in first else []) == 1
    checked(first if batched or not isinstance(first, Mapping) else _single(first))

    def spec_of(leaf: Any) -> Any:
        array = np.asarray(leaf)
        shape = (None, *array.shape[1:]) if batched else array.shape
        return tf.TensorSpec(shape, tf.as_dtype(array.dtype))

    signature = keras.tree.map_structure(spec_of, dict(first))
    return tf.data.Dataset.from_generator(data, output_signature=signature)


def _single(example: Mapping) -> dict[str, Any]:
    """One example as a batch of one."""
    return keras.tree.map_structure(lambda leaf: np.asarray(leaf)[np.newaxis], dict(example))


def _tf_feed(
    dataset: Any, augment: Augment | None, views: int, batch_size: int, join: Join | None
) -> Any:
    import tensorflow as tf

    epoch = iter(range(sys.maxsize))

    @tf.autograph.experimental.do_not_convert
    def next_view(_: Any) -> Any:
        now = tf.numpy_function(lambda: np.int64(next(epoch) % views), [], tf.int64)
        return tf.ensure_shape(now, ())

    def numbered(view: Any) -> Any:
        return tf.data.Dataset.from_tensors(view).repeat()

    # One number for each iteration begun: the view of every example of that epoch.
    views_now = tf.data.Dataset.range(1).map(next_view).flat_map(numbered)
    count = int(dataset.cardinality())  # which the zip below would forget
    dataset = tf.data.Dataset.zip(dataset, views_now)
    batched = dataset.element_spec[0]["id"].shape.rank == 1
    if augment is not None:
        draw = augment.batch if batched else augment.one

        @tf.autograph.experimental.do_not_convert
        def seen(example: Any, view: Any) -> Any:
            ids = _text(tf, example["id"])
            return {**example, "x": draw(example["x"], ids, view)}, view

        dataset = dataset.map(seen, num_parallel_calls=tf.data.AUTOTUNE)
    if not batched:
        dataset = dataset.batch(batch_size)

    @tf.autograph.experimental.do_not_convert
    def ready(example: Any, view: Any) -> Any:
        x = example["x"]
        if join is not None:
            ids = _text(tf, example["id"])
            view = tf.broadcast_to(view, tf.shape(ids))
            x = {"inputs": x, "signals": _joined(tf, join, ids, view)}
        return (x, *(example[key] for key in ("y", "weight") if key in example))

    dataset = dataset.map(ready, num_parallel_calls=1 if join is None else tf.data.AUTOTUNE)
    if count >= 0:
        count = count if batched else -(-count // batch_size)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _text(tf: Any, ids: Any) -> Any:
    return ids if ids.dtype == tf.string else tf.strings.as_string(ids)


def _joined(tf: Any, join: Any, ids: Any, view: Any) -> Any:
    """`join` inside a `tf.data` graph; `join.signature()` gives KerasTensors like its answer."""
    signature = join.signature()
    leaves = keras.tree.flatten(signature)
    arrays = tf.numpy_function(
        lambda i, v: keras.tree.flatten(join(as_bytes(i), v)),
        [ids, view],
        [x.dtype for x in leaves],
    )
    for array, leaf in zip(arrays, leaves, strict=True):
        array.set_shape(leaf.shape)
    return keras.tree.pack_sequence_as(signature, arrays)


def batches_of(data: Any, batch_size: int) -> Iterator[Batch]:
    """The examples in the order of `data`, in full batches of `batch_size` but for the last."""
    if isinstance(data, Part):
        for index in range(-(-len(data.ids) // batch_size)):
            yield checked(Batches(data, batch_size=batch_size)[index])
        return
    if isinstance(data, keras.utils.PyDataset):
        stream: Any = (data[index] for index in range(len(data)))
    elif is_tf_data(data):
        stream = _stream(data).as_numpy_iterator()
    elif callable(data):
        stream = data()
    else:
        raise TypeError(f"`data` must be {_FORMS}. Received: {data!r}.")
    yield from _cut(_as_batches(stream), batch_size)


def _as_batches(stream: Iterator[Any]) -> Iterator[Batch]:
    for item in stream:
        single = isinstance(item, Mapping) and "id" in item and np.ndim(item["id"]) == 0
        yield checked(_single(item) if single else item)


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
    fields = [dict(zip(_KEYS, batch, strict=True)) for batch in batches]
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
