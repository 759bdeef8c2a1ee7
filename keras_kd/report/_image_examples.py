"""Images of the examples that changed, where the inputs are images."""

from typing import Any

import numpy as np

from keras_kd.report._differences import Changed

#: How many of each kind, lost and won.
_PER_KIND = 12


def images_of_changed(x: Any, changed: Changed | None) -> dict[int, np.ndarray]:
    """Images in [0, 1], `(height, width, 1 or 3)`, of the first examples that changed, by index."""
    if changed is None or not isinstance(x, np.ndarray) or x.ndim != 4:
        return {}
    if x.shape[-1] not in (1, 3) and x.shape[1] in (1, 3):
        x = np.moveaxis(x, 1, -1)
    if x.shape[-1] not in (1, 3):
        return {}
    indices = [
        i for examples in (changed.lost, changed.won) for i in examples[:_PER_KIND] if i < len(x)
    ]
    images = x[indices].astype("float32")
    if images.size and (images.min() < 0 or images.max() > 1):  # centered, or from 0 to 255
        low, high = (0.0, 255.0) if images.min() >= 0 and images.max() <= 255 else _range(images)
        images = (images - low) / (high - low)
    return {int(i): image for i, image in zip(indices, images, strict=True)}


def _range(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max()) or 1.0
