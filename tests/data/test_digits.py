import os
import subprocess
import sys

import numpy as np
import pytest

import keras_kd as kd


@pytest.fixture(scope="module")
def digits():
    return kd.data.load("digits")


def test_counts_shapes_types(digits):
    assert digits.x_train.shape == (1157, 8, 8, 1)
    assert digits.x_test.shape == (640, 8, 8, 1)
    assert digits.y_train.shape == (1157,)
    assert digits.y_test.shape == (640,)
    for part in ("train", "test"):
        assert digits[part].x.dtype == "float32"
        assert digits[part].y.dtype == "int32"
        assert len(digits[part]) == digits.info.counts[part]


def test_every_class_is_in_both_parts_as_documented(digits):
    assert np.bincount(digits.y_train).tolist() == [
        114, 117, 114, 118, 116, 117, 116, 115, 114, 116,
    ]  # fmt: skip
    assert np.bincount(digits.y_test).tolist() == [64, 65, 63, 65, 65, 65, 65, 64, 60, 64]


def test_the_cut_lies_between_two_forms(digits):
    form = "012345678901234567890123456789095565098984177351"
    text = "".join(map(str, [*digits.y_train, *digits.y_test]))
    assert text.startswith(form)
    cut = len(digits.y_train)
    assert text[cut:].startswith(form)
    assert text[cut - 5 : cut] == "90898"


def test_pixels_are_sixteenths_from_zero_to_one(digits):
    x = np.concatenate([digits.x_train, digits.x_test])
    assert x.min() == 0.0
    assert x.max() == 1.0
    np.testing.assert_array_equal(x * 16, np.round(x * 16))


def test_equal_to_those_of_scikit_learn(digits):
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    x = np.concatenate([digits.x_train, digits.x_test])[..., 0]
    np.testing.assert_array_equal(x * 16, theirs.images)
    np.testing.assert_array_equal(np.concatenate([digits.y_train, digits.y_test]), theirs.target)


def test_images_show_their_labels(digits):
    means = np.stack([digits.x_train[digits.y_train == k].mean(axis=0) for k in range(10)])
    distances = ((digits.x_test[:, None] - means[None]) ** 2).sum(axis=(2, 3, 4))
    assert (distances.argmin(axis=1) == digits.y_test).mean() > 0.8


def test_ids_are_unique_and_positions_in_the_source(digits):
    ids = [*digits.ids_train, *digits.ids_test]
    assert ids == [f"digits/{k:05d}" for k in range(1797)]


def test_held_out_examples_keep_their_ids_and_their_images(digits):
    parts = kd.data.load("digits", validation=0.1)
    assert dict(parts.info.counts) == {"train": 1041, "test": 640, "validation": 116}
    assert len(parts.y_train) == 1041
    assert not set(parts.ids_train) & set(parts.ids_validation)
    assert {*parts.ids_train, *parts.ids_validation} == set(digits.ids_train)
    for part in ("train", "validation"):
        positions = [int(i[-5:]) for i in parts[part].ids]
        assert positions == sorted(positions)
        np.testing.assert_array_equal(parts[part].x, digits.x_train[positions])
        np.testing.assert_array_equal(parts[part].y, digits.y_train[positions])


def test_what_is_held_out_is_always_the_same_and_grows():
    some = kd.data.load("digits", validation=20)
    more = kd.data.load("digits", validation=40)
    assert len(some.y_validation) == 20
    assert set(some.ids_validation) < set(more.ids_validation)
    assert some.ids_validation[:3].tolist() == ["digits/00035", "digits/00082", "digits/00146"]


def test_shown_in_one_line(digits):
    said = "<Part: 1,157 examples, inputs (8, 8, 1) float32, labels () int32>"
    assert repr(digits["train"]) == said


def test_pairs_are_the_arrays(digits):
    (x, y), (x_test, y_test) = digits.train, digits.test
    assert x is digits.x_train
    assert y is digits.y_train
    assert x_test is digits.x_test
    assert y_test is digits.y_test


def test_names_its_source_and_licence(digits):
    assert "Alpaydin and Kaynak" in digits.info.source
    assert "10.24432/C50P49" in digits.info.source
    assert digits.info.licence == "CC BY 4.0"
    assert digits.info.classes == len(digits.info.class_names) == 10
    assert digits.info.shape == (8, 8, 1)


@pytest.mark.parametrize("amount", [0, 0.0, 1.0, 1157, -3, 2.5, True, "some", float("nan")])
def test_impossible_amounts(amount):
    with pytest.raises(ValueError, match=r"`validation` must be a fraction between 0 and 1"):
        kd.data.load("digits", validation=amount)


def test_words_of_the_errors(digits):
    with pytest.raises(ValueError) as error:
        kd.data.load("digits", test=0.2)
    assert str(error.value) == (
        "'digits' has a test part of its own (640 examples). Leave `test` out. Received: test=0.2."
    )
    with pytest.raises(ValueError) as error:
        digits.validation  # noqa: B018
    assert str(error.value) == (
        "The data set 'digits' has no part 'validation'. Expected 'train', 'test'. "
        "Hold some out: load(..., validation=0.1)."
    )
    with pytest.raises(ValueError, match=r"`name` must be the name of a data set"):
        kd.data.load(None)


def test_without_tensorflow_and_without_a_network(backend):
    if backend != "jax":
        pytest.skip("a process of its own, once")
    script = """
import socket, sys
for name in ("tensorflow", "tensorflow_datasets"):
    sys.modules[name] = None
def no_network(*args, **kwargs):
    raise AssertionError("the network was used")
socket.socket.connect = socket.getaddrinfo = no_network
import keras_kd as kd
data = kd.data.load("digits", validation=0.1)
assert data.x_test.shape == (640, 8, 8, 1)
try:
    kd.data.load("mnist")
except kd.data.NotAvailable as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        "The data set 'mnist' is read with tensorflow, which is not installed. "
        "Run: pip install tensorflow tensorflow-datasets importlib_resources. "
        "(load('digits') needs none of them.)"
    )
