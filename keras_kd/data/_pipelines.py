"""Pipelines: examples with ids on their way to `fit`, each seen through one of its views."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_kd._core.scalars import count
from keras_kd._examples._batches import Batches, Join, checked, one_by_one
from keras_kd._examples._batches import is_tf_data as is_tf_data
from keras_kd._examples._part import Part
from keras_kd._examples._pool import pool_of
from keras_kd.data._tf_pipelines import stream, tf_feed
from keras_kd.data._views import Augment


def feed(
    data: Any,
    *,
    augment: Augment | None = None,
    views: int = 1,
    batch_size: int = 128,
    shuffle: bool = False,
    seed: int = 0,
    among: Part | None = None,
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
        among: With an `augment` that mixes: the whole set that partners are taken from. Defaults
            to `None`: `data`, when that is a `Part`.
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
    count(views, "views")
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
        return Feed(data, augment=augment, views=views, among=among, join=join)
    return tf_feed(stream(data), augment, views, batch_size, pool_of(data, augment, among), join)


class Feed(keras.utils.PyDataset):
    """What `feed` makes of batches with ids: batches for `fit`."""

    def __init__(
        self,
        data: keras.utils.PyDataset,
        *,
        augment: Augment | None = None,
        views: int = 1,
        among: Part | None = None,
        join: Join | None = None,
    ):
        super().__init__(
            workers=data.workers,
            use_multiprocessing=data.use_multiprocessing,
            max_queue_size=data.max_queue_size,
        )
        self.data, self.augment, self.views, self.join = data, augment, views, join
        self.pool = pool_of(data, augment, among)
        self.epoch = 0

    @property
    def num_batches(self) -> int | None:
        return self.data.num_batches

    def __len__(self) -> int:
        return len(self.data)

    def on_epoch_begin(self) -> None:
        self.data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self.data.on_epoch_end()

    def __iter__(self) -> Iterator[tuple]:
        return one_by_one(self)

    def __getitem__(self, index: int) -> tuple:
        batch = checked(self.data[index])
        x, y, view = batch.x, batch.y, np.full(len(batch.ids), self.epoch % self.views)
        if self.augment is not None:
            x, y = self.augment.mixed(x, y, ids=batch.ids, views=view, pool=self.pool)
        if self.join is not None:
            x = {"inputs": x, "signals": self.join(batch.ids, view)}
        return tuple(part for part in (x, y, batch.weight) if part is not None)
