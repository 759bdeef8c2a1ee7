"""Settings for the quantization of a layer, as far as they have a counterpart."""

from typing import Any

import keras

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count


class Quantizer:
    """How numbers are rounded: what the quantizers below have in common.

    Args:
        num_bits: Number of bits.
        per_axis: Whether each channel has steps of its own. Weights always have, here.
        symmetric: Whether the range is symmetric about 0. Weights always are, here.
        narrow_range: Whether one step is left out for that. Weights always do, here.
    """

    def __init__(self, num_bits: int, per_axis: bool, symmetric: bool, narrow_range: bool):
        self.num_bits = count(num_bits, "num_bits", least=2, most=16)
        self.per_axis, self.symmetric, self.narrow_range = per_axis, symmetric, narrow_range

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "num_bits": self.num_bits, "per_axis": self.per_axis, "symmetric": self.symmetric,
            "narrow_range": self.narrow_range,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Quantizer":
        """A quantizer made of `get_config()`."""
        return cls(**config)


@serializable
class LastValueQuantizer(Quantizer):
    """For weights: the range is that of the weights at hand."""


@serializable
class MovingAverageQuantizer(Quantizer):
    """For activations: the range follows the batches."""


@serializable
class AllValuesQuantizer(Quantizer):
    """Its range holds all values so far. Not for weights or activations here, whose ranges are those
    of the two others."""


class QuantizeConfig:
    """How a layer is quantized: the base of settings of your own.

    Read is the number of bits of the weights. Everything else is as `keras_kd.compression` does it:
    weights symmetric, steps of their own for each channel, activations of 8 bits with a range that
    follows the batches. What asks for something else is refused by `quantize_apply`.
    """

    def get_weights_and_quantizers(self, layer: keras.Layer) -> list[tuple[Any, Quantizer]]:
        """Pairs of a weight of `layer` and its quantizer."""
        raise NotImplementedError(f"{type(self).__name__} must define get_weights_and_quantizers.")

    def get_activations_and_quantizers(self, layer: keras.Layer) -> list[tuple[Any, Quantizer]]:
        """Pairs of an activation of `layer` and its quantizer."""
        raise NotImplementedError(
            f"{type(self).__name__} must define get_activations_and_quantizers."
        )

    def set_quantize_weights(self, layer: keras.Layer, quantize_weights: Any) -> None:
        """Not called here: nothing of the layer is replaced."""

    def set_quantize_activations(self, layer: keras.Layer, quantize_activations: Any) -> None:
        """Not called here: nothing of the layer is replaced."""

    def get_output_quantizers(self, layer: keras.Layer) -> list[Quantizer]:
        """Quantizers of what the layer returns."""
        return []

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "QuantizeConfig":
        """A config made of `get_config()`."""
        return cls(**config)


def check_config(config: Any) -> None:
    if config is not None and not isinstance(config, QuantizeConfig):
        raise ValueError(
            "`quantize_config` must be a tfmot.quantization.keras.QuantizeConfig. Received: "
            f"{config!r} of type {type(config).__name__}."
        )


def weight_bits_of(config: QuantizeConfig, layer: keras.Layer) -> int | None:
    """The bits that a config gives a built layer's weights; `None` when it names no weight."""
    who = f"{type(config).__name__}, the quantize_config of layer '{layer.name}',"
    weights = config.get_weights_and_quantizers(layer)
    bits = {
        _checked(quantizer, LastValueQuantizer, f"{who} for a weight") for _, quantizer in weights
    }
    if len(bits) > 1:
        raise ValueError(f"{who} gives its weights different numbers of bits: {sorted(bits)}.")
    if any(weight is getattr(layer, "bias", None) for weight, _ in weights):
        raise ValueError(f"{who} rounds the bias, which devices add in 32 bits. Leave it out.")
    activations = [quantizer for _, quantizer in config.get_activations_and_quantizers(layer)]
    outputs = list(config.get_output_quantizers(layer))
    for quantizer in (*activations, *outputs):
        wanted = _checked(quantizer, MovingAverageQuantizer, f"{who} for an activation")
        if wanted != 8:
            raise ValueError(
                f"{who} gives an activation {wanted} bits. Activations have one number of bits in "
                "the whole model: keras_kd.compression.quantize_aware(model, activation_bits="
                f"{wanted})."
            )
    if weights and not activations and not outputs:
        raise ValueError(
            f"{who} rounds weights and no activation, which no integer device computes. Name the "
            "activation in get_activations_and_quantizers, or leave the layer in float: do not "
            "annotate it."
        )
    return bits.pop() if bits else None


def _checked(quantizer: Any, kind: type[Any], who: str) -> int:
    if type(quantizer) is not kind:
        raise ValueError(
            f"{who} names the quantizer {type(quantizer).__name__}, which has no counterpart here. "
            f"Expected {kind.__name__}."
        )
    return quantizer.num_bits
