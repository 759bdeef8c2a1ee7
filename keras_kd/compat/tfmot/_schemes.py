"""What `quantize_apply` takes as `scheme`."""

from typing import Any

from keras_kd._core.scalars import count


class QuantizeScheme:
    """How a whole model is quantized: the base of the schemes.

    A scheme of your own has no counterpart; `keras_kd.compression.quantize_aware` takes the number
    of bits of each layer.
    """

    weight_bits, activation_bits = 8, 8


class Default8BitQuantizeScheme(QuantizeScheme):
    """8 bits for weights and activations. Zeros of a pruned model stay zeros.

    Args:
        disable_per_axis: Must be `False`: weights have a step size for each output channel.
            Defaults to `False`.

    Raises:
        NotImplementedError: If `disable_per_axis` is true.
    """

    def __init__(self, disable_per_axis: bool = False):
        if disable_per_axis:
            raise NotImplementedError(
                "disable_per_axis=True has no counterpart: weights have a step size for each output "
                "channel, as in every int8 file of LiteRT. Leave it out."
            )


class Default8BitPrunePreserveQuantizeScheme(Default8BitQuantizeScheme):
    """As `Default8BitQuantizeScheme`, which keeps zeros as well."""


class Default8BitClusterPreserveQuantizeScheme(Default8BitQuantizeScheme):
    """As `Default8BitQuantizeScheme`: the weights of a cluster stay alike.

    Args:
        preserve_sparsity: Whether zeros stay zeros; they do in either case. Defaults to `True`.
    """

    def __init__(self, preserve_sparsity: bool = True):
        super().__init__()
        self.preserve_sparsity = preserve_sparsity


class DefaultNBitQuantizeScheme(Default8BitQuantizeScheme):
    """Other numbers of bits, the same in all layers.

    Args:
        disable_per_axis: Must be `False`, as in `Default8BitQuantizeScheme`. Defaults to `False`.
        num_bits_weight: Bits of a weight, from 2 to 8. Defaults to `8`.
        num_bits_activation: Bits of an activation, from 2 to 16. Defaults to `8`.

    Raises:
        ValueError: If a number is out of its bounds.
    """

    def __init__(
        self,
        disable_per_axis: bool = False,
        num_bits_weight: int = 8,
        num_bits_activation: int = 8,
    ):
        super().__init__(disable_per_axis)
        self.weight_bits = count(num_bits_weight, "num_bits_weight", least=2, most=8)
        self.activation_bits = count(num_bits_activation, "num_bits_activation", least=2, most=16)


def check_scheme(scheme: Any) -> None:
    if not isinstance(scheme, Default8BitQuantizeScheme):
        raise NotImplementedError(
            f"`scheme` {type(scheme).__name__} has no counterpart. Expected one of "
            "Default8BitQuantizeScheme, DefaultNBitQuantizeScheme and the two of "
            "tfmot.experimental.combine; for bits by layer there is "
            "keras_kd.compression.quantize_aware(model, bits={...})."
        )
