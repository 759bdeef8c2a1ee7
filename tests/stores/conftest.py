"""A teacher, some examples with ids, and a store of its answers."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import stores

CLASSES = 10


def teacher(name="teacher", seed=0, scale=0.3):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="maps"),
            keras.layers.Flatten(name="flat"),
            keras.layers.Dropout(0.5, name="drop"),
            keras.layers.Dense(CLASSES, name="logits"),
        ],
        name=name,
    )
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.normal(0, scale, w.shape).astype("float32") for w in model.get_weights()]
    )
    return model


@pytest.fixture(scope="session")
def digits():
    return kd.data.load("digits")


@pytest.fixture(scope="session")
def part(digits):
    return digits["test"].take(np.arange(200))


@pytest.fixture
def model():
    return teacher()


@pytest.fixture(scope="session")
def written(part, tmp_path_factory):
    """A store of 200 examples in 4 shards; to be read, never changed."""
    folder = tmp_path_factory.mktemp("store") / "answers"
    stores.write(teacher(), part, folder, batch_size=32, shard_size=64, dtype="float32")
    return folder


def files(folder):
    """Every file of a folder and its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
