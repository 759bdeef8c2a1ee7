"""Maps from one layer's shape to another's."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd._core.tensors import Tensor


@serializable
class Conv1x1(keras.layers.Layer):
    """1×1 convolution: maps the channels of a feature map, position by position.

    The usual regressor of a hint, when student and teacher see maps of one size with different
    numbers of channels.

    Shapes: `(batch, height, width, channels)` -> `(batch, height, width, filters)`, or channels
    first when `keras.config.image_data_format()` is `"channels_first"`.

    Args:
        filters: Number of channels of the target.
        use_bias: Whether a bias is added. Defaults to `False`.
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> keras_kd.projectors.Conv1x1(256)(np.zeros((2, 8, 8, 64))).shape == (2, 8, 8, 256)
    True

    Reference: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550,
    section 2.2.
    """

    def __init__(self, filters: int, *, use_bias: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.use_bias = count(filters, "filters"), use_bias
        self.conv = keras.layers.Conv2D(self.filters, 1, use_bias=use_bias, dtype=self.dtype_policy)

    def build(self, input_shape: tuple) -> None:
        self.conv.build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        return self.conv(x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "use_bias": self.use_bias}


@serializable
class Conv3x3(keras.layers.Layer):
    """3×3 convolution: maps the channels of a feature map, each position with its neighbors.

    With `strides=2`, the regressor of a hint whose student map is twice the teacher's size.

    Shapes: `(batch, height, width, channels)` -> `(batch, ceil(height / strides), ceil(width /
    strides), filters)`, or channels first when `keras.config.image_data_format()` is
    `"channels_first"`.

    Args:
        filters: Number of channels of the target.
        strides: Step between positions. Defaults to `1`.
        use_bias: Whether a bias is added. Defaults to `False`.
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> keras_kd.projectors.Conv3x3(256, strides=2)(np.zeros((2, 8, 8, 3))).shape == (2, 4, 4, 256)
    True

    Reference: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550,
    section 2.2.
    """

    def __init__(self, filters: int, *, strides: int = 1, use_bias: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.strides = count(filters, "filters"), count(strides, "strides")
        self.use_bias = use_bias
        self.conv = keras.layers.Conv2D(
            self.filters, 3, self.strides, "same", use_bias=use_bias, dtype=self.dtype_policy
        )

    def build(self, input_shape: tuple) -> None:
        self.conv.build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        return self.conv(x)

    def get_config(self) -> dict[str, Any]:
        own = {"filters": self.filters, "strides": self.strides, "use_bias": self.use_bias}
        return {**super().get_config(), **own}


@serializable
class ConvTransposed(keras.layers.Layer):
    """4×4 transposed convolution: a larger map from a smaller one.

    The regressor of a hint whose student map is half the teacher's size.

    Shapes: `(batch, height, width, channels)` -> `(batch, strides · height, strides · width,
    filters)`, or channels first when `keras.config.image_data_format()` is `"channels_first"`.

    Args:
        filters: Number of channels of the target.
        strides: How many times larger. Defaults to `2`.
        use_bias: Whether a bias is added. Defaults to `False`.
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> keras_kd.projectors.ConvTransposed(64)(np.zeros((2, 4, 4, 3))).shape == (2, 8, 8, 64)
    True

    Reference: Tian et al., "Contrastive Representation Distillation", ICLR 2020,
    arXiv:1910.10699, whose regressors for hints are these.
    """

    def __init__(self, filters: int, *, strides: int = 2, use_bias: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.strides = count(filters, "filters"), count(strides, "strides")
        self.use_bias = use_bias
        self.conv = keras.layers.Conv2DTranspose(
            self.filters, 4, self.strides, "same", use_bias=use_bias, dtype=self.dtype_policy
        )

    def build(self, input_shape: tuple) -> None:
        self.conv.build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        return self.conv(x)

    def get_config(self) -> dict[str, Any]:
        own = {"filters": self.filters, "strides": self.strides, "use_bias": self.use_bias}
        return {**super().get_config(), **own}


@serializable
class Resize(keras.layers.Layer):
    """Resizes a feature map; it has no weights.

    For hints between layers whose maps differ in height and width.

    Shapes: `(batch, height, width, channels)` -> `(batch, *size, channels)`, or channels first
    when `keras.config.image_data_format()` is `"channels_first"`.

    Args:
        size: Height and width of the target, two integers.
        interpolation: As in `keras.ops.image.resize`. Defaults to `"bilinear"`.
        **kwargs: As in `keras.layers.Layer`.

    Example:

    >>> keras_kd.projectors.Resize((4, 4))(np.zeros((2, 8, 8, 3))).shape == (2, 4, 4, 3)
    True
    """

    def __init__(self, size: tuple[int, int], *, interpolation: str = "bilinear", **kwargs: Any):
        super().__init__(**kwargs)
        self.size, self.interpolation = tuple(size), interpolation

    def call(self, x: Tensor) -> Tensor:
        return ops.image.resize(x, self.size, interpolation=self.interpolation)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "interpolation": self.interpolation}
