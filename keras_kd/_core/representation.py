"""Objects as the call that makes them: `SoftTarget(temperature=4.0)`."""

import inspect
from typing import Any

from keras_kd._core.keras_private import constants_of

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
#: Arguments that every Keras object takes: they show nothing of what this one does.
_COMMON = {
    "self", "name", "dtype", "reduction", "trainable", "autocast", "activity_regularizer",
}  # fmt: skip
#: A list longer than this is shown by its length.
_LONG = 8


def call_of(thing: Any) -> str:
    """The call that makes `thing`, with the arguments it was given.

    All of those that an object of this package takes, and of Keras's objects those that differ from
    their defaults.
    """
    kind = type(thing)
    ours = kind.__module__.partition(".")[0] == "keras_kd"
    config = thing.get_config() if not ours and hasattr(thing, "get_config") else {}
    config = {**config, **constants_of(thing)}
    parts = []
    for parameter in inspect.signature(kind.__init__).parameters.values():
        if parameter.kind in _NAMED and parameter.name not in _COMMON:
            value = getattr(thing, parameter.name, config.get(parameter.name, parameter.default))
            if value is not parameter.empty and (ours or not _same(value, parameter.default)):
                parts.append(f"{parameter.name}={value_of(value)}")
    return f"{kind.__name__}({', '.join(parts)})"


def value_of(value: Any) -> str:
    """An argument's value, as it is written in a call."""
    if isinstance(value, (list, tuple)) and len(value) > _LONG:
        return f"<{len(value)} values>"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(value_of, value))
        end = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{end})"
    if isinstance(value, float):
        return repr(float(f"{value:.6g}"))  # 1 - 0.9 is 0.1 to a reader
    if value is None or isinstance(value, (bool, int, str)):
        return repr(value)
    if inspect.isfunction(value) or inspect.isclass(value):
        return value.__name__
    if hasattr(value, "shape"):
        return f"<array of shape {tuple(value.shape)}>"
    return call_of(value)


def _same(value: Any, default: Any) -> bool:
    if default is inspect.Parameter.empty:
        return False
    name = getattr(value, "__name__", None) or type(value).__name__
    is_default = isinstance(default, str) and name.lower() == default.replace("_", "").lower()
    return value is default or (type(value) is type(default) and value == default) or is_default
