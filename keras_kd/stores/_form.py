"""Which codec a signal is kept by, from what `write` is given and from what a manifest holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_kd._core.messages import listing
from keras_kd._core.scalars import count, positive
from keras_kd.stores._codecs import Codec, Dense, Scaled, TopK
from keras_kd.stores._draws import Draws


@dataclass(frozen=True)
class Form:
    """What is kept of an output.

    Args:
        top_k: How many of its largest logits, or `None` for all.
        sampled: How many classes are drawn, in place of logits.
        sampling_power: The power of the probabilities that draws follow.
        seed: Of the draws.
        temperatures: At which it will be used.
    """

    top_k: int | None = None
    sampled: int | None = None
    sampling_power: float = 1.0
    seed: int = 0
    temperatures: tuple[float, ...] = (1.0,)

    def codec(self, address: str, shape: tuple[int, ...], dtype: str) -> Codec:
        """The codec for an output of this shape."""
        if self.top_k is None and self.sampled is None:
            return plain(shape, dtype)
        if self.sampled is not None:
            if not shape or dtype != "float16":
                raise ValueError(
                    f"`sampled` draws classes of '{address}', of shape (None, ..., classes), and has "
                    f"no use for dtype='{dtype}': leave it at 'float16'. It has the shape "
                    f"{(None, *shape)}."
                )
            return Draws(shape, self.sampled, self.temperatures[0], self.sampling_power, self.seed)
        assert self.top_k is not None
        if dtype == "int8":
            raise ValueError(f"'{address}': the largest logits are float16 or float32, not int8.")
        if not shape or not 0 < self.top_k <= shape[-1]:
            raise ValueError(
                f"`top_k` must be between 1 and the number of classes: '{address}' has the shape "
                f"{(None, *shape)}. Received: top_k={self.top_k}."
            )
        return TopK(shape, self.top_k, dtype, self.temperatures)


def plain(shape: tuple[int, ...], dtype: str) -> Codec:
    """The codec for all numbers of a signal of this shape."""
    return Scaled(shape) if dtype == "int8" else Dense(shape, dtype)


def form_of(
    top_k: int | None, sampled: int | None, sampling_power: float, seed: int, temperatures: Any
) -> Form:
    """The arguments of `write`, checked."""
    temperatures = tuple(float(t) for t in np.atleast_1d(np.asarray(temperatures, "float64")))
    if not temperatures or min(temperatures) <= 0:
        raise ValueError(f"`temperatures` must be above 0. Received: {temperatures}.")
    if sampled is not None:
        count(sampled, "sampled")
        if top_k is not None:
            raise ValueError(
                "`top_k` and `sampled` are two ways to keep a part of an output: give one. Received: "
                f"top_k={top_k}, sampled={sampled}."
            )
        if len(temperatures) > 1:
            raise ValueError(
                "Classes are drawn at one temperature: with `sampled` give one. Received: "
                f"temperatures={temperatures}."
            )
    positive(sampling_power, "sampling_power")
    count(seed, "seed", least=0)
    return Form(top_k, sampled, float(sampling_power), int(seed), temperatures)


def form_in(codecs: Iterable[Codec]) -> Form:
    """The form of what a store holds."""
    for codec in codecs:
        if isinstance(codec, TopK):
            return Form(codec.k, temperatures=codec.temperatures)
        if isinstance(codec, Draws):
            return Form(None, codec.k, codec.power, codec.seed, (codec.temperature,))
    return Form()


def dtype_of(codec: Codec) -> str:
    """The type of its numbers, as `write` is given it."""
    if isinstance(codec, (Dense, TopK)):
        return codec.dtype
    return "int8" if isinstance(codec, Scaled) else "float16"


def from_config(config: Mapping[str, Any]) -> Codec:
    """The codec of a manifest's settings."""
    shape = tuple(config["shape"])
    if config["codec"] == Dense.name:
        return Dense(shape, config["dtype"])
    if config["codec"] == Scaled.name:
        return Scaled(shape)
    if config["codec"] == TopK.name:
        return TopK(shape, config["k"], config["dtype"], tuple(config["temperatures"]))
    if config["codec"] == Draws.name:
        (at,) = config["temperatures"]
        return Draws(shape, config["k"], at, config["power"], config["seed"])
    known = [Dense.name, Scaled.name, TopK.name, Draws.name]
    raise KeyError(f"codec {config['codec']!r}, expected one of {listing(known)}")
