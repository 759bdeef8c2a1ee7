"""One `get_config` for all: the constructor's arguments, read from attributes of their names."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from keras_kd._core.keras_private import constants_of

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def arguments_of(instance: Any) -> dict[str, Any]:
    """The named arguments of `instance`'s constructor, serialized from its attributes."""
    parameters = inspect.signature(type(instance).__init__).parameters.values()
    names = [p.name for p in parameters if p.kind in _NAMED and p.name != "self"]
    return {n: keras.saving.serialize_keras_object(getattr(instance, n)) for n in names}


def whole_config(loss: keras.losses.Loss) -> dict[str, Any]:
    """A loss serialized with all of its arguments: Keras leaves out `Huber`'s `delta`, and the
    `axis` of some, and would give back another loss."""
    config = keras.saving.serialize_keras_object(loss)
    named = inspect.signature(type(loss).__init__).parameters
    missing = {
        name: keras.saving.serialize_keras_object(value)
        for name, value in constants_of(loss).items()
        if name in named and name not in config["config"]
    }
    return {**config, "config": {**config["config"], **missing}} if missing else config


def whole_configs(losses: Any) -> Any:
    """The same of what `compile` takes as its loss: one, or lists and dicts of them by output."""
    if isinstance(losses, Mapping):
        return {key: whole_configs(one) for key, one in losses.items()}
    if isinstance(losses, (list, tuple)):
        return [whole_configs(one) for one in losses]
    if isinstance(losses, keras.losses.Loss):
        return whole_config(losses)
    return keras.saving.serialize_keras_object(losses)


def restored(config: dict[str, Any]) -> dict[str, Any]:
    """The constructor's arguments that `arguments_of` wrote down."""
    return {n: keras.saving.deserialize_keras_object(v) for n, v in config.items()}
