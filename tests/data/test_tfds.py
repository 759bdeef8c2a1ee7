import sys
import threading
import time
import urllib.error
from types import ModuleType, SimpleNamespace

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd.data import _tfds

tfds = pytest.importorskip("tensorflow_datasets", reason="tensorflow-datasets is not installed")
pytest.importorskip("tensorflow", reason="tensorflow is not installed")


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr(_tfds, "connected", lambda: False)


def numbers_in_order(split, count):
    """Which example stands where: the records of a split are sorted by a hash of their keys."""
    from tensorflow_datasets.core import hashing

    hasher = hashing.Hasher(split)
    return sorted(range(count), key=lambda k: hasher.hash_key(f"{split}_{k:05d}"))


def test_mnist(mnist_dir, mnist_arrays):
    """One test, and on one backend, for reading the set is what takes long."""
    if keras.config.backend() != "tensorflow":
        pytest.skip("arrays are the same on every backend")
    mnist = kd.data.load("mnist", data_dir=mnist_dir, validation=5000)
    counts_shapes_types(mnist)
    every_example_has_an_id_of_its_own(mnist)
    an_id_leads_to_its_image_and_label(mnist, mnist_arrays)


def counts_shapes_types(mnist):
    assert mnist.x_train.shape == (55000, 28, 28, 1)
    assert mnist.x_validation.shape == (5000, 28, 28, 1)
    assert mnist.x_test.shape == (10000, 28, 28, 1)
    assert dict(mnist.info.counts) == {"train": 55000, "test": 10000, "validation": 5000}
    assert mnist.x_test.dtype == "float32"
    assert mnist.y_test.dtype == "int32"
    assert mnist.x_test.min() == 0.0
    assert mnist.x_test.max() == 1.0
    assert mnist.info.shape == (28, 28, 1)
    assert mnist.info.class_names == tuple("0123456789")
    assert "mnist/3.0.1" in mnist.info.source
    # As published: 980 zeros, 1135 ones ...
    assert np.bincount(mnist.y_test).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


def every_example_has_an_id_of_its_own(mnist):
    ids = [*mnist.ids_train, *mnist.ids_validation, *mnist.ids_test]
    assert len(set(ids)) == 70000
    assert mnist.ids_test[0] == "mnist-test.tfrecord-00000-of-00001__0"
    assert mnist.ids_test[-1] == "mnist-test.tfrecord-00000-of-00001__9999"
    # Written down once: the same on every machine, and which are held out too.
    places = [int(i.rpartition("__")[2]) for i in mnist.ids_validation[:5]]
    assert places == [9, 20, 41, 56, 89]
    assert mnist.y_validation[:5].tolist() == [1, 2, 0, 5, 2]


def an_id_leads_to_its_image_and_label(mnist, mnist_arrays):
    for split, count, parts in (
        ("test", 10000, ["test"]),
        ("train", 60000, ["train", "validation"]),
    ):
        order = np.array(numbers_in_order(split, count))
        for part in parts:
            positions = np.array([int(i.rpartition("__")[2]) for i in mnist[part].ids])
            numbers = order[positions]
            np.testing.assert_array_equal(mnist[part].y, mnist_arrays[f"y_{split}"][numbers])
            ours = np.round(mnist[part].x[..., 0] * 255).astype("uint8")
            np.testing.assert_array_equal(ours, mnist_arrays[f"x_{split}"][numbers])


def test_a_set_that_is_not_prepared_and_no_network(tmp_path, no_network):
    began = time.monotonic()
    with pytest.raises(kd.data.NotAvailable) as error:
        kd.data.load("mnist", data_dir=tmp_path)
    assert time.monotonic() - began < 10
    where = tmp_path / "mnist" / "3.0.1"
    assert str(error.value) == (
        f"The data set 'mnist' is not prepared in '{where}', and there is no connection to "
        "download it (https://storage.googleapis.com did not respond in 3 s): connect and try "
        "again, or give the `data_dir` that has it."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_did_not_load_says_what_to_install(monkeypatch):
    """As with an older TensorFlow, whose protobuf is too old for what the newest one brings."""

    def too_old(name):
        raise RuntimeError("Detected incompatible Protobuf versions when loading schema.proto.")

    monkeypatch.setitem(sys.modules, "tensorflow_datasets", ModuleType("tensorflow_datasets"))
    with monkeypatch.context() as patch:
        patch.setattr(_tfds.importlib, "import_module", too_old)
        with pytest.raises(
            kd.data.NotAvailable, match=r"schema\.proto\..*pip install 'tensorflow-me"
        ):
            kd.data.load("mnist")
    with pytest.raises(kd.data.NotAvailable, match=r"pip check"):
        kd.data.load("mnist")


def test_a_download_that_was_not_allowed_is_not_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(_tfds, "connected", lambda: pytest.fail("the network was asked"))
    with pytest.raises(kd.data.NotAvailable, match=r"download=False: give the `data_dir`"):
        kd.data.load("mnist", data_dir=tmp_path, download=False)


def test_a_download_that_fails_says_why(tmp_path, monkeypatch):
    def fails(self):
        raise ConnectionError("the line was cut\nand more")

    monkeypatch.setattr(_tfds, "connected", lambda: True)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fails)
    with pytest.raises(
        kd.data.NotAvailable, match=r"preparing it failed: the line was cut$"
    ) as error:
        kd.data.load("mnist", data_dir=tmp_path)
    assert isinstance(error.value.__cause__, ConnectionError)


