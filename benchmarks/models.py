"""The networks of the CIFAR tables: residual networks and wide residual networks.

`resnet(32, 4)` is the literature's resnet32x4 (He et al., "Deep Residual Learning for Image
Recognition", 2016, section 4.2, four times as wide, with 32 channels before the first stage) and
`wide_resnet(40, 2)` its wrn-40-2 (Zagoruyko, Komodakis, "Wide Residual Networks", 2016). Layers
to compare: "stage1", "stage2", "stage3" (before the last ReLU of their stage: "stage1_linear", ...)
and "pool".
"""

import keras
from keras import layers


def _conv(x, channels, size, strides=1):
    """Without a bias, from a normal distribution by what comes out (He, "fan out")."""
    start = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    if strides == 2 and size == 3:  # the same pixels as a padding of one on every side
        x = layers.ZeroPadding2D(1)(x)
        return layers.Conv2D(
            channels, size, strides, "valid", use_bias=False, kernel_initializer=start
        )(x)
    return layers.Conv2D(channels, size, strides, "same", use_bias=False, kernel_initializer=start)(
        x
    )


def _norm(x, name=None):
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def _head(x, inputs, classes, name):
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name=name)


def resnet(depth: int, width: float = 1, classes: int = 100, shape=(32, 32, 3)) -> keras.Model:
    """resnet`depth`x`width`; a width of 1 has 16, 16, 32 and 64 channels, as published.

    Args:
        depth: Number of layers with weights, `6 n + 2`.
        width: Factor on the channels: 4 for resnet32x4. Defaults to 1.
        classes: Defaults to 100.
        shape: Of the images. Defaults to `(32, 32, 3)`.
    """
    if (depth - 2) % 6:
        raise ValueError(f"`depth` must be 6 n + 2. Received: {depth}.")
    blocks = (depth - 2) // 6
    # What the literature calls x4 has 32 channels in front, twice the 16 of x1.
    front = 16 if width == 1 else 32
    inputs = keras.Input(shape)
    x = layers.ReLU()(_norm(_conv(inputs, front, 3)))
    for stage in (1, 2, 3):
        channels = int(16 * width * 2 ** (stage - 1))
        for block in range(blocks):
            strides = 2 if stage > 1 and block == 0 else 1
            short = x
            if strides == 2 or x.shape[-1] != channels:
                short = _norm(_conv(x, channels, 1, strides))
            y = layers.ReLU()(_norm(_conv(x, channels, 3, strides)))
            y = _norm(_conv(y, channels, 3))
            last = block == blocks - 1
            x = layers.Add(name=f"stage{stage}_linear" if last else None)([y, short])
            x = layers.ReLU(name=f"stage{stage}" if last else None)(x)
    return _head(x, inputs, classes, f"resnet{depth}x{width}")


def wide_resnet(depth: int, width: int, classes: int = 100, shape=(32, 32, 3)) -> keras.Model:
    """wrn-`depth`-`width`, normalised before each convolution.

    Args:
        depth: Number of layers with weights, `6 n + 4`.
        width: Factor on 16, 32 and 64 channels.
        classes: Defaults to 100.
        shape: Of the images. Defaults to `(32, 32, 3)`.
    """
    if (depth - 4) % 6:
        raise ValueError(f"`depth` must be 6 n + 4. Received: {depth}.")
    inputs = keras.Input(shape)
    x = _conv(inputs, 16, 3)
    for stage in (1, 2, 3):
        channels = 16 * width * 2 ** (stage - 1)
        blocks = (depth - 4) // 6
        for block in range(blocks):
            strides = 2 if stage > 1 and block == 0 else 1
            short, y = x, layers.ReLU()(_norm(x))
            if x.shape[-1] != channels:
                short = _conv(y, channels, 1, strides)
            y = layers.ReLU()(_norm(_conv(y, channels, 3, strides)))
            name = f"stage{stage}" if block == blocks - 1 else None
            x = layers.Add(name=name)([_conv(y, channels, 3), short])
    return _head(layers.ReLU()(_norm(x)), inputs, classes, f"wrn-{depth}-{width}")
