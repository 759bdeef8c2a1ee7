"""Small students by name.

The ladder `tiny`, `small`, `medium`, `large` is in the manner of EfficientNet-Lite: plain
convolutions where maps are large, inverted residuals where they are small, ReLU6 throughout and no
squeeze-and-excitation, so that all of it is well done in 8-bit integers. Strides follow from the
image: the last map has a side of 4 to 8, for images of 28 pixels as for those of 224.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

from keras_kd._core.addresses import parse
from keras_kd._core.messages import did_you_mean, listing
from keras_kd.cli._options import STUDENTS
from keras_kd.procedures import hint_layers

layers = keras.layers
Shape = tuple[int, ...]
#: Builds a student from the images' shape, the number of classes and BatchNormalization's momentum.
Builder = Callable[[Shape, int, float], keras.Model]

#: How much of where they began is left in the running averages after one epoch.
_LEFT = 0.05
_SLOWEST, _FASTEST = 0.99, 0.7
#: Which of stem and four stages halve the image, by how many halvings there are.
_HALVED = ((), (2,), (1, 3), (1, 2, 4), (0, 1, 2, 4), (0, 1, 2, 3, 4))
_LAST_MAP = 8  # pixels at most, where five halvings reach that
_EXPANSION = 4


class _Stage(NamedTuple):
    width: int
    blocks: int


def _mlp(units: int) -> Builder:
    def build(shape: Shape, classes: int, momentum: float) -> keras.Model:
        body = [layers.Flatten(), layers.Dense(units, activation="relu", name="hidden")]
        return keras.Sequential([keras.Input(shape), *body, layers.Dense(classes)], name="student")

    return build


def _cnn(*widths: int) -> Builder:
    def build(shape: Shape, classes: int, momentum: float) -> keras.Model:
        x = inputs = keras.Input(shape)
        for number, width in enumerate(widths, start=1):
            x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
            x = layers.BatchNormalization(momentum=momentum, name=f"norm{number}")(x)
            x = layers.ReLU(name=f"relu{number}")(x)
            if number < len(widths) and min(x.shape[1:3]) > 4:
                x = layers.MaxPooling2D(name=f"pool{number}")(x)
        x = layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, layers.Dense(classes)(x), name="student")

    return build


def _ladder(stem: int, stages: Sequence[_Stage], head: int) -> Builder:
    def build(shape: Shape, classes: int, momentum: float) -> keras.Model:
        halved = _HALVED[_halvings(shape)]

        def convolved(x: Any, name: str, layer: keras.Layer, act: bool = True) -> Any:
            x = layers.BatchNormalization(momentum=momentum, name=f"{name}_norm")(layer(x))
            return layers.ReLU(6.0, name=name)(x) if act else x

        def conv(width: int, size: int, stride: int, name: str) -> keras.Layer:
            return layers.Conv2D(
                width, size, stride, padding="same", use_bias=False, name=f"{name}_conv"
            )

        x = inputs = keras.Input(shape)
        x = convolved(x, "stem", conv(stem, 3, 1 + (0 in halved), "stem"))
        number = 0
        for place, (width, blocks) in enumerate(stages, start=1):
            for block in range(blocks):
                number += 1
                name, stride = f"block{number}", 1 + (block == 0 and place in halved)
                if place <= 2:  # large maps
                    x = convolved(x, name, conv(width, 3, stride, name))
                    continue
                within, wide, deep = x, f"{name}_wide", f"{name}_deep"
                x = convolved(x, wide, conv(x.shape[-1] * _EXPANSION, 1, 1, wide))
                depthwise = layers.DepthwiseConv2D(
                    3, stride, padding="same", use_bias=False, name=f"{deep}_conv"
                )
                x = convolved(x, deep, depthwise)
                x = convolved(x, f"{name}_narrow", conv(width, 1, 1, f"{name}_narrow"), act=False)
                if stride == 1 and within.shape[-1] == width:
                    x = layers.Add(name=name)([within, x])
        x = convolved(x, "head", conv(head, 1, 1, "head"))
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="student")

    return build


def _halvings(shape: Shape) -> int:
    """How often the image is halved: until its shorter side is 8 or less, and five times at most."""
    side = min(shape[:2])
    return min(max(math.ceil(math.log2(side / _LAST_MAP)), 0), len(_HALVED) - 1)


def _stages(*pairs: tuple[int, int]) -> list[_Stage]:
    return [_Stage(*pair) for pair in pairs]


_BUILDERS: dict[str, Builder] = {
    "tiny": _ladder(8, _stages((16, 1), (24, 1), (32, 1), (48, 1)), head=64),
    "small": _ladder(16, _stages((24, 1), (32, 1), (48, 2), (64, 2)), head=128),
    "medium": _ladder(24, _stages((32, 2), (48, 2), (80, 3), (112, 3)), head=256),
    "large": _ladder(32, _stages((48, 2), (64, 3), (112, 4), (160, 4)), head=512),
    "cnn-small": _cnn(8, 16, 32),
    "cnn-medium": _cnn(16, 32, 64, 64),
    "mlp-16": _mlp(16),
    "mlp-64": _mlp(64),
}


def build(name: str, shape: Shape, classes: int, seed: int, steps: int) -> keras.Model:
    """The student of this name; a seed gives the same weights each time.

    `steps` is the number of steps in an epoch: running averages forget where they began within the
    first one, however small the set is, so that a validation after it sees the student as it is.
    """
    if name not in _BUILDERS:
        raise ValueError(
            f"No student '{name}'. Expected a .keras file or one of {listing(STUDENTS, 20)}."
            + did_you_mean(name, STUDENTS)
        )
    keras.utils.set_random_seed(seed)
    return _BUILDERS[name](shape, classes, momentum_for(steps))


def backbone(name: str, shape: Shape, seed: int, steps: int) -> keras.Model:
    """The student of this name up to its last feature map, for what comes before a task."""
    whole = build(name, shape, 1, seed, steps)
    return keras.Model(whole.inputs[0], whole.get_layer(last_map(whole)).output, name=whole.name)


def last_map(model: keras.Model) -> str:
    """The path of the layer that gives a model's last feature map, or the tokens that are one."""
    maps = hint_layers(model, model)["pred"]
    if not maps:
        raise ValueError(
            f"'{model.name}' has no feature map, which pretraining is about. Give a network with "
            "convolutions; of the students with names: tiny, small, medium, large, cnn-small or "
            "cnn-medium."
        )
    return parse(maps[-1]).path


def with_head(model: keras.Model, classes: int) -> keras.Model:
    """A backbone with a classifier behind it; a model that has one already, as it is.

    A backbone is a model that gives a feature map, or what a pooling made of one.
    """
    x = model.outputs[0] if len(model.inputs or ()) == len(model.outputs or ()) == 1 else None
    if x is None or not (len(x.shape) == 4 or _pools(model)):
        return model
    taken = {layer.name for layer in model.layers}
    pool, logits = (name if name not in taken else None for name in ("pool", "logits"))
    if len(x.shape) == 4:
        x = layers.GlobalAveragePooling2D(name=pool)(x)
    return keras.Model(model.inputs[0], layers.Dense(classes, name=logits)(x), name=model.name)


def _pools(model: keras.Model) -> bool:
    last = model.layers[-1]
    return isinstance(last, (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D))


def momentum_for(steps: int) -> float:
    """BatchNormalization's momentum, of which after `steps` 5 % of the beginning are left."""
    return round(min(max(_LEFT ** (1 / steps), _FASTEST), _SLOWEST), 3)
