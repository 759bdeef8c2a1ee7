"""The same store, written by a Beam pipeline on the local runner."""

import functools

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import stores
from tests.prepared import prepared
from tests.stores.conftest import files, teacher


def examples():
    return kd.data.load("digits")["test"].take(np.arange(200))


def test_without_beam(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ModuleNotFoundError, match=r"write_with_beam runs with apache_beam, which"):
        stores.write_with_beam(teacher, examples, tmp_path, num_shards=2)


@pytest.mark.parametrize("saved", [False, True])
def test_a_pipeline_writes_the_store_of_one_writer(tmp_path, saved):
    pytest.importorskip("apache_beam")
    settings = {"batch_size": 32, "shard_size": 32, "dtype": "float32"}
    stores.write(teacher(), examples(), tmp_path / "one", **settings)
    source = teacher
    if saved:
        source = str(tmp_path / "teacher.keras")
        teacher().save(source)
    manifest = stores.write_with_beam(
        source, examples, tmp_path / "beam", num_shards=3, **settings
    )  # fmt: skip
    assert manifest.examples == 200
    assert files(tmp_path / "beam") == files(tmp_path / "one")


def of_mnist(directory):
    """A set that need not fit into memory: records as they come, named as `load` names them."""
    tfds = pytest.importorskip("tensorflow_datasets")
    images = tfds.load(
        "mnist",
        split="test[:300]",
        data_dir=directory,
        read_config=tfds.ReadConfig(add_tfds_id=True),
    )
    return images.map(lambda e: {"id": e["tfds_id"], "x": e["image"] / 255, "y": e["label"]})


def large():
    layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((28, 28, 1)), *layers], name="teacher")
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    return model


def test_a_set_of_tensorflow_datasets(tmp_path, tmp_path_factory):
    pytest.importorskip("apache_beam")
    data = functools.partial(of_mnist, prepared("mnist", tmp_path_factory))
    settings = {"batch_size": 64, "shard_size": 128}
    stores.write(large(), data(), tmp_path / "one", **settings)
    manifest = stores.write_with_beam(large, data, tmp_path / "beam", num_shards=2, **settings)
    assert manifest.examples == 300
    assert files(tmp_path / "beam") == files(tmp_path / "one")
    ids = np.load(tmp_path / "beam" / "shard-00000" / "ids.npy")
    assert ids[0] == b"mnist-test.tfrecord-00000-of-00001__0"


def test_wrong_arguments(tmp_path):
    pytest.importorskip("apache_beam")
    with pytest.raises(ValueError, match=r"`shard_index` is given to each work item"):
        stores.write_with_beam(teacher, examples, tmp_path, num_shards=2, shard_index=0)
