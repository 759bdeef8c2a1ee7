"""The same store, written by a Beam pipeline on the local runner."""

import numpy as np
import pytest

import keras_kd as kd
from keras_kd import stores
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


def test_wrong_arguments(tmp_path):
    pytest.importorskip("apache_beam")
    with pytest.raises(ValueError, match=r"`shard_index` is given to each work item"):
        stores.write_with_beam(teacher, examples, tmp_path, num_shards=2, shard_index=0)
