"""Tokens that are the places of a picture: as the map that they are."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.shapes import grid_of
from keras_kd._core.tensors import Tensor


@serializable
class TokensToMap(keras.layers.Layer):
    """A vision transformer's tokens as a feature map; it has no weights.

    For hints between a transformer and a convolutional network. The tokens are the places of the
    picture, row by row; those before them, such as a class token or registers, are cut off.

    Shapes: `(batch, tokens, channels)` -> `(batch, height, width, channels)`, or channels first
    when `keras.config.image_data_format()` says so.

    Args:
        size: Height and width of the map, two integers. Defaults to `None`: a square, after at
            most two tokens that are no places.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If the input has not three axes, or has fewer tokens than the map has places,
            or is no square and has no `size`.

    Example:

    >>> tokens = np.zeros((2, 50, 8))  # a class token, and 7 times 7 places
    >>> keras_kd.projectors.TokensToMap()(tokens).shape == (2, 7, 7, 8)
    True

    Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image
    Recognition at Scale", ICLR 2021, arXiv:2010.11929, section 3.1.
    """

    def __init__(self, size: tuple[int, int] | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if size is not None and (len(size) != 2 or not all(int(n) >= 1 for n in size)):
            raise ValueError(
                "`size` must be height and width, two integers from 1 on, or None. "
                f"Received: size={size!r}."
            )
        self.size = None if size is None else (int(size[0]), int(size[1]))

    def build(self, input_shape: Any) -> None:
        self._grid(tuple(input_shape))

    def _grid(self, shape: tuple) -> tuple[int, int]:
        if len(shape) != 3:
            raise ValueError(
                "TokensToMap takes tokens, of shape (batch, tokens, channels). "
                f"Received shape: {shape}."
            )
        tokens = shape[1]
        if self.size is not None:
            if tokens is not None and tokens < self.size[0] * self.size[1]:
                raise ValueError(
                    f"A map of {self.size[0]} by {self.size[1]} has more places than the input has "
                    f"tokens, {tokens}. Give TokensToMap another `size`."
                )
            return self.size
        grid = None if tokens is None else grid_of(tokens)
        if grid is None:
            raise ValueError(
                f"The {tokens if tokens is not None else 'unknown number of'} tokens of the input "
                "are no square, nor one after a class token. Give their height and width: "
                "TokensToMap((height, width))."
            )
        return grid

    def call(self, x: Tensor) -> Tensor:
        height, width = self.size or self._grid(tuple(x.shape))
        places = x[:, -height * width :]
        maps = ops.reshape(places, (-1, height, width, x.shape[-1]))
        if keras.config.image_data_format() == "channels_first":
            return ops.transpose(maps, (0, 3, 1, 2))
        return maps

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}
