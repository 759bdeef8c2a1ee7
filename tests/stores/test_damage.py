"""Damaged stores: whatever is damaged, and whatever is done next, no answer is another's.

The long form: python -m tests.stores.damage 1000 0, or KERAS_KD_SLOW=1.
"""

import os
import pathlib
import shutil

import keras
import numpy as np
import pytest

from keras_kd import stores
from tests.stores.conftest import files
from tests.stores.damage import Damage

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

SLOW = bool(os.environ.get("KERAS_KD_SLOW"))
FORMAT_1 = pathlib.Path(__file__).parents[1] / "goldens" / "store_1"
SETTINGS = {"batch_size": 32, "shard_size": 64, "dtype": "float32"}  # those of `written`


@pytest.fixture(scope="module", params=[False, True], ids=["finished", "half"])
def damage(request, tmp_path_factory):
    return Damage(tmp_path_factory.mktemp("damage"), request.param)


def bad(ends):
    return [end for end in ends if "raw" in end or "wrong" in end]


def test_a_bit_that_flipped_then_written_then_read(damage):
    count = 1000 if SLOW else 12 if damage.half else 40  # half a store: the teacher is asked
    ends = damage.flips(count, seed=0)
    assert sum(ends.values()) == count
    assert len(ends) > 2  # found while writing, while reading, and mended
    assert not bad(ends), ends


def test_any_damage_to_any_file(damage):
    @st.composite
    def damages(draw):
        name = draw(st.sampled_from(sorted(damage.files)))
        whole = damage.files[name]
        place = draw(st.integers(0, len(whole) - 1))
        other = draw(st.sampled_from(sorted(damage.files)))
        return name, draw(
            st.sampled_from(
                [
                    None,
                    b"",
                    whole[:place],
                    whole + b"\0",
                    damage.files[other],
                    whole[:place] + whole,
                ]
            )
            | st.binary(min_size=1, max_size=20).map(
                lambda some: whole[:place] + some + whole[place + len(some) :]
            )
        )

    @hypothesis.settings(
        max_examples=12 if damage.half else 40, derandomize=True, deadline=None, database=None
    )
    @hypothesis.given(damages())
    def holds(given):
        assert not bad([damage.end(*given)])

    holds()


@pytest.fixture
def copied(written, tmp_path):
    shutil.copytree(written, tmp_path / "copy")
    return tmp_path / "copy"


def flipped(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("name", stores._manifest.INDEX)
def test_a_damaged_index_is_made_again(written, copied, model, part, name):
    for spoil in (lambda path: flipped(path, -9), lambda path: path.unlink()):
        spoil(copied / name)
        with pytest.raises(stores.StoreError, match=name):
            stores.read(copied, part)
        stores.write(model, part, copied, **SETTINGS)
        assert files(copied) == files(written)


@pytest.mark.parametrize("name", ["shard.json", "ids.npy", "data.npy", "0-output.values.npy"])
def test_a_damaged_shard_is_named_and_written_again_once_it_is_removed(
    written, copied, model, part, name
):
    (copied / "shard-00001" / name).write_bytes(b"")
    with pytest.raises(stores.StoreError) as error:
        stores.write(model, part, copied, **SETTINGS)
    assert f"shard-00001 of the store '{copied}' is damaged" in str(error.value)
    assert f"Remove '{copied / 'shard-00001'}' and write the store again" in str(error.value)
    (copied / "shard-00001" / name).unlink()
    with pytest.raises(stores.StoreError, match=f"{name}' is missing. Remove '"):
        stores.write(model, part, copied, **SETTINGS)
    shutil.rmtree(copied / "shard-00001")
    stores.write(model, part, copied, **SETTINGS)
    assert files(copied) == files(written)


def test_the_ids_of_another_writers_shard_are_looked_at(tmp_path, model, part):
    writers = [{"shard_index": index, "num_shards": 2, **SETTINGS} for index in (0, 1)]
    stores.write(model, part, tmp_path, **writers[1])
    flipped(tmp_path / "shard-00001" / "ids.npy", -1)
    with pytest.raises(stores.StoreError, match=r"shard-00001 .* is damaged: .*ids.npy' does not"):
        stores.write(model, part, tmp_path, **writers[0])


def test_without_its_manifest_a_shard_still_knows_where_it_belongs(written, copied, model, part):
    flipped(copied / "manifest.json", 100)
    with pytest.raises(stores.StoreError, match=r"Remove it and write the store again with the"):
        stores.write(model, part, copied, **SETTINGS)
    (copied / "manifest.json").unlink()
    with pytest.raises(stores.StoreError, match=r"shard-00000 of .* store with other settings"):
        stores.write(model, part, copied, **{**SETTINGS, "dtype": "float16"})
    (copied / "manifest.json").unlink()
    stores.write(model, part, copied, **SETTINGS)
    assert files(copied) == files(written)


def test_the_number_of_examples(tmp_path, copied, model, part):
    stores.write(model, part, tmp_path / "half", shard_index=0, num_shards=2, **SETTINGS)
    flipped(tmp_path / "half" / "examples.json", 20)
    for act in (
        lambda: stores.read(tmp_path / "half", part),
        lambda: stores.merge([tmp_path / "half"], tmp_path / "half"),
    ):
        with pytest.raises(stores.StoreError, match=r"examples.json' is damaged"):
            act()
    stores.write(model, part, tmp_path / "half", shard_index=1, num_shards=2, **SETTINGS)
    assert len(stores.read(tmp_path / "half", part)) == 2


def test_a_store_of_an_earlier_format_is_read_and_not_written_on(tmp_path, part, model):
    few = part.take(np.arange(40))
    shutil.copytree(FORMAT_1, tmp_path / "old")
    right = keras.ops.convert_to_numpy(model(few.x))
    batch, _ = stores.read(tmp_path / "old", few, teacher=model)[0]
    np.testing.assert_allclose(batch["signals"]["teacher:output"], right, atol=1e-5)
    assert stores.verify(tmp_path / "old", few, model).examples == 40
    for act in (
        lambda: stores.write(model, few, tmp_path / "old", batch_size=32, shard_size=32, dtype="float32"),
        lambda: stores.merge([tmp_path / "old"], tmp_path / "new"),
    ):  # fmt: skip
        with pytest.raises(stores.StoreError, match=r"in format 1. It can be read as it is, and"):
            act()
