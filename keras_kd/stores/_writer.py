"""Writing: the teacher predicts every example once, and its outputs are stored."""

import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras

from keras_kd._core.files import check_folder, named
from keras_kd._core.function_teacher import as_teacher
from keras_kd._examples._batches import batches_of, count_of
from keras_kd._examples._part import Part
from keras_kd._examples._pool import pool_of
from keras_kd.data import Augment
from keras_kd.stores._codecs import Codec
from keras_kd.stores._digest import Digest
from keras_kd.stores._form import form_of
from keras_kd.stores._index import finish
from keras_kd.stores._lock import locked, refuse_others, writing
from keras_kd.stores._logit_checks import SAMPLE, check_ending, kinds_of
from keras_kd.stores._manifest import (
    EXAMPLES,
    Manifest,
    replace,
    sealed,
)
from keras_kd.stores._probe import probe_of
from keras_kd.stores._progress import progress, size
from keras_kd.stores._shard_writer import ShardWriter
from keras_kd.stores._teachers import (
    fingerprint_of,
    inputs_for,
    outputs_of,
    weights_of,
)
from keras_kd.stores._write_checks import (
    check_arguments,
    check_room,
    check_same_store,
    described,
    share,
)

_SHARD_BYTES = 64 << 20


def write(
    teacher: keras.Model | Callable[[Any], Any],
    data: Any,
    path: str | os.PathLike[str],
    *,
    addresses: Sequence[str] = ("output",),
    augment: Augment | None = None,
    among: Part | None = None,
    views: int = 1,
    dtype: str | Mapping[str, str] = "float16",
    top_k: int | None = None,
    top_p: float | None = None,
    sampled: int | None = None,
    sampling_power: float = 1.0,
    seed: int = 0,
    temperatures: float | Sequence[float] = (1.0,),
    ragged: bool = False,
    batch_size: int = 128,
    shard_size: int | None = None,
    shard_index: int = 0,
    num_shards: int = 1,
    name: str | None = None,
) -> Manifest | None:
    """Computes a teacher's outputs for every example once, and writes them to a folder.

    Whatever ends it, call it again with the same arguments and it goes on at the shard where it
    was; the files are, byte for byte, those of a run that nothing ended. What it would take is
    estimated first, and nothing is written when the disk has not that much left.

    Several processes or machines write one store together: each with its own `shard_index` and
    the same `num_shards`, to one folder or, with `keras_kd.stores.merge` at the end, to several.

    What an output takes, and what is lost of it, for a signal of `n` numbers:

    | | bytes an output | 1,000 classes | lost |
    |---|---|---|---|
    | `"float32"` | 4 n | 4,000 | nothing |
    | `"float16"` | 2 n | 2,000 | at most one part in 2,048 of each number |
    | `"int8"` | n + 4 | 1,004 | at most 1/254 of the example's largest number |
    | `top_k=k`, `"float16"` | 4 k + 4 for each temperature | 68 for `k=16` | the differences between the other classes, and one part in 2,048 |
    | `top_k=k`, `"int8"` | 3 k | 24 for `k=8` | the differences between the other classes, and 1/16 of the log-odds of each probability (at most 1/8 of its logarithm) |
    | `sampled=k` | 2 k | 16 for `k=8` | the differences between classes that were not drawn; on average over draws, nothing |

    (2 k more above 65,536 classes.) Each view of an example has an output.

    Args:
        teacher: A `keras.Model`, always run in inference mode (an ensemble is one too); a
            teacher of another framework, from `keras_kd.sources`; or any function from a batch of
            inputs to logits, or to a dict with `"output"` for them and other signals by name,
            NumPy in and NumPy out.
        data: Examples with ids, in an order that stays: see `keras_kd.data.feed`.
        path: The folder. It is made when it is not there.
        addresses: What to keep: `"output"`, and paths of layers. Defaults to `("output",)`.
        augment: A `keras_kd.data.Augment`: the teacher predicts views of the examples. With
            one that mixes, a view is a picture mixed with one partner, the same in every epoch
            that meets this view; outputs for pairs that a batch brings together cannot be stored.
        among: With an `augment` that mixes: the whole set that partners are taken from. Defaults
            to `None`: `data`, when that is a `Part`.
        views: How many views of each example. Defaults to `1`.
        dtype: `"float16"`, `"float32"` or, for features and with `top_k`, `"int8"`; or a dict by
            address. Defaults to `"float16"`.
        top_k: Of `"output"`, keep the largest logits only, so many, with what
            `keras_kd.losses.SparseSoftTarget` needs of the rest. Defaults to `None`: all.
        top_p: With `top_k`: of these as few as have this probability together, at the first of
            `temperatures`. Where the teacher is sure, that is one. Defaults to `None`: all `k`.
        sampled: Of `"output"`, keep so many classes drawn by their probabilities, for
            `keras_kd.losses.SampledSoftTarget`. Draws of one example follow from its id, its view
            and `seed`. Defaults to `None`: none.
        sampling_power: With `sampled`: draws follow the probabilities to this power; their
            weights, 2 k bytes more, make up for it. Below 1 rare classes come more often. Defaults to
            `1.0`.
        seed: With `sampled`: of the draws. Defaults to `0`.
        temperatures: With `top_k`: at which the outputs will be used; with `sampled` the one.
            Defaults to `(1.0,)`.
        ragged: Whether padding takes no bytes: positions of sequences that the input
            `"padding_mask"`, or else Keras's mask, leaves out are not stored, and `read` gives zeros
            for them and the signal `"mask"`. Defaults to `False`.
        batch_size: How many examples the teacher predicts at once. Defaults to `128`.
        shard_size: Examples in one shard, a multiple of `batch_size`. Defaults to what makes
            about 64 MB.
        shard_index: Which of `num_shards` writers this is, from 0. Defaults to `0`.
        num_shards: How many writers there are. Defaults to `1`.
        name: The teacher's name in the store. Defaults to `teacher.name`; a function must be given
            one.

    Returns:
        The `Manifest` of the finished store; `None` while shards of other writers are missing.

    Raises:
        TypeError: If `teacher` is none of these.
        StoreError: If the folder holds another store, another process is writing there, the disk
            is too small, the teacher's outputs cannot be stored, or two examples share an id; if
            its output is probabilities, where losses read logits; if a teacher of another framework
            fails, or its outputs change shape, type or number of classes from one batch to another.

    Example:

    >>> import tempfile
    >>> part = keras_kd.data.load("digits")["test"]
    >>> teacher = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
    ...                             keras.layers.Dense(10)])
    >>> store = keras_kd.stores.write(teacher, part, tempfile.mkdtemp())
    >>> store.examples, store.bytes_per_example()
    (640, 20)
    """
    teacher = as_teacher(teacher, name)
    folder = named(path)
    check_arguments(addresses, views, augment, dtype, batch_size, shard_index, num_shards)
    check_folder(folder)
    pool = pool_of(data, augment, among)
    stream = batches_of(data, batch_size)
    first = next(stream, None)
    if first is None:
        raise ValueError("`data` has no examples.")
    if shard_size is not None and (shard_size < 1 or shard_size % batch_size):
        raise ValueError(
            f"`shard_size` must be a multiple of batch_size={batch_size}. Received: {shard_size}."
        )
    form = form_of(top_k, top_p, sampled, sampling_power, seed, temperatures, ragged)
    dtypes = dict.fromkeys(addresses, dtype) if isinstance(dtype, str) else dict(dtype)
    check_ending(teacher, addresses)
    example = inputs_for(teacher, first)
    outputs = outputs_of(teacher, addresses, dtypes, form, example)
    signals = outputs.first_signals(example, SAMPLE)
    kinds = kinds_of(teacher, signals)
    each = views * sum(codec.bytes() for codec in outputs.codecs.values())
    if shard_size is None:
        shard_size = max(1, _SHARD_BYTES // (each * batch_size)) * batch_size
    inputs = described(first.x)
    settings = {
        "signals": [
            {"address": path, "values": kinds[path], **codec.get_config()}
            for path, codec in outputs.codecs.items()
        ],
        "views": views,
        "augment": None if augment is None else augment.get_config(),
        "shard_size": shard_size,
        "batch_size": batch_size,
        "teacher": {
            "name": name or teacher.name,
            "fingerprint": fingerprint_of(teacher),
            "weights": weights_of(teacher),
        },
        "data": {"inputs": inputs, "mixed_among": pool and pool.identity},
    }
    folder.mkdir(parents=True, exist_ok=True)
    whose = f"The store '{folder}'"
    with locked(writing(folder, shard_index, num_shards), whose):
        refuse_others(folder, num_shards, whose)
        check_same_store(folder, settings, probe_of(first, signals, Digest(inputs)))
        count = count_of(data)
        mine = share(count, num_shards)
        takes = f"{size(each)} each" if mine is None else f"{size(mine * each)}"
        takes += _by_token(outputs.codecs.values())
        check_room(folder, each, count, num_shards)
        writer = ShardWriter(folder, outputs, augment, pool, settings)
        with progress(f"{folder.name}, {takes}", mine) as advance:
            total = 0
            for number, batch in enumerate(itertools.chain([first], stream)):
                total += len(batch.ids)
                shard = number * batch_size // shard_size
                if shard % num_shards == shard_index:
                    writer.take(shard, batch)
                    advance(len(batch.ids))
            writer.close()
        replace(folder / EXAMPLES, sealed({"examples": total}))
        return finish(folder)


def _by_token(codecs: Iterable[Codec]) -> str:
    """What a position takes, of outputs that are sequences; at most, where that differs."""
    sequences = [codec for codec in codecs if len(codec.shape) == 2]
    if not sequences:
        return ""
    each = sum(codec.bytes() / codec.shape[0] for codec in sequences)
    return f", up to {each:.3g} bytes a token"
