"""Tiny networks with the kinds of layers that recipes name."""

import keras
import numpy as np

CLASSES = 3


def images(n=16, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8, 8, 2)).astype("float32")
    return x, rng.integers(0, CLASSES, n).astype("int32")


def tokens(n=16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 9, (n, 5)).astype("int32"), rng.integers(0, CLASSES, n).astype("int32")


def writer(name, width=4):
    """Logits of the next token at each position."""
    inputs = keras.Input((5,), dtype="int32")
    h = keras.layers.Embedding(9, width, name="embedding")(inputs)
    return keras.Model(inputs, keras.layers.Dense(9, name="logits")(h), name=name)


def texts(n=16, seed=0):
    tokens_, _ = tokens(n, seed)
    return tokens_, np.roll(tokens_, -1, axis=1)


def convolutional(name, first=4, second=5):
    """Two stages of convolution, BatchNorm and ReLU: 8×8, then 4×4."""
    layers = [keras.Input((8, 8, 2))]
    for stage, filters, strides in (("a", first, 1), ("b", second, 2)):
        layers += [
            keras.layers.Conv2D(filters, 3, strides, "same", name=f"conv_{stage}"),
            keras.layers.BatchNormalization(name=f"norm_{stage}"),
            keras.layers.ReLU(name=stage),
        ]
    pool = keras.layers.GlobalAveragePooling2D(name="pool")
    return keras.Sequential([*layers, pool, keras.layers.Dense(CLASSES, name="logits")], name=name)


@keras.saving.register_keras_serializable(package="tests")
class Scores(keras.layers.Layer):
    """Attention scores, masked nowhere: a layer of its own, so that they can be named."""

    def call(self, inputs):
        queries, keys = inputs
        return keras.ops.einsum("bqhd,bkhd->bhqk", queries, keys) / queries.shape[-1] ** 0.5


@keras.saving.register_keras_serializable(package="tests")
class Mixed(keras.layers.Layer):
    def call(self, inputs):
        scores, values = inputs
        mixed = keras.ops.einsum("bhqk,bkhd->bqhd", keras.ops.softmax(scores), values)
        return keras.ops.reshape(mixed, (-1, 5, mixed.shape[-1] * mixed.shape[-2]))


def transformer(name, heads=2, width=4):
    x = inputs = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(9, heads * width, name="embedding")(x)
    q, k, v = (
        keras.layers.EinsumDense("abc,cde->abde", (5, heads, width), name=name)(x)
        for name in ("query", "key", "value")
    )
    scores = Scores(name="scores")([q, k])
    mixed = Mixed(name="mixed")([scores, v])
    hidden = keras.layers.Dense(heads * width, name="hidden")(mixed)
    pooled = keras.layers.GlobalAveragePooling1D(name="pooled")(hidden)
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(pooled), name=name)
