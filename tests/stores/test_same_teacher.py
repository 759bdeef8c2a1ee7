"""Whose answers they are: other layers around equal weights are another teacher."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd as kd
from keras_kd import stores
from tests.stores.conftest import CLASSES, teacher

SETTINGS = {"batch_size": 32, "shard_size": 64, "dtype": "float32"}


def network(scale=1.0, activation="relu", ending=(), weights=None, most=None, regularizer="l2"):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(scale),
            layers.Conv2D(4, 3, strides=2, activation=activation),
            layers.BatchNormalization(),
            layers.ReLU(most),
            layers.Flatten(),
            layers.Dense(CLASSES, kernel_regularizer=regularizer, bias_initializer="ones"),
            *ending,
        ],
    )
    rng = np.random.default_rng(0)
    model.set_weights(
        weights or [rng.uniform(0.1, 0.6, w.shape).astype("float32") for w in model.get_weights()]
    )
    return model


OTHERS = {
    "scaling": lambda: network(scale=5.0),
    "activation": lambda: network(activation="tanh"),
    "softmax": lambda: network(ending=[layers.Softmax()]),
    "limit": lambda: network(most=1e3),  # which no example comes near
}


def in_half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = network()
    keras.config.set_dtype_policy("float32")
    return model


OTHERS["precision"] = in_half_precision


class Own(keras.Model):
    """Whose `call` nobody can look into."""

    def __init__(self, factor):
        super().__init__(name="own")
        self.inner, self.factor = network(), factor

    def call(self, x):
        return self.factor * self.inner(x)


@pytest.mark.parametrize("other", OTHERS)
def test_equal_weights_in_other_layers_are_another_teacher(tmp_path, part, other):
    whose = "its weights are the same, and its layers compute something else"
    assert stores.fingerprint(OTHERS[other]()) != stores.fingerprint(network())
    stores.write(network(), part, tmp_path, **SETTINGS)
    for act in (stores.read, lambda path, part, teacher: stores.verify(path, part, teacher)):
        with pytest.raises(stores.StoreError, match=whose):
            act(tmp_path, part, teacher=OTHERS[other]())


def test_the_same_teacher_by_another_name_and_in_another_wrapping(tmp_path):
    ours = network()
    known = stores.fingerprint(ours)
    ours.save(tmp_path / "model.keras")
    functional = keras.Model(ours.inputs, ours.outputs, name="other")
    functional.save(tmp_path / "functional.keras")
    same = {
        "built again": network(),  # its layers have other numbers
        "functional": functional,
        "trained otherwise": network(regularizer=None),
        "wrapped": keras.Sequential([keras.Input((8, 8, 1)), ours]),
        "cloned": keras.models.clone_model(ours),
        "loaded": keras.saving.load_model(tmp_path / "model.keras"),
        "functional, loaded": keras.saving.load_model(tmp_path / "functional.keras"),
    }
    same["cloned"].set_weights(ours.get_weights())
    assert {name: stores.fingerprint(model) for name, model in same.items()} == dict.fromkeys(
        same, known
    )


ELSEWHERE = """
import sys, keras
from keras_kd import stores
for _ in range(3): keras.layers.Dense(2)  # so that names are counted from elsewhere
print(stores.fingerprint(keras.saving.load_model(sys.argv[1])))
"""


def test_the_same_teacher_in_another_process(tmp_path):
    ours = kd.teachers.Ensemble([network(), OTHERS["activation"]()])
    ours(np.zeros((1, 8, 8, 1), "float32"))
    ours.save(tmp_path / "model.keras")
    root = str(pathlib.Path(kd.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ELSEWHERE, str(tmp_path / "model.keras")],
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)])},
    )  # fmt: skip
    assert run.stdout.strip() == stores.fingerprint(ours), run.stderr


def test_layers_that_run_words_through_one_another(tmp_path):
    inputs = keras.Input((7,), dtype="int32")
    x = layers.Embedding(20, 8)(inputs)
    x = layers.Bidirectional(layers.GRU(4, return_sequences=True))(x)
    x = layers.TimeDistributed(keras.Sequential([layers.Dense(8), layers.Dropout(0.1)]))(x)
    x = ops.tanh(layers.MultiHeadAttention(2, 4)(x, x))
    ours = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    ours.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert stores.fingerprint(loaded) == stores.fingerprint(ours)


def test_what_a_call_of_its_own_does_is_seen_in_the_answers(tmp_path, part):
    stores.write(Own(1.0), part, tmp_path, **SETTINGS)
    stores.read(tmp_path, part, teacher=Own(1.0))
    assert stores.fingerprint(Own(1.0)) == stores.fingerprint(Own(1.5))
    for act in (
        lambda: stores.read(tmp_path, part, teacher=Own(1.5)),
        lambda: stores.verify(tmp_path, part, Own(1.5)),
    ):
        with pytest.raises(
            stores.StoreError, match=r"not what the teacher predicts: its 'output' for"
        ):
            act()
    stores.read(tmp_path, part, teacher=Own(1.5), check=False)


KINDS = [{"dtype": "float32"}, {"dtype": "float16"}, {"dtype": "int8"}, {"top_k": 3}]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_teacher_as_another_device_rounds_is_the_same(tmp_path, part, kind):
    """Eight bits of each weight, as where matrices are multiplied in bfloat16."""
    model = teacher()
    stores.write(model, part, tmp_path, **kind)

    def rounded(x):
        other = teacher()
        other.set_weights([ops.convert_to_numpy(ops.cast(ops.cast(w, "bfloat16"), "float32"))
                           for w in model.get_weights()])  # fmt: skip
        return other(x)

    stores.read(tmp_path, part, teacher=rounded)
    with pytest.raises(stores.StoreError, match=r"not what the teacher predicts: its 'output' for"):
        stores.read(tmp_path, part, teacher=lambda x: 1.1 * rounded(x))
    with pytest.raises(stores.StoreError, match=r"not what the teacher predicts: its 'output' for"):
        stores.read(tmp_path, part, teacher=teacher(seed=1).__call__)


def test_what_is_no_teacher(written, part):
    with pytest.raises(TypeError, match=r"`teacher` must be a keras.Model, a function, a name or"):
        stores.read(written, part, teacher=3)


def test_a_teacher_is_asked_about_views_as_they_were_stored(tmp_path, part):
    pytest.importorskip("tensorflow")
    augment = kd.data.Augment(kd.data.Crop(2), kd.data.Flip(), seed=1)
    stores.write(Own(1.0), part, tmp_path, augment=augment, views=2, **SETTINGS)
    stores.read(tmp_path, part, teacher=Own(1.0))
    with pytest.raises(stores.StoreError, match=r"not what the teacher predicts"):
        stores.read(tmp_path, part, teacher=Own(0.9))


# Going on with what another began.


@pytest.mark.parametrize("other", OTHERS)
def test_a_store_is_not_gone_on_with_by_another_teacher(tmp_path, part, other):
    writers = [{"shard_index": i, "num_shards": 2, **SETTINGS} for i in (0, 1)]
    layer = {"addresses": ("dense",)}  # what a softmax behind it leaves as it is
    ours, theirs = network(), OTHERS[other]()
    for model in (ours, theirs):
        model.layers[5].name = "dense"
    stores.write(ours, part, tmp_path, **writers[0], **layer, name="t")
    with pytest.raises(stores.StoreError, match=r"written otherwise: teacher.fingerprint is '"):
        stores.write(theirs, part, tmp_path, **writers[1], **layer, name="t")


def test_nor_by_one_that_only_answers_otherwise(tmp_path, part):
    writers = [{"shard_index": i, "num_shards": 2, **SETTINGS} for i in (0, 1)]
    stores.write(Own(1.0), part, tmp_path / "0", **writers[0])
    with pytest.raises(stores.StoreError) as error:
        stores.write(Own(1.5), part, tmp_path / "0", **writers[1])
    assert "was begun with a teacher of other outputs: its 'output' for the example" in str(
        error.value
    )
    assert "'digits/01157' differs by 0.5 of its size (expected at most 0.02)" in str(error.value)
    stores.write(Own(1.5), part, tmp_path / "1", **writers[1])
    with pytest.raises(
        stores.StoreError, match=r"are not parts of one store: the second was begun"
    ):
        stores.merge([tmp_path / "0", tmp_path / "1"], tmp_path / "both")
    stores.write(Own(1.0 + 1e-4), part, tmp_path / "0", **writers[1])


def test_nor_for_other_examples(tmp_path, part):
    writers = [{"shard_index": i, "num_shards": 2, **SETTINGS} for i in (0, 1)]
    model = network()
    stores.write(model, part, tmp_path, **writers[0])
    other = kd.data.Part(part.x[:, ::-1], part.y, part.ids)
    with pytest.raises(
        stores.StoreError, match=r"begun for other data: the example 'digits/01157'"
    ):
        stores.write(model, other, tmp_path, **writers[1])
    with pytest.raises(stores.StoreError, match=r"was begun with the examples \"'digits/01157'\""):
        stores.write(model, part.take(np.arange(200)[::-1]), tmp_path, **writers[1])


def test_the_probe_is_small(tmp_path, part):
    stores.write(teacher(), part, tmp_path, addresses=("output", "maps"))
    probe = json.loads((tmp_path / "manifest.json").read_text())["probe"]
    assert np.shape(probe["answers"]["maps"]) == (8, 16)
    assert np.shape(probe["answers"]["output"]) == (8, CLASSES)
