"""Taps hear a layer during one pass, and leave nothing behind."""

import keras
import numpy as np
import pytest

from keras_kd.taps import Tap, layer_paths, recording
from tests.models import Subclassed, mlp, nested


def test_paths_name_layers_outermost_first():
    assert list(layer_paths(mlp("m"))) == ["hidden", "logits"]
    assert list(layer_paths(nested("m"))) == ["stem", "backbone", "backbone/deep", "logits"]
    assert list(layer_paths(Subclassed())) == ["first", "inner", "inner/deep", "last"]


def test_a_tap_hears_what_the_layer_said():
    model = nested("m")
    x = np.ones((2, 8), "float32")
    output, signals = Tap("r", model, {"backbone/deep": "me", "stem": "me"})(x, training=False)
    stem = model.get_layer("stem")(x)
    deep = model.get_layer("backbone").get_layer("deep")(stem)
    for address, expected in {"r:stem": stem, "r:backbone/deep": deep, "r:output": output}.items():
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(signals[address]), keras.ops.convert_to_numpy(expected)
        )


def test_nothing_is_left_behind_even_after_an_error():
    model = mlp("m")
    before = [set(vars(layer)) for layer in model.layers]
    Tap("r", model, {"hidden": "me"})(np.ones((2, 8), "float32"), training=False)
    with pytest.raises(RuntimeError), recording(model.layers):
        raise RuntimeError
    assert [set(vars(layer)) for layer in model.layers] == before


def test_two_listeners_hear_each_their_own_pass():
    model = mlp("m")
    layer, x = model.layers[0], np.ones((2, 8), "float32")
    with recording([layer]) as outer:
        layer(x)
        with recording([layer]) as inner:
            layer(x)
        layer(x)
    assert len(inner[id(layer)]) == 1 and len(outer[id(layer)]) == 3


def test_a_layer_with_several_outputs_is_picked_by_number():
    inputs = keras.Input((5, 3))
    _, state_h, _ = keras.layers.LSTM(4, return_sequences=True, return_state=True, name="lstm")(
        inputs
    )
    model = keras.Model(inputs, state_h)
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    output, signals = Tap("r", model, {"lstm/0": "me", "lstm/1": "me"})(x, training=False)
    assert signals["r:lstm/0"].shape == (2, 5, 4)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(signals["r:lstm/1"]), keras.ops.convert_to_numpy(output)
    )
