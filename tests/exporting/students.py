"""Students with classes of their own, in a module that another process can import."""

import keras

layers = keras.layers


@keras.saving.register_keras_serializable("tests_exporting")
class Doubled(layers.Layer):
    def call(self, x):
        return 2 * x


@keras.saving.register_keras_serializable("tests_exporting")
class ErfInv(layers.Layer):
    """An operation that no `.tflite` file has."""

    def call(self, x):
        return keras.ops.erfinv(x)


@keras.saving.register_keras_serializable("tests_exporting")
class TwoHeads(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = layers.Dense(3), layers.Dense(4)

    def build(self, shape):
        self.first.build(shape)
        self.second.build(shape)
        super().build(shape)

    def call(self, x, training=False):
        return {"three": self.first(x), "four": self.second(x)}


@keras.saving.register_keras_serializable("tests_exporting")
class Forgetful(layers.Layer):
    """Its `get_config` leaves out what its constructor needs."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def get_config(self):
        return super().get_config()

    def call(self, x):
        return self.factor * x


class Halved(layers.Layer):
    """Not registered."""

    def call(self, x):
        return x / 2


def halved(x):
    return x / 2


def reader(layer, name="reader", steps=6, mask=False):
    """Tokens, an embedding, `layer`, three classes."""
    x = inputs = keras.Input((steps,), dtype="int32", name="tokens")
    x = layer(layers.Embedding(20, 8, mask_zero=mask)(x))
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name=name)
