"""Running averages that lag: told when they are why the validation is bad, and only then."""

import warnings

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd.callbacks import LaggingAverages

layers = keras.layers
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module")
def digits():
    return keras_kd.data.load("digits", validation=0.1)


def network(momentum=0.99, trainable=True):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, use_bias=False),
            layers.BatchNormalization(momentum=momentum, trainable=trainable, name="norm"),
            layers.ReLU(),
            layers.Conv2D(16, 3, use_bias=False),
            layers.BatchNormalization(momentum=momentum, trainable=trainable, name="norm2"),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )


def said(model, data, *, epochs=4, validation=True, compiled=True, **kwargs):
    """What `fit` warned of, and the model's scores in training mode and in inference."""
    if compiled:
        model.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    held = {"validation_data": data.validation} if validation else {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(
            *data.train, batch_size=128, epochs=epochs, verbose=0, **held, **kwargs
        ).history
    return [str(w.message) for w in caught if "running averages" in str(w.message)], history


def taught(student):
    return keras_kd.Distiller(student=student, terms=[keras_kd.Labels()])


def test_a_distiller_says_it_once_and_why(digits):
    (message,), history = said(taught(network()), digits, epochs=5)
    assert history["val_accuracy"][1] < 0.4 < history["accuracy"][1]
    assert "BatchNormalization, such as '" in message and "norm" in message
    assert "at momentum=0.99, 83% of its running averages" in message  # 0.99 ** 18, two epochs of 9
    assert "BatchNormalization(momentum=0.8)" in message
    assert "about 459 steps, 51 epochs" in message


def test_its_remedy_is_one(digits):
    messages, history = said(taught(network(momentum=0.8)), digits, epochs=5)
    assert not messages
    lagging = said(taught(network()), digits, epochs=5)[1]
    assert history["val_accuracy"][-1] > lagging["val_accuracy"][-1] + 0.2
    assert history["accuracy"] == pytest.approx(lagging["accuracy"], abs=0.02)  # as in training


def test_a_plain_model_says_it_when_asked(digits):
    assert not said(network(), digits)[0]
    assert len(said(network(), digits, callbacks=[LaggingAverages()])[0]) == 1


def test_a_distiller_given_one_has_no_second(digits):
    assert len(said(taught(network()), digits, callbacks=[LaggingAverages()])[0]) == 1


def test_averages_that_do_not_lag_are_not_blamed(digits):
    """A student that learns its few images by heart, at the very momentum, from good averages."""
    few = keras_kd.data.Dataset(
        digits.info, {"train": digits["train"].take(np.arange(128)), "validation": wrong(digits)}
    )
    student = network(momentum=0.8)
    said(student, digits, epochs=5)
    for layer in student.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.99
    messages, history = said(taught(student), few, epochs=12)
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert history["val_loss"][-1] > history["val_loss"][0]
    assert not messages


def wrong(digits):
    """Images whose labels are no one's fault but ours."""
    part = digits["validation"]
    return keras_kd.data.Part(part.x, (part.y + 1) % 10, part.ids)


@pytest.mark.parametrize("how", ["frozen", "unvalidated", "no norm"])
def test_what_cannot_lag_says_nothing(how, digits):
    student = network(trainable=how != "frozen")
    if how == "no norm":
        student = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(10)])
    assert not said(taught(student), digits, validation=how != "unvalidated")[0]


def test_a_validation_that_follows_is_not_looked_into(digits):
    """Standardised features: the beginning is right already, however much of it is left."""
    mean, deviation = digits.x_train.mean((0, 3)), digits.x_train.std((0, 3)) + 1e-3
    keras.utils.set_random_seed(0)
    student = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Reshape((64,)),
            layers.Normalization(mean=mean.ravel(), variance=deviation.ravel() ** 2),
            layers.BatchNormalization(),
            layers.Dense(10),
        ]
    )
    messages, history = said(taught(student), digits)
    assert history["val_accuracy"][-1] > 0.8
    assert not messages


def test_under_a_scaled_loss_and_gathered_gradients(digits):
    for optimizer in (
        keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
        keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
    ):
        model = taught(network())
        model.compile(optimizer, LOSS)
        (message,), _ = said(model, digits, compiled=False, epochs=6)
        assert "at momentum=0.99" in message
