"""Small students by name, ready for a run of the command."""

import keras

from keras_kd import students
from keras_kd._core.addresses import parse
from keras_kd._core.messages import did_you_mean, listing
from keras_kd._training_choices import momentum_for as momentum_for
from keras_kd.cli._options import STUDENTS
from keras_kd.procedures import hint_layers

layers = keras.layers
Shape = tuple[int, ...]


def build(name: str, shape: Shape, classes: int, seed: int, steps: int) -> keras.Model:
    """The student of this name; a seed gives the same weights each time.

    `steps` is the number of steps in an epoch: running averages forget where they began within the
    first one, however small the set is, so that a validation after it sees the student as it is.
    """
    if name not in STUDENTS:
        raise ValueError(
            f"No student '{name}'. Expected a .keras file or one of {listing(STUDENTS, 20)}."
            + did_you_mean(name, STUDENTS)
        )
    keras.utils.set_random_seed(seed)
    student = students.build(name, shape, classes)
    for layer in student.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum_for(steps)
    return student


def backbone(name: str, shape: Shape, seed: int, steps: int) -> keras.Model:
    """The student of this name up to its last feature map, for what comes before a task."""
    whole = build(name, shape, 1, seed, steps)
    return keras.Model(whole.inputs[0], whole.get_layer(last_map(whole)).output, name=whole.name)


def last_map(model: keras.Model) -> str:
    """The path of the layer that gives a model's last feature map, or the tokens that are one."""
    maps = hint_layers(model, model)["pred"]
    if not maps:
        raise ValueError(
            f"'{model.name}' has no feature map, which pretraining is about. Give a network with "
            "convolutions; of the students with names: all but mlp-16 and mlp-64."
        )
    return parse(maps[-1]).path


def with_head(model: keras.Model, classes: int) -> keras.Model:
    """A backbone with a classifier behind it; a model that has one already, as it is.

    A backbone is a model that gives a feature map, or what a pooling made of one.
    """
    x = model.outputs[0] if len(model.inputs or ()) == len(model.outputs or ()) == 1 else None
    if x is None or not (len(x.shape) == 4 or _pools(model)):
        return model
    taken = {layer.name for layer in model.layers}
    pool, logits = (name if name not in taken else None for name in ("pool", "logits"))
    if len(x.shape) == 4:
        x = layers.GlobalAveragePooling2D(name=pool)(x)
    return keras.Model(model.inputs[0], layers.Dense(classes, name=logits)(x), name=model.name)


def _pools(model: keras.Model) -> bool:
    last = model.layers[-1]
    return isinstance(last, (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D))
