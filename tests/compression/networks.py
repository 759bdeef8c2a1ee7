"""Small networks of every make that compression meets."""

import keras
import numpy as np
from keras import layers as L


def residual(name="residual", width=8, blocks=1, shape=(8, 8, 3)):
    """Stem, residual blocks of one width, a depthwise one with a gate, dense layers."""
    x = inputs = keras.Input(shape, name="image")
    x = L.Conv2D(width, 3, padding="same", use_bias=False, name="stem")(x)
    x = L.BatchNormalization(name="stem_norm")(x)
    x = L.ReLU(name="stem_relu")(x)
    for i in range(blocks):
        y = L.Conv2D(2 * width, 3, padding="same", name=f"up{i}")(x)
        y = L.BatchNormalization(name=f"up{i}_norm")(y)
        y = L.ReLU(name=f"up{i}_relu")(y)
        y = L.Conv2D(width, 1, use_bias=False, name=f"down{i}")(y)
        y = L.BatchNormalization(name=f"down{i}_norm")(y)
        x = L.Add(name=f"add{i}")([x, y])
        x = L.ReLU(name=f"add{i}_relu")(x)
    x = L.DepthwiseConv2D(3, 2, padding="same", name="deep")(x)
    x = L.BatchNormalization(name="deep_norm")(x)
    gate = L.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gate = L.Conv2D(width, 1, activation="sigmoid", name="gate")(gate)
    x = L.Multiply(name="gated")([x, gate])
    x = L.SeparableConv2D(2 * width, 3, padding="same", name="separable")(x)
    x = L.MaxPooling2D(name="pool")(x)
    x = L.Flatten(name="flat")(x)
    x = L.Dense(2 * width, activation="relu", name="hidden")(x)
    return randomised(keras.Model(inputs, L.Dense(3, name="logits")(x), name=name))


def small(name="small"):
    """A convolution with BatchNorm, and a dense layer."""
    x = inputs = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(8, 3, use_bias=False, name="conv")(x)
    x = L.ReLU(name="relu")(L.BatchNormalization(name="norm")(x))
    x = L.GlobalAveragePooling2D(name="pool")(x)
    return randomised(keras.Model(inputs, L.Dense(3, name="logits")(x), name=name))


def joined(name="joined"):
    """Concatenation, a multiplied depthwise convolution, transposed convolution, reshape."""
    x = inputs = keras.Input((8, 8, 2))
    a = L.Conv2D(4, 3, padding="same", name="a")(x)
    b = L.DepthwiseConv2D(3, 2, padding="same", depth_multiplier=2, name="b")(a)
    a = L.AveragePooling2D(2, name="pool")(a)
    x = L.Concatenate(name="both")([a, b])
    x = L.Conv2DTranspose(6, 3, 2, padding="same", name="up")(x)
    x = L.PReLU(shared_axes=[1, 2], name="prelu")(x)
    x = L.Reshape((64, 6), name="rows")(x)
    x = L.Conv1D(8, 3, padding="same", name="conv1d")(x)
    x = L.GlobalMaxPooling1D(name="most")(x)
    return randomised(keras.Model(inputs, L.Dense(3, name="logits")(x), name=name))


def recurrent(name="recurrent"):
    x = inputs = keras.Input((5,), dtype="int32")
    x = L.Embedding(20, 6, name="words")(x)
    x = L.LSTM(8, return_sequences=True, name="lstm")(x)
    x = L.LayerNormalization(name="norm")(x)
    x = L.GRU(4, name="gru")(x)
    return randomised(keras.Model(inputs, L.Dense(3, name="logits")(x), name=name))


def randomised(model, seed=0):
    """Weights that differ everywhere, also those of BatchNorm."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = rng.normal(0, 0.4, weight.shape)
        if "gamma" in weight.path or "variance" in weight.path:
            value = 0.5 + np.abs(value)
        weight.assign(value.astype("float32"))
    return model


def images(n=32, seed=0, shape=(8, 8, 3)):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, *shape)).astype("float32")


def answers(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))
