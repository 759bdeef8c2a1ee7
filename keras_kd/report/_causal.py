"""Causal language models given to `compare`: known by their data, and compared as such."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import listing
from keras_kd._examples._batches import is_tf_data
from keras_kd._preprocessing import holds_texts, read_texts
from keras_kd.data import Part


def as_causal(models: Any, data: Any) -> tuple[Mapping[str, keras.Model], Any] | None:
    """The models and the data as `compare_language` takes them; `None` when they are others.

    Causal are models that give logits for each position, of data that are texts or whose labels are
    each position's next token.
    """
    if not isinstance(models, Mapping) or not models:
        return None
    alone = {n: m[0] if isinstance(m, (list, tuple)) and m else m for n, m in models.items()}
    if not all(isinstance(m, keras.Model) and _gives_positions(m) for m in alone.values()):
        return None
    if isinstance(data, Part):
        data = (data.x, data.y)
    texts = holds_texts(data if not isinstance(data, tuple) else data[0])
    first = None if texts else _first(data)
    if not texts and (first is None or not _are_next_tokens(*first)):
        return None
    several = [n for n, m in models.items() if isinstance(m, (list, tuple)) and len(m) > 1]
    if several:
        raise ValueError(
            f"Causal language models are compared one of each name, and {listing(several)} are "
            "several runs. Give each run a name of its own."
        )
    return alone, _tokens(alone, data) if texts else data


def check_no_other_settings(given: Mapping[str, Any]) -> None:
    """Raises for settings of `compare` that mean nothing for causal language models."""
    set_here = [name for name, value in given.items() if value]
    if set_here:
        raise ValueError(
            "These are causal language models, which compare() hands to "
            f"keras_kd.report.compare_language: it has no {listing(set_here)}. Leave it out."
        )


def _gives_positions(model: keras.Model) -> bool:
    try:
        shape = model.output_shape
    except (
        AttributeError,
        RuntimeError,
        ValueError,
    ):  # Keras does not know it, or there are several
        return False
    return isinstance(shape, tuple) and len(shape) == 3 and isinstance(shape[-1], int)


def _tokens(models: Mapping[str, Any], data: Any) -> Any:
    """Texts as tokens, by the preprocessor of a model."""
    reader = next((m for m in models.values() if getattr(m, "preprocessor", None)), None)
    if reader is None:
        raise ValueError(
            f"`data` are texts, and none of the models {listing(models)} has a preprocessor. Attach "
            "one: model.preprocessor = ..., of KerasHub; or give token ids, (x, y, weights)."
        )
    x, y, weights = (*data, None, None)[:3] if isinstance(data, tuple) else (data, None, None)
    return read_texts(reader, x, y, weights, batch_size=8)


def _first(data: Any) -> tuple[Any, ...] | None:
    """The first batch of data that can be looked at twice."""
    if isinstance(data, keras.utils.PyDataset):
        data = data[0] if data.num_batches else None
    elif is_tf_data(data):
        data = next(iter(data.take(1)), None)
    elif isinstance(data, list) and data:
        data = data[0]
    if not isinstance(data, (tuple, list)) or not 2 <= len(data) <= 3:
        return None
    return tuple(data)


def _are_next_tokens(x: Any, y: Any, weights: Any = None) -> bool:
    """Whether labels are the tokens that come next in the inputs, wherever both count."""
    ids = x.get("token_ids") if isinstance(x, Mapping) else x
    mask = x.get("padding_mask") if isinstance(x, Mapping) else None
    if any(keras.tree.is_nested(part) or part is None for part in (ids, y)):
        return False
    ids, y = (keras.ops.convert_to_numpy(part) for part in (ids, y))
    if ids.ndim != 2 or ids.shape != y.shape or y.shape[1] < 2:
        return False
    counts = np.ones(y.shape, "bool")
    for given in (mask, weights):
        if given is not None and np.shape(given) == y.shape:
            counts &= keras.ops.convert_to_numpy(given) > 0
    counts = counts[:, :-1] & counts[:, 1:]
    return bool(counts.any() and (ids[:, 1:] == y[:, :-1])[counts].all())
