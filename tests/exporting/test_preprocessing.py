"""What was done to inputs: understood from words and from numbers, and held against examples."""

import keras
import numpy as np
import pytest

from keras_kd.exporting import Preprocessing
from keras_kd.exporting._preprocessing import check_range, preprocessing_of

layers = keras.layers


def student(channels=3):
    return keras.Sequential([keras.Input((4, 4, channels), name="image"), layers.Flatten()])


def understood(given, channels=3):
    return preprocessing_of(given, student(channels))


def test_words_with_a_range():
    found = understood("float images in [0, 1]")
    assert found == Preprocessing("float images in [0, 1]", 0, 1, (0,), (255,), "RGB")
    found = understood("BGR images from -1 to 1")
    assert (found.mean, found.std, found.color_order) == ((127.5,), (127.5,), "BGR")
    assert understood("images in [0, 255]", channels=1) == Preprocessing(
        "images in [0, 255]", 0, 255, (0,), (1,), "GRAY"
    )
    assert understood("log-mel energies") == Preprocessing("log-mel energies", color_order="RGB")
    assert understood(None) == Preprocessing()


def test_the_mean_and_the_spread_of_pixels():
    found = understood({"mean": [0, 127.5, 255], "std": 51})
    # The smallest is (0 - 255) / 51, the largest (255 - 0) / 51.
    assert (found.low, found.high, found.mean, found.std) == (-5, 5, (0, 127.5, 255), (51,))
    assert (found.text, found.color_order) == ("(pixel - mean) / std", "RGB")
    told = {"mean": 0, "std": 1, "color_order": "BGR", "text": "as it is"}
    assert understood(told) == Preprocessing("as it is", 0, 255, (0,), (1,), "BGR")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mean": 0}, r"must be a text such as 'float images in \[0, 1\]', or a dict"),
        (255, r"Received: 255\."),
        ("", r"Received: ''\."),
        ("images in [1, 0]", r"range from a smaller to a larger number"),
        ({"mean": [0, 1], "std": 1}, r"'mean' must be a number, or one for each of the 3 channels"),
        ({"mean": 0, "std": 0}, r"'std' must be above 0"),
        ({"mean": "0", "std": 1}, r"'mean' must be a number"),
        ({"mean": np.nan, "std": 1}, r"'mean' must be a number"),
        ({"mean": 0, "std": 1, "color_order": "CMY"}, r"must be 'RGB', 'BGR' or 'GRAY'"),
    ],
)
def test_what_cannot_be_understood(given, message):
    with pytest.raises(ValueError, match=message):
        understood(given)


def test_inputs_are_held_to_the_range():
    told, x = understood("float images in [0, 1]"), np.linspace(0, 1, 96).reshape(2, 4, 4, 3)
    assert check_range(told, {"image": x}, "examples")
    assert not check_range(Preprocessing("anything"), {"image": 9 * x}, "examples")
    words = r"says 'float images in \[0, 1\]', from 0 to 1; `examples` runs from 0 to 255"
    with pytest.raises(ValueError, match=words):
        check_range(told, {"image": 255 * x}, "examples")
    with pytest.raises(ValueError, match=r"from 0 to 0\.00392157 for the input 'image'"):
        check_range(told, {"image": x / 255}, "examples")
    # Of several inputs the images.
    assert check_range(told, {"image": x, "marks": np.array([[7.0], [9.0]])}, "examples")
