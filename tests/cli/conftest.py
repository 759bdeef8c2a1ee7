import keras
import pytest

from keras_kd.data import load


@pytest.fixture(scope="session")
def digits():
    return load("digits")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder whose name has a space and letters of other alphabets, with a teacher's file."""
    folder = tmp_path_factory.mktemp("cli") / "Lehrer 教師 été"
    folder.mkdir()
    keras.utils.set_random_seed(3)
    teacher = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, activation="relu", name="block1"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, name="logits"),
        ],
        name="big",
    )
    teacher.save(folder / "teacher.keras")
    teacher.layers[-1].activation = keras.activations.softmax
    teacher.save(folder / "soft.keras")
    return folder
