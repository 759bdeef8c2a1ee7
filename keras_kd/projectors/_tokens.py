"""Tokens that are the places of a picture: as the map that they are."""

from numbers import Integral
from typing import Any

import keras
from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd._core.shapes import MOST_BEFORE, grid_of, square_of
from keras_kd._core.tensors import Tensor


@serializable
class TokensToMap(keras.layers.Layer):
    """A vision transformer's tokens as a feature map; it has no weights.

    For hints between a transformer and a convolutional network. The tokens are the places of the
    picture, row by row; those before them, such as a class token or registers, are cut off.

    Shapes: `(batch, tokens, channels)` -> `(batch, height, width, channels)`, or channels first
    when `keras.config.image_data_format()` is `"channels_first"`.

    Args:
        size: Height and width of the map, two integers, or one for both. Defaults to `None`: a
            square.
        class_tokens: Number of tokens before the places, which are cut off: a class token, and
            registers. Defaults to `None`: as many as `size` leaves, and without a `size` at most
            two.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If `size` or `class_tokens` are no such numbers, or the input has not three
            axes, has another number of tokens than they give, or is no square and has no `size`.

    Example:

    >>> tokens = np.zeros((2, 50, 8))  # a class token, and 7 times 7 places
    >>> keras_kd.projectors.TokensToMap()(tokens).shape == (2, 7, 7, 8)
    True
    >>> tokens = np.zeros((2, 53, 8))  # a class token and three registers before them
    >>> keras_kd.projectors.TokensToMap(class_tokens=4)(tokens).shape == (2, 7, 7, 8)
    True

    Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image
    Recognition at Scale", ICLR 2021, arXiv:2010.11929, section 3.1.
    """

    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        *,
        class_tokens: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.size = None if size is None else _sides(size)
        self.class_tokens = None if class_tokens is None else count(class_tokens, "class_tokens", 0)

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
            self._check_number(tokens, *self.size)
            return self.size
        if tokens is None:
            grid = None
        elif self.class_tokens is None:
            grid = grid_of(tokens)
        else:
            grid = square_of(tokens - self.class_tokens)
        if grid is None:
            raise ValueError(self._no_square(tokens))
        return grid

    def _check_number(self, tokens: int | None, height: int, width: int) -> None:
        """An error when there are not as many tokens as `size` and `class_tokens` give."""
        if tokens is None:
            return
        if tokens < height * width:
            raise ValueError(
                f"A map of {height} by {width} has more places than the input has tokens, "
                f"{tokens}. Give TokensToMap another `size`."
            )
        before = tokens - height * width
        if self.class_tokens not in (None, before):
            raise ValueError(
                f"A map of {height} by {width} and class_tokens={self.class_tokens} are "
                f"{height * width + self.class_tokens} tokens. Received {tokens}: give "
                f"TokensToMap another `size`, or class_tokens={before}."
            )

    def _no_square(self, tokens: int | None) -> str:
        if tokens is None:
            which = "The unknown number of tokens of the input is no square"
        elif self.class_tokens is None:
            which = f"The {tokens} tokens of the input are no square, nor one after a class token"
        else:
            which = (
                f"Of the {tokens} tokens of the input, class_tokens={self.class_tokens} leaves "
                f"{tokens - self.class_tokens} places, which are no square"
            )
        other = ""
        for before in range(MOST_BEFORE + 1):
            square = None if tokens is None else square_of(tokens - before)
            if square is not None:
                other = (
                    f" If {before} of them stand before {square[0]} by {square[1]} places: "
                    f"TokensToMap(class_tokens={before})."
                )
                break
        return f"{which}. Give their height and width: TokensToMap((height, width)).{other}"

    def call(self, x: Tensor) -> Tensor:
        height, width = self.size or self._grid(tuple(x.shape))
        places = x[:, -height * width :]
        maps = ops.reshape(places, (-1, height, width, x.shape[-1]))
        if keras.config.image_data_format() == "channels_first":
            return ops.transpose(maps, (0, 3, 1, 2))
        return maps

    def get_config(self) -> dict[str, Any]:
        own = {"size": self.size, "class_tokens": self.class_tokens}
        return {**super().get_config(), **own}


def _sides(size: Any) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, Integral) else tuple(size)
    if len(sides) != 2 or not all(int(n) >= 1 for n in sides):
        raise ValueError(
            "`size` must be height and width, two integers from 1 on, one for both, or None. "
            f"Received: size={size!r}."
        )
    return int(sides[0]), int(sides[1])
