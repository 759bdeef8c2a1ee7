"""What signals go through on their way into the loss of a term."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_kd._core.keras_private import mask_of, set_mask, takes_training
from keras_kd._core.positions import fits_positions
from keras_kd._core.tensors import Tensor


def without_gradient(signal: Tensor) -> Tensor:
    return keras.tree.map_structure(lambda x: ops.stop_gradient(ops.convert_to_tensor(x)), signal)


def projected(projector: keras.layers.Layer | None, tensors: list[Any], training: bool) -> Any:
    single = tensors[0] if len(tensors) == 1 else tuple(tensors)
    if projector is None:
        return single
    options = {"training": training} if takes_training(projector) else {}
    made = projector(single, **options)
    for mask in {id(m): m for m in map(mask_of, tensors) if m is not None}.values():
        for tensor in keras.tree.flatten(made):  # of a layer that does not hand the mask on
            if mask_of(tensor) is None and fits_positions(mask, tensor):
                set_mask(tensor, mask)
    return made


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
