"""Sets by their names in TensorFlow Datasets: found, downloaded if need be, read into arrays."""

import contextlib
import importlib
import logging
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import did_you_mean, listing, text_of
from keras_kd._examples._part import Part
from keras_kd.data._dataset import Dataset, Info, NotAvailable

#: Where the connection is tried: a host that many of the sets are served from.
HOST = "https://storage.googleapis.com"
#: How long to try, in seconds. A download without a network would try on for minutes.
PATIENCE = 3.0
_BATCH = 1024


def read(
    name: str, *, data_dir: str | os.PathLike[str] | None, feature: str | None, download: bool
) -> Dataset:
    """The set `name` of TensorFlow Datasets; see `keras_kd.data.load`."""
    tfds = _library(name)
    builder = _builder(tfds, name, data_dir)
    feature, label = _keys(tfds, name, builder.info.features, feature)
    _prepared(builder, name, download)
    parts: dict[str, Part] = {}
    for part in _parts(name, builder.info.splits):
        examples = _examples(tfds, builder, part, feature, label)
        if (examples.y >= 0).all():  # the labels of a test may be withheld, as -1
            parts[part] = examples
    if "test" not in parts and "validation" in parts:
        parts["test"] = parts.pop("validation")
    labels = builder.info.features[label]
    info = Info(
        name=name,
        classes=labels.num_classes,
        class_names=tuple(labels.names),
        shape=parts["train"].x.shape[1:],
        counts={part: len(examples) for part, examples in parts.items()},
        source=f"TensorFlow Datasets {builder.info.full_name}, {builder.info.homepage}",
        licence=getattr(builder.info.redistribution_info, "license", "") or "not stated",
    )
    return Dataset(info, parts)


def _why_not() -> str:
    """What keeps tensorflow_datasets from loading, and what to install."""
    try:
        importlib.import_module("tensorflow_metadata.proto.v0.schema_pb2")
    except Exception as error:
        return (
            f"{text_of(error)} An older TensorFlow keeps an older protobuf. "
            "Run: pip install 'tensorflow-metadata<1.18'."
        )
    return "its version does not go with another package. Run: pip check."


def _library(name: str) -> Any:
    """`tensorflow_datasets`, once it and what it reads with are known to be there."""
    try:
        import importlib_resources as importlib_resources
        import tensorflow as tf
        import tensorflow_datasets as tfds
    except ModuleNotFoundError as error:
        raise NotAvailable(
            f"The data set '{name}' is read with {error.name}, which is not installed. "
            "Run: pip install tensorflow tensorflow-datasets importlib_resources. "
            "(load('digits') needs none of them.)"
        ) from error
    if not hasattr(tfds, "builder"):  # it goes on without most of itself when an import fails
        raise NotAvailable(
            f"The data set '{name}' is read with tensorflow_datasets, which did not load: "
            f"{_why_not()} (load('digits') needs none of it.)"
        )
    if keras.backend.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # at work already, on what it was given
            tf.config.set_visible_devices([], "GPU")
    return tfds


