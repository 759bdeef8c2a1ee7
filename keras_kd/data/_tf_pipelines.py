"""Pipelines in tensorflow's graph: ids along with the examples, and one view for each epoch."""

import sys
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_kd._core.optional import require_tensorflow
from keras_kd._examples._batches import KEYS, Join, batch_of_one, checked, is_tf_data, not_data
from keras_kd._examples._ids import as_bytes
from keras_kd._examples._pool import Pool
from keras_kd.data._mixes import blended
from keras_kd.data._views import Augment


def stream(data: Any) -> Any:
    """`data` as a `tf.data.Dataset`, batched or not."""
    if is_tf_data(data):
        spec = data.element_spec
        if not isinstance(spec, Mapping) or not {"id", "x"} <= set(spec) <= set(KEYS):
            checked(spec)
        return data
    if not callable(data):
        raise not_data(data)
    tf = require_tensorflow("A generator is fed")
    first = next(iter(data()), None)
    if first is None:
        raise ValueError("The function given as `data` returned an iterator without examples.")
    batched = np.ndim(first["id"] if isinstance(first, Mapping) and "id" in first else []) == 1
    checked(first if batched or not isinstance(first, Mapping) else batch_of_one(first))

    def spec_of(leaf: Any) -> Any:
        array = np.asarray(leaf)
        shape = (None, *array.shape[1:]) if batched else array.shape
        return tf.TensorSpec(shape, tf.as_dtype(array.dtype))

    signature = keras.tree.map_structure(spec_of, dict(first))
    return tf.data.Dataset.from_generator(data, output_signature=signature)


def tf_feed(
    dataset: Any,
    augment: Augment | None,
    views: int,
    batch_size: int,
    pool: Pool | None,
    join: Join | None,
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
    spec = dataset.element_spec[0]
    batched = spec["id"].shape.rank == 1
    mixed = None if pool is None else _mixer(tf, augment, pool, labelled="y" in spec)

    def seen(example: Any, view: Any) -> Any:
        if augment is None or not augment.steps:
            return example, view
        draw = augment.batch if batched else augment.one
        return {**example, "x": draw(example["x"], _text(tf, example["id"]), view)}, view

    def ready(example: Any, view: Any) -> Any:
        ids = _text(tf, example["id"])
        views = tf.broadcast_to(view, tf.shape(ids))
        example = example if mixed is None else mixed(example, ids, views)
        x = example["x"]
        if join is not None:
            x = {"inputs": x, "signals": _joined(tf, join, ids, views)}
        return (x, *(example[key] for key in ("y", "weight") if key in example))

    def mapped(dataset: Any, function: Any, busy: bool) -> Any:
        function = tf.autograph.experimental.do_not_convert(function)
        return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE if busy else None)

    if batched:  # in one stage, so that a batch is handed from thread to thread once
        dataset = mapped(dataset, lambda *each: ready(*seen(*each)), bool(augment or join))
    else:
        dataset = mapped(dataset, seen, True) if augment is not None else dataset
        dataset = mapped(dataset.batch(batch_size), ready, bool(mixed or join))
    if count >= 0:
        count = count if batched else -(-count // batch_size)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _mixer(tf: Any, augment: Any, pool: Pool, labelled: bool) -> Any:
    """What mixes a batch of changed examples with their partners, inside a `tf.data` graph."""
    images, classes = pool.part.x, augment.mix.classes

    def others(ids: Any, views: Any) -> Any:
        return pool.others(ids, views, augment.seed, classes if labelled else 0)

    def mixed(example: Any, ids: Any, views: Any) -> Any:
        kinds = [images.dtype, tf.string, tf.float32]
        partners, names, theirs = tf.numpy_function(others, [ids, views], kinds)
        partners.set_shape((None, *images.shape[1:]))
        names.set_shape((None,))
        theirs.set_shape((None, classes if labelled else 0))
        if augment.steps:
            partners = augment.batch(partners, names, views)
        x, share = augment.blend(example["x"], partners, ids, views)
        example = {**example, "x": x}
        if labelled:
            ours = example["y"]
            ours = tf.one_hot(ours, classes) if ours.shape.rank == 1 else tf.cast(ours, tf.float32)
            example["y"] = blended(share, ours, theirs)
        return example

    return mixed


def _text(tf: Any, ids: Any) -> Any:
    return ids if ids.dtype == tf.string else tf.strings.as_string(ids)


def _joined(tf: Any, join: Any, ids: Any, view: Any) -> Any:
    """`join` inside a `tf.data` graph; `join.signature()` gives KerasTensors like its result."""
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
