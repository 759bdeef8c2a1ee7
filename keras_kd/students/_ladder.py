"""Images: four rungs of one network, whose strides follow from the image.

In the manner of EfficientNet-Lite: plain convolutions where maps are large, inverted residuals
where they are small, ReLU6 throughout and no squeeze-and-excitation, so that all of it is well done
in 8-bit integers. The last map has a side of 4 to 8, for images of 28 pixels as for those of 224.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from keras_kd._core.scalars import count
from keras_kd.students._shapes import Shape, image

layers = keras.layers

#: Which of stem and four stages halve the image, by how many halvings there are.
_HALVED = ((), (2,), (1, 3), (1, 2, 4), (0, 1, 2, 4), (0, 1, 2, 3, 4))
_LAST_MAP = 8  # pixels at most, where five halvings reach that
_EXPANSION = 4


class _Stage(NamedTuple):
    width: int
    blocks: int


def tiny(shape: Shape, classes: int) -> keras.Model:
    """The smallest network for images of any size: 28 thousand weights.

    The first rung of a ladder: `tiny`, `small`, `medium` and `large` are one architecture in four
    sizes, plain convolutions where maps are large and inverted residual blocks where they are
    small. Images are halved until their shorter side is 8 or less, at most five times, so images
    of 28 pixels and of 224 cost the same in weights. Integer files know all of its layers:
    `keras_kd.export(..., quantization="int8", target="micro")`.

    Args:
        shape: `(height, width, channels)` of an image.
        classes: Number of classes, and of logits.

    Returns:
        A Functional model that gives logits. `"stem"`, `"block1"`, ... and `"head"` are its
        feature maps.

    Raises:
        ValueError: If `shape` is no image's or `classes` no count.

    Example:

    >>> keras_kd.students.tiny((32, 32, 3), 10).count_params()
    28738

    Reference: the blocks are those of Sandler et al., "MobileNetV2: Inverted Residuals and Linear
    Bottlenecks", CVPR 2018, arXiv:1801.04381, section 3.3; the sizes are this package's own.
    """
    return _network("tiny", shape, classes, 8, _stages((16, 1), (24, 1), (32, 1), (48, 1)), 64)


def small(shape: Shape, classes: int) -> keras.Model:
    """The second rung for images of any size: 118 thousand weights.

    `tiny` says what the four rungs are made of.

    Args:
        shape: `(height, width, channels)` of an image.
        classes: Number of classes, and of logits.

    Returns:
        A Functional model that gives logits.

    Raises:
        ValueError: If `shape` is no image's or `classes` no count.

    Example:

    >>> keras_kd.students.small((32, 32, 3), 10).count_params()
    117978
    """
    return _network("small", shape, classes, 16, _stages((24, 1), (32, 1), (48, 2), (64, 2)), 128)


def medium(shape: Shape, classes: int) -> keras.Model:
    """The third rung for images of any size: 510 thousand weights.

    `tiny` says what the four rungs are made of.

    Args:
        shape: `(height, width, channels)` of an image.
        classes: Number of classes, and of logits.

    Returns:
        A Functional model that gives logits.

    Raises:
        ValueError: If `shape` is no image's or `classes` no count.

    Example:

    >>> keras_kd.students.medium((32, 32, 3), 10).count_params()
    510578
    """
    stages = _stages((32, 2), (48, 2), (80, 3), (112, 3))
    return _network("medium", shape, classes, 24, stages, 256)


def large(shape: Shape, classes: int) -> keras.Model:
    """The highest rung for images of any size: 1.4 million weights.

    `tiny` says what the four rungs are made of.

    Args:
        shape: `(height, width, channels)` of an image.
        classes: Number of classes, and of logits.

    Returns:
        A Functional model that gives logits.

    Raises:
        ValueError: If `shape` is no image's or `classes` no count.

    Example:

    >>> keras_kd.students.large((32, 32, 3), 10).count_params()
    1381354
    """
    stages = _stages((48, 2), (64, 3), (112, 4), (160, 4))
    return _network("large", shape, classes, 32, stages, 512)


def _network(
    name: str, shape: Shape, classes: int, stem: int, stages: Sequence[_Stage], head: int
) -> keras.Model:
    shape, classes = image(shape), count(classes, "classes")
    halved = _HALVED[_halvings(shape)]

    def convolved(x: Any, name: str, layer: keras.Layer, act: bool = True) -> Any:
        x = layers.BatchNormalization(name=f"{name}_norm")(layer(x))
        return layers.ReLU(6.0, name=name)(x) if act else x

    def conv(width: int, size: int, stride: int, name: str) -> keras.Layer:
        return layers.Conv2D(
            width, size, stride, padding="same", use_bias=False, name=f"{name}_conv"
        )

    x = inputs = keras.Input(shape, name="image")
    x = convolved(x, "stem", conv(stem, 3, 1 + (0 in halved), "stem"))
    number = 0
    for place, (width, blocks) in enumerate(stages, start=1):
        for block in range(blocks):
            number += 1
            name_, stride = f"block{number}", 1 + (block == 0 and place in halved)
            if place <= 2:  # large maps
                x = convolved(x, name_, conv(width, 3, stride, name_))
                continue
            within, wide, deep = x, f"{name_}_wide", f"{name_}_deep"
            x = convolved(x, wide, conv(x.shape[-1] * _EXPANSION, 1, 1, wide))
            depthwise = layers.DepthwiseConv2D(
                3, stride, padding="same", use_bias=False, name=f"{deep}_conv"
            )
            x = convolved(x, deep, depthwise)
            x = convolved(x, f"{name_}_narrow", conv(width, 1, 1, f"{name_}_narrow"), act=False)
            if stride == 1 and within.shape[-1] == width:
                x = layers.Add(name=name_)([within, x])
    x = convolved(x, "head", conv(head, 1, 1, "head"))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name=name)


def _halvings(shape: Shape) -> int:
    """How often the image is halved: until its shorter side is 8 or less, and five times at most."""
    side = min(shape[:2])
    return min(max(math.ceil(math.log2(side / _LAST_MAP)), 0), len(_HALVED) - 1)


def _stages(*pairs: tuple[int, int]) -> list[_Stage]:
    return [_Stage(*pair) for pair in pairs]
