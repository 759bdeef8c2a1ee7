"""Reading: joined by id, in the same views, and never silently wrong."""

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
from tests.models import cross_entropy
from tests.stores.conftest import CLASSES, teacher

AUGMENT = kd.data.Augment(kd.data.Crop(1), kd.data.Flip(), kd.data.Color(), seed=3)


def student():
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(CLASSES)]
    )
    rng = np.random.default_rng(5)
    model.set_weights([rng.normal(0, 0.1, w.shape).astype("float32") for w in model.get_weights()])
    return model


def trained(data, teacher=None, epochs=4, terms=None):
    distiller = kd.Distiller(student=student(), teacher=teacher, terms=terms)
    distiller.compile(keras.optimizers.Adam(1e-2), cross_entropy())
    return distiller.fit(data, epochs=epochs, shuffle=False, verbose=0).history["loss"]


def forms(part):
    tf = pytest.importorskip("tensorflow")
    return {
        "part": part,
        "batches": kd.data.Batches(part, batch_size=32),
        "tf": kd.data.tf_data(part),
        "tf_batched": kd.data.tf_data(part).batch(32),
        "generator": lambda: iter(
            {"id": tf.compat.as_str(i), "x": x, "y": y}
            for i, x, y in zip(part.ids, part.x, part.y, strict=True)
        ),
    }


@pytest.mark.parametrize("form", ["part", "batches", "tf", "tf_batched", "generator"])
@pytest.mark.parametrize("order", ["as_written", "shuffled", "some"])
def test_joined_by_id_whatever_the_order(written, model, part, form, order):
    positions = {
        "as_written": np.arange(200),
        "shuffled": np.random.default_rng(0).permutation(200),
        "some": np.arange(150, 30, -7),
    }[order]
    some = part.take(positions)
    batches = list(stores.read(written, forms(some)[form], batch_size=32))
    x, y = (
        np.concatenate([np.asarray(b) for b in each])
        for each in zip(*((b["inputs"], y) for b, y in batches), strict=True)
    )
    said = np.concatenate([np.asarray(b["signals"]["teacher:output"]) for b, _ in batches])
    np.testing.assert_array_equal(x, some.x)
    np.testing.assert_array_equal(y, some.y)
    live = ops.convert_to_numpy(model(some.x, training=False))
    np.testing.assert_allclose(said, live, atol=1e-6)


@pytest.mark.parametrize("form", ["tf", "tf_batched"])
def test_keras_is_told_how_many_batches_there_are(written, part, form):
    assert int(stores.read(written, forms(part)[form], batch_size=32).cardinality()) == 7


@pytest.mark.parametrize(
    ("dtype", "tolerance", "form"), [("float16", 1e-3, "part"), ("float32", 1e-6, "tf")]
)
def test_training_from_a_store_equals_training_live(tmp_path, part, dtype, tolerance, form):
    views = {"augment": AUGMENT, "views": 3}
    stores.write(teacher(), part, tmp_path, dtype=dtype, **views)
    data = forms(part)[form]
    live = trained(kd.data.feed(data, batch_size=50, **views), teacher=teacher())
    stored = trained(stores.read(tmp_path, forms(part)[form], batch_size=50))
    assert live[-1] < live[0]
    np.testing.assert_allclose(stored, live, rtol=tolerance, atol=0)
    assert len(set(live)) == 4


def test_shuffled_epochs_equal_live_ones(written, part):
    shuffled = {"batch_size": 50, "shuffle": True, "seed": 4}
    live = trained(kd.data.feed(part, **shuffled), teacher=teacher())
    stored = trained(stores.read(written, part, **shuffled))
    np.testing.assert_allclose(stored, live, rtol=1e-6)
    batches = [stores.read(written, part, **{**shuffled, "seed": s})[0] for s in (4, 5)]
    assert (batches[0][1] != batches[1][1]).any()


