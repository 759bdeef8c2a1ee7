"""Models that say what they are told to: one row of a table for each example."""

import keras
import numpy as np


def says(outputs, *activation, name=None):
    """A model that answers example `i` with row `i`; `examples(n)` are its inputs."""
    outputs = np.asarray(outputs, "float32")
    n, width = outputs.shape
    model = keras.Sequential(
        [
            keras.Input((1,), dtype="int32"),
            keras.layers.Embedding(n, width, name="table"),
            keras.layers.Reshape((width,)),
            *(keras.layers.Activation(a) for a in activation),
        ],
        name=name,
    )
    model.set_weights([outputs])
    return model


def examples(n):
    return np.arange(n, dtype="int32")[:, None]


def logits(y, classes, skill, seed):
    """Noise, and a push towards the truth."""
    noise = np.random.default_rng(seed).normal(size=(len(y), classes))
    return (noise + skill * np.eye(classes)[y]).astype("float32")
