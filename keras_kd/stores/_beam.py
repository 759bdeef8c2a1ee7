"""Writing with Apache Beam: the shards of one store, made by a cluster's workers."""

import os
from collections.abc import Callable
from typing import Any

import keras

from keras_kd._core.optional import require
from keras_kd.stores._codecs import StoreError
from keras_kd.stores._manifest import Manifest, Path
from keras_kd.stores._writer import write


def write_with_beam(
    teacher: str | os.PathLike[str] | Callable[[], keras.Model],
    data: Callable[[], Any],
    path: str | os.PathLike[str],
    *,
    num_shards: int,
    options: Any = None,
    **settings: Any,
) -> Manifest:
    """Writes a store as an Apache Beam pipeline: the very files that one `write` would write.

    Each of `num_shards` work items loads the teacher and the data where it runs, and writes its
    share. What a worker left when it was stopped, the next one goes on with. The folder must be
    one that all workers see. Needs the extra `beam`.

    Args:
        teacher: A saved model, such as `"teacher.keras"`, or a function that returns the model.
        data: A function that returns the examples with ids, in the same order each time; for a
            set of TensorFlow Datasets, one that calls `keras_kd.data.load`.
        path: The folder.
        num_shards: How many work items there are.
        options: `apache_beam.options.pipeline_options.PipelineOptions`, which name the runner.
            Defaults to `None`: this machine.
        **settings: As in `keras_kd.stores.write`.

    Returns:
        The `Manifest` of the finished store.

    Raises:
        StoreError: As `keras_kd.stores.write`.
    """
    beam = require("apache_beam", extra="beam", purpose="keras_kd.stores.write_with_beam runs")
    if "shard_index" in settings:
        raise ValueError("`shard_index` is given to each work item; give `num_shards` alone.")
    item = _Item(teacher, data, os.fspath(path), num_shards, settings)
    with beam.Pipeline(options=options) as pipeline:
        numbers = pipeline | "Items" >> beam.Create(list(range(num_shards)))
        _ = numbers | beam.Reshuffle() | "Write" >> beam.Map(item)
    # Two items that end at once may each have seen the other unfinished.
    from keras_kd.stores._index import finish

    finished = finish(Path(path))
    if finished is None:
        raise StoreError(f"The store '{path}' is not finished: run the pipeline again.")
    return finished


class _Item:
    """The work of one item; travels to a worker."""

    def __init__(self, teacher: Any, data: Any, path: str, num_shards: int, settings: dict):
        self.teacher, self.data, self.path = teacher, data, path
        self.num_shards, self.settings = num_shards, settings

    def __call__(self, number: int) -> int:
        teacher = (
            self.teacher() if callable(self.teacher) else keras.saving.load_model(self.teacher)
        )
        settings = {"name": teacher.name, **self.settings}
        write(
            teacher, self.data(), self.path, shard_index=number, num_shards=self.num_shards,
            **settings,
        )  # fmt: skip
        return number
