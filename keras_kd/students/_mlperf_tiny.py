"""The reference networks of MLPerf Tiny, with logits where these have a softmax.

Their convolutions have biases before the batch normalization, as published, so that the number of
weights is the published one; a file for a device has them folded together.
"""

from typing import Any

import keras

from keras_kd._core.scalars import count, is_number
from keras_kd.students._shapes import Shape, image

layers = keras.layers

#: Channels of MobileNetV1's blocks at width 1 and their strides.
_MOBILENET = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


def resnet8(shape: Shape = (32, 32, 3), classes: int = 10, *, width: int = 16) -> keras.Model:
    """MLPerf Tiny's network for images: three residual blocks, 78,666 weights.

    The image classification task of MLPerf Tiny is CIFAR-10 with this network, in 8-bit integers
    and with a target of 85 % right.

    Args:
        shape: `(height, width, channels)` of an image. Defaults to `(32, 32, 3)`.
        classes: Number of classes, and of logits. Defaults to `10`.
        width: Channels of the first block; the others have twice and four times as many. Defaults
            to `16`.

    Returns:
        A Functional model that gives logits. `"stem"`, `"block1"`, `"block2"` and `"block3"` are
        its feature maps.

    Raises:
        ValueError: If `shape` is no image's of at least 4 pixels, or `classes` or `width` no count.

    Example:

    >>> keras_kd.students.resnet8().count_params()
    78666

    Reference: Banbury et al., "MLPerf Tiny Benchmark", NeurIPS 2021 Datasets and Benchmarks,
    arXiv:2106.07597, section 4.3; the reference model of github.com/mlcommons/tiny.
    """
    shape, classes = image(shape, 4, "resnet8"), count(classes, "classes")
    width = count(width, "width")
    x = inputs = keras.Input(shape, name="image")
    x = _normed(x, _conv(width, 3, 1, "stem_conv"), "stem")
    for number in (1, 2, 3):
        name, channels, stride = f"block{number}", width * 2 ** (number - 1), 1 + (number > 1)
        y = _normed(x, _conv(channels, 3, stride, f"{name}_conv1"), f"{name}_relu1")
        y = _normed(y, _conv(channels, 3, 1, f"{name}_conv2"), f"{name}_2", act=False)
        if stride > 1:
            x = _conv(channels, 1, stride, f"{name}_shortcut")(x)
        x = layers.ReLU(name=name)(layers.Add(name=f"{name}_add")([x, y]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, _logits(classes)(x), name="resnet8")


def mobilenet_v1(
    shape: Shape = (96, 96, 3), classes: int = 2, *, width: float = 0.25
) -> keras.Model:
    """MLPerf Tiny's network for visual wake words: MobileNetV1 at a quarter, 221,794 weights.

    Fourteen convolutions, all but the first in two steps: one over space for each channel, one
    over channels at each place.

    Args:
        shape: `(height, width, channels)` of an image. Defaults to `(96, 96, 3)`.
        classes: Number of classes, and of logits. Defaults to `2`.
        width: Share of the channels of the whole network. Defaults to `0.25`.

    Returns:
        A Functional model that gives logits. `"stem"` and `"block1"` to `"block13"` are its
        feature maps.

    Raises:
        ValueError: If `shape` is no image's of at least 32 pixels, `classes` no count, or `width`
            no number above 0 and up to 4.

    Example:

    >>> keras_kd.students.mobilenet_v1().count_params()
    221794

    Reference: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile
    Vision Applications", 2017, arXiv:1704.04861, section 3; Banbury et al., "MLPerf Tiny
    Benchmark", 2021, arXiv:2106.07597, section 4.2.
    """
    shape, classes = image(shape, 32, "mobilenet_v1"), count(classes, "classes")
    if not is_number(width) or not 0 < width <= 4:
        raise ValueError(
            f"`width` is the share of MobileNetV1's channels, above 0 and up to 4. Received: "
            f"width={width!r}."
        )
    x = inputs = keras.Input(shape, name="image")
    x = _normed(x, _conv(_share(32, width), 3, 2, "stem_conv"), "stem")
    for number, (channels, stride) in enumerate(_MOBILENET, start=1):
        x = _separable(x, _share(channels, width), stride, f"block{number}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, _logits(classes)(x), name="mobilenet_v1")


def ds_cnn(
    shape: Shape = (49, 10, 1), classes: int = 12, *, width: int = 64, blocks: int = 4
) -> keras.Model:
    """MLPerf Tiny's network for keywords: depthwise-separable convolutions, 24,908 weights.

    It looks at a spectrogram, or at cepstral coefficients over time, as at an image: one
    convolution over ten steps and four coefficients that halves both, then `blocks` of two-step
    convolutions. The reference's dropout is left out: what a student is taught is the teacher's
    answer.

    Args:
        shape: `(steps, coefficients, channels)` of a recording. Defaults to `(49, 10, 1)`.
        classes: Number of classes, and of logits. Defaults to `12`.
        width: Channels of every layer. Defaults to `64`.
        blocks: Number of two-step convolutions. Defaults to `4`.

    Returns:
        A Functional model that gives logits. `"stem"` and `"block1"`, ... are its feature maps.

    Raises:
        ValueError: If `shape` is no spectrogram's, or another argument no count.

    Example:

    >>> keras_kd.students.ds_cnn().count_params()
    24908

    Reference: Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", 2017,
    arXiv:1711.07128, section 4; Banbury et al., "MLPerf Tiny Benchmark", 2021, arXiv:2106.07597,
    section 4.1.
    """
    shape = image(shape, axes=("steps", "coefficients", "channels"))
    classes, width, blocks = (
        count(classes, "classes"), count(width, "width"), count(blocks, "blocks"),
    )  # fmt: skip
    x = inputs = keras.Input(shape, name="spectrogram")
    x = _normed(x, _conv(width, (10, 4), 2, "stem_conv"), "stem")
    for number in range(1, blocks + 1):
        x = _separable(x, width, 1, f"block{number}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, _logits(classes)(x), name="ds_cnn")


def autoencoder(
    inputs: int = 640, *, units: int = 128, code: int = 8, depth: int = 4
) -> keras.Model:
    """MLPerf Tiny's network for anomalies: dense layers that give their input again, 269,992 weights.

    What it gives again badly is unlike what it was trained on. `depth` dense layers on either side
    of a narrow one, each with batch normalization and ReLU. Teach it with
    `keras_kd.recipes.regression()`.

    Args:
        inputs: Number of inputs and outputs. Defaults to `640`, five frames of 128 bands.
        units: Units of the wide layers. Defaults to `128`.
        code: Units of the narrow one. Defaults to `8`.
        depth: Wide layers on either side. Defaults to `4`.

    Returns:
        A Functional model. `"code"` is its narrow layer.

    Raises:
        ValueError: If an argument is no count.

    Example:

    >>> keras_kd.students.autoencoder().count_params()
    269992

    Reference: Banbury et al., "MLPerf Tiny Benchmark", 2021, arXiv:2106.07597, section 4.4; Koizumi
    et al., "Description and Discussion on DCASE2020 Challenge Task2", 2020, arXiv:2006.05822.
    """
    inputs, units = count(inputs, "inputs"), count(units, "units")
    code, depth = count(code, "code"), count(depth, "depth")
    x = entry = keras.Input((inputs,), name="frames")
    down = [(units, f"down{n}") for n in range(1, depth + 1)]
    up = [(units, f"up{n}") for n in range(1, depth + 1)]
    for width, name in (*down, (code, "code"), *up):
        x = _normed(x, layers.Dense(width, name=f"{name}_dense"), name)
    return keras.Model(entry, layers.Dense(inputs, name="again")(x), name="autoencoder")


def _normed(x: Any, layer: keras.Layer, name: str, act: bool = True) -> Any:
    x = layers.BatchNormalization(name=f"{name}_norm")(layer(x))
    return layers.ReLU(name=name)(x) if act else x


def _separable(x: Any, channels: int, stride: int, name: str) -> Any:
    deep = layers.DepthwiseConv2D(3, stride, padding="same", name=f"{name}_deep_conv")
    x = _normed(x, deep, f"{name}_deep")
    return _normed(x, _conv(channels, 1, 1, f"{name}_conv"), name)


def _conv(channels: int, size: Any, stride: int, name: str) -> keras.Layer:
    start = "he_normal"
    return layers.Conv2D(
        channels, size, stride, padding="same", kernel_initializer=start, name=name
    )


def _logits(classes: int) -> keras.Layer:
    return layers.Dense(classes, name="logits")


def _share(channels: int, width: float) -> int:
    return max(1, round(channels * width))
