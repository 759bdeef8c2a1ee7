"""The gradient of a function of one array, on the backend in use."""

import keras
import numpy as np


def gradient(function, x):
    """d function(x) / dx as numpy; `function` returns a scalar tensor."""
    match keras.config.backend():
        case "tensorflow":
            import tensorflow as tf

            z = tf.constant(x)
            with tf.GradientTape() as tape:
                tape.watch(z)
                value = function(z)
            return np.asarray(tape.gradient(value, z))
        case "jax":
            import jax

            return np.asarray(jax.grad(function)(x))
        case "torch":
            import torch

            z = torch.tensor(x, requires_grad=True)
            function(z).backward()
            return z.grad.numpy()
