"""Writing: what is kept, how exactly, and what stands in the way."""

import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd as kd
from keras_kd import stores
from tests.stores.conftest import CLASSES, files, teacher


def answers(model, x):
    return ops.convert_to_numpy(model(x, training=False))


def test_the_answers_are_the_teachers(written, model, part):
    signals = stores.Store(written)(part.ids, np.zeros(len(part), int))
    np.testing.assert_allclose(signals["teacher:output"], answers(model, part.x), atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "off"), [("float32", 1e-6), ("float16", 2**-11), ("int8", 1 / 254)]
)
def test_what_is_lost_is_as_documented(tmp_path, model, part, dtype, off):
    manifest = stores.write(model, part, tmp_path, dtype=dtype, addresses=("output", "maps"))
    signals = stores.Store(tmp_path)(part.ids, np.zeros(len(part), int))
    maps = keras.Model(model.inputs[0], model.get_layer("maps").output)
    for address, live in (("output", answers(model, part.x)), ("maps", answers(maps, part.x))):
        stored = signals[f"teacher:{address}"]
        assert stored.shape == live.shape
        assert stored.dtype == "float32"
        largest = np.abs(live).reshape(len(live), -1).max(axis=1)
        apart = np.abs(stored - live).reshape(len(live), -1).max(axis=1)
        assert (apart <= (off + 1e-6) * largest).all()
    each = {"float32": 4, "float16": 2, "int8": 1}[dtype] * (10 + 64) + 8 * (dtype == "int8")
    assert manifest.bytes_per_example() == each


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_largest_logits_and_sums_serve_the_sparse_loss(tmp_path, model, part, temperature):
    manifest = stores.write(
        model, part, tmp_path, top_k=4, temperatures=(1.0, 4.0), dtype="float32"
    )
    assert manifest.bytes_per_example() == 4 * 4 + 4 * 2 + 2 * 4
    store = stores.Store(tmp_path, temperature=temperature)
    values, classes, sums = store(part.ids, np.zeros(len(part), int))["teacher:output"]
    logits = answers(model, part.x)
    np.testing.assert_allclose(values, -np.sort(-logits, axis=1)[:, :4], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(logits, classes, 1), values, atol=1e-6)
    expected = np.log(np.exp(logits / temperature).sum(axis=1))
    np.testing.assert_allclose(sums, expected, atol=1e-5)
    loss = kd.losses.SparseSoftTarget(temperature)
    learner = np.zeros((len(part), CLASSES), "float32")
    dense = kd.losses.SoftTarget(temperature)(logits, learner)
    assert 0 < float(loss((values, classes, sums), learner)) < float(dense)


def test_all_logits_as_the_largest_give_the_dense_loss(tmp_path, model, part):
    stores.write(model, part, tmp_path, top_k=CLASSES, temperatures=3.0, dtype="float32")
    triple = stores.Store(tmp_path)(part.ids, np.zeros(len(part), int))["teacher:output"]
    learner = np.random.default_rng(0).normal(size=(len(part), CLASSES)).astype("float32")
    sparse = kd.losses.SparseSoftTarget(3.0)(triple, learner)
    dense = kd.losses.SoftTarget(3.0)(answers(model, part.x), learner)
    assert float(sparse) == pytest.approx(float(dense), rel=1e-5)


def test_an_ensemble_is_a_teacher(tmp_path, part):
    ensemble = kd.teachers.Ensemble([teacher("a", 1), teacher("b", 2)])
    stores.write(ensemble, part, tmp_path, dtype="float32")
    signals = stores.Store(tmp_path)(part.ids, np.zeros(len(part), int))
    np.testing.assert_allclose(signals["teacher:output"], answers(ensemble, part.x), atol=1e-5)


def test_every_form_of_data_gives_the_same_store(tmp_path, model, part):
    def one_by_one():
        for i, x, y in zip(part.ids, part.x, part.y, strict=True):
            yield {"id": str(i), "x": x, "y": y}

    forms = {
        "part": part,
        "batches": kd.data.Batches(part, batch_size=33),
        "generator": one_by_one,
        "tf": kd.data.tf_data(part),
        "tf_batched": kd.data.tf_data(part).batch(45),
    }
    stored = {}
    for name, data in forms.items():
        stores.write(model, data, tmp_path / name, batch_size=32, shard_size=96)
        stored[name] = files(tmp_path / name)
    for name in forms:
        assert stored[name] == stored["part"], name