def test_the_connection_check_gives_up_in_time(monkeypatch):
    over = threading.Event()

    def urlopen(*args, **kwargs):  # a name that is looked up and looked up
        over.wait(60)
        raise OSError

    monkeypatch.setattr(_tfds, "PATIENCE", 0.2)
    monkeypatch.setattr(_tfds.urllib.request, "urlopen", urlopen)
    began = time.monotonic()
    assert not _tfds.connected()
    assert time.monotonic() - began < 10
    over.set()


@pytest.mark.parametrize(
    ("answer", "connected"),
    [
        (None, True),
        (urllib.error.HTTPError("", 403, "no", {}, None), True),
        (urllib.error.URLError("no such host"), False),
        (TimeoutError(), False),
    ],
)
def test_the_connection_check(monkeypatch, answer, connected):
    def urlopen(request, timeout):
        assert timeout == _tfds.PATIENCE == 3.0
        if answer is not None:
            raise answer
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(_tfds.urllib.request, "urlopen", urlopen)
    assert _tfds.connected() == connected


def test_a_misspelt_name(no_network, tmp_path):
    with pytest.raises(ValueError, match=r"^No data set 'mnits'.*Did you mean 'mnist'\?$"):
        kd.data.load("mnits", data_dir=tmp_path)
    with pytest.raises(ValueError, match=r"Did you mean 'digits'\?$"):
        kd.data.load("digit", data_dir=tmp_path)


def test_sets_of_another_kind(no_network, tmp_path):
    with pytest.raises(ValueError) as error:
        kd.data.load("wikipedia/20201201.nv", data_dir=tmp_path)
    assert str(error.value) == (
        "'wikipedia/20201201.nv' is not an image or text classification set. Expected an Image or "
        "a Text, and one ClassLabel, for each example; it has text (Text), title (Text)."
    )
    with pytest.raises(ValueError, match=r"differ in size, \(None, None, 3\)"):
        kd.data.load("oxford_flowers102", data_dir=tmp_path)


def test_sets_with_several_texts(no_network, tmp_path):
    with pytest.raises(ValueError) as error:
        kd.data.load("ag_news_subset", data_dir=tmp_path)
    assert str(error.value) == (
        "`feature` must be one of 'description', 'title': the examples of 'ag_news_subset' have "
        "description (Text), label (ClassLabel), title (Text). Received: feature=None."
    )
    with pytest.raises(kd.data.NotAvailable):  # the name is right
        kd.data.load("ag_news_subset", feature="title", data_dir=tmp_path)
    with pytest.raises(ValueError, match=r"'digits' has images only. Received: feature='title'"):
        kd.data.load("digits", feature="title")


def parts_of(monkeypatch, labels, **arguments):
    """Loads a made-up set whose splits have these labels; the images are all zeros."""

    def examples(tfds, builder, split, image, label):
        y = np.array(labels[split], "int32")
        ids = np.array([f"{split}/{k}" for k in range(len(y))])
        return kd.data.Part(np.zeros((len(y), 2, 2, 1), "float32"), y, ids)

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(2, 2, 1)),
            "label": tfds.features.ClassLabel(num_classes=9),
        }
    )
    info = SimpleNamespace(
        features=features,
        splits=labels,
        full_name="made/1.0.0",
        homepage="",
        redistribution_info=None,
    )
    builder = SimpleNamespace(info=info, is_prepared=lambda: True)
    monkeypatch.setattr(_tfds, "_builder", lambda *a: builder)
    monkeypatch.setattr(_tfds, "_examples", examples)
    return kd.data.load("made", **arguments)


def test_splits_of_the_set_itself(monkeypatch):
    data = parts_of(monkeypatch, {"train": [1, 2], "test": [3], "validation": [4]})
    assert {name: part.y.tolist() for name, part in data.parts.items()} == {
        "train": [1, 2],
        "test": [3],
        "validation": [4],
    }
    with pytest.raises(ValueError, match=r"has a validation part of its own \(1 examples\)"):
        parts_of(monkeypatch, {"train": [1, 2], "test": [3], "validation": [4]}, validation=1)


@pytest.mark.parametrize("splits", [{}, {"test": [-1, -1]}])
def test_validation_is_the_test_where_test_labels_are_withheld(monkeypatch, splits):
    data = parts_of(monkeypatch, {"train": [1, 2], "validation": [4], **splits})
    assert data.y_test.tolist() == [4]
    assert dict(data.info.counts) == {"train": 2, "test": 1}


def test_sets_without_a_test_part(monkeypatch):
    with pytest.raises(ValueError) as error:
        parts_of(monkeypatch, {"train": [1, 2, 3, 4]})
    assert str(error.value) == (
        "'made' has no test part. Hold some of its 4 examples out: load('made', test=0.2)."
    )
    data = parts_of(monkeypatch, {"train": [1, 2, 3, 4]}, test=1, validation=0.4)
    assert dict(data.info.counts) == {"train": 2, "test": 1, "validation": 1}
    assert sorted([*data.y_train, *data.y_test, *data.y_validation]) == [1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"'made' has no split 'train'\. Its splits: test\."):
        parts_of(monkeypatch, {"test": [1]})
