"""Verifying: what it compares, and what it says when that is not the same."""

import numpy as np
import pytest

import keras_kd as kd
from keras_kd import stores
from keras_kd.stores._shard_writer import ShardWriter
from tests.stores.conftest import CLASSES
from tests.stores.test_same_teacher import Own

SETTINGS = {"batch_size": 32, "shard_size": 64, "dtype": "float32"}


def test_other_data_are_seen(written, model, part):
    other = kd.data.Part(part.x[:, :, ::-1], part.y, part.ids)
    with pytest.raises(stores.StoreError, match=r"was written for other data: the example 'digits"):
        stores.verify(written, other, model, sample=5)


def test_data_of_which_none_is_looked_at(written, model, part):
    rows = np.random.default_rng(0).choice(200, 1, replace=False)  # as `verify` draws them
    others = part.take(np.setdiff1d(np.arange(200), rows))
    with pytest.raises(stores.StoreError, match=r"None of the sample is among `data`: give all"):
        stores.verify(written, others, model, sample=1)


def test_the_seed_chooses(tmp_path, model, part):
    stores.write(model, part, tmp_path)  # float16: how much is lost differs by example
    found = [stores.verify(tmp_path, part, model, sample=5, seed=s).largest for s in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_what_another_device_may_round_is_too_much_here(tmp_path, part):
    stores.write(Own(1.0), part, tmp_path, **SETTINGS)
    stores.read(tmp_path, part, teacher=Own(1.01))
    with pytest.raises(stores.StoreError, match=r"differs by 0.0099 of the largest number \(expec"):
        stores.verify(tmp_path, part, Own(1.01))


def test_sums_at_the_temperatures_of_the_store(tmp_path, model, part):
    stores.write(model, part, tmp_path, top_k=3, temperatures=(2.0, 5.0), dtype="float32")
    assert stores.verify(tmp_path, part, model).largest["output"] < 1e-4


def test_every_view_is_looked_at(tmp_path, model, part, monkeypatch):
    pytest.importorskip("tensorflow")
    view_of = ShardWriter._view

    def doubled(self, batch, view):  # in view 1 alone
        parts = view_of(self, batch, view)
        return [{name: values * (1 + view) for name, values in part.items()} for part in parts]

    monkeypatch.setattr(ShardWriter, "_view", doubled)
    augment = kd.data.Augment(kd.data.Flip(), seed=1)
    stores.write(model, part, tmp_path, augment=augment, views=2, **SETTINGS)
    with pytest.raises(stores.StoreError, match=r"for the example 'digits/0\d+', view 1, differs"):
        stores.verify(tmp_path, part, model, sample=20)


def test_partners_of_mixed_examples_come_from_the_same_set(tmp_path, model, part):
    pytest.importorskip("tensorflow")
    augment = kd.data.Augment(mix=kd.data.CutMix(CLASSES), seed=2)
    stores.write(model, part, tmp_path, augment=augment, **SETTINGS)
    some = part.take(np.arange(100))
    assert stores.verify(tmp_path, some, model, among=part, sample=40).examples > 5
    with pytest.raises(stores.StoreError, match=r"or only some of them \(100\). Give the very set"):
        stores.verify(tmp_path, some, model, sample=40)


def test_the_former_order_of_arguments_is_understood(written, model, part):
    with pytest.warns(FutureWarning, match=r"Write stores\.verify\(path, data, teacher\)"):
        found = stores.verify(written, model, part, sample=20)
    assert found == stores.verify(written, part, model, sample=20)
