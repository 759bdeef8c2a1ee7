"""A blank image among others: students learn on as if it were not there."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import recipes
from tests.models import cross_entropy, values
from tests.recipes.networks import images


def plain(name, first=4, second=5):
    """Biases that start at 0, and no BatchNorm: of a blank image every layer says zero."""
    layers = [
        keras.Input((8, 8, 2)),
        keras.layers.Conv2D(first, 3, activation="relu", name="a"),
        keras.layers.Conv2D(second, 3, strides=2, activation="relu", name="b"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3),
    ]
    return keras.Sequential(layers, name=name)


def test_one_blank_image_of_sixteen():
    """Its embedding is zero, and a slope of 1e12 squared, as Adam does, was no number."""
    x, y = images()
    x[3] = 0.0
    terms = recipes.crd(pred="student:b", target="teacher:b", units=8, negatives=32)
    distiller = keras_kd.Distiller(student=plain("s"), teacher=plain("t", 6, 8), terms=terms)
    distiller.compile(keras.optimizers.Adam(0.01), cross_entropy())
    logs = distiller.fit(x, y, batch_size=16, epochs=8, verbose=0).history
    assert np.isfinite(logs["loss"]).all() and logs["loss"][-1] < logs["loss"][0]
    assert all(np.isfinite(value).all() for value in values(distiller.trainable_variables))


@pytest.mark.parametrize("recipe", ["logit_standardization", "dist"])
def test_one_blank_digit_in_the_first_batch(recipe):
    """Plain SGD has nothing that makes a steep gradient small: one such step undoes a student."""
    data = keras_kd.data.load("digits")
    x, y = data.x_train[:512].copy(), data.y_train[:512]
    x[0] = 0.0
    keras.utils.set_random_seed(0)
    layers = keras.layers
    teacher = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(10)])
    teacher.compile(keras.optimizers.Adam(0.02), cross_entropy())
    teacher.fit(x, y, epochs=4, verbose=0)
    student = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dense(10),
        ]
    )
    distiller = keras_kd.Distiller(
        student=student, teacher=teacher, terms=getattr(recipes, recipe)()
    )
    distiller.compile(keras.optimizers.SGD(0.05), cross_entropy())
    distiller.fit(x, y, batch_size=64, epochs=5, shuffle=False, verbose=0)
    right = student.predict(data.x_test, verbose=0).argmax(axis=-1) == data.y_test
    assert right.mean() > 0.6
