"""The scale of a student's training inputs, as its own layers remember it.

BatchNormalization and Normalization keep the mean and the variance of what they saw in training.
Behind them, inputs of the right scale have a mean near 0 and a spread near 1, whatever the student
is for. So data that is divided by 255 twice, or not at all, is known without any example to
compare with.
"""

import keras
import numpy as np

from keras_kd.exporting._data import Examples
from keras_kd.taps import layer_paths, recording

_EXAMPLES = 64
#: How many times as far as in training numbers may spread; lagging averages are off by less.
_MOST = 30.0


def check_scale(student: keras.Model, examples: Examples, argument: str) -> bool:
    """Whether a layer of `student` knows the scale of its inputs; an error where that is another."""
    layers = {path: layer for path, layer in layer_paths(student).items() if _remembers(layer)}
    if not layers:
        return False
    few = [x[:_EXAMPLES] for x in examples.inputs.values()]
    with recording(layers.values()) as recorded:
        student(examples.signature.arranged(few), training=False)
    paths = {id(layer): path for path, layer in layers.items()}
    first = next(iter(recorded), None)  # in the order in which they ran
    if first is None or not keras.ops.is_tensor(recorded[first][0]):
        return False
    layer = layers[paths[first]]
    spread = _spread(layer, keras.ops.convert_to_numpy(recorded[first][0]))
    if spread is None:
        return False
    size, deviation = spread
    if size <= _MOST and deviation >= 1 / _MOST:
        return True
    times = f"{size:,.0f}" if size > _MOST else f"1/{1 / max(deviation, 1e-9):,.0f}"
    seen = ", ".join(
        f"'{name}' runs from {x.min():g} to {x.max():g}" for name, x in examples.inputs.items()
    )
    raise ValueError(
        f"`{argument}` is of another scale than what the student '{student.name}' was trained on: "
        f"at its layer '{paths[first]}' numbers spread {times} times as far as in training ({seen}). "
        "Give inputs as the student got them, divided by 255 or not."
    )


def _remembers(layer: keras.Layer) -> bool:
    """Whether a layer has statistics that are not those it began with."""
    if isinstance(layer, keras.layers.BatchNormalization):
        mean, variance = (
            keras.ops.convert_to_numpy(x) for x in (layer.moving_mean, layer.moving_variance)
        )
        return bool(np.any(mean != 0) or np.any(variance != 1))
    return isinstance(layer, keras.layers.Normalization) and not layer.invert


def _spread(layer: keras.Layer, out: np.ndarray) -> tuple[float, float] | None:
    """Size and deviation of what a layer normalized, before its scale and offset; the median
    over its channels, of which those that never varied say nothing."""
    axis = layer.axis if isinstance(layer.axis, int) else -1
    rows = np.moveaxis(out.astype("float64"), axis, -1).reshape(-1, out.shape[axis])
    if isinstance(layer, keras.layers.BatchNormalization):
        alive = keras.ops.convert_to_numpy(layer.moving_variance) > 10 * layer.epsilon
        if layer.center:
            rows = rows - keras.ops.convert_to_numpy(layer.beta)
        if layer.scale:
            gamma = keras.ops.convert_to_numpy(layer.gamma).astype("float64")
            alive &= np.abs(gamma) > 1e-3
            rows = rows / np.where(alive, gamma, 1.0)
        rows = rows[:, alive]
    if not rows.shape[1] or len(rows) < 2:
        return None
    return float(np.median(np.sqrt((rows**2).mean(axis=0)))), float(np.median(rows.std(axis=0)))
