"""Before the first byte: are the arguments right, is there room, is this the same store as before?"""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import listing
from keras_kd._core.scalars import count
from keras_kd.data import Augment
from keras_kd.stores._codecs import StoreError
from keras_kd.stores._manifest import (
    MANIFEST,
    Path,
    differences,
    format_of,
    replace,
    sealed,
    to_go_on,
)
from keras_kd.stores._probe import Probe, check_probe
from keras_kd.stores._progress import size

DTYPES = ("float16", "float32", "int8")


def check_same_store(folder: Path, settings: dict[str, Any], probe: Probe) -> None:
    """Puts the settings down, or proves that the store begun here has the same."""
    settings = json.loads(json.dumps(settings))
    try:
        there = to_go_on(folder)
    except FileNotFoundError:
        began = {"format": format_of(settings), "settings": settings, "probe": probe}
        replace(folder / MANIFEST, sealed({**began, "complete": False}))
        return
    if differing := differences(settings, there.settings):
        raise StoreError(
            f"'{folder}' holds a store written otherwise: {'; '.join(differing[:3])}. Write to another "
            "folder, or remove this one."
        )
    check_probe(probe, there.probe, there.digest, f"The store '{folder}'")


def check_room(folder: Path, each: int, count: int | None, num_shards: int) -> None:
    if count is None:
        return
    # Ids, digests and the index take some tens of bytes more.
    written = sum(f.stat().st_size for f in folder.glob("shard-*/*"))
    needed = (share(count, num_shards) or 0) * (each + 64) - written
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"The store would take {size(needed)} ({count:,} examples of {size(each)}), and the "
            f"disk of '{folder}' has {size(free)} left. Fewer views, top_k, dtype='int8' or "
            "another disk would do."
        )


def share(count: int | None, num_shards: int) -> int | None:
    return None if count is None else math.ceil(count / num_shards)


def described(x: Any) -> Any:
    """Shape and type of one example's inputs."""
    leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(x)]
    return [
        {"shape": list(leaf.shape[1:]), "dtype": "string" if leaf.dtype.kind in "OSU" else leaf.dtype.name}
        for leaf in leaves
    ]  # fmt: skip


def check_arguments(
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
        count(value, argument)
    if not 0 <= shard_index < num_shards:
        raise ValueError(
            f"`shard_index` must be from 0 to num_shards - 1 = {num_shards - 1}. Received: "
            f"shard_index={shard_index}."
        )
    if views > 1 and augment is None:
        raise ValueError(
            f"Without `augment` all views of an example are alike. Received: views={views}."
        )
