"""Copies of models, layer by layer, with the weights."""

from collections.abc import Callable
from typing import Any

import keras

from keras_kd._core.keras_private import is_wired


def check_wired(model: Any, who: str) -> None:
    """An error for what is no model whose layers can be told from outside."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"{who} takes a keras.Model. Received: {model!r} of type {type(model).__name__}."
        )
    if not isinstance(model, keras.Sequential) and not is_wired(model):
        raise ValueError(
            f"{who} takes Sequential and Functional models; model '{model.name}' is of class "
            f"{type(model).__name__}. Wire its layers: keras.Model(inputs, outputs), or change "
            "single layers within your class."
        )


def check_known(layer: keras.Layer, done: str, interface: str, method: str) -> None:
    """An error for a class of someone's own that has weights and does not say what they are."""
    if layer.weights and type(layer).__module__.split(".")[0] != "keras":
        raise ValueError(
            f"Layer '{layer.name}' is of class {type(layer).__name__}, of which it is not known "
            f"which weights may be {done}. Let the class inherit {interface} and define {method}(), "
            "or wrap single layers: keras.models.clone_model(model, clone_function=...)."
        )


def copied(
    model: keras.Model,
    who: str,
    *,
    inside: Callable[[keras.Layer], keras.Layer] = lambda layer: layer,
    around: Callable[[keras.Layer, keras.Layer], keras.Layer] = lambda layer, copy: copy,
    name: Callable[[keras.Layer], str] = lambda layer: layer.name,
) -> keras.Model:
    """A copy of the model, not compiled, those of models inside it included.

    Args:
        model: A Sequential or Functional model.
        who: Who asks, as the start of an error.
        inside: What of a layer is copied, with its weights: itself, or the layer in a wrapper.
        around: What stands in the new model, given the layer and the copy: the copy, or a wrapper.
        name: The copy's name.
    """
    check_wired(model, who)
    pairs: list[tuple[keras.Layer, keras.Layer]] = []

    def again(layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return copied(layer, who, inside=inside, around=around, name=name)
        if not isinstance(layer, keras.layers.Layer):
            return layer  # an operation of keras.ops
        source = inside(layer)
        copy = type(source).from_config({**source.get_config(), "name": name(source)})
        pairs.append((source, copy))
        return around(layer, copy)

    compiled, model.compiled = model.compiled, False  # what it was compiled with is not copied
    try:
        copy = keras.models.clone_model(model, clone_function=again)
    finally:
        model.compiled = compiled
    for old, new in pairs:
        if old.built and new.built:
            new.set_weights(old.get_weights())
    return copy


def unwrapped(model: keras.Model, wrapper: type[Any], who: str) -> keras.Model:
    """A copy of the model with the layers inside each `wrapper`, in place of these."""
    return copied(
        model, who, inside=lambda layer: layer.layer if isinstance(layer, wrapper) else layer
    )
