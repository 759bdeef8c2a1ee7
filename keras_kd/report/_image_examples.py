"""Examples as pictures, where inputs are images."""

from typing import Any

import numpy as np

from keras_kd.report._differences import Changed

#: Of each kind of change.
_MOST = 12


def pictures_of(x: Any, lists: Changed | None) -> dict[int, np.ndarray]:
    """Images in [0, 1], `(height, width, 1 or 3)`, of the first examples that changed, by place."""
    if lists is None or not isinstance(x, np.ndarray) or x.ndim != 4:
        return {}
    if x.shape[-1] not in (1, 3) and x.shape[1] in (1, 3):
        x = np.moveaxis(x, 1, -1)
    if x.shape[-1] not in (1, 3):
        return {}
    there = [i for which in (lists.lost, lists.won) for i in which[:_MOST] if i < len(x)]
    shown = x[there].astype("float32")
    if shown.size and (shown.min() < 0 or shown.max() > 1):  # centred, or from 0 to 255
        low, high = (0.0, 255.0) if shown.min() >= 0 and shown.max() <= 255 else _range(shown)
        shown = (shown - low) / (high - low)
    return {int(i): picture for i, picture in zip(there, shown, strict=True)}


def _range(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max()) or 1.0