def test_training_from_the_largest_logits(tmp_path, part):
    stores.write(teacher(), part, tmp_path, top_k=3, temperatures=2.0)
    terms = [kd.Labels(0.5), kd.Term(kd.losses.SparseSoftTarget(2.0), weight=0.5)]
    losses = [trained(stores.read(tmp_path, forms(part)[f]), terms=terms) for f in ("tf", "part")]
    assert losses[0][-1] < losses[0][0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_features_and_two_teachers(tmp_path, part):
    for role, seed in (("big", 1), ("old", 2)):
        stores.write(
            teacher(seed=seed), part, tmp_path / role, addresses=("output", "flat"), dtype="float32"
        )
    data = stores.read({role: tmp_path / role for role in ("big", "old")}, part, batch_size=50)
    batch, _ = data[0]
    assert sorted(batch["signals"]) == ["big:flat", "big:output", "old:flat", "old:output"]
    live = {"big": teacher("big", seed=1), "old": teacher("old", seed=2)}
    terms = [kd.Term(kd.losses.SoftTarget(2.0), target=f"{role}:output") for role in live]
    distiller = kd.Distiller(student=student(), teacher=live, terms=terms)
    distiller.compile("sgd")
    losses = [distiller.evaluate(d, verbose=0) for d in (data, kd.data.feed(part, batch_size=50))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_views_follow_the_epochs(tmp_path, part):
    stores.write(teacher(), part, tmp_path, augment=AUGMENT, views=2)
    for form in ("part", "tf", "tf_batched"):
        data = stores.read(tmp_path, forms(part)[form], batch_size=32)
        for epoch in range(3):
            batches = [data[i] for i in range(len(data))] if form == "part" else list(data)
            x = np.concatenate([np.asarray(b["inputs"]) for b, _ in batches])
            np.testing.assert_array_equal(x, AUGMENT(part.x, ids=part.ids, views=epoch % 2))
            if form == "part":
                data.on_epoch_end()


WITHOUT_TENSORFLOW = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "torch", "tensorflow_datasets"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
import keras, keras_kd as kd
from keras_kd import stores
part = kd.data.load("digits")["test"]
def net(): return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
teacher = net()
stores.write(teacher, part, "answers")
distiller = kd.Distiller(student=net())
distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
losses = distiller.fit(stores.read("answers", part), epochs=3, verbose=0).history["loss"]
assert losses[-1] < losses[0]
assert stores.verify("answers", part, teacher).examples == 256
try:
    stores.write(net(), part, "views", augment=kd.data.Augment(kd.data.Flip()))
except ModuleNotFoundError as error:
    print(error)
"""


def test_jax_alone_writes_and_reads(tmp_path, backend):
    if backend != "jax":
        pytest.skip("a process of its own, once")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW],
        capture_output=True, text=True, timeout=300, cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": root},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(
        "keras_kd.data.Augment draws views with tensorflow, which is not installed. Run: pip install tensorflow."
    )


# Errors.


@pytest.fixture
def copied(written, tmp_path):
    shutil.copytree(written, tmp_path / "copy")
    return tmp_path / "copy"


def said(error):
    return str(error.value)


def test_a_missing_id_is_named(written, digits):
    data = stores.read(written, digits["test"], batch_size=128, check=False)
    data[0]
    with pytest.raises(stores.StoreError) as error:
        data[1]
    assert "has no outputs for the example 'digits/01357' (and 55 more of these)" in said(error)
    assert "It was written for 200 examples, such as 'digits/01157'" in said(error)
    stream = stores.read(written, kd.data.tf_data(digits["test"]), check=False)
    with pytest.raises(Exception, match=r"has no outputs for the example 'digits/01357'"):
        list(stream)
    longer = kd.data.Part(
        digits.x_test[:2], digits.y_test[:2], np.array(["a" * 99, "digits/01157"])
    )
    with pytest.raises(stores.StoreError, match=r"has no outputs for the example 'aaaa"):
        stores.read(written, longer)


def test_other_data_under_the_same_ids(written, part):
    for x in (part.x * 16, part.x[::-1], part.x[:, :, ::-1], part.x + 0.03):
        other = kd.data.Part(x, part.y, part.ids)
        for data in (other, kd.data.tf_data(other), kd.data.tf_data(other).batch(9)):
            with pytest.raises(stores.StoreError, match=r"was written for other data: the example"):
                stores.read(written, data)
    with pytest.raises(stores.StoreError, match=r"was written for inputs of shape \[\(8, 8, 1\)\]"):
        stores.read(written, kd.data.Part(part.x[:, :4], part.y, part.ids))
    # Preprocessed once more, the last digits may differ.
    stores.read(written, kd.data.Part(part.x * np.float32(1 + 1e-6), part.y, part.ids))


def test_another_teacher(written, part, model):
    stores.read(written, part, teacher=model)
    stores.read(written, part, teacher=stores.fingerprint(model))
    with pytest.raises(stores.StoreError) as error:
        stores.read(written, part, teacher=teacher("rival", seed=1))
    assert "holds the outputs of the teacher 'teacher' with the fingerprint" in said(error)
    assert "the teacher 'rival' given has" in said(error)
    stores.read(written, part, teacher="teacher")
    with pytest.raises(stores.StoreError, match=r"Received: teacher='rival', which is neither"):
        stores.read(written, part, teacher="rival")


def test_other_views(written, tmp_path, part):
    with pytest.raises(stores.StoreError, match=r"were computed for the examples as they are"):
        stores.read(written, part, augment=AUGMENT)
    stores.write(teacher(), part, tmp_path, augment=AUGMENT, views=2)
    stores.read(tmp_path, part, augment=kd.data.Augment(*AUGMENT.steps, seed=3))
    with pytest.raises(
        stores.StoreError, match=r"were computed otherwise: seed is 3 there and 4 now"
    ):
        stores.read(tmp_path, part, augment=kd.data.Augment(*AUGMENT.steps, seed=4))
    other = kd.data.Augment(kd.data.Crop(2), *AUGMENT.steps[1:], seed=3)
    with pytest.raises(stores.StoreError, match=r"otherwise: steps is \[\{.*'padding': 1,.*now"):
        stores.read(tmp_path, part, augment=other)
    with pytest.raises(stores.StoreError, match=r"hold outputs for different views"):
        stores.read({"a": written, "b": tmp_path}, part)


def test_another_temperature(tmp_path, part):
    stores.write(teacher(), part, tmp_path, top_k=3, temperatures=(1.0, 4.0))
    with pytest.raises(
        stores.StoreError, match=r"at the temperatures 1, 4. Give the one that the loss"
    ):
        stores.read(tmp_path, part)
    with pytest.raises(stores.StoreError, match=r"cannot be had from another. Received: temper"):
        stores.read(tmp_path, part, temperature=2.0)
    stores.read(tmp_path, part, temperature=4.0)


@pytest.mark.parametrize("form", ["part", "tf", "tf_batched"])
def test_the_last_batch_is_smaller_and_its_answers_are_its_own(
    tmp_path, part, form, model, monkeypatch
):
    """Written in batches of 64, the last one padded; read in batches of 48, the last one short."""
    some, sizes = part.take(np.arange(150)), []
    ask = stores._teacher_outputs.TeacherOutputs.predict_on_batch

    def asked(self, x):
        sizes.append(len(x))
        return ask(self, x)

    monkeypatch.setattr(stores._teacher_outputs.TeacherOutputs, "predict_on_batch", asked)
    stores.write(model, forms(some)[form], tmp_path, batch_size=64, dtype="float32")
    assert sizes == [64, 64, 64]  # one shape: the compiled teacher computes all alike
    assert np.load(tmp_path / "shard-00000" / "0-output.values.npy").shape == (150, 1, CLASSES)
    batches = list(stores.read(tmp_path, kd.data.tf_data(some), batch_size=48))
    said = [np.asarray(b["signals"]["teacher:output"]) for b, _ in batches]
    assert [len(answers) for answers in said] == [48, 48, 48, 6]
    live = ops.convert_to_numpy(model(some.x, training=False))
    np.testing.assert_allclose(np.concatenate(said), live, atol=1e-6)


def test_no_store_and_an_unfinished_one(tmp_path, part):
    with pytest.raises(stores.StoreError, match=r"There is no store in '.*': no manifest.json"):
        stores.read(tmp_path, part)
    stores.write(teacher(), part, tmp_path, batch_size=32, shard_size=64, num_shards=2)
    with pytest.raises(stores.StoreError) as error:
        stores.read(tmp_path, part)
    assert "is not finished: 2 of 4 shards are missing (shard-00001, shard-00003)" in said(error)


def test_a_newer_format(copied, part):
    content = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps({**content, "format": 6}))
    with pytest.raises(stores.StoreError) as error:
        stores.read(copied, part)
    assert "has format 6, and this version of keras_kd reads formats up to 5" in said(error)


def test_a_missing_shard(copied, part):
    shutil.rmtree(copied / "shard-00001")
    with pytest.raises(
        stores.StoreError, match=r"^shard-00001 of the store '.*' is missing: no file"
    ):
        stores.read(copied, part)


def _load(folder, part, model):
    data = stores.read(folder, part, batch_size=200)
    return data[0][0]["signals"]["teacher:output"]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("how", ["truncated", "longer", "bit", "noise", "empty"])
def test_every_damaged_file_is_found(written, copied, part, model, how, large, monkeypatch):
    if large:  # then no more is read than is asked for
        monkeypatch.setattr(stores._columns, "BUDGET", 0)
    whole = _load(written, part, model)
    rng = np.random.default_rng(0)
    seen = 0
    for path in sorted(copied.rglob("*")):
        if not path.is_file() or path.name in ("shard.json", "examples.json"):
            continue  # read while writing only
        before = path.read_bytes()
        for where in (0.0, 0.2, 0.5, 0.7, 1.0):
            place = int(where * (len(before) - 1))
            after = bytearray(before)
            if how == "bit":
                after[place] ^= 1
            elif how == "noise":
                after[place : place + 64] = rng.bytes(len(after[place : place + 64]))
            else:
                after = {
                    "truncated": before[:place], "longer": before + b"\0", "empty": b""
                }[how]  # fmt: skip
            if bytes(after) == before:
                continue
            path.write_bytes(bytes(after))
            seen += 1
            try:
                answers = _load(copied, part, model)
            except stores.StoreError as error:
                assert path.parent.name in str(error) or path.name in str(error), error
            else:  # white space in a JSON file; or what the index made needless
                assert path.name in ("manifest.json", "ids.npy")
                np.testing.assert_array_equal(answers, whole)
                if path.name == "ids.npy":
                    with pytest.raises(
                        stores.StoreError, match=r"ids.npy' does not have the check"
                    ):
                        stores.verify(copied, part, model)
        path.write_bytes(before)
    assert seen > 20
    np.testing.assert_array_equal(_load(copied, part, model), whole)


def test_verify(tmp_path, part, model, copied, written):
    result = stores.verify(written, part, model, sample=50)
    assert result.examples == 50
    assert result.largest["output"] < 1e-5
    with pytest.raises(stores.StoreError, match=r"its weights are others"):
        stores.verify(written, part, teacher(seed=1))
    path = copied / "shard-00003" / "0-output.values.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(
        stores.StoreError, match=r"shard-00003 of the store .* is damaged: .*checksum"
    ):
        stores.verify(copied, part.take(np.arange(10)), model)


@pytest.mark.parametrize("kind", [{"dtype": "int8"}, {"top_k": 3}, {"dtype": "float16"}])
def test_verify_what_is_compressed_and_seen_in_views(tmp_path, part, model, kind):
    stores.write(model, part, tmp_path, augment=AUGMENT, views=2, addresses=("output",), **kind)
    result = stores.verify(tmp_path, kd.data.Batches(part, batch_size=33), model)
    assert result.examples == 200
    assert 0 < result.largest["output"] < 1 / 127


def test_of_a_large_store_what_is_read_is_checked(tmp_path, part, model, monkeypatch):
    for module in (stores._columns, stores._manifest):
        monkeypatch.setattr(module, "BLOCK", 256)
    monkeypatch.setattr(stores._columns, "BUDGET", 0)
    stores.write(model, part, tmp_path, dtype="float32")  # 40 bytes an answer
    path = tmp_path / "shard-00000" / "0-output.values.npy"
    content = bytearray(path.read_bytes())
    start = len(content) - 200 * 40
    content[start + 100 * 40] ^= 1  # in the answer for example 100
    path.write_bytes(bytes(content))
    store, views = stores.Store(tmp_path), np.zeros(200, int)
    block = (start + 100 * 40) // 256
    inside = [
        i for i in range(200) if (start + 40 * i) // 256 <= block <= (start + 40 * i + 39) // 256
    ]
    assert 100 in inside
    assert len(inside) < 10
    away = np.setdiff1d(np.arange(200), inside)
    store(part.ids[away], views[away])
    for example in inside:
        with pytest.raises(
            stores.StoreError, match=r"0-output.values.npy' does not have the check"
        ):
            store(part.ids[[example]], views[:1])
    stores.Store(tmp_path, check=False)(part.ids, views)
    with pytest.raises(stores.StoreError, match=r"0-output.values.npy' does not have the checksum"):
        stores.verify(tmp_path, part, model)


@pytest.mark.parametrize("pread", [True, False])
def test_a_large_store_is_read_piece_by_piece(tmp_path, monkeypatch, model, part, pread):
    from keras_kd.stores import _columns

    stores.write(model, part, tmp_path, batch_size=32, shard_size=32, addresses=("output", "maps"))
    views = np.zeros(200, int)
    held = stores.Store(tmp_path)(part.ids, views)
    monkeypatch.setattr(_columns, "BUDGET", 1000)
    monkeypatch.setattr(_columns, "OPEN", 3)
    if not pread:
        monkeypatch.delattr(os, "pread", raising=False)
    store = stores.Store(tmp_path)
    for order in (np.arange(200), np.arange(200)[::-1], np.random.default_rng(0).permutation(200)):
        pieces = store(part.ids[order], views)
        for address in held:
            np.testing.assert_array_equal(pieces[address], held[address][order])
    assert len(store.shards._open) == 3


def test_mixed_examples(tmp_path, part, model):
    pytest.importorskip("tensorflow")
    augment = kd.data.Augment(kd.data.Flip(), mix=kd.data.CutMix(CLASSES), seed=2)
    stores.write(model, part, tmp_path, augment=augment, views=2, dtype="float32", batch_size=64)
    data = stores.read(tmp_path, part.take(np.arange(200)[::-1]), batch_size=50)
    batch, y = data[3]
    live, labels = kd.data.feed(part, augment=augment, batch_size=50)[0]
    np.testing.assert_array_equal(batch["inputs"][::-1], live)
    np.testing.assert_array_equal(y[::-1], labels)
    said = ops.convert_to_numpy(model(live, training=False))
    np.testing.assert_allclose(batch["signals"]["teacher:output"][::-1], said, atol=1e-5)
    assert stores.verify(tmp_path, part, model, sample=40).examples == 40
    with pytest.raises(stores.StoreError, match=r"or only some of them \(100\). Give the very set"):
        stores.read(tmp_path, part.take(np.arange(100)))
    # Some of them, in another order, as tf.data.
    some = part.take(np.arange(0, 50, 3))
    (batch, y), *_ = stores.read(tmp_path, kd.data.tf_data(some), among=part, batch_size=50)
    np.testing.assert_array_equal(batch["inputs"], live[0:50:3])
    np.testing.assert_allclose(y, labels[0:50:3], atol=1e-6)
    np.testing.assert_allclose(batch["signals"]["teacher:output"], said[0:50:3], atol=1e-5)
