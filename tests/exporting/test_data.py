"""Examples and calibration data, from the forms that people have them in."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd.exporting._calibration import calibration_of
from keras_kd.exporting._data import examples_of
from tests.exporting.conftest import needs
from tests.exporting.students import reader

layers = keras.layers


@pytest.fixture
def small():
    return keras.Sequential([keras.Input((3,), name="x"), layers.Dense(2)])


@pytest.fixture
def two():
    b, a = keras.Input((2,), name="b"), keras.Input((3,), name="a", dtype="int32")
    return keras.Model([b, a], layers.Concatenate()([b, layers.Embedding(4, 1)(a)[..., 0]]))


X = np.arange(120.0).reshape(40, 3)
Y = np.arange(40) % 2


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        which = slice(10 * index, 10 * index + 10)
        return X[which], Y[which]


def forms():
    part = kd.data.Part(X, Y, np.array([f"x/{i}" for i in range(40)]))
    batches = Batches()
    yield part
    yield kd.data.Batches(part, batch_size=10)
    yield batches
    yield lambda: (batches[i] for i in range(4))
    yield ({"id": Y[i : i + 10], "x": X[i : i + 10], "y": Y[i : i + 10]} for i in (0, 10, 20, 30))
    yield (({"inputs": X[i : i + 8], "signals": {}}, Y[i : i + 8]) for i in range(0, 40, 8))


def test_every_form_gives_the_same_examples(small):
    for form in forms():
        signature, inputs, labels = examples_of(small, form, None, 0)
        np.testing.assert_array_equal(inputs["x"], X.astype("float32"))
        np.testing.assert_array_equal(labels, Y)
        assert signature.names == ("x",)
    _, inputs, labels = examples_of(small, keras.ops.convert_to_tensor(X), Y, 0)
    np.testing.assert_array_equal(inputs["x"], X.astype("float32"))
    assert labels is Y


@needs("tensorflow")
def test_tf_data_in_batches_or_one_by_one(small):
    import tensorflow as tf

    single = tf.data.Dataset.from_tensor_slices((X, Y))
    for data in (single, single.batch(7)):
        _, inputs, labels = examples_of(small, data, None, 0)
        np.testing.assert_array_equal(inputs["x"], X.astype("float32"))
        np.testing.assert_array_equal(labels, Y)
    with pytest.raises(ValueError, match=r"without an end. Take what is to be compared"):
        examples_of(small, single.repeat(), None, 0)
    drawn = calibration_of(small, single.batch(10), 2, 0).ranges.inputs["x"]
    assert {row[0] // 30 for row in drawn} in [{a, b} for a in range(4) for b in range(a)]
    endless = calibration_of(small, single.batch(10).repeat(), 5, 0).ranges.inputs["x"]
    assert len(endless) == 50


def test_calibration_is_drawn_with_a_seed(small):
    def drawn(data, seed, batches=2):
        return calibration_of(small, data, batches, seed).ranges.inputs["x"]

    for make in (lambda: X, Batches, lambda: next(forms())):
        np.testing.assert_array_equal(drawn(make(), 0), drawn(make(), 0))
        assert any((drawn(make(), 0) != drawn(make(), seed)).any() for seed in range(1, 6))
    assert len(drawn(X, 0, 1)) == 32  # of arrays, batches of 32
    assert len(drawn(X, 0, 2)) == 40
    assert len(drawn(Batches(), 0, 3)) == 30
    assert len({tuple(row) for row in drawn(Batches(), 0, 3)}) == 30
    np.testing.assert_array_equal(  # whose number is not known: the first ones
        drawn((X[i : i + 10] for i in range(0, 40, 10)), 0, 2), X[:20].astype("float32")
    )


def test_examples_by_name_go_to_their_inputs(two):
    x = {"b": np.zeros((4, 2)), "a": np.ones((4, 3))}
    found = examples_of(two, x, None, 0)
    assert {name: (v.shape, str(v.dtype)) for name, v in found.inputs.items()} == {
        "b": ((4, 2), "float32"),
        "a": ((4, 3), "int32"),
    }
    found = examples_of(two, [x["b"], x["a"]], None, 0)
    assert [v.shape for v in found.inputs.values()] == [(4, 2), (4, 3)]
    assert found.signature.arranged(["first", "second"]) == ["first", "second"]


def test_random_examples_are_seeded_and_in_range(two):
    student = reader(layers.Flatten(), steps=5)
    one, same, other = (examples_of(student, None, None, k).inputs["tokens"] for k in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    assert set(np.unique(one)) == set(range(20))
    both = examples_of(two, None, None, 0).inputs
    assert both["b"].shape == (128, 2)
    assert 0 <= both["b"].min() < 0.02
    assert 0.98 < both["b"].max() <= 1
    assert set(np.unique(both["a"])) == set(range(4))


def test_what_does_not_go_together(small):
    with pytest.raises(ValueError, match=r"The batches of `examples` do not go together"):
        examples_of(small, iter([np.ones((2, 3)), np.ones((2, 4))]), None, 0)
    with pytest.raises(ValueError, match=r"`examples` has no batch"):
        examples_of(small, iter([]), None, 0)
    with pytest.raises(ValueError, match=r"`labels` go with arrays; a dataset"):
        examples_of(small, Batches(), Y, 0)
    ragged = np.array([np.ones(2), np.ones(3)], dtype=object)
    with pytest.raises(ValueError, match=r"`examples` cannot be made an array of numbers"):
        examples_of(small, ragged, None, 0)
