"""What a model looks at: the channels of a layer that its answers depend on."""

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
    """How much the answers of a model depend on each channel of a layer.

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
    """Which channels of an intermediate layer the answers depend on.

    One channel at a time is permuted over the examples: it keeps its values, and loses what they
    tell of each example. The more the decisions then stray from the teacher's (or from the model's
    own), the more the channel matters:

    `importance_c = agreement - mean[ agreement with channel c permuted ]`

    A channel whose information another one holds as well may show no drop.

    Args:
        model: The model; it is run once per channel and repeat.
        layer: Path of the layer, such as `"block3"` or `"backbone/conv4"`. It gives one tensor
            `(batch, ..., channels)`, channels first where the layer says so.
        x: A batch of inputs; some hundreds of examples serve.
        target: Decisions to agree with, one for each example, such as the teacher's. Defaults to
            `None`: the model's own, as they were.
        repeats: Permutations of each channel. Defaults to `2`.
        seed: Seed of the permutations. Defaults to `0`.
        choices: From raw outputs to decisions. Defaults to `None`: the largest of several, the
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
    >>> last.set_weights([np.array([[1.0], [0.0]]), np.zeros(1)])  # the second is not looked at
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

    def decide() -> np.ndarray:
        raw = keras.tree.map_structure(_numbers, model(x, training=False))
        return (choices or _choices)(raw)

    with recording([tapped]) as recorded:
        own = decide()
    predicted = recorded[id(tapped)]
    if len(predicted) != 1 or keras.tree.is_nested(predicted[0]) or len(predicted[0].shape) < 2:
        raise ValueError(
            f"Layer '{layer}' of '{model.name}' must give one tensor (batch, ..., channels), once "
            f"in a pass. It ran {len(predicted)} times."
        )
    axis = 1 if getattr(tapped, "data_format", None) == "channels_first" else -1
    target = own if target is None else np.asarray(target)
    agreement, examples = float((own == target).mean()), len(own)

    def drop(channel: int) -> float:
        after = []
        for _ in range(repeats):
            order = rng.permutation(examples)
            with around_calls([tapped], _permuting(channel, axis, order)):
                after.append((decide() == target).mean())
        return agreement - float(np.mean(after))

    drops = np.array([drop(channel) for channel in range(predicted[0].shape[axis])])
    return Importance(model.name, layer, drops, agreement, examples)


def _permuting(channel: int, axis: int, order: np.ndarray) -> Any:
    """The layer's answer with one channel taken from other examples."""

    def around(layer: Any, original: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        predicted = original(*args, **kwargs)
        values = np.array(_numbers(predicted))
        moved = np.moveaxis(values, axis, -1)  # a view: what is written to it, `values` has
        moved[..., channel] = moved[order, ..., channel]
        return keras.ops.convert_to_tensor(values, dtype=predicted.dtype)

    return around


def _numbers(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def _choices(outputs: np.ndarray) -> np.ndarray:
    return outputs.argmax(axis=-1) if outputs.shape[-1] > 1 else outputs[..., 0] > 0
