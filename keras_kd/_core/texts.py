"""Texts beside numbers: what a model of keras-hub reads by its preprocessor, and what it does not.

Such a model with a preprocessor attached gives whatever `predict` gets to that preprocessor, token
ids as well, which fails, and images that the distiller gives to the network as they are, which
changes them in silence. Nothing here needs keras-hub.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


def are_texts(x: Any) -> bool:
    """Whether among these lists, arrays, dicts and tuples of them there are texts."""
    return any(map(_is_text, leaves(x)))


def leaves(x: Any) -> list[Any]:
    """The parts of data: tuples and dicts hold several, and a list is one."""
    if isinstance(x, Mapping):
        return [leaf for part in x.values() for leaf in leaves(part)]
    return [leaf for part in x for leaf in leaves(part)] if isinstance(x, tuple) else [x]


def predict(model: Any, x: Any, **settings: Any) -> Any:
    """`model.predict`; a preprocessor gets texts alone, and the network all else as it is."""
    return _method(model, "predict", x)(x, **settings)


def predict_on_batch(model: Any, x: Any) -> Any:
    """`model.predict_on_batch`; a preprocessor gets texts alone, and the network all else."""
    return _method(model, "predict_on_batch", x)(x)


def _method(model: Any, name: str, x: Any) -> Any:
    if getattr(model, "preprocessor", None) is None or are_texts(x):
        return getattr(model, name)
    return getattr(keras.Model, name).__get__(model)


def _is_text(leaf: Any) -> bool:
    if isinstance(leaf, (list, np.ndarray)):
        first = next(iter(leaf.flat if isinstance(leaf, np.ndarray) else leaf), None)
        return isinstance(first, (str, bytes))
    return isinstance(leaf, (str, bytes)) or "string" in str(getattr(leaf, "dtype", ""))
