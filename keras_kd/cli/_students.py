"""Small students by name."""

from collections.abc import Callable

import keras

from keras_kd._core.messages import did_you_mean, listing

layers = keras.layers
Shape = tuple[int, ...]


def _mlp(units: int) -> Callable[[Shape, int], keras.Model]:
    def build(shape: Shape, classes: int) -> keras.Model:
        body = [layers.Flatten(), layers.Dense(units, activation="relu", name="hidden")]
        return keras.Sequential([keras.Input(shape), *body, layers.Dense(classes)], name="student")

    return build


def _cnn(*widths: int) -> Callable[[Shape, int], keras.Model]:
    def build(shape: Shape, classes: int) -> keras.Model:
        x = inputs = keras.Input(shape)
        for number, width in enumerate(widths, start=1):
            x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
            x = layers.BatchNormalization(name=f"norm{number}")(x)
            x = layers.ReLU(name=f"relu{number}")(x)
            if number < len(widths) and min(x.shape[1:3]) > 4:
                x = layers.MaxPooling2D(name=f"pool{number}")(x)
        x = layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, layers.Dense(classes)(x), name="student")

    return build


#: What may stand where a student's file may stand.
STUDENTS = {
    "mlp-16": _mlp(16),
    "mlp-64": _mlp(64),
    "cnn-small": _cnn(8, 16, 32),
    "cnn-medium": _cnn(16, 32, 64, 64),
}


def build(name: str, shape: Shape, classes: int, seed: int) -> keras.Model:
    """The student of this name; a seed gives the same weights each time."""
    if name not in STUDENTS:
        raise ValueError(
            f"No student '{name}'. Expected a .keras file or one of {listing(STUDENTS)}."
            + did_you_mean(name, STUDENTS)
        )
    keras.utils.set_random_seed(seed)
    return STUDENTS[name](shape, classes)
