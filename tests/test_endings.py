"""What a model is seen to end in."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_kd import Distiller, compression, teachers, with_logits
from keras_kd._core.last_activation import ending, last_activation
from keras_kd.exporting._compare import decisions_of
from tests.models import Subclassed, mlp


def heads():
    x = keras.Input((4,))
    outputs = {
        "linear": layers.Dense(3)(x),
        "sigmoid": layers.Activation("linear", dtype="float32")(
            layers.Dense(3, activation="sigmoid")(x)
        ),
        "softmax": ops.softmax(layers.Dense(3)(x)),
        "layer": layers.Reshape((3, 1))(layers.Softmax()(layers.Dense(3)(x))),
        "nested": mlp("inner", features=4)(x),
        "tanh": layers.Dense(3, activation="tanh")(x),
        "normed": layers.LayerNormalization()(x),
    }
    return keras.Model(x, outputs)


@pytest.mark.parametrize(
    "path, expected",
    [("linear", "linear"), ("sigmoid", "sigmoid"), ("softmax", "softmax"), ("layer", "softmax"),
     ("nested", "linear"), ("tanh", None), ("normed", None), ("nothing", None)],
)  # fmt: skip
def test_endings(path, expected):
    assert ending(heads(), (path,)) == expected
    assert last_activation(heads(), (path,)) == (expected if expected != "linear" else None)


def test_an_activation_before_a_cast_of_a_sequential_model_is_seen():
    cast = layers.Activation("linear", dtype="float32")
    probabilities = [keras.Input((4,)), layers.Dense(3, activation="softmax"), cast]
    assert ending(keras.Sequential(probabilities)) == "softmax"


def test_an_output_in_a_list_of_one_is_seen():
    """Keras returns it without the list."""
    soft = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Dense(3, "softmax")])
    listed = keras.Model(soft.inputs, soft.outputs)
    assert isinstance(listed.output, list)
    cut = compression.shrink(soft, 0.5)
    assert last_activation(listed) == last_activation(cut) == "softmax"
    x = np.ones((2, 4), "float32")
    logits = with_logits(listed).predict(x, verbose=0)
    assert logits.shape == (2, 3) and np.allclose(
        ops.softmax(logits), soft.predict(x, verbose=0), atol=1e-6
    )
    with pytest.raises(ValueError, match="'student' ends in a softmax"):
        Distiller(student=cut, teacher=mlp("teacher", features=4))


def test_what_cannot_be_seen_is_not_guessed():
    assert ending(Subclassed()) is None
    assert ending(heads()) is None  # several outputs, none named


def test_models_around_others_end_as_those_do():
    soft = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    linear = mlp("inner", features=4)
    assert ending(teachers.Ensemble([linear, soft])) == "softmax"
    assert ending(teachers.LogitEnsemble([linear, linear])) == "linear"
    assert ending(teachers.StackedEnsemble([linear, soft], soft)) == "softmax"
    assert ending(teachers.ClassMap(soft, [0, 1])) == ending(teachers.Momentum(soft)) == "softmax"
    assert ending(teachers.FromProbabilities(soft)) is None


def test_one_output_of_a_model_within_is_seen_in_files_too():
    x = keras.Input((4,))
    within = keras.Model(x, [ops.sigmoid(layers.Dense(1)(x)), layers.Dense(3)(x)])
    outer = keras.Input((4,))
    model = keras.Model(outer, dict(zip(("yes", "which"), within(outer), strict=True)))
    assert ending(model, ("yes",)) == "sigmoid" and ending(model, ("which",)) == "linear"
    arrays = {"which": np.zeros((2, 3)), "yes": np.zeros((2, 1))}
    outputs = keras.Model(outer, [model.output["which"], model.output["yes"]])
    assert decisions_of(outputs, arrays, None) == {"which": "classes", "yes": 0.5}
