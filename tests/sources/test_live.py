"""Teachers asked ahead of the step: what the batches hold, in which order, and what is refused."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import sources

X = np.arange(60, dtype="float32").reshape(20, 3)
Y = np.arange(20) % 3


def double(x):
    return np.asarray(x) * 2.0


def batches(data):
    return [keras.tree.map_structure(lambda leaf: leaf.numpy(), batch) for batch in data]


class Own(keras.utils.PyDataset):
    epochs = 0

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return X[5 * index : 5 * index + 5], Y[5 * index : 5 * index + 5]

    def on_epoch_end(self):
        self.epochs += 1


def tf_data(drop=False):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(6, drop_remainder=drop)


@pytest.mark.parametrize(
    "data",
    [(X, Y), kd.data.Part(X, Y, np.arange(20)), Own(workers=1), tf_data()],
    ids=["arrays", "part", "batches", "tf.data"],
)
def test_each_example_comes_with_its_own_signals(data):
    found = batches(sources.live(double, data, batch_size=8))
    x = np.concatenate([batch[0]["inputs"] for batch in found])
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(np.concatenate([batch[1] for batch in found]), Y)
    signals = np.concatenate([batch[0]["signals"]["teacher:output"] for batch in found])
    np.testing.assert_array_equal(signals, 2 * X)


def test_weights_and_roles_and_inputs_by_name():
    weight = np.linspace(0, 1, 20).astype("float32")
    data = ({"a": X, "b": X[:, :1]}, Y, weight)
    teachers = {"one": lambda x: x["a"], "two": lambda x: {"output": x["a"], "side": x["b"]}}
    with pytest.raises(ValueError, match="The teacher '<lambda>' gives no 'side'"):
        sources.live(teachers, data, addresses=("output", "side"))
    first, _, w = batches(sources.live(teachers, data, batch_size=20))[0]
    assert set(first["signals"]) == {"one:output", "two:output"}
    np.testing.assert_array_equal(first["inputs"]["b"], X[:, :1])
    np.testing.assert_array_equal(w, weight)


def test_an_order_for_each_epoch_that_the_seed_decides():
    def orders(seed):
        data = sources.live(double, (X, Y), batch_size=7, shuffle=True, seed=seed)
        return [
            np.concatenate([b[0]["inputs"][:, 0] for b in batches(data)]).tolist() for _ in "12"
        ]

    first, second = orders(1)
    assert sorted(first) == sorted(second) == X[:, 0].tolist()
    assert first != second and orders(1) == [first, second] and orders(2)[0] != first


def test_an_epoch_that_is_left_does_not_count():
    """Backends look at the first batches and begin anew."""
    data = sources.live(double, (X, Y), batch_size=7, shuffle=True, seed=1, prefetch=1)
    next(iter(data))
    whole = batches(sources.live(double, (X, Y), batch_size=7, shuffle=True, seed=1))
    np.testing.assert_array_equal(batches(data)[0][0]["inputs"], whole[0][0]["inputs"])


def test_the_hooks_of_the_batches_are_kept():
    own = Own()
    data = sources.live(double, own)
    batches(data), batches(data)
    assert own.epochs == 2 and len(data) == 4


@pytest.mark.parametrize(
    "fault, words",
    [(lambda z: z[:, :2], "changed: it is float32 .2,. from row 0 of the batch on"),
     (lambda z: z * np.nan, "holds NaN or infinite values in row 0 of a batch")],
)  # fmt: skip
def test_what_goes_wrong_midway_ends_the_epoch(fault, words):
    count = iter(range(100))

    def given(x):
        return double(x) if next(count) < 3 else fault(double(x))

    distiller = kd.Distiller(
        student=keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)]),
        terms=[kd.Term(kd.losses.SoftTarget(2.0))],
    )
    distiller.compile("sgd")
    with pytest.raises(Exception, match=words):
        distiller.fit(sources.live(given, (X, Y), batch_size=5), verbose=0)


@pytest.mark.parametrize(
    "teacher, data, kwargs, error, words",
    [
        (keras.Sequential([keras.layers.Identity()], name="t"), (X, Y), {}, TypeError,
         "The teacher 't' is a Keras model, which runs inside the step"),
        (double, X, {}, TypeError, "`data` must be a tuple of arrays"),
        (double, (X, Y[:-1]), {}, ValueError, "one row for each example in all arrays"),
        (double, (X, None, Y), {}, ValueError, "weights with labels alone"),
        (double, Own(), {"shuffle": True}, ValueError, "Shuffle other data where they come from"),
        (double, (X, Y), {"prefetch": 0}, ValueError, "`prefetch` must be"),
        ("model.onnx", (X, Y), {}, TypeError, "Load it first"),
    ],
)  # fmt: skip
def test_what_is_no_teacher_or_no_data(teacher, data, kwargs, error, words):
    with pytest.raises(error) as caught:
        sources.live(teacher, data, **kwargs)
    assert words in str(caught.value)


def test_nan_at_padding_is_no_fault():
    mask = (np.arange(4) < np.arange(1, 6)[:, None]).astype("int32")
    x = {"ids": np.ones((5, 4), "int32"), "padding_mask": mask}

    def given(batch, broken_at=0):
        kept = batch["padding_mask"][..., None] == broken_at
        return np.where(kept, np.nan, 1.0) * np.ones((len(kept), 4, 3), "float32")

    (first,) = batches(sources.live(given, (x, mask)))
    assert first[0]["signals"]["teacher:output"].shape == (5, 4, 3)
    with pytest.raises(Exception, match="holds NaN or infinite values in row 0 of a batch"):
        batches(sources.live(lambda batch: given(batch, 1), (x, mask)))