def test_several_writers_make_the_store_of_one(tmp_path, model, part):
    settings = {"batch_size": 32, "shard_size": 32}
    stores.write(model, part, tmp_path / "one", **settings)
    # To one folder.
    for index in (2, 0, 1):
        done = stores.write(
            model, part, tmp_path / "same", shard_index=index, num_shards=3, **settings
        )
        assert (done is not None) == (index == 1)
    assert files(tmp_path / "same") == files(tmp_path / "one")
    # To three folders.
    for index in range(3):
        stores.write(
            model, part, tmp_path / str(index), shard_index=index, num_shards=3, **settings
        )
    with pytest.raises(stores.StoreError, match=r"3 of 7 shards are missing \(shard-00000, "):
        stores.merge([tmp_path / "1", tmp_path / "2"], tmp_path / "few")
    merged = stores.merge([tmp_path / str(i) for i in range(3)], tmp_path / "merged")
    assert merged.examples == 200
    assert files(tmp_path / "merged") == files(tmp_path / "one")


def test_parts_of_different_stores_do_not_merge(tmp_path, part):
    for seed in range(2):
        stores.write(
            teacher(seed=seed), part, tmp_path / str(seed), shard_index=seed, num_shards=2,
            batch_size=32, shard_size=32,
        )  # fmt: skip
    with pytest.raises(stores.StoreError, match=r"are not parts of one store: teacher.finger"):
        stores.merge([tmp_path / "0", tmp_path / "1"], tmp_path / "both")


class Crash(BaseException):
    pass


def test_interrupted_at_every_move_it_goes_on_to_the_same_bytes(tmp_path, model, part, monkeypatch):
    few = part.take(np.arange(96))
    settings = {"batch_size": 32, "shard_size": 32}
    stores.write(model, few, tmp_path / "unbroken", **settings)
    moves = {name: getattr(os, name) for name in ("fsync", "rename", "replace")}
    left = [0]

    def counted(name):
        def move(*args):
            left[0] -= 1
            if left[0] < 0:
                raise Crash
            return moves[name](*args)

        return move

    for name in moves:
        monkeypatch.setattr(os, name, counted(name))
    crashes = 0
    for stop in range(0, 100, 2):
        folder = tmp_path / f"broken-{stop}"
        left[0] = stop
        try:
            stores.write(model, few, folder, **settings)
            break
        except Crash:
            crashes += 1
        left[0] = 1000
        stores.write(model, few, folder, **settings)
        clean = {k: v for k, v in files(folder).items() if not k.startswith(".")}
        assert clean == files(tmp_path / "unbroken"), stop
    assert crashes > 8


