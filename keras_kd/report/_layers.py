"""Standing in for layers: what they take and give in one pass, noted or changed."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

#: Called in place of a layer: `around(layer, original, args, kwargs)` returns what the layer says.
Around = Callable[[keras.layers.Layer, Callable[..., Any], tuple, dict[str, Any]], Any]


@contextlib.contextmanager
def standing_in(layers: Iterable[keras.layers.Layer], around: Around) -> Iterator[None]:
    """While it lasts, a call of each of `layers` is a call of `around`; nothing is left behind."""
    changed = []
    try:
        for layer in {id(layer): layer for layer in layers}.values():
            quantized = getattr(layer, "quantization_mode", None) is not None
            method = "quantized_call" if quantized else "call"
            vars(layer)[method] = _call(layer, getattr(layer, method), around)
            changed.append((layer, method))
        yield
    finally:
        for layer, method in changed:
            del vars(layer)[method]


def _call(layer: keras.layers.Layer, original: Callable[..., Any], around: Around) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        return around(layer, original, args, kwargs)

    return call
