"""Masks of positions: which tensors they fit, and the layers that make Keras's own."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.keras_private import mask_of, set_mask
from keras_kd._core.layer_calls import around_calls
from keras_kd._core.tensors import Tensor


def mask_makers(model: keras.Layer) -> list[keras.Layer]:
    """The layers of a model, and of models in it, with which Keras's masks begin."""
    found: list[keras.Layer] = []
    for layer in model.layers if isinstance(model, keras.Model) else ():
        if isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False):
            found.append(layer)
        elif isinstance(layer, keras.Model):
            found += mask_makers(layer)
    return found


@contextlib.contextmanager
def noting_masks(makers: Sequence[keras.Layer]) -> Iterator[list[Tensor]]:
    """The masks that `makers` make while the context lasts, of each that runs once.

    Made again, for what Keras keeps with a tensor need not stay: `MultiHeadAttention` takes it off.
    """
    made: dict[int, list[Tensor]] = {id(maker): [] for maker in makers}
    masks: list[Tensor] = []

    def note(layer: Any, original: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
        x, *_ = (*args, *kwargs.values())
        mask = layer.compute_mask(x) if _is_read(layer, x) else None
        if mask is not None:
            made[id(layer)].append(mask)
        return original(*args, **kwargs)

    with around_calls(makers, note):
        yield masks
    masks += [calls[0] for calls in made.values() if len(calls) == 1]


def _is_read(layer: keras.Layer, x: Tensor) -> bool:
    """Whether a call is one on the model's data: an embedding may give the logits as well."""
    kind = keras.backend.standardize_dtype(x.dtype)
    return isinstance(layer, keras.layers.Masking) or "float" not in kind


def hand_on(masks: Iterable[Tensor], tensors: Iterable[Tensor]) -> None:
    """Gives each tensor of a pass that has no mask the one that was made in it and that it fits.

    A layer that does not support masking drops the mask, and so does an operation, such as `a + b`.
    """
    for tensor in tensors:
        if mask_of(tensor) is None:
            fitting = [mask for mask in masks if fits_positions(mask, tensor)]
            if len(fitting) == 1:  # of several it is not known which is meant
                set_mask(tensor, fitting[0])


@contextlib.contextmanager
def without_masks(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Takes the masks off some tensors, while the context lasts."""
    taken = [(tensor, mask) for tensor in keras.tree.flatten(list(tensors))
             if (mask := mask_of(tensor)) is not None]  # fmt: skip
    for tensor, _ in taken:
        set_mask(tensor, None)
    try:
        yield
    finally:
        for tensor, mask in taken:
            set_mask(tensor, mask)


def fits_positions(mask: Tensor, signal: Tensor) -> bool:
    """Whether `signal` has the mask's positions: as its second axis, or, of attention scores
    `(batch, heads, queries, keys)`, as its last two."""
    if len(mask.shape) != 2 or len(signal.shape) < 3:
        return False
    length, positions = mask.shape[1], signal.shape[1]
    unknown = len(signal.shape) == 3 and None in (length, positions)  # on TensorFlow, while traced
    return positions == length or unknown or _are_scores(mask, signal)


def without_padding(signal: Tensor, mask: Tensor) -> Tensor:
    """`signal` with zeros where the mask that fits it is 0."""
    counts = ops.cast(mask, "bool")
    if _are_scores(mask, signal):
        counts = ops.logical_and(counts[:, None, :, None], counts[:, None, None, :])
    else:
        for _ in signal.shape[2:]:
            counts = ops.expand_dims(counts, axis=-1)
    kept = ops.where(counts, signal, ops.zeros((), signal.dtype))
    set_mask(kept, mask)
    return kept


def finite_at_padding(signal: Tensor, mask: Tensor, kind: str) -> Tensor:
    """`signal` with zeros in place of what a `kind` cannot hold at padding: NaN, infinite numbers,
    and those that would become infinite."""
    held = ops.abs(signal) <= float(np.finfo(kind).max)
    return ops.where(held, signal, without_padding(signal, mask))


def _are_scores(mask: Tensor, signal: Tensor) -> bool:
    return len(signal.shape) == 4 and signal.shape[2] == signal.shape[3] == mask.shape[1]