KILLED = """
import os, random, signal, sys, time
import keras
from keras_kd import data, stores
from tests.stores.conftest import teacher
folder = sys.argv[1]
part = data.load("digits")["test"]
settings = dict(batch_size=16, shard_size=16)
def shards():
    return len([n for n in os.listdir(folder) if n.startswith("shard-")]) if os.path.exists(folder) else 0
kills = 0
while True:
    before = shards()
    child = os.fork()
    if not child:
        try:
            stores.write(teacher(), part, folder, **settings)
        except BaseException as error:
            print(error, file=sys.stderr); os._exit(1)
        os._exit(0)
    if kills < 3:
        while shards() < before + 4 and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.0005)
        time.sleep(random.random() * 0.004)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        kills += 1
    else:
        sys.exit(os.WEXITSTATUS(status) or (0 if kills >= 3 else 7))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_in_a_loop_it_goes_on_to_the_same_bytes(tmp_path, model, digits):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "killed")],
        capture_output=True, text=True, timeout=300, cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    stores.write(model, digits["test"], tmp_path / "unbroken", batch_size=16, shard_size=16)
    assert files(tmp_path / "killed") == files(tmp_path / "unbroken")


def test_a_second_writer_is_refused(tmp_path, model, part):
    from keras_kd.stores._lock import locked

    with locked(tmp_path / ".writing-00000-of-00001.lock", "x"):
        with pytest.raises(stores.StoreError) as error:
            stores.write(model, part, tmp_path)
        assert f"is being written by process {os.getpid()} on " in str(error.value)
        assert "give each its own `shard_index`" in str(error.value)
    with locked(tmp_path / ".writing-00001-of-00003.lock", "x"):
        with pytest.raises(stores.StoreError, match=r"as one of 3 writers. Received: num_shards=1"):
            stores.write(model, part, tmp_path)
        other = {"shard_index": 0, "num_shards": 3}
        assert stores.write(model, part, tmp_path / "", **other) is not None  # all in one shard
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    (tmp_path / ".writing-00000-of-00001.lock").write_text(
        "process 1 on here"
    )  # left by a dead one
    assert stores.write(model, part, tmp_path).examples == 200
    assert not list(tmp_path.glob(".*"))


def test_written_again_nothing_is_asked_and_nothing_changes(tmp_path, model, part, monkeypatch):
    stores.write(model, part, tmp_path, batch_size=32)
    before = files(tmp_path)
    monkeypatch.setattr(stores._teacher_outputs.TeacherOutputs, "compute", None)
    stores.write(model, part, tmp_path, batch_size=32)
    assert files(tmp_path) == before


def test_a_removed_shard_is_written_again(tmp_path, model, part):
    stores.write(model, part, tmp_path, batch_size=32, shard_size=64)
    before = files(tmp_path)
    shutil.rmtree(tmp_path / "shard-00002")
    stores.write(model, part, tmp_path, batch_size=32, shard_size=64)
    assert files(tmp_path) == before


def test_other_settings_in_the_same_folder(tmp_path, model, part):
    stores.write(model, part, tmp_path)
    with pytest.raises(stores.StoreError) as error:
        stores.write(teacher(seed=1), part, tmp_path)
    assert "holds a store written otherwise: teacher.fingerprint is '" in str(error.value)
    with pytest.raises(stores.StoreError, match=r"batch_size is 128 there and 64 now"):
        stores.write(model, part, tmp_path, batch_size=64)


def test_other_order_when_going_on(tmp_path, model, part):
    stores.write(model, part, tmp_path, batch_size=32, shard_size=64)
    order = np.arange(200)
    order[70], order[80] = 80, 70
    with pytest.raises(stores.StoreError) as error:
        stores.write(model, part.take(order), tmp_path, batch_size=32, shard_size=64)
    assert "shard-00001 of" in str(error.value)
    assert "'digits/01237' now stands where another stood" in str(error.value)
    with pytest.raises(stores.StoreError, match=r"the data now end after 20 of them"):
        stores.write(model, part.take(order[:20]), tmp_path / "", batch_size=32, shard_size=64)


def test_a_disk_that_is_too_small(tmp_path, model, part, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5000))
    with pytest.raises(stores.StoreError) as error:
        stores.write(model, part, tmp_path)
    assert "would take 16.8 kB (200 examples of 20 bytes)" in str(error.value)
    assert "has 5.0 kB left" in str(error.value)
    assert not list(tmp_path.glob("shard*"))


def test_two_examples_with_one_id(tmp_path, model, part):
    ids = part.ids.copy()
    ids[150] = ids[3]
    with pytest.raises(stores.StoreError, match=r"1 ids stand for more than one example, 'digits"):
        stores.write(model, kd.data.Part(part.x, part.y, ids), tmp_path)


def test_answers_that_cannot_be_kept(tmp_path, part):
    large = teacher(scale=300.0)
    with pytest.raises(stores.StoreError) as error:
        stores.write(large, part, tmp_path / "large")
    assert "'output' for the example 'digits/01157' is beyond what float16 holds" in str(
        error.value
    )
    x = part.x.copy()
    x[70] = np.nan
    with pytest.raises(stores.StoreError) as error:
        plain = keras.Sequential([keras.layers.Flatten(), keras.layers.Rescaling(2.0)], name="t")
        stores.write(plain, kd.data.Part(x, part.y, part.ids), tmp_path / "nan")
    assert str(error.value) == (
        "The teacher's 'output' for the example 'digits/01227' holds NaN or infinite values."
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"addresses": "output"}, r"`addresses` must be a list of different paths"),
        ({"addresses": ("otput",)}, r"No layer 'otput' in teacher 'teacher', named by stores.write"),
        ({"dtype": "float64"}, r"`dtype` must be one of 'float16', 'float32', 'int8'"),
        ({"views": 0}, r"`views` must be a whole number of at least 1. Received: views=0"),
        ({"views": 2}, r"Without `augment` all views of an example are alike"),
        ({"top_k": 11}, r"`top_k` must be between 1 and the number of classes"),
        ({"top_k": 2, "top_p": 0.5, "dtype": "int8"}, r"with `top_p`, logits are float16 or float32"),
        ({"top_k": 2, "temperatures": 0}, r"`temperatures` must be above 0"),
        ({"shard_index": 2, "num_shards": 2}, r"`shard_index` must be from 0 to num_shards - 1 = 1"),
        ({"shard_size": 100}, r"`shard_size` must be a multiple of batch_size=128"),
    ],
)  # fmt: skip
def test_words_of_wrong_arguments(tmp_path, model, part, wrong, words):
    with pytest.raises(ValueError, match=words):
        stores.write(model, part, tmp_path, **wrong)


def test_data_without_ids(tmp_path, model, part):
    tf = pytest.importorskip("tensorflow")
    for data in (tf.data.Dataset.from_tensor_slices((part.x, part.y)), lambda: iter([(1, 2)])):
        with pytest.raises(ValueError, match=r"Examples with ids come as \{'id': ..., 'x': ..."):
            stores.write(model, data, tmp_path)
    with pytest.raises(TypeError, match=r"`data` must be a keras_kd.data.Part, a tf.data.Dataset"):
        stores.write(model, (part.x, part.y), tmp_path)


def test_the_manifest_tells_all(written, model):
    content = json.loads((written / "manifest.json").read_text())
    settings = content["settings"]
    assert content["format"] == 2
    assert content["examples"] == 200
    assert len(content["shards"]) == 4
    weights = settings["teacher"].pop("weights")
    assert settings["teacher"] == {"name": "teacher", "fingerprint": stores.fingerprint(model)}
    assert len(weights) == 32
    assert settings["signals"] == [
        {
            "address": "output",
            "codec": "dense",
            "dtype": "float32",
            "shape": [10],
            "values": "logits",
        }
    ]
    assert settings["data"]["inputs"] == [{"dtype": "float32", "shape": [8, 8, 1]}]


def test_writers_that_saw_data_of_different_lengths(tmp_path, model, part):
    writers = [
        {"shard_index": index, "num_shards": 2, "batch_size": 32, "shard_size": 64}
        for index in (0, 1)
    ]
    stores.write(model, part.take(np.arange(198)), tmp_path, **writers[1])
    with pytest.raises(stores.StoreError, match=r"hold 198 examples, expected 200: they were writ"):
        stores.write(model, part, tmp_path, **writers[0])


def test_a_set_that_grew(tmp_path, model, part):
    settings = {"batch_size": 32, "shard_size": 64}
    stores.write(model, part.take(np.arange(198)), tmp_path, **settings)
    with pytest.raises(stores.StoreError, match=r"shard-00003 of '.*' was written for other examp"):
        stores.write(model, part, tmp_path, **settings)


def test_the_manifest_says_what_the_values_are(tmp_path, part):
    inputs = keras.Input((8, 8, 1))
    h = keras.layers.Flatten(name="flat")(inputs)
    logits = keras.layers.Dense(CLASSES)(h)
    chances = keras.layers.Softmax(name="chances")(logits)
    model = keras.Model(inputs, keras.layers.Identity()(keras.ops.log(chances)))
    manifest = stores.write(model, part, tmp_path, addresses=("output", "flat", "chances"))
    expected = {"output": "logits", "flat": "features", "chances": "probabilities"}
    assert manifest.values == stores.Store(tmp_path).manifest.values == expected


def test_where_the_manifest_does_not_say_it_the_values_do(tmp_path, part, monkeypatch):
    """As in stores of format 1."""
    model = keras.Sequential([teacher(), keras.layers.Softmax()])
    with monkeypatch.context() as before:
        before.setattr("keras_kd.stores._writer.check_ending", lambda *_: None)
        before.setattr("keras_kd.stores._logit_checks.values_of", lambda said: dict.fromkeys(said))
        stores.write(model, part, tmp_path)
    with pytest.raises(stores.StoreError, match=r"holds no logits: its 'output' is probabilities"):
        stores.read(tmp_path, part)
