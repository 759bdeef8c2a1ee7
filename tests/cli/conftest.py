import keras
import numpy as np
import pytest

from keras_kd.data import load

#: Which digits the outputs of the teacher in another order stand for.
ORDER = [3, 0, 1, 2, 4, 9, 5, 6, 8, 7]


@pytest.fixture(scope="session")
def digits():
    return load("digits")


@pytest.fixture(scope="session")
def folder(tmp_path_factory, digits):
    """A folder whose name has a space and letters of other alphabets, with files of a teacher that
    reads digits: as it is, ending in a softmax, and with its outputs in another order."""
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
    body = keras.Model(teacher.inputs, teacher.layers[-2].output)
    features = np.pad(body.predict(digits.x_train, verbose=0), ((0, 0), (0, 1)), constant_values=1)
    weights = 8 * np.linalg.lstsq(features, np.eye(10)[digits.y_train], rcond=None)[0]
    teacher.layers[-1].set_weights([weights[:-1], weights[-1]])
    teacher.save(folder / "teacher.keras")
    teacher.layers[-1].set_weights([w[..., ORDER] for w in (weights[:-1], weights[-1])])
    teacher.save(folder / "other order.keras")
    teacher.layers[-1].set_weights([weights[:-1], weights[-1]])
    teacher.layers[-1].activation = keras.activations.softmax
    teacher.save(folder / "soft.keras")
    return folder
