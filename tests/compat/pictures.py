"""MNIST where it is at hand, and the bundled digits in its size where it is not."""

import functools

import keras
import numpy as np
from keras import layers

from keras_kd.data import load
from tests.prepared import SHARED

FILE = SHARED / "data" / "mnist.npz"


@functools.cache
def pictures():
    """`(x_train, y_train), (x_test, y_test)`: numbers in [0, 1], 28 by 28, as the guides have them."""
    if FILE.exists():
        with np.load(FILE) as held:
            x, y, x_test, y_test = (held[k] for k in ("x_train", "y_train", "x_test", "y_test"))
        x, x_test = x[:6400] / np.float32(255), x_test[:1000] / np.float32(255)
        return (x, y[:6400].astype("int32")), (x_test, y_test[:1000].astype("int32"))
    digits = load("digits")
    (x, y), (x_test, y_test) = (
        (np.pad(np.kron(x[..., 0], np.ones((3, 3), "float32")), ((0, 0), (2, 2), (2, 2))), y)
        for x, y in (digits.train[:2], digits.test[:2])
    )
    again = 6400 // len(x) + 1
    return (np.tile(x, (again, 1, 1))[:6400], np.tile(y, again)[:6400]), (x_test, y_test)


def network():
    """The small network of tfmot's guides."""
    return keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(12, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def compiled(model, optimizer="adam"):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def distinct(model):
    """The number of different values in each kernel of a plain model."""
    return [len(np.unique(w)) for w in model.get_weights() if w.ndim > 1]


def small(seed=0):
    """Arrays and a network that train in a moment."""
    keras.utils.set_random_seed(seed)
    x = np.random.default_rng(seed).normal(size=(64, 6)).astype("float32")
    y = np.arange(64) % 4
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(16, activation="relu", name="hidden"),
            layers.Dense(4, name="logits"),
        ]
    )
    return model, x, y
