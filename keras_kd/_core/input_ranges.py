"""The ranges that models want their inputs in, and the straight line from one to another."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_kd._core.messages import did_you_mean, listing

#: What 0 and 1, or black and white, become in each channel. `"imagenet"`: less the mean of ImageNet,
#: divided by its deviation; `"caffe"`: of 0 to 255, less the mean in the order blue, green, red.
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_CAFFE = np.array([103.939, 116.779, 123.68])
RANGES = {
    "imagenet": (-_MEAN / _DEVIATION, (1 - _MEAN) / _DEVIATION),
    "caffe": (-_CAFFE, 255 - _CAFFE),
}
Range = str | Sequence[Any]


def line(given: Range, wanted: Range, flip_channels: bool) -> tuple[np.ndarray, np.ndarray]:
    """`scale` and `offset` of `scale * x + offset`, for `x` whose channels were turned around already
    where they are to be."""
    (low, high), (new_low, new_high) = bounds(given, "given"), bounds(wanted, "wanted")
    if flip_channels:
        low, high = (side[::-1] if side.ndim else side for side in (low, high))
    scale = (new_high - new_low) / (high - low)
    return scale.astype("float32"), (new_low - scale * low).astype("float32")


def bounds(given: Range, argument: str) -> tuple[np.ndarray, np.ndarray]:
    """The two ends of a range, each a number or one for each channel."""
    if isinstance(given, str):
        if given not in RANGES:
            raise ValueError(
                f"`{argument}` must be a pair (low, high) or one of {listing(RANGES)}. Received: "
                f"{argument}={given!r}." + did_you_mean(given, RANGES)
            )
        return RANGES[given]
    try:
        low, high = (np.asarray(side, "float64") for side in given)
        good = low.ndim <= 1 and high.ndim <= 1 and bool((low < high).all())
        good = good and bool(np.isfinite(low).all() and np.isfinite(high).all())
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            f"`{argument}` must be a pair (low, high) of numbers, or of lists with one for each "
            f"channel, low below high. Received: {argument}={given!r}."
        )
    return low, high
