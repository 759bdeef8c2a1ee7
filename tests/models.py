"""Small networks and data that the tests share."""

import keras
import numpy as np

CLASSES = 3


def cross_entropy(**kwargs):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **kwargs)


def data(n=48, features=8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features)).astype("float32")
    return x, rng.integers(0, CLASSES, n).astype("int32")


def mlp(name, units=6, features=8, **kwargs):
    return keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(units, activation="relu", name="hidden", **kwargs),
            keras.layers.Dense(CLASSES, name="logits"),
        ],
        name=name,
    )


def noisy(name, units=6, features=8, seed=7):
    """BatchNorm and Dropout: a network that answers otherwise when it trains."""
    x = inputs = keras.Input((features,))
    x = keras.layers.Dense(units, name="hidden")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dropout(0.5, seed=seed, name="drop")(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(x), name=name)


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    """Written as a class, with a model nested inside."""

    def __init__(self, units=6, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = keras.layers.Dense(units, activation="relu", name="first")
        self.inner = keras.Sequential([keras.layers.Dense(5, name="deep")], name="inner")
        self.last = keras.layers.Dense(CLASSES, name="last")

    def call(self, x, training=None):
        return self.last(self.inner(self.first(x)))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def nested(name):
    """A Functional model with a Functional model inside."""
    inner_in = keras.Input((6,))
    inner = keras.Model(inner_in, keras.layers.Dense(5, name="deep")(inner_in), name="backbone")
    inputs = keras.Input((8,))
    x = inner(keras.layers.Dense(6, name="stem")(inputs))
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(x), name=name)


def two_headed(name):
    """Dict in, dict out."""
    inputs = {"a": keras.Input((8,), name="a"), "b": keras.Input((8,), name="b")}
    outputs = {
        "kind": keras.layers.Dense(CLASSES, name="kind")(inputs["a"]),
        "size": keras.layers.Dense(1, name="size")(inputs["b"]),
    }
    return keras.Model(inputs, outputs, name=name)


def set_weights(model, seed, scale=0.5):
    """The same weights on every backend."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.normal(0, scale, w.shape).astype("float32") for w in model.get_weights()]
    )
    return model


def values(variables):
    return [np.array(v.numpy()) for v in variables]


def equal(before, after, tolerance=0.0):
    return all(
        np.allclose(a, b, rtol=0, atol=tolerance) for a, b in zip(before, after, strict=True)
    )
