"""Standing in for the calls of layers, for as long as a context lasts."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import keras

from keras_kd._core.keras_private import is_rematerialized, layers_of

#: Called in place of a layer: `around(layer, original, args, kwargs)` returns what the layer returns.
Around = Callable[[keras.layers.Layer, Callable[..., Any], tuple, dict[str, Any]], Any]


class _Entry(NamedTuple):
    thread: int  # replicas of one step run in threads of their own, and so may trainings
    around: Around


_lock = threading.Lock()
_Held = tuple[int, str | None]  # a layer and its method; without one, what its call is
_entries: dict[_Held, list[_Entry]] = {}
_before: dict[_Held, dict[str, Any]] = {}  # what stood in place of a class's own methods already


@contextlib.contextmanager
def around_calls(
    layers: Iterable[keras.layers.Layer], around: Around, method: str | None = None
) -> Iterator[None]:
    """While it lasts, a call of one of `layers` in this thread, or of a `method` of it, is a call of
    `around`.

    It works alike for Functional, Sequential, subclassed and nested models, eager or compiled, on
    every backend, and leaves nothing behind. Where two contexts hold one layer, the inner one is
    called first.
    """
    layers = list({id(layer): layer for layer in layers}.values())
    entry = _Entry(threading.get_ident(), around)
    held: list[keras.layers.Layer] = []
    try:
        for layer in layers:
            _hold(layer, method, entry)
            held.append(layer)
        yield
    finally:
        for layer in held:
            _release(layer, method, entry)


def rematerializing(model: keras.layers.Layer, layers: Iterable[keras.layers.Layer]) -> list[Any]:
    """Those in `model` that a `keras.RematScope` has run again for the backward pass, and that hold
    one of `layers`. What one of these returns cannot be noted from within: hold them as well."""
    wanted = {id(layer) for layer in layers}
    return [
        outer
        for outer in layers_of(model)
        if is_rematerialized(outer) and wanted & {id(inner) for inner in layers_of(outer)}
    ]


def plainly(layer: Any, original: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
    """Around a call, nothing."""
    return original(*args, **kwargs)


def _hold(layer: keras.layers.Layer, method: str | None, entry: _Entry) -> None:
    with _lock:
        held = id(layer), method
        entries = _entries.setdefault(held, [])
        entries.append(entry)
        if len(entries) == 1:
            replaced = _replacements(layer, method, entries)
            _before[held] = {name: vars(layer).get(name) for name in replaced}
            vars(layer).update(replaced)  # past Keras's attribute tracking, on purpose


def _release(layer: keras.layers.Layer, method: str | None, entry: _Entry) -> None:
    with _lock:
        held = id(layer), method
        entries = _entries[held]
        entries.remove(entry)
        if not entries:
            del _entries[held]
            for name, before in _before.pop(held).items():
                vars(layer).pop(name)
                if before is not None:
                    vars(layer)[name] = before


def _method(layer: keras.layers.Layer) -> str:
    return "quantized_call" if getattr(layer, "quantization_mode", None) is not None else "call"


def _replacements(
    layer: keras.layers.Layer, method: str | None, entries: list[_Entry]
) -> dict[str, Any]:
    """The methods of `layer` that go through its entries, by name."""
    if method is not None:
        return {method: _through(layer, getattr(layer, method), entries)}
    replaced = {_method(layer): _through(layer, getattr(layer, _method(layer)), entries)}
    if is_rematerialized(layer):
        # What is computed for the backward pass a second time must not be handed out of it.
        replaced["rematerialized_call"] = lambda layer_call, *args, **kwargs: layer_call
    return replaced


def _through(
    layer: keras.layers.Layer, original: Callable[..., Any], entries: list[_Entry]
) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        run = original
        for thread, around in tuple(entries):
            if thread == threading.get_ident():
                run = _around(layer, run, around)
        return run(*args, **kwargs)

    return call


def _around(layer: keras.layers.Layer, run: Callable[..., Any], around: Around) -> Any:
    return lambda *args, **kwargs: around(layer, run, args, kwargs)
