"""Values and gradients of a loss on the backend in use, eager or compiled."""

import keras
import numpy as np
from keras import ops


def compiled(function):
    """`function(target, pred)` as one program, with the gradient of what it gives by `pred`.

    The function gives a scalar, and beside it whatever else is wanted; the program gives
    (scalar, gradient, the rest). Both sides are arrays or tuples of arrays. Compiled as the
    backend's trainer compiles: with XLA where there is XLA.
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        both = jax.jit(_by_jax(jax.value_and_grad(function, argnums=1, has_aux=True)))
    elif backend == "tensorflow":
        import tensorflow as tf

        both = tf.function(_taped(function), jit_compile=True)
    else:
        both = _by_torch(function)
    return lambda target, pred: _as_numpy(both(*_as_tensors((target, pred))))


def forward(function):
    """`function` of arrays as one program where eager operations are compiled one by one."""
    if keras.config.backend() == "jax":
        import jax

        function = jax.jit(function)
    return lambda *trees: _as_numpy(function(*_as_tensors(trees)))


def value_and_gradient(function, target, pred):
    """`function(target, pred)`, a scalar, and its gradient by `pred`, once; eager but for jax."""

    def alone(target, pred):
        return function(target, pred), ()

    if keras.config.backend() == "tensorflow":
        return _as_numpy(_taped(alone)(*_as_tensors((target, pred))))[:2]
    return compiled(alone)(target, pred)[:2]


def _by_jax(both):
    def ordered(target, pred):
        (value, rest), slope = both(target, pred)
        return value, slope, rest

    return ordered


def _taped(function):
    import tensorflow as tf

    def both(target, pred):
        with tf.GradientTape() as tape:
            tape.watch(pred)
            value, rest = function(target, pred)
        return value, tape.gradient(value, pred, unconnected_gradients="zero"), rest

    return both


def _by_torch(function):
    import torch

    def both(target, pred):
        leaves = keras.tree.map_structure(lambda x: x.clone().requires_grad_(), pred)
        value, rest = function(target, leaves)
        if value.requires_grad:
            value.backward()
        slope = keras.tree.map_structure(
            lambda x: torch.zeros_like(x) if x.grad is None else x.grad, leaves
        )
        return value, slope, rest

    return both


def _as_tensors(tree):
    return keras.tree.map_structure(ops.convert_to_tensor, tree)


def _as_numpy(tree):
    return keras.tree.map_structure(ops.convert_to_numpy, tree)


def differences(function, x, places=24, step=1e-6):
    """The gradient of a float64 numpy function of `x` by central differences.

    For each array of `x`: the indices tried, at most `places` of them spread over the array, and
    the slopes there.
    """
    flat = [np.array(a, dtype="float64") for a in keras.tree.flatten(x)]
    found = []
    for array in flat:
        flat_places = np.unique(np.linspace(0, array.size - 1, places).astype(int))
        slopes = []
        for place in flat_places:
            index = np.unravel_index(place, array.shape)
            kept, values = array[index], []
            for at in (kept + step, kept - step):
                array[index] = at
                values.append(function(keras.tree.pack_sequence_as(x, flat)))
            array[index] = kept
            slopes.append((values[0] - values[1]) / (2 * step))
        found.append((flat_places, np.array(slopes)))
    return found
