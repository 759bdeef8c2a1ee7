"""Columns: the place of each answer, in stores that are held in memory and in those that are not."""

import numpy as np
import pytest

import keras_kd as kd
from keras_kd import stores
from keras_kd.stores import _columns
from tests.stores.conftest import teacher

VIEWS, COUNT = 3, 70


@pytest.fixture(scope="module")
def several_views(tmp_path_factory):
    """A store of three views of 70 examples in three shards, and the answers by example and view.

    The files are made up: each number tells its example, its view and its place.
    """
    folder = tmp_path_factory.mktemp("views")
    part = kd.data.load("digits")["test"].take(np.arange(COUNT))
    identity = kd.data.Augment(kd.data.Crop(0), seed=1)
    pytest.importorskip("tensorflow")

    def told(self, x, size, ids, views):
        first = told.asked // VIEWS * 32
        view = told.asked % VIEWS
        told.asked += 1
        rows = np.arange(first, first + len(x))[:, None]
        return [1000 * rows + 100 * view + np.arange(10.0)[None]]

    told.asked = 0
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(stores._teacher_outputs.TeacherOutputs, "compute", told)
        stores.write(
            teacher(), part, folder, augment=identity, views=VIEWS, batch_size=32, shard_size=32,
            dtype="float32",
        )  # fmt: skip
    return folder, part


@pytest.mark.parametrize("large", [False, True], ids=["in memory", "in pieces"])
@pytest.mark.parametrize("order", ["in order", "backwards", "mixed", "one shard", "one"])
def test_each_answer_is_that_of_its_example_and_view(several_views, large, order, monkeypatch):
    folder, part = several_views
    if large:
        monkeypatch.setattr(_columns, "BUDGET", 0)
    examples = {
        "in order": np.arange(COUNT),
        "backwards": np.arange(COUNT)[::-1],
        "mixed": np.random.default_rng(0).permutation(COUNT),
        "one shard": np.arange(40, 60),
        "one": np.array([69]),
    }[order]
    store = stores.Store(folder)
    for views in (*(np.full(len(examples), v) for v in range(VIEWS)), examples % VIEWS):
        said = store(part.ids[examples], views)["teacher:output"]
        expected = 1000 * examples[:, None] + 100 * views[:, None] + np.arange(10)
        np.testing.assert_array_equal(said, expected)


@pytest.mark.parametrize("large", [False, True], ids=["in memory", "in pieces"])
def test_a_block_in_the_midst_of_an_answer_is_looked_at(tmp_path, large, monkeypatch):
    """Each answer spans five blocks; those at its ends, shared with its neighbours, are known."""
    for module in (_columns, stores._manifest):
        monkeypatch.setattr(module, "BLOCK", 11)
    if large:
        monkeypatch.setattr(_columns, "BUDGET", 0)
    part = kd.data.load("digits")["test"].take(np.arange(40))
    stores.write(teacher(), part, tmp_path, dtype="float32")  # 40 bytes each, after 128
    path = tmp_path / "shard-00000" / "0-output.values.npy"
    content = bytearray(path.read_bytes())
    content[128 + 19 * 40 + 17] ^= 1
    path.write_bytes(bytes(content))
    store, views = stores.Store(tmp_path), np.zeros(2, int)
    damaged = pytest.raises(
        stores.StoreError, match=r"0-output.values.npy' does not have the check"
    )
    if large:
        store(part.ids[[18, 20]], views)
    with damaged:
        store(part.ids[[19, 19]], views)
