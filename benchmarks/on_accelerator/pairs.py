"""Pairs of networks: residual networks, vision transformers, small Llamas."""

import keras
import models
import numpy as np
from keras import layers, ops


class Places(layers.Layer):
    """Adds what is learnt of each place."""

    def build(self, shape):
        self.places = self.add_weight(shape=shape[1:], initializer="uniform")

    def call(self, x):
        return x + ops.cast(self.places, x.dtype)


def vit(width: int, depth: int, heads: int, classes: int = 100) -> keras.Model:
    """A vision transformer of 32x32 images in patches of 4, normalised before each part."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Reshape((64, width))(layers.Conv2D(width, 4, strides=4)(inputs))
    x = Places()(x)
    for _ in range(depth):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = x + layers.MultiHeadAttention(heads, width // heads)(y, y)
        y = layers.Dense(4 * width, activation="gelu")(layers.LayerNormalization(epsilon=1e-6)(x))
        x = x + layers.Dense(width)(y)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x))


class Attention(layers.Layer):
    """Causal attention of `heads` heads with rotary positions."""

    def __init__(self, width: int, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.each = heads, width // heads
        self.made = [layers.Dense(width, use_bias=False) for _ in range(3)]
        self.end = layers.Dense(width, use_bias=False)

    def build(self, shape):
        for dense in (*self.made, self.end):
            dense.build(shape)
        steps = 10_000.0 ** (-np.arange(0, self.each, 2) / self.each)
        angles = np.arange(shape[1])[:, None] * steps
        self.cos, self.sin = (f(angles)[None, :, None].astype("float32") for f in (np.cos, np.sin))

    def turned(self, x):
        a, b = ops.split(x, 2, axis=-1)
        cos, sin = (ops.cast(t, x.dtype) for t in (self.cos, self.sin))
        return ops.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)

    def call(self, x):
        shape = (-1, x.shape[1], self.heads, self.each)
        q, k, v = (ops.reshape(dense(x), shape) for dense in self.made)
        y = ops.nn.dot_product_attention(self.turned(q), self.turned(k), v, is_causal=True)
        return self.end(ops.reshape(y, (-1, x.shape[1], self.heads * self.each)))


def llama(width: int, depth: int, length: int, words: int) -> keras.Model:
    """A decoder as Llama's: RMS norms, rotary positions, gated feed-forward layers, no biases."""
    inputs = keras.Input((length,), dtype="int32")
    x = layers.Embedding(words, width)(inputs)
    for _ in range(depth):
        x = x + Attention(width, max(1, width // 64))(layers.RMSNormalization()(x))
        y = layers.RMSNormalization()(x)
        hidden = int(8 * width / 3) // 8 * 8
        gate = layers.Dense(hidden, activation="silu", use_bias=False)(y)
        up = layers.Dense(hidden, use_bias=False)(y)
        x = x + layers.Dense(width, use_bias=False)(gate * up)
    x = layers.Dense(words, use_bias=False, name="logits")(layers.RMSNormalization()(x))
    return keras.Model(inputs, x)


#: The pair's name: the teacher, the student.
PAIRS = {
    "resnet32x4, resnet8x4": (lambda: models.resnet(32, 4), lambda: models.resnet(8, 4)),
    "ViT 384x6, 192x4": (lambda: vit(384, 6, 6), lambda: vit(192, 4, 3)),
    "Llama 512x8, 256x4": (
        lambda: llama(512, 8, 256, 8192), lambda: llama(256, 4, 256, 8192),
    ),
}  # fmt: skip
TINY = {
    "resnet32x4, resnet8x4": (lambda: models.resnet(14), lambda: models.resnet(8)),
    "ViT 384x6, 192x4": (lambda: vit(16, 2, 2), lambda: vit(8, 1, 1)),
    "Llama 512x8, 256x4": (lambda: llama(32, 2, 8, 50), lambda: llama(16, 1, 8, 50)),
}


def examples(pair: str, count: int, tiny: bool) -> tuple[np.ndarray, np.ndarray]:
    """Made-up inputs and labels."""
    rng = np.random.default_rng(0)
    if pair.startswith("Llama"):
        length, words = (8, 50) if tiny else (256, 8192)
        text = rng.integers(0, words, (count, length + 1)).astype("int32")
        return text[:, :-1], text[:, 1:]
    return rng.random((count, 32, 32, 3), "float32"), rng.integers(0, 100, count).astype("int32")
