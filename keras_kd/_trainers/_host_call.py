"""A function of NumPy arrays inside a compiled step: the step waits while the host computes it."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

Function = Callable[[Any], list[np.ndarray]]


def host_call(function: Function, x: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """What `function` returns for the inputs `x`, as float32 tensors without gradients.

    Args:
        function: From a tree of NumPy arrays to a list of float32 arrays with a row for each example.
        x: A tree of tensors.
        shapes: Of one example of each array in the list.
    """
    return _CALLS[keras.config.backend()](function, x, shapes)


def _tensorflow(function: Function, x: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    import tensorflow as tf

    def on_leaves(*leaves: np.ndarray) -> list[np.ndarray]:
        return function(keras.tree.pack_sequence_as(x, list(leaves)))

    found = tf.numpy_function(on_leaves, keras.tree.flatten(x), [tf.float32] * len(shapes))
    found = found if isinstance(found, (list, tuple)) else [found]  # one alone, run eagerly
    for tensor, shape in zip(found, shapes, strict=True):
        tensor.set_shape((keras.tree.flatten(x)[0].shape[0], *shape))
    return [tf.stop_gradient(tensor) for tensor in found]


def _jax(function: Function, x: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    import jax

    def on_arrays(tree: Any) -> list[np.ndarray]:
        return function(jax.tree.map(np.asarray, tree))

    batch = keras.tree.flatten(x)[0].shape[0]
    forms = [jax.ShapeDtypeStruct((batch, *shape), "float32") for shape in shapes]
    return jax.pure_callback(on_arrays, forms, jax.lax.stop_gradient(x))


def _torch(function: Function, x: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    import torch

    first = keras.tree.flatten(x)[0]
    if first.is_meta:  # only shapes are wanted
        return [torch.empty((len(first), *shape), device="meta") for shape in shapes]
    arrays = keras.tree.map_structure(lambda leaf: leaf.detach().cpu().numpy(), x)
    return [torch.as_tensor(array, device=first.device) for array in function(arrays)]


_CALLS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
