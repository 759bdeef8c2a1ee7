"""Permutation importance of the channels of a layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd._core.layer_calls import around_calls
from keras_kd._core.messages import did_you_mean, listing
from keras_kd.taps import layer_paths, recording


@dataclass(frozen=True)
class Importance:
    """How much the predictions of a model depend on each channel of a layer.

    Args:
        model: Name of the model.
        layer: Path of the layer.
        drops: Per channel, the drop in agreement when that channel is permuted.
        agreement: Agreement before.
        examples: Number of examples.
    """

    model: str
    layer: str
    drops: np.ndarray
    agreement: float
    examples: int


def importance(
    model: keras.Model,
    layer: str,
    x: Any,
    *,
    target: np.ndarray | None = None,
    repeats: int = 2,
    seed: int = 0,
    choices: Callable[[Any], np.ndarray] | None = None,
) -> Importance:
    """How much the predictions of a model depend on each channel of an intermediate layer.

    One channel at a time is permuted over the examples: it keeps its values, which then
    belong to other examples. The more the predictions then differ from the teacher's (or from the
    model's own), the more the channel matters:

    `importance_c = agreement - mean[ agreement with channel c permuted ]`

    A channel whose information another channel has as well may show no drop.

    Args:
        model: The model; it is run once per channel and repeat.
        layer: Path of the layer, such as `"block3"` or `"backbone/conv4"`. It gives one tensor
            `(batch, ..., channels)`, channels first where the layer has them so.
        x: A batch of inputs; some hundreds of examples serve.
        target: Predicted classes to agree with, one for each example, such as the teacher's.
            Defaults to `None`: the model's own, without permutation.
        repeats: Permutations of each channel. Defaults to `2`.
        seed: Seed of the permutations. Defaults to `0`.
        choices: From raw outputs to predicted classes. Defaults to `None`: the largest of several, the
            sign of one.

    Returns:
        An `Importance`.

    Raises:
        ValueError: If there is no such layer, or it does not give one tensor once in a pass.

    Example:

    >>> inputs = keras.Input((2,))
    >>> first = keras.layers.Dense(2, kernel_initializer="identity", name="first")(inputs)
    >>> last = keras.layers.Dense(1, name="last")
    >>> model = keras.Model(inputs, last(first))
    >>> last.set_weights([np.array([[1.0], [0.0]]), np.zeros(1)])  # the second has no weight
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> found = keras_kd.report.importance(model, "first", x)
    >>> bool(found.drops[0] > 0.3), float(found.drops[1])
    (True, 0.0)

    Reference: Breiman, "Random Forests", Machine Learning 45, 2001, section 10, on the channels of
    a layer in place of input variables.
    """
    paths = layer_paths(model)
    if layer not in paths:
        raise ValueError(
            f"No layer '{layer}' in '{model.name}'. Expected one of its {len(paths)} layers: "
            f"{listing(paths)}." + did_you_mean(layer, paths)
        )
    tapped, rng = paths[layer], np.random.default_rng(seed)

    def decisions() -> np.ndarray:
        raw_outputs = keras.tree.map_structure(_to_numpy, model(x, training=False))
        return (choices or _default_decisions)(raw_outputs)

    with recording([tapped]) as recorded:
        original_decisions = decisions()
    outputs = recorded[id(tapped)]
    if len(outputs) != 1 or keras.tree.is_nested(outputs[0]) or len(outputs[0].shape) < 2:
        raise ValueError(
            f"Layer '{layer}' of '{model.name}' must give one tensor (batch, ..., channels), once "
            f"in a pass. It ran {len(outputs)} times."
        )
    axis = 1 if getattr(tapped, "data_format", None) == "channels_first" else -1
    target = original_decisions if target is None else np.asarray(target)
    agreement, examples = float((original_decisions == target).mean()), len(original_decisions)

    def drop_of(channel: int) -> float:
        after = []
        for _ in range(repeats):
            order = rng.permutation(examples)
            with around_calls([tapped], _permute_channel(channel, axis, order)):
                after.append((decisions() == target).mean())
        return agreement - float(np.mean(after))

    drops = np.array([drop_of(channel) for channel in range(outputs[0].shape[axis])])
    return Importance(model.name, layer, drops, agreement, examples)


def _permute_channel(channel: int, axis: int, order: np.ndarray) -> Any:
    """The layer's outputs with one channel taken from other examples."""

    def around(layer: Any, call: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        outputs = call(*args, **kwargs)
        values = np.array(_to_numpy(outputs))
        channels_last = np.moveaxis(values, axis, -1)  # a view: writing to it changes `values`
        channels_last[..., channel] = channels_last[order, ..., channel]
        return keras.ops.convert_to_tensor(values, dtype=outputs.dtype)

    return around


def _to_numpy(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def _default_decisions(raw_outputs: np.ndarray) -> np.ndarray:
    return raw_outputs.argmax(axis=-1) if raw_outputs.shape[-1] > 1 else raw_outputs[..., 0] > 0
