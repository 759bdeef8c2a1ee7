"""The positions of sequences that count: the signal `"mask"`, and what becomes of the others."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import keras
from keras import ops

from keras_kd._core.addresses import MASK, RESERVED, SPANS, parse
from keras_kd._core.keras_private import mask_of, set_mask
from keras_kd._core.messages import shape_of
from keras_kd._core.positions import fits_positions, without_padding
from keras_kd._core.tensors import Tensor
from keras_kd.taps import Signals

Masks = Mapping[str, Tensor]

#: Inputs by these names are 1 at the positions that count and 0 at padding, as in keras-hub.
_NAMES = ("padding_mask", "attention_mask", "decoder_padding_mask", "encoder_padding_mask")


def masks_of_batch(signals: Signals, x: Any) -> Masks:
    """The masks that came with a batch: the signal `"mask"`, or else the inputs that are some."""
    given = {MASK: signals[MASK]} if MASK in signals else {}
    if not given and isinstance(x, Mapping):
        given = {name: x[name] for name in _NAMES if name in x}
    return {name: ops.cast(ops.convert_to_tensor(mask), "bool") for name, mask in given.items()}


def masks_of_keras(*passes: Signals) -> Masks:
    """The mask that Keras made, of the first pass that has one: of `Embedding(mask_zero=True)`."""
    signals = [s for one in passes for address, s in one.items() if address not in RESERVED]
    masks = map(mask_of, keras.tree.flatten(signals))
    first = next((mask for mask in masks if mask is not None and len(mask.shape) == 2), None)
    return {} if first is None else {MASK: first}


def of_shared_tokens(signals: Signals, apart: Collection[str]) -> Signals:
    """The signals without those of the roles that have tokens of their own, `apart`."""
    return {a: s for a, s in signals.items() if a in RESERVED or parse(a).role not in apart}


def emptied(targets: Signals, masks: Masks, apart: Collection[str] = ()) -> Signals:
    """The teachers' signals with zeros at padding: whatever stands there, such as NaN, is nothing.
    Of the roles `apart`, which have tokens of their own, what is in no span is padding."""
    if apart and SPANS in targets:
        shared = of_shared_tokens(targets, apart)
        own = {address: s for address, s in targets.items() if address not in shared}
        in_span = ops.convert_to_tensor(targets[SPANS][1])[..., 1] >= 0
        return emptied(shared, masks) | emptied(own, {MASK: in_span})
    if not masks:
        return targets

    def without(address: str, signal: Any) -> Any:
        parts = keras.tree.flatten(signal)

        def one(tensor: Tensor) -> Tensor:
            whole = _of_rows(tensor, parts) if isinstance(signal, tuple) else tensor
            mask = _fitting(address, masks, whole)
            return tensor if mask is None else without_padding(tensor, mask)

        return keras.tree.map_structure(one, signal)

    return {
        address: signal if address in RESERVED else without(address, signal)
        for address, signal in targets.items()
    }


def _of_rows(tensor: Tensor, parts: Iterable[Tensor]) -> Tensor:
    """The part with which a part of one number per position goes, as a log-sum-exp does with the
    largest logits; else itself."""
    others = (p for p in parts if tuple(p.shape[:-1]) == tuple(tensor.shape))
    return next(others, tensor) if len(tensor.shape) == 2 else tensor


def mark_padding(signals: Signals, masks: Masks) -> Signals:
    """Has the mask stand with each signal of a sequence, for losses and metrics to find; gives it as
    a signal of its own.

    Keras hands its own on from layer to layer. Models that take one as an input, as those of
    keras-hub do, leave none with what they return.
    """
    marked = []
    for address, signal in signals.items():
        for tensor in keras.tree.flatten(signal):
            mask = _fitting(address, masks, tensor)
            if mask is not None:
                set_mask(tensor, mask)
                marked.append(mask)
    if MASK in masks and not marked:
        shapes = ", ".join(
            f"'{a}' {keras.tree.map_structure(shape_of, s)}" for a, s in signals.items()
        )
        raise ValueError(
            f"The signal 'mask' is of shape {shape_of(masks[MASK])}, and no signal of a student has "
            f"its positions: {shapes}. Give (batch, positions): 1 where a position counts, and 0 at "
            "padding."
        )
    found = [*marked, *masks.values()]
    return {MASK: found[0]} if found else {}


def _fitting(address: str, masks: Masks, tensor: Tensor) -> Tensor:
    """The mask that a tensor of this address is under; `None` when none fits it."""
    order = reversed(list(masks)) if "encoder" in address.replace("decoder", "") else masks
    return next((masks[name] for name in order if fits_positions(masks[name], tensor)), None)
