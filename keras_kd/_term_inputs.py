"""What signals go through on their way into the loss of a term."""

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_kd._core.keras_private import layers_of, mask_of, set_mask, takes_training
from keras_kd._core.positions import fits_positions, without_masks
from keras_kd._core.tensors import Tensor


def without_gradient(signal: Tensor) -> Tensor:
    return keras.tree.map_structure(lambda x: ops.stop_gradient(ops.convert_to_tensor(x)), signal)


def projected(projector: keras.layers.Layer | None, tensors: list[Any], training: bool) -> Any:
    single = tensors[0] if len(tensors) == 1 else tuple(tensors)
    if projector is None:
        return single
    options = {"training": training} if takes_training(projector) else {}
    with contextlib.nullcontext() if _reads_masks(projector) else without_masks(tensors):
        made = projector(single, **options)
    for mask in {id(m): m for m in map(mask_of, tensors) if m is not None}.values():
        for tensor in keras.tree.flatten(made):  # of a layer that does not hand the mask on
            if mask_of(tensor) is None and fits_positions(mask, tensor):
                set_mask(tensor, mask)
    return made


def _reads_masks(projector: keras.layers.Layer) -> bool:
    """Whether a mask makes a difference to the layer, or to one in it. Those to which it makes none
    may warn of each that they meet."""
    kinds: set[Any] = {type(layer) for layer in layers_of(projector)}
    return projector.supports_masking or any(_reads_mask(kind) for kind in kinds)


@functools.cache
def _reads_mask(kind: Any) -> bool:
    if issubclass(kind, keras.Model) and kind.__name__ in ("Sequential", "Functional"):
        return False  # hands on what its layers read
    makes_one = kind.compute_mask is not keras.layers.Layer.compute_mask
    return makes_one or "mask" in inspect.signature(kind.call).parameters


def gathered(gather: Callable[[Any], Any], pred: Tensor, *others: Any) -> tuple[Any, ...]:
    """The whole batch's rows in place of this replica's; rows of a queue below them stay."""
    rows = ops.shape(keras.tree.flatten(pred)[0])[0]

    def whole(x: Tensor) -> Tensor:
        if x is None:
            return None
        joined = ops.concatenate([gather(x[:rows]), x[rows:]])
        if (mask := mask_of(x)) is not None:
            set_mask(joined, whole(mask))
        return joined

    return tuple(keras.tree.map_structure(whole, side) for side in (pred, *others))
