"""Fingerprints: whether two models are the same, whatever their names and from whatever file.

Equal weights are not enough: with another scaling, another activation or a softmax the outputs are
others. So the layers are hashed as well, by class and configuration, without what may differ
from process to process (names) or from version to version (what is off is not written by all), and
without what only matters in training.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_kd._core.keras_private import layers_of

#: Keys of configurations that do not change what is computed.
_ASIDE = (
    "name", "trainable", "seed", "build_config", "compile_config", "module", "registered_name",
    "shared_object_id",
)  # fmt: skip
_ASIDE_ENDINGS = ("initializer", "regularizer", "constraint", "momentum")
_CONTAINERS = ("Sequential", "Functional")


def fingerprint(teacher: keras.Model) -> str:
    """A hash of all of a model's weights and of its layers.

    The same for a model that was saved and loaded, on any backend; names do not count. Models
    with equal weights that compute something else have another one, as far as their layers'
    `get_config` shows it; what a model does in a `call` of its own is not seen.
    """
    layers = json.dumps(list(_layers(teacher)), sort_keys=True, default=_named)
    return hashlib.sha256(f"{weights_hash(teacher)} {layers}".encode()).hexdigest()[:32]


def weights_hash(teacher: keras.Model) -> str:
    """A hash of all of a model's weights alone: what stores of format 1 have as fingerprint."""
    digest = hashlib.sha256()
    for weight in teacher.weights:
        array = np.ascontiguousarray(np.asarray(keras.ops.convert_to_numpy(weight.value)))
        digest.update(f"{weight.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:32]


def _layers(layer: Any) -> Iterator[Any]:
    """Class and configuration of each operation; models around them do not count as such."""
    kind = type(layer).__name__
    if kind in _CONTAINERS:
        inside = layer.layers if kind == "Sequential" else layer.operations
        for each in inside:
            yield from _layers(each)
        return
    if isinstance(layer, keras.layers.InputLayer):
        return
    try:
        config = layer.get_config()
    except Exception:  # a class of its own without a configuration
        config = {}
    yield [kind, _plain(config)]
    if isinstance(layer, keras.Model):  # whose configuration need not name its layers
        for each in layers_of(layer, include_self=False, recursive=False):
            yield from _layers(each)


def _plain(config: Any) -> Any:
    """A configuration without what does not change what is computed."""
    if isinstance(config, Mapping):
        if "class_name" in config and "config" in config:
            return _of_object(config["class_name"], config["config"])
        found = {
            str(key): _plain(value)
            for key, value in config.items()
            if key not in _ASIDE and not str(key).endswith(_ASIDE_ENDINGS)
        }
        return {key: value for key, value in found.items() if value not in (None, False, [], {})}
    if isinstance(config, (list, tuple)):
        return [_plain(value) for value in config]
    if isinstance(config, np.ndarray):
        return config.tolist()
    return config


def _of_object(kind: str, config: Any) -> Any:
    if kind == "DTypePolicy":
        return config["name"]
    if kind == "__lambda__":  # bytes that each version of Python writes otherwise
        return kind
    if kind in _CONTAINERS:
        inside = [_plain(each) for each in config["layers"]]
        return [each for each in inside if each[0] != "InputLayer"]
    return [kind, _plain(config)]


def _named(thing: Any) -> str:
    return getattr(thing, "__name__", type(thing).__name__)
