"""Which codec a signal is kept by, from what `write` is given and from what a manifest holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_kd._core.messages import listing
from keras_kd._core.scalars import count, is_number, positive
from keras_kd.stores._codecs import Codec, Dense, Scaled, TopK
from keras_kd.stores._draws import Draws
from keras_kd.stores._ragged import Ragged, TopP, within
from keras_kd.stores._top_k_bytes import TopKBytes, top_k_codec


@dataclass(frozen=True)
class Form:
    """What is kept of an output.

    Args:
        top_k: How many of its largest logits, or `None` for all.
        sampled: How many classes are drawn, in place of logits.
        sampling_power: The power of the probabilities that draws follow.
        seed: Of the draws.
        temperatures: At which it will be used.
        top_p: Of the `top_k` largest, as few as have this probability together.
        ragged: Whether padding is left out.
    """

    top_k: int | None = None
    sampled: int | None = None
    sampling_power: float = 1.0
    seed: int = 0
    temperatures: tuple[float, ...] = (1.0,)
    top_p: float | None = None
    ragged: bool = False

    def codec(self, address: str, shape: tuple[int, ...], dtype: str) -> Codec:
        """The codec for an output of this shape."""
        codec = self._codec(address, shape, dtype)
        if not self.ragged:
            return codec
        if len(shape) < 2:
            raise ValueError(
                f"`ragged=True` leaves positions out, and '{address}' has the shape "
                f"{(None, *shape)}: no positions. Leave `ragged` out."
            )
        return Ragged(codec)

    def _codec(self, address: str, shape: tuple[int, ...], dtype: str) -> Codec:
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
        if not shape or not 0 < self.top_k <= shape[-1]:
            raise ValueError(
                f"`top_k` must be between 1 and the number of classes: '{address}' has the shape "
                f"{(None, *shape)}. Received: top_k={self.top_k}."
            )
        if self.top_p is None:
            return top_k_codec(shape, self.top_k, dtype, self.temperatures)
        if dtype == "int8":
            raise ValueError(f"'{address}': with `top_p`, logits are float16 or float32, not int8.")
        return TopP(shape, self.top_k, dtype, self.temperatures, self.top_p)


def plain(shape: tuple[int, ...], dtype: str) -> Codec:
    """The codec for all numbers of a signal of this shape."""
    return Scaled(shape) if dtype == "int8" else Dense(shape, dtype)


def form_of(
    top_k: int | None,
    top_p: float | None,
    sampled: int | None,
    sampling_power: float,
    seed: int,
    temperatures: Any,
    ragged: bool,
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
    if top_p is not None:
        if not is_number(top_p) or not 0 < top_p <= 1:
            raise ValueError(
                f"`top_p` is a probability above 0 and at most 1. Received: top_p={top_p!r}."
            )
        if top_k is None:
            raise ValueError(
                "`top_p` takes of the largest logits as few as have that probability: give the most "
                f"that may be, such as top_k=64. Received: top_p={top_p}, top_k=None."
            )
        top_p = float(top_p)
    positive(sampling_power, "sampling_power")
    count(seed, "seed", least=0)
    settings = float(sampling_power), int(seed), temperatures
    return Form(top_k, sampled, *settings, top_p, bool(ragged))


def form_in(codecs: Iterable[Codec]) -> Form:
    """The form of what a store holds."""
    codecs = list(codecs)
    ragged = any(isinstance(codec, Ragged) for codec in codecs)
    for codec in map(within, codecs):
        if isinstance(codec, TopK):
            top_p = codec.p if isinstance(codec, TopP) else None
            return Form(codec.k, temperatures=codec.temperatures, top_p=top_p, ragged=ragged)
        if isinstance(codec, Draws):
            at = (codec.temperature,)
            return Form(None, codec.k, codec.power, codec.seed, at, ragged=ragged)
    return Form(ragged=ragged)


def dtype_of(codec: Codec) -> str:
    """The type of its numbers, as `write` is given it."""
    codec = within(codec)
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
    if config["codec"] in (TopK.name, TopKBytes.name):
        return top_k_codec(shape, config["k"], config["dtype"], tuple(config["temperatures"]))
    if config["codec"] == Draws.name:
        (at,) = config["temperatures"]
        return Draws(shape, config["k"], at, config["power"], config["seed"])
    if config["codec"] == TopP.name:
        at = tuple(config["temperatures"])
        return TopP(shape, config["k"], config["dtype"], at, config["p"])
    if config["codec"] == Ragged.name:
        return Ragged(from_config(config["of"]))
    known = [Dense.name, Scaled.name, TopK.name, TopKBytes.name, TopP.name, Draws.name,
             Ragged.name]  # fmt: skip
    raise KeyError(f"codec {config['codec']!r}, expected one of {listing(known)}")
