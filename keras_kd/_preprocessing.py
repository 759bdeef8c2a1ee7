"""Raw texts: what the student's own preprocessor makes of them, batch by batch.

A model of keras-hub may have its `preprocessor` attached, as `CausalLM` and `TextClassifier` have.
Its own `fit` takes texts then, and so does the distiller's. Nothing here needs keras-hub.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_kd._core.texts import are_texts, leaves
from keras_kd._examples._batches import is_tf_data


def holds_texts(x: Any) -> bool:
    """Whether data are raw texts: lists or arrays of them, also in a tuple or dict, or a
    `tf.data.Dataset` of such."""
    if is_tf_data(x):
        x = x.element_spec[0] if isinstance(x.element_spec, tuple) else x.element_spec
    return are_texts(x)


def read_texts(
    student: keras.Model,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    shuffle: bool = False,
) -> Any:
    """Raw texts as data that `fit` takes: inputs, labels and weights, as the student's preprocessor
    makes them of each batch.

    Raises:
        ValueError: If the student has no preprocessor, or labels are given to one that makes its own.
    """
    _check_preprocessor(student)
    if is_tf_data(x):  # which reads ahead by itself
        return x.map(lambda *batch: _prepared(student, *batch)).prefetch(-1)
    return _TextBatches(student, (x, y, sample_weight), batch_size or 32, shuffle)


def read_batch(
    student: keras.Model, x: Any, y: Any = None, sample_weight: Any = None
) -> tuple[Any, Any, Any]:
    """One batch of raw texts as inputs, labels and weights, or `None` for what there is none of; any
    other batch as it is."""
    if not holds_texts(x):
        return x, y, sample_weight
    _check_preprocessor(student)
    rows = np.arange(_rows(x))
    made = _prepared(student, *(_taken(part, rows) for part in (x, y, sample_weight)))
    made = keras.tree.map_structure(np.asarray, made)
    return (*made, None, None)[:3]  # type: ignore[return-value]


def _check_preprocessor(student: Any) -> None:
    if getattr(student, "preprocessor", None) is None:
        raise ValueError(
            f"`x` holds texts, and the student '{student.name}' has no preprocessor. Give token ids, "
            "as the student takes them, or attach one: student.preprocessor = ..., of keras-hub."
        )


def split_texts(data: tuple[Any, ...], share: float) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The data without their last part, and that part, as `validation_split` of `fit` means it."""
    kept = math.floor(_rows(data[0]) * (1.0 - share))
    if not 0 < kept < _rows(data[0]):
        raise ValueError(
            f"`validation_split` must leave texts on both sides. Received: {share!r}, of "
            f"{_rows(data[0])} texts."
        )
    first, last = slice(None, kept), slice(kept, None)
    return tuple(_taken(d, first) for d in data), tuple(_taken(d, last) for d in data)


class _TextBatches(keras.utils.PyDataset):
    """Batches of texts, preprocessed as they are read; in another order in each epoch."""

    def __init__(self, student: keras.Model, data: tuple[Any, ...], batch_size: int, shuffle: bool):
        super().__init__()
        self.student, self.data, self.batch_size, self.shuffle = student, data, batch_size, shuffle
        self.order = np.arange(_rows(data[0]))
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        made = _prepared(self.student, *(_taken(part, rows) for part in self.data))
        return keras.tree.map_structure(lambda one: None if one is None else np.asarray(one), made)

    def on_epoch_end(self) -> None:
        if self.shuffle:
            np.random.shuffle(self.order)  # by the seed of keras.utils.set_random_seed


def _prepared(student: Any, x: Any, y: Any = None, sample_weight: Any = None) -> tuple[Any, ...]:
    """What the preprocessor makes of a batch; weights that are given count beside its own."""
    made = student.preprocess_samples(x, y=y, sample_weight=sample_weight)
    x, labels, weights = keras.utils.unpack_x_y_sample_weight(made)
    if y is not None and len(labels.shape) != len(np.shape(y)):
        raise ValueError(
            f"The preprocessor of '{student.name}' makes the labels, the next tokens, of the texts, "
            "and `y` was given as well. Leave it out: fit(texts)."
        )
    if sample_weight is not None and len(weights.shape) > len(np.shape(sample_weight)):
        weights = np.asarray(weights, "float32") * np.asarray(sample_weight, "float32")[:, None]
    return tuple(part for part in (x, labels, weights) if part is not None)


def _rows(x: Any) -> int:
    """How many examples there are; as many in each part."""
    parts = leaves(x)
    if any(isinstance(part, (str, bytes)) for part in parts):
        raise ValueError(
            "One text was given and not a list of them. Write [text], as in fit([text])."
        )
    return len(parts[0])


def _taken(x: Any, rows: Any) -> Any:
    """These rows of data, texts as a list of them."""
    if x is None:
        return None
    if isinstance(x, Mapping):
        return {key: _taken(part, rows) for key, part in x.items()}
    if isinstance(x, tuple):
        return tuple(_taken(part, rows) for part in x)
    taken = np.asarray(x, dtype=object if are_texts(x) else None)[rows]
    return taken.tolist() if are_texts(x) else taken
