"""What was done to inputs before the student got them: told in words, or by a mean and a spread."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd.exporting._signature import Arrays

_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"\[\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\]|from ({_NUMBER}) to ({_NUMBER})")
_KEYS = ("mean", "std", "color_order", "text")
_ORDERS = ("RGB", "BGR", "GRAY")
#: How small a part of the range examples may fill: a 50th is what is divided by 255 twice.
_LEAST = 0.02


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become what the student takes: `(pixel - mean) / std`, of pixels from 0 to 255.

    Args:
        text: In words.
        low: The smallest number that the student takes; `None` where none was told.
        high: The largest.
        mean: For each channel, or one for all; empty where none was told.
        std: The same.
        color_order: `"RGB"`, `"BGR"` or `"GRAY"`; `None` for other inputs than images.
    """

    text: str = ""
    low: float | None = None
    high: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    color_order: str | None = None

    @property
    def span(self) -> tuple[float, float]:
        """From the smallest to the largest number; from 0 to 1 where none was told."""
        known = self.low is not None and self.high is not None
        return (self.low, self.high) if known else (0.0, 1.0)  # type: ignore[return-value]


NOTHING = Preprocessing()


def image_layouts(arrays: Mapping[str, Any]) -> dict[str, str]:
    """The layout of each input that is an image, by its rank and its channels."""
    layout = "NHWC" if keras.config.image_data_format() == "channels_last" else "NCHW"
    channel = layout.index("C")
    return {
        name: layout
        for name, x in arrays.items()
        if len(x.shape) == 4 and x.shape[channel] in (1, 3, 4)
    }


def preprocessing_of(given: Any, student: keras.Model) -> Preprocessing:
    """`given` as it is written for `export`, understood."""
    channels = _channels(student)
    if given is None:
        return NOTHING
    if isinstance(given, str) and given.strip():
        return _of_text(given.strip(), channels)
    if isinstance(given, Mapping) and {"mean", "std"} <= set(given) <= set(_KEYS):
        return _of_numbers(given, channels)
    raise ValueError(
        "`preprocessing` must be a text such as 'float images in [0, 1]', or a dict with the 'mean' "
        "and the 'std' of pixels from 0 to 255 (and, if need be, 'color_order' and 'text'). "
        f"Received: {given!r}."
    )


def _of_text(text: str, channels: int | None) -> Preprocessing:
    order = next((o for o in _ORDERS if o in text.upper().split()), None) or _order(channels)
    if (found := _RANGE.search(text)) is None:
        return Preprocessing(text, color_order=order)
    low, high = (float(n) for n in found.groups() if n is not None)
    if not low < high:
        raise ValueError(
            f"`preprocessing` must name a range from a smaller to a larger number. Received: {text!r}."
        )
    mean, std = (-255 * low / (high - low) or 0.0,), (255 / (high - low),)
    return Preprocessing(text, low, high, mean, std, order)


def _of_numbers(given: Mapping[str, Any], channels: int | None) -> Preprocessing:
    mean, std = (_floats(given[key], key, channels) for key in ("mean", "std"))
    if not all(s > 0 for s in std):
        raise ValueError(f"`preprocessing`: 'std' must be above 0. Received: {given['std']!r}.")
    order = given.get("color_order", _order(channels))
    if order not in (None, *_ORDERS):
        raise ValueError(
            f"`preprocessing`: 'color_order' must be 'RGB', 'BGR' or 'GRAY'. Received: {order!r}."
        )
    size = max(len(mean), len(std))
    means, stds = (np.broadcast_to(np.array(x), size) for x in (mean, std))
    low, high = float(np.min(-means / stds)), float(np.max((255 - means) / stds))
    text = given.get("text") or "(pixel - mean) / std"
    return Preprocessing(str(text), low, high, mean, std, order)


def _floats(value: Any, key: str, channels: int | None) -> tuple[float, ...]:
    values = list(value) if isinstance(value, (Sequence, np.ndarray)) else [value]
    numbers = all(isinstance(v, (int, float, np.number)) and np.isfinite(v) for v in values)
    if isinstance(value, str) or not numbers or len(values) not in {1, channels}:
        raise ValueError(
            f"`preprocessing`: '{key}' must be a number, or one for each of the "
            f"{channels or 'image'} channels. Received: {value!r}."
        )
    return tuple(map(float, values))


def _channels(student: keras.Model) -> int | None:
    """Of the first input that is an image."""
    tensors = {str(i): t for i, t in enumerate(getattr(student, "inputs", None) or [])}
    for place, layout in image_layouts(tensors).items():
        return int(tensors[place].shape[layout.index("C")])
    return None


def _order(channels: int | None) -> str | None:
    return {1: "GRAY", 3: "RGB"}.get(channels or 0)


def check_range(told: Preprocessing, inputs: Arrays, argument: str) -> bool:
    """Whether a range was told; an error where the inputs are not within it, or only in a corner."""
    if told.low is None or told.high is None:
        return False
    images = image_layouts(inputs)
    span = told.high - told.low
    for name in images or [name for name, x in inputs.items() if x.dtype.kind == "f"]:
        low, high = float(inputs[name].min()), float(inputs[name].max())
        outside = low < told.low - 0.01 * span or high > told.high + 0.01 * span
        if outside or (len(inputs[name]) > 1 and high - low < _LEAST * span):
            raise ValueError(
                f"`preprocessing` says {told.text!r}, from {told.low:g} to {told.high:g}; "
                f"`{argument}` runs from {low:g} to {high:g} for the input '{name}'. Give inputs as "
                "the student got them, or say what was done to them."
            )
    return True