def _builder(tfds: Any, name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    try:
        return tfds.builder(name, data_dir=None if data_dir is None else os.fspath(data_dir))
    except tfds.core.DatasetNotFoundError as error:
        known = ["digits", *tfds.list_builders()]
        raise ValueError(
            f"No data set '{name}'. Expected 'digits' or one of the {len(known) - 1} names of "
            "tensorflow_datasets.list_builders()." + did_you_mean(name, known, alike=0.75)
        ) from error


def _keys(tfds: Any, name: str, features: Any, wanted: str | None) -> tuple[str, str]:
    """The names of the image or text and of its label among the set's features."""
    found = (
        dict(sorted(features.items())) if isinstance(features, tfds.features.FeaturesDict) else {}
    )
    listed = ", ".join(f"{key} ({type(f).__name__})" for key, f in found.items())
    kinds = (tfds.features.Image, tfds.features.Text)
    inputs = [key for key, feature in found.items() if type(feature) in kinds]
    labels = [key for key, feature in found.items() if type(feature) is tfds.features.ClassLabel]
    if not inputs or not labels or ("label" not in labels and len(labels) > 1):
        raise ValueError(
            f"'{name}' is not an image or text classification set. Expected an Image or a Text, and "
            f"one ClassLabel, for each example; it has {listed or type(features).__name__}."
        )
    images = [key for key in inputs if type(found[key]) is tfds.features.Image]
    chosen = images if len(images) == 1 else inputs  # a caption beside an image does not count
    if wanted is not None:
        chosen = [key for key in inputs if key == wanted]
    if len(chosen) != 1:
        raise ValueError(
            f"`feature` must be one of {listing(inputs)}: the examples of '{name}' have {listed}. "
            f"Received: feature={wanted!r}."
        )
    if type(found[chosen[0]]) is tfds.features.Image and None in found[chosen[0]].shape:
        raise ValueError(
            f"The images of '{name}' differ in size, {found[chosen[0]].shape}, and cannot stand in "
            "one array."
        )
    return chosen[0], "label" if "label" in labels else labels[0]


def _prepared(builder: Any, name: str, download: bool) -> None:
    """Makes sure that the set is on disk; raises with the reason where it cannot be."""
    if builder.is_prepared():
        return
    missing = f"The data set '{name}' is not prepared in '{builder.data_path}'"
    if not download:
        raise NotAvailable(
            f"{missing}, and download=False: give the `data_dir` that has it, or allow the download."
        )
    if not connected():
        raise NotAvailable(
            f"{missing}, and there is no connection to download it ({HOST} did not respond in "
            f"{PATIENCE:g} s): connect and try again, or give the `data_dir` that has it."
        )
    try:
        builder.download_and_prepare()
    except Exception as error:  # whatever a set's own script may raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise NotAvailable(f"{missing}, and preparing it failed: {reason}") from error


def connected() -> bool:
    """Whether `HOST` is reached, directly or through the proxy of the environment."""
    reached = threading.Event()

    def connect() -> None:
        try:
            urllib.request.urlopen(
                urllib.request.Request(HOST, method="HEAD"), timeout=PATIENCE
            ).close()
        except urllib.error.HTTPError:
            pass  # an error of the server: it was reached
        except OSError:
            return
        reached.set()

    # In a thread of its own, for looking a name up obeys no timeout.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return reached.is_set()


def _parts(name: str, splits: Any) -> list[str]:
    """The splits that have a part to play."""
    if "train" not in splits:
        raise ValueError(f"'{name}' has no split 'train'. Its splits: {', '.join(splits) or '-'}.")
    return [part for part in ("train", "test", "validation") if part in splits]


def _examples(tfds: Any, builder: Any, split: str, feature: str, label: str) -> Part:
    """One split, in the order of its records."""
    with _quiet():
        dataset = builder.as_dataset(
            split=split,
            shuffle_files=False,
            # One file after the other, each record with the name of its file and its place in it.
            read_config=tfds.ReadConfig(add_tfds_id=True, interleave_cycle_length=1),
        )
    count = builder.info.splits[split].num_examples
    x, put = _room(tfds, builder.info.features[feature], count)
    y = np.empty(count, "int32")
    ids: list[str] = []
    for batch in tfds.as_numpy(dataset.batch(_BATCH)):
        here = slice(len(ids), len(ids) + len(batch["tfds_id"]))
        put(batch[feature], here)
        y[here] = batch[label]
        ids.extend(i.decode() for i in batch["tfds_id"])
    return Part(x, y, np.array(ids))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leaves out TensorFlow's warnings of functions that its own data sets use."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _room(tfds: Any, feature: Any, count: int) -> tuple[np.ndarray, Callable[..., None]]:
    """An array for so many examples, and what puts a batch into it."""
    if type(feature) is tfds.features.Text:
        texts = np.empty(count, object)

        def put(batch: Any, here: slice) -> None:
            texts[here] = [text.decode("utf-8", "replace") for text in batch]

        return texts, put
    kind = np.dtype(feature.np_dtype)
    scale = np.float32(np.iinfo(kind).max if kind.kind in "iu" else 1)
    images = np.empty((count, *feature.shape), "float32")

    def divided(batch: Any, here: slice) -> None:
        np.divide(batch, scale, out=images[here], casting="unsafe")

    return images, divided
