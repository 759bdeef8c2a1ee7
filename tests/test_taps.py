"""Taps hear a layer during one pass, and leave nothing behind."""

import threading

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd.taps import Tap, layer_paths, recording
from tests.models import Subclassed, cross_entropy, mlp, nested


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


@keras.saving.register_keras_serializable(package="tests")
class Places(keras.layers.Layer):
    """A learnt vector for each place of a sequence, of which there are at most 16."""

    def build(self, shape):
        self.table = self.add_weight(shape=(16, shape[-1]), name="table")
        self.built = True

    def call(self, x):
        length = keras.ops.shape(x)[1]
        table = keras.ops.convert_to_tensor(self.table)
        table = keras.ops.slice(table, (0, 0), (length, x.shape[-1]))
        return x + keras.ops.broadcast_to(table, keras.ops.shape(x))

    def compute_output_shape(self, shape):
        return shape


def tagger(name, width):
    tokens = keras.Input((None,), dtype="int32")
    x = Places(name="places")(keras.layers.Embedding(20, width)(tokens))
    return keras.Model(tokens, keras.layers.Dense(3)(x), name=name)


def test_a_length_that_a_backend_made_up_turns_no_model_away(tmp_path):
    """The dry run invents a length that a table of places cannot take; the first batch has one."""
    hint = keras_kd.Term(
        keras_kd.losses.HiddenStateMatch(),
        pred="student:places",
        target="teacher:places",
        projector=keras_kd.projectors.Dense(6),
    )
    distiller = keras_kd.Distiller(
        student=tagger("s", 4), teacher=tagger("t", 6), terms=[*keras_kd.recipes.hinton(), hint]
    )
    distiller.compile("adam", cross_entropy())
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 20, (8, 5)).astype("int32"), rng.integers(0, 3, (8, 5))
    history = distiller.fit(x, y, epochs=8, verbose=0).history
    assert history["hidden_state_match"][-1] < history["hidden_state_match"][0]
    distiller.save(tmp_path / "d.keras")
    again = keras.models.load_model(tmp_path / "d.keras")
    assert again.evaluate(x, y, verbose=0) == pytest.approx(distiller.evaluate(x, y, verbose=0))


@keras.saving.register_keras_serializable(package="tests")
class OnlyData(keras.Model):
    """A model that runs on data, and that no symbolic pass can follow."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = mlp("inner")

    def call(self, x, training=None):
        if not isinstance(x.shape[0], int) or x.shape[0] == 83:  # torch's made-up batch
            raise ValueError("only data")
        return self.inner(x)


def test_a_model_that_only_data_can_run_is_tried_on_zeros():
    teacher = OnlyData()
    teacher(np.zeros((1, 8), "float32"))
    learner = keras_kd.Distiller(student=mlp("s"), teacher=teacher)
    assert learner.built
    with pytest.raises(ValueError, match=r"(?s)could not run on the student's .* have value 8"):
        keras_kd.Distiller(student=mlp("s", features=9), teacher=teacher)


@pytest.mark.skipif(not hasattr(keras, "RematScope"), reason="Keras has no RematScope yet")
@pytest.mark.skipif(
    keras.config.backend() == "tensorflow", reason="Keras's own fit fails under a RematScope there"
)
def test_layers_that_run_again_for_the_backward_pass_can_be_tapped():
    """`keras.RematScope` changes what is kept in memory, and nothing that is learnt."""

    def network():
        hidden = keras.layers.Dense(4, activation="relu", name="h")
        return keras.Sequential([keras.Input((8,)), hidden, keras.layers.Dense(3)])

    with keras.RematScope(mode="full"):
        again = network()
    student, teacher = network(), network()
    again.set_weights(student.get_weights())
    hint = keras_kd.Term(
        keras_kd.losses.FeatureMatch(), pred="student:h", target="teacher:h", name="hint"
    )
    x = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
    for model in (student, again):
        distiller = keras_kd.Distiller(student=model, teacher=teacher, terms=[hint])
        distiller.compile(keras.optimizers.SGD(0.1))
        distiller.fit(x, batch_size=8, shuffle=False, verbose=0)
    for plain, scoped in zip(student.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(scoped, plain, atol=1e-6)


def test_each_thread_notes_its_own_calls():
    layer = keras.layers.Dense(2)
    layer(np.ones((1, 3), "float32"))
    heard = []

    def other():
        with recording([layer]) as calls:
            layer(np.zeros((1, 3), "float32"))
            heard.append(len(calls[id(layer)]))

    with recording([layer]) as calls:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        layer(np.ones((1, 3), "float32"))
    assert heard == [1] and len(calls[id(layer)]) == 1
    assert "call" not in vars(layer)
