"""Texts of different lengths: padding takes no bytes; as few classes as hold most of the probability."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd as kd
from keras_kd import stores
from keras_kd.stores import _columns
from tests.stores.conftest import files
from tests.stores.test_sampled import softmax, stored

LENGTH, VOCABULARY, COUNT = 10, 12, 48


def texts(seed=0):
    """Token ids and their mask; some padded on the left, some with a hole."""
    rng = np.random.default_rng(seed)
    x = rng.integers(1, VOCABULARY, (COUNT, LENGTH)).astype("int32")
    mask = np.arange(LENGTH) < rng.integers(1, LENGTH, (COUNT, 1))
    mask[::5] = mask[::5, ::-1]
    mask[1] = rng.integers(0, 2, LENGTH)
    mask[2] = 0  # an empty text
    inputs = {"token_ids": x, "padding_mask": mask.astype("int32")}
    return kd.data.Part(inputs, x, [f"text/{i}" for i in range(COUNT)]), mask


def language_model(name="teacher", seed=0, broken=None, scale=0.8):
    ids = keras.Input((LENGTH,), dtype="int32", name="token_ids")
    mask = keras.Input((LENGTH,), dtype="int32", name="padding_mask")
    h = keras.layers.Embedding(VOCABULARY, 8, name="hidden")(ids)
    logits = keras.layers.Dense(VOCABULARY)(h)
    if broken is not None:  # at padding stands what must not matter
        logits = keras.ops.where(keras.ops.expand_dims(mask, -1) > 0, logits, broken)
    model = keras.Model({"token_ids": ids, "padding_mask": mask}, logits, name=name)
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.normal(0, scale, w.shape).astype("float32") for w in model.get_weights()]
    )
    return model


KINDS = {
    "dense": ({"dtype": "float32"}, 4 * VOCABULARY),
    "top_k": ({"top_k": 4}, 4 * 4 + 4),
    "sampled": ({"sampled": 8}, 16),
    "weighted": ({"sampled": 8, "sampling_power": 0.7}, 32),
}
FIXED = 2 + 8  # of an example: ten bits of the mask, and where it ends


@pytest.mark.parametrize("kind", KINDS)
def test_padding_takes_no_bytes_and_all_else_is_the_same(tmp_path, kind):
    part, mask = texts()
    settings, each = KINDS[kind]
    whole = stores.write(language_model(), part, tmp_path / "whole", **settings)
    manifest = stores.write(language_model(), part, tmp_path / "ragged", ragged=True, **settings)
    total = each * mask.sum() + FIXED * COUNT
    assert manifest.bytes_per_token() == pytest.approx(total / mask.sum())
    assert manifest.bytes_per_example() == round(total / COUNT)
    assert whole.bytes_per_token() == each
    assert manifest.content["format"] == 4
    store = stores.Store(tmp_path / "ragged")
    signals = store(part.ids, np.zeros(COUNT, int))
    assert (signals["mask"] == mask).all()
    pairs = zip(
        keras.tree.flatten(stored(tmp_path / "whole", part)),
        keras.tree.flatten(signals["teacher:output"]),
        strict=True,
    )
    for before, now in pairs:
        assert before.shape == now.shape and before.dtype == now.dtype
        np.testing.assert_array_equal(before[mask], now[mask])
        assert (now[~mask] == 0).all()


@pytest.mark.parametrize("large", [False, True], ids=["in memory", "in pieces"])
@pytest.mark.parametrize("settings", [{"sampled": 3}, {"top_k": 6, "top_p": 0.8}], ids=str)
def test_any_order_of_any_examples_of_several_shards(tmp_path, settings, large, monkeypatch):
    part, _ = texts()
    settings = {**settings, "ragged": True, "batch_size": 8}
    stores.write(language_model(), part, tmp_path / "one", **settings)
    stores.write(language_model(), part, tmp_path / "six", shard_size=8, **settings)
    if large:
        monkeypatch.setattr(_columns, "BUDGET", 0)
    wanted = stored(tmp_path / "one", part)
    store = stores.Store(tmp_path / "six")
    for order in (np.arange(COUNT)[::-1], np.random.default_rng(0).permutation(COUNT)[:20], [7]):
        found = store(part.ids[order], np.zeros(len(order), int))["teacher:output"]
        for a, b in zip(wanted, found, strict=True):
            np.testing.assert_array_equal(a[order], b)


def test_several_writers_and_a_lost_shard(tmp_path):
    part, _ = texts()
    settings = {"top_k": 5, "top_p": 0.9, "ragged": True, "batch_size": 16, "shard_size": 16}
    model = language_model()
    stores.write(model, part, tmp_path / "one", **settings)
    for index in (2, 0, 1):
        stores.write(model, part, tmp_path / "all", shard_index=index, num_shards=3, **settings)
    assert files(tmp_path / "all") == files(tmp_path / "one")
    for file in (tmp_path / "all" / "shard-00001").iterdir():
        file.unlink()
    (tmp_path / "all" / "shard-00001").rmdir()
    stores.write(model, part, tmp_path / "all", **settings)
    assert files(tmp_path / "all") == files(tmp_path / "one")
    stores.verify(tmp_path / "all", part, model, sample=COUNT)
    with pytest.raises(stores.StoreError, match=r"written otherwise"):
        stores.write(model, part, tmp_path / "all", **{**settings, "ragged": False})


def test_rows_of_several_views_lie_by_example(tmp_path):
    from keras_kd.stores._shard_writer import _by_example

    views = [np.array([1, 1, 3]), np.array([10, 30, 30])]
    counts = np.array([[2, 1], [0, 0], [1, 2]])
    assert _by_example(views, counts).tolist() == [1, 1, 10, 3, 30, 30]


@pytest.mark.parametrize("p", [0.5, 0.9, 1.0])
def test_as_few_classes_as_have_that_probability(tmp_path, p):
    part, _ = texts()
    model = language_model()
    manifest = stores.write(model, part, tmp_path, top_k=6, top_p=p, dtype="float32")
    values, classes, sums = stored(tmp_path, part)
    chances = -np.sort(-softmax(ops.convert_to_numpy(model(part.x))), -1)
    sizes = np.minimum(((np.cumsum(chances, -1) - chances) < p).sum(-1), 6)
    assert (sizes.min() >= 1 and sizes.std() > 0) or p == 1.0
    known = np.arange(6) < sizes[..., None]
    found = np.exp(values - sums[..., None])
    np.testing.assert_allclose(found[known], chances[..., :6][known], rtol=1e-4)
    assert (values[~known] == -1e4).all()
    assert (np.where(known, classes[..., :1], classes) == classes[..., :1])[~known].all()
    each = 4 + 2  # of a class; of a position the log-sum-exp and how many there are
    total = each * sizes.sum() + (4 + 1) * sizes.size + 8 * COUNT
    assert manifest.bytes_per_token() == pytest.approx(total / sizes.size)
    full = stores.write(model, part, tmp_path / "k", top_k=6, dtype="float32").bytes_per_token()
    assert (manifest.bytes_per_token() < full - 3) == (p < 1)


@pytest.mark.parametrize(
    "settings", [{"top_k": 4}, {"sampled": 8}, {"top_k": 8, "top_p": 0.9}, {}], ids=str
)
def test_training_from_it_is_training_from_all_of_it(tmp_path, settings):
    """And NaN at padding matters neither when writing nor when training."""
    part, _ = texts()
    losses, weights = [], []
    loss = {"top_k": kd.losses.SparseSoftTarget, "sampled": kd.losses.SampledSoftTarget}
    kind = loss.get(next(iter(settings), ""), kd.losses.SoftTarget)()
    for ragged, broken in ((False, None), (True, float("nan")), (False, float("nan")),
                           (False, float("inf"))):  # fmt: skip
        path = tmp_path / f"{ragged}{broken}"
        model = language_model(broken=broken)
        stores.write(model, part, path, ragged=ragged, **settings)
        stores.verify(path, part, model)
        student = language_model("s", 3)
        distiller = kd.Distiller(student=student, terms=[kd.Term(kind)])
        distiller.compile(keras.optimizers.SGD(0.5))
        data = stores.read(path, part, batch_size=16, shuffle=True, teacher=lambda x, m=model: m(x))
        losses.append(distiller.fit(data, epochs=2, verbose=0, shuffle=False).history["loss"])
        weights.append(student.get_weights())
    for other, moved in zip(losses[1:], weights[1:], strict=True):
        assert losses[0] == pytest.approx(other, rel=1e-5)
        for one, two in zip(weights[0], moved, strict=True):
            np.testing.assert_allclose(one, two, atol=1e-5)
    assert losses[0][1] < losses[0][0]


@pytest.mark.parametrize("part_of", ["values", "log_sum_exp"])
def test_nan_at_padding_in_what_others_stored(part_of):
    """The largest logits come with the batch, as another program made them."""
    part, mask = texts()
    logits = ops.convert_to_numpy(language_model()(part.x))
    order = np.argsort(-logits)[..., :4].astype("int32")
    losses, moved = [], []
    for broken in (0.0, np.nan):
        values, sums = np.take_along_axis(logits, order, -1), np.log(np.exp(logits).sum(-1))
        {"values": values, "log_sum_exp": sums}[part_of][~mask] = broken
        signals = {"teacher:output": (values, np.where(mask[..., None], order, 0), sums)}
        student = language_model("s", 3)
        term = kd.Term(kd.losses.SparseSoftTarget())
        distiller = kd.Distiller(student=student, terms=[term])
        distiller.compile(keras.optimizers.SGD(0.5))
        x = {"inputs": part.x, "signals": signals}
        losses.append(distiller.fit(x, epochs=2, verbose=0, shuffle=False).history["loss"])
        moved.append(student.get_weights())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6) and losses[0][1] < losses[0][0]
    for one, two in zip(*moved, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_the_mask_that_keras_made(tmp_path):
    ids = keras.Input((LENGTH,), dtype="int32")
    h = keras.layers.Embedding(VOCABULARY, 8, mask_zero=True, name="hidden")(ids)
    model = keras.Model(ids, keras.layers.Dense(VOCABULARY)(h))
    _, mask = texts()
    x = np.where(mask, texts()[0].x["token_ids"], 0)
    part = kd.data.Part(x, x, texts()[0].ids)
    addresses = {"addresses": ("output", "hidden"), "dtype": "float32"}
    stores.write(model, part, tmp_path, ragged=True, **addresses)
    signals = stores.Store(tmp_path)(part.ids, np.zeros(COUNT, int))
    assert (signals["mask"] == mask).all()
    assert (signals["teacher:hidden"][~mask] == 0).all()
    assert (signals["teacher:hidden"][mask] != 0).any(axis=-1).all()
    data = stores.read(tmp_path, kd.data.tf_data(part).batch(16))
    assert next(iter(data))[0]["signals"]["mask"].shape == (16, LENGTH)


def test_a_nan_where_a_position_counts_is_named(tmp_path):
    part, mask = texts()
    model = language_model()

    def function(x):
        logits = ops.convert_to_numpy(model(x)).copy()
        logits[7, np.argmax(mask[7])] = np.nan
        return logits

    for settings in ({}, {"top_k": 3, "top_p": 0.5}):
        with pytest.raises(stores.StoreError, match=r"for the example 'text/7' holds NaN"):
            stores.write(function, part, tmp_path, ragged=True, name="f", **settings)
        for file in tmp_path.glob("*"):
            file.unlink()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"top_p": 0.9}, r"give the most that may be, such as top_k=64"),
        ({"top_p": 0.0, "top_k": 4}, r"`top_p` is a probability above 0 and at most 1"),
        ({"top_p": True, "top_k": 4}, r"`top_p` is a probability above 0 and at most 1"),
        ({"top_p": 0.9, "top_k": 40}, r"`top_k` must be between 1 and the number of classes"),
    ],
)
def test_wrong_arguments(tmp_path, wrong, words):
    with pytest.raises(ValueError, match=words):
        stores.write(language_model(), texts()[0], tmp_path, **wrong)


def test_nothing_says_what_is_padding(tmp_path, part, model):
    ids = keras.Input((LENGTH,), dtype="int32")
    plain = keras.Model(ids, keras.layers.Embedding(VOCABULARY, 5)(ids))
    given = kd.data.Part(texts()[0].x["token_ids"], None, texts()[0].ids)
    with pytest.raises(
        stores.StoreError, match=r"nothing says which positions of 'output' are pad"
    ):
        stores.write(plain, given, tmp_path / "a", ragged=True)
    function = lambda x: ops.convert_to_numpy(plain(x))  # noqa: E731
    with pytest.raises(
        stores.StoreError, match=r"nothing says which positions of 'output' are pad"
    ):
        stores.write(function, given, tmp_path / "b", ragged=True, name="f")
    with pytest.raises(ValueError, match=r"'output' has the shape \(None, 10\): no positions"):
        stores.write(model, part, tmp_path / "c", ragged=True)
