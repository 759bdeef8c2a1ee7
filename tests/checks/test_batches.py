"""Data that bring no example, and signals that nobody reads."""

import re
import warnings

import keras
import numpy as np
import pytest

import keras_kd
from tests.models import CLASSES, cross_entropy, data, mlp


def says(text, error=ValueError):
    return pytest.raises(error, match=re.escape(text))


def make(**kwargs):
    kwargs.setdefault("teacher", mlp("t"))
    model = keras_kd.Distiller(student=mlp("s"), **kwargs)
    model.compile(keras.optimizers.SGD(0.1), cross_entropy())
    return model


# No examples.


def test_arrays_of_no_examples():
    model, (x, y) = make(), data()
    none = x[:0], y[:0]
    for use in (
        lambda: model.fit(*none, verbose=0),
        lambda: model.evaluate(*none, verbose=0),
        lambda: model.predict(none[0], verbose=0),
        lambda: model.train_on_batch(*none),
        lambda: model.test_on_batch(*none),
    ):
        with says("`x` holds no examples: an array of shape (0, 8). Give at least one example"):
            use()
    with says("`x` holds no examples: an empty list."):
        model.evaluate([], [], verbose=0)
    with says("`validation_data` holds no examples: an array of shape (0, 8)."):
        model.fit(x, y, verbose=0, validation_data=none)
    signals = {"inputs": none[0], "signals": {"teacher:output": np.zeros((0, CLASSES))}}
    with says("`x` holds no examples: an array of shape (0, 8)."):
        model.fit(signals, none[1], verbose=0)


def test_data_sets_of_no_batch():
    tf = pytest.importorskip("tensorflow")
    model = make()
    for none in (
        tf.data.Dataset.from_tensor_slices(tuple(side[:0] for side in data())).batch(4),
        tf.data.Dataset.from_tensor_slices(data()).batch(4).filter(lambda x, y: False),
    ):
        with says("The data gave no batch: they are empty, or spent."):
            model.fit(none, verbose=0)
        with says("The data gave no batch: they are empty, or spent."):
            model.evaluate(none, verbose=0)
        with says("The data gave no batch: they are empty, or spent."):
            model.predict(none.map(lambda x, y: x), verbose=0)
    with says("The data gave no batch: they are empty, or spent."):
        model.fit(*data(), verbose=0, validation_data=none)
    assert int(model._step.numpy()) == 2  # of the last fit


class Batches(keras.utils.PyDataset):
    """Three batches, of which one has no examples."""

    def __init__(self, empty):
        super().__init__()
        self.empty = empty

    def __len__(self):
        return 3

    def __getitem__(self, place):
        x, y = data(16)
        return (x[:0], y[:0]) if place == self.empty else (x, y)


@pytest.mark.parametrize("empty", [0, 2])
def test_a_batch_of_no_examples(empty):
    model = make()
    with says("no examples"):
        model.fit(Batches(empty), shuffle=False, verbose=0)
    with says("no examples"):
        make().evaluate(Batches(empty), verbose=0)


def test_steps_are_counted_where_nobody_knew_how_many_there_are():
    tf = pytest.importorskip("tensorflow")
    of_unknown_length = (
        tf.data.Dataset.from_tensor_slices(data()).batch(16).filter(lambda x, y: True)
    )
    model = make()
    model.fit(of_unknown_length, epochs=2, verbose=0)
    assert int(model._step.numpy()) == int(model.optimizer.iterations.numpy()) == 6
    assert int(model._value_check.seen.numpy()) == 3


# Signals.


def with_signals(*addresses):
    x, y = data()
    said = {address: np.zeros((48, CLASSES), "float32") for address in addresses}
    return {"inputs": x, "signals": said}, y


MISSPELT = (
    "The batch brings the signal 'teacher:ouput', which no term and no metric reads. Did you mean "
    "'teacher:output'?"
)


@pytest.mark.parametrize("teacher", [True, False])
def test_a_misspelt_signal_is_named(teacher):
    x, y = with_signals("teacher:ouput")
    for use in ("fit", "evaluate", "train_on_batch"):
        model = make(teacher=mlp("t") if teacher else None)
        with says(MISSPELT):
            getattr(model, use)(x, y)


@pytest.mark.parametrize("address", ["teacher:hidden", "elsewhere:else"])
def test_a_signal_that_nobody_reads_is_told_of_once(address):
    model, (x, y) = make(), with_signals(address)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y, epochs=2, verbose=0)
        model.evaluate(x, y, verbose=0)
    told = [str(one.message) for one in caught if "The batch brings" in str(one.message)]
    assert told == [
        f"The batch brings '{address}', which no term and no metric reads: they read "
        "'student:output', 'teacher:output'. Leave it out, or name it in a term."
    ]


def test_signals_that_somebody_reads_are_not_told_of():
    x, y = with_signals("teacher:output", "ids")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        make(teacher=None).fit(x, y, verbose=0)
