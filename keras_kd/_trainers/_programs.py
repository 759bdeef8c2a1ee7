"""Functions as programs on the backend in use, with their gradients: for checks of losses."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_kd._core.tensors import Tensor


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
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

        both = tf.function(_taped(function), jit_compile=True, autograph=False)
    else:
        both = _by_torch(function)
    return lambda target, pred: _as_numpy(both(*_as_tensors((target, pred))))


def forward(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of arrays as one program where eager operations are compiled one by one."""
    if keras.config.backend() == "jax":
        import jax

        function = jax.jit(function)
    return lambda *trees: _as_numpy(function(*_as_tensors(trees)))


def value_and_gradient(function: Callable[..., Any], target: Tensor, pred: Tensor) -> Tensor:
    """`function(target, pred)`, a scalar, and its gradient by `pred`, once; eager but for jax."""

    def alone(target: Tensor, pred: Tensor) -> Tensor:
        return function(target, pred), ()

    if keras.config.backend() == "tensorflow":
        return _as_numpy(_taped(alone)(*_as_tensors((target, pred))))[:2]
    return compiled(alone)(target, pred)[:2]


def _by_jax(both: Callable[..., Any]) -> Callable[..., Any]:
    def ordered(target: Tensor, pred: Tensor) -> Tensor:
        (value, rest), gradient = both(target, pred)
        return value, gradient, rest

    return ordered


def _taped(function: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf

    def both(target: Tensor, pred: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            tape.watch(pred)
            value, rest = function(target, pred)
        return value, tape.gradient(value, pred, unconnected_gradients="zero"), rest

    return both


def _by_torch(function: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    def both(target: Tensor, pred: Tensor) -> Tensor:
        leaves = keras.tree.map_structure(lambda x: x.clone().requires_grad_(), pred)
        value, rest = function(target, leaves)
        if value.requires_grad:
            value.backward()
        gradient = keras.tree.map_structure(
            lambda x: torch.zeros_like(x) if x.grad is None else x.grad, leaves
        )
        return value, gradient, rest

    return both


def _as_tensors(tree: Any) -> Any:
    return keras.tree.map_structure(ops.convert_to_tensor, tree)


def _as_numpy(tree: Any) -> Any:
    return keras.tree.map_structure(ops.convert_to_numpy, tree)
