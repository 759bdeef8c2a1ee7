"""The padding of sequences, where it is an input of its own."""

from collections.abc import Mapping

import keras
from keras import ops

from keras_kd._core.keras_private import mask_of, set_mask
from keras_kd._core.tensors import Tensor
from keras_kd.taps import Signals

#: Inputs by these names are 1 at the positions that count and 0 at padding, as in keras-hub.
_NAMES = ("padding_mask", "attention_mask", "decoder_padding_mask", "encoder_padding_mask")


def mark_padding(signals: Signals, x: Tensor) -> None:
    """Has Keras's mask stand with each signal of a sequence that carries none.

    Keras hands a mask on from layer to layer where an `Embedding(mask_zero=True)` made it. Models
    that take it as an input, as those of keras-hub do, leave none with what they return, and losses
    and metrics would count the padding.
    """
    masks = {name: x[name] for name in _NAMES if name in x} if isinstance(x, Mapping) else {}
    if not masks:
        return
    for address, signal in signals.items():
        order = reversed(masks) if "encoder" in address.replace("decoder", "") else masks
        for tensor in keras.tree.flatten(signal):
            if mask_of(tensor) is None:
                fitting = (masks[name] for name in order if _positions_fit(masks[name], tensor))
                if (mask := next(fitting, None)) is not None:
                    set_mask(tensor, ops.cast(mask, "bool"))


def _positions_fit(mask: Tensor, signal: Tensor) -> bool:
    """Whether `signal` has the mask's positions: as its second axis, or, of attention scores
    `(batch, heads, queries, keys)`, as its last two."""
    if len(mask.shape) != 2 or len(signal.shape) < 3:
        return False
    length = mask.shape[1]
    return signal.shape[1] == length or (
        len(signal.shape) == 4 and signal.shape[2] == signal.shape[3] == length
    )
