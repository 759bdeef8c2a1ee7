"""Teachers, students and examples that are sound, small and known without training."""

import functools

import keras
import numpy as np

import keras_kd as kd


@functools.cache
def digits():
    return kd.data.load("digits")


def fitted(x, y, classes, steps=300):
    """Softmax regression: kernel and bias for flat inputs."""
    flat, wanted = x.reshape(len(x), -1).astype("float64"), np.eye(classes)[y]
    mean, deviation = flat.mean(axis=0), flat.std(axis=0) + 1e-3
    z = (flat - mean) / deviation
    kernel, bias = np.zeros((z.shape[1], classes)), np.zeros(classes)
    for _ in range(steps):
        logits = z @ kernel + bias
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        slope = (p / p.sum(axis=1, keepdims=True) - wanted) / len(z)
        kernel -= 0.5 * (z.T @ slope + 1e-3 * kernel)
        bias -= 0.5 * slope.sum(axis=0)
    kernel = kernel / deviation[:, None]
    return kernel.astype("float32"), (bias - mean @ kernel).astype("float32")


def linear(kernel, bias, shape, *before, name="teacher"):
    """A model that gives these logits."""
    model = keras.Sequential(
        [keras.Input(shape), *before, keras.layers.Flatten(), keras.layers.Dense(len(bias))],
        name=name,
    )
    model.layers[-1].set_weights([kernel, bias])
    return model


@functools.cache
def of_digits():
    data = digits()
    return fitted(data.x_train, data.y_train, 10)


def teacher(scale=1.0):
    kernel, bias = of_digits()
    return linear(kernel * scale, bias * scale, (8, 8, 1))


def student(units=16, shape=(8, 8, 1), classes=10, seed=0, before=(), after=()):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input(shape), *before, keras.layers.Flatten(),
            keras.layers.Dense(units, "relu"), *after, keras.layers.Dense(classes),
        ]
    )  # fmt: skip


def pair(part):
    return part.x, part.y


def shuffled(x, y, seed=0):
    order = np.random.default_rng(seed).permutation(len(y))
    return x[order], y[order]


def on_digits(**more):
    """A sound set-up on the digits, in a random order."""
    data = digits()
    return {
        "teacher": teacher(), "train": shuffled(data.x_train, data.y_train),
        "validation": (data.x_test, data.y_test), **more,
    }  # fmt: skip


@functools.cache
def colors(count=600, seed=0, classes=4):
    """Pictures in [0, 1] whose colors tell the class."""
    rng = np.random.default_rng(7)
    tints = rng.uniform(0.2, 0.8, (classes, 1, 1, 3))
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count)
    x = np.clip(tints[y] + rng.normal(0, 0.15, (count, 5, 5, 3)), 0, 1)
    return x.astype("float32"), y


def on_colors(wanted=None, flip=False, given=(0, 1), **more):
    """A teacher of colored pictures that was trained on another range than the data have."""
    (x, y), (held, y_held) = colors(), colors(300, seed=1)

    def seen(x):
        if wanted is None:
            return x
        low, high = (np.asarray(side, "float32") for side in wanted)
        return low + (x[..., ::-1] if flip else x) * (high - low)

    kernel, bias = fitted(seen(x), y, 4)
    low, high = given
    return {
        "teacher": linear(kernel, bias, (5, 5, 3)),
        "train": (low + x * (high - low), y),
        "validation": (low + held * (high - low), y_held), **more,
    }  # fmt: skip


@functools.cache
def table(count=500, seed=0, classes=3, columns=6):
    """Points about centers, as a data frame has them: columns of their own scales."""
    centers = np.random.default_rng(3).normal(0, 1.4, (classes, columns))
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count)
    scales = 10.0 ** np.arange(-2, columns - 2)
    return ((centers[y] + rng.normal(size=(count, columns))) * scales).astype("float32"), y


def on_table(**more):
    (x, y), held = table(), table(300, seed=1)
    kernel, bias = fitted(x, y, 3)
    return {"teacher": linear(kernel, bias, (6,)), "train": (x, y), "validation": held, **more}


@functools.cache
def texts(count=400, seed=0):
    """Rows of token ids; the words of a text tell its class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    words = rng.integers(0, 40, (count, 12))
    marked = rng.random((count, 12)) < 0.3
    return np.where(marked, 40 + 5 * y[:, None] + words % 5, words).astype("int32"), y


def on_texts(**more):
    model = keras.Sequential(
        [keras.Input((12,), dtype="int32"), keras.layers.Embedding(50, 2),
         keras.layers.GlobalAveragePooling1D(), keras.layers.Rescaling(12.0)]
    )  # fmt: skip
    votes = np.zeros((50, 2), "float32")
    votes[40:45, 0] = votes[45:, 1] = 1.5
    model.layers[0].set_weights([votes])
    return {"teacher": model, "train": texts(), "validation": texts(300, seed=1), **more}


@functools.cache
def numbers(count=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 5)).astype("float32")
    y = x @ np.array([1.0, -2.0, 0.5, 0.0, 1.0]) + np.sin(3 * x[:, 0]) + rng.normal(0, 0.3, count)
    return x, y.astype("float32")


def curve(x):
    """What `numbers` are, but for their noise."""
    x = np.asarray(x)
    return (x @ np.array([1.0, -2.0, 0.5, 0.0, 1.0]) + np.sin(3 * x[:, 0]))[:, None]


@functools.cache
def labels(count=500, seed=0):
    """Three labels, each yes or no."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 6)).astype("float32")
    yes = 1 / (1 + np.exp(-2.5 * x[:, :3]))
    return x, (rng.random((count, 3)) < yes).astype("float32")


def odds(x):
    return 2.5 * np.asarray(x)[:, :3]


def in_part(data):
    """A pair as a `Part` with ids."""
    return kd.data.Part(*data, np.arange(len(data[1])))
