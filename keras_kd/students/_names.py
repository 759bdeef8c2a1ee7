"""Students by name: a rung for each kind of input, as `keras-kd distill` takes them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from keras_kd._core.messages import did_you_mean, listing
from keras_kd.students._ladder import large, medium, small, tiny
from keras_kd.students._mlperf_tiny import ds_cnn, mobilenet_v1, resnet8
from keras_kd.students._plain import cnn, mlp, text_cnn
from keras_kd.students._shapes import Shape

_BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "tiny": tiny, "small": small, "medium": medium, "large": large,
    "cnn-small": partial(cnn, widths=(8, 16, 32)),
    "cnn-medium": partial(cnn, widths=(16, 32, 64, 64)),
    "mlp-16": partial(mlp, units=(16,)),
    "mlp-64": partial(mlp, units=(64,)),
    "resnet8": resnet8,
    "mobilenet-v1": mobilenet_v1,
    "sound-tiny": partial(ds_cnn, width=24, blocks=3),
    "sound-small": ds_cnn,
    "sound-medium": partial(ds_cnn, width=128, blocks=4),
    "sound-large": partial(ds_cnn, width=256, blocks=5),
    "text-tiny": partial(text_cnn, width=8, filters=8),
    "text-small": partial(text_cnn, width=32, filters=32),
    "text-medium": partial(text_cnn, width=100, filters=64),
    "text-large": partial(text_cnn, width=300, filters=100),
    "table-tiny": partial(mlp, units=(16,)),
    "table-small": partial(mlp, units=(64, 32)),
    "table-medium": partial(mlp, units=(128, 128)),
    "table-large": partial(mlp, units=(512, 256, 128)),
}  # fmt: skip


def names() -> list[str]:
    """The names that `build` knows, those of images first.

    Returns:
        A list of strings.

    Example:

    >>> keras_kd.students.names()[:4]
    ['tiny', 'small', 'medium', 'large']
    """
    return list(_BUILDERS)


def build(name: str, shape: Shape, classes: int, **settings: Any) -> keras.Model:
    """The classifier of this name, with new weights.

    | for | names |
    |---|---|
    | images | `tiny`, `small`, `medium`, `large`, `resnet8`, `mobilenet-v1`, `cnn-small`, `cnn-medium`, `mlp-16`, `mlp-64` |
    | spectrograms | `sound-tiny`, `sound-small`, `sound-medium`, `sound-large` |
    | tokens | `text-tiny`, `text-small`, `text-medium`, `text-large`, with `vocabulary=` |
    | columns | `table-tiny`, `table-small`, `table-medium`, `table-large` |

    Args:
        name: One of the names above.
        shape: The input's shape, without the batch.
        classes: Number of classes, and of logits.
        **settings: Given on to the function that builds it: `vocabulary` of texts, which these
            need.

    Returns:
        A Functional model that gives logits. Its weights follow `keras.utils.set_random_seed`.

    Raises:
        ValueError: If there is no such name, or the shape or the number of classes does not fit.
        TypeError: If the network has no such setting, or one that it needs is missing.

    Example:

    >>> keras_kd.students.build("text-tiny", (40,), 2, vocabulary=500).count_params()
    4842
    """
    if name not in _BUILDERS:
        raise ValueError(
            f"No student '{name}'. Expected one of {listing(_BUILDERS, len(_BUILDERS))}."
            + did_you_mean(str(name), _BUILDERS)
        )
    if name.startswith("text-") and "vocabulary" not in settings:
        raise TypeError(
            f"'{name}' reads tokens, and needs to know how many there are: "
            f"keras_kd.students.build('{name}', {shape}, {classes}, vocabulary=10_000)."
        )
    return _BUILDERS[name](shape, classes, **settings)
