"""Classes drawn from the teacher's distribution: unbiased, repeatable, small."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd as kd
from keras_kd import stores
from keras_kd._trainers._programs import value_and_gradient
from keras_kd.stores._draws import Draws
from tests.stores.conftest import CLASSES, files

LENGTH, VOCABULARY = 5, 12


def tokens(count=48, seed=0):
    x = np.random.default_rng(seed).integers(1, VOCABULARY, (count, LENGTH)).astype("int32")
    return kd.data.Part(x, x, [f"text/{i}" for i in range(count)])


def language_model(name="teacher", seed=0):
    inputs = keras.Input((LENGTH,), dtype="int32")
    h = keras.layers.Embedding(VOCABULARY, 8)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(VOCABULARY)(h), name=name)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 1.0, w.shape).astype("float32") for w in model.get_weights()])
    return model


def stored(path, part, **settings):
    return stores.Store(path, **settings)(part.ids, np.zeros(len(part), int))["teacher:output"]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize(("power", "each"), [(1.0, 16), (0.8, 32)])
def test_what_a_token_takes(tmp_path, power, each):
    part = tokens()
    manifest = stores.write(language_model(), part, tmp_path, sampled=8, sampling_power=power)
    assert manifest.bytes_per_example() == LENGTH * each
    weights, classes = stored(tmp_path, part)
    assert weights.shape == classes.shape == (48, LENGTH, 8)
    assert (weights.dtype, classes.dtype) == ("float32", "int32")
    assert (weights == 1 / 8).all() == (power == 1.0)
    assert manifest.content["format"] == 4


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_draws_are_the_distribution_on_average(tmp_path, power):
    part = tokens(400)
    part = kd.data.Part(np.tile(part.x[:1], (400, 1)), None, part.ids)  # one text, 400 times
    model = language_model()
    stores.write(model, part, tmp_path, sampled=3, sampling_power=power, temperatures=2.0)
    weights, classes = stored(tmp_path, part)
    one_hot = np.eye(VOCABULARY)[classes] * weights[..., None]
    rows = one_hot.sum(axis=2)  # of each draw, what it says the distribution is
    wanted = softmax(ops.convert_to_numpy(model(part.x[:1])) / 2.0)[0]
    error = rows.std(axis=0) / np.sqrt(400)
    assert (np.abs(rows.mean(axis=0) - wanted) <= 3.5 * error + 1e-4).all()
    assert rows.std(axis=0).max() > 0.01


def gradient(loss, target, logits):
    return value_and_gradient(lambda t, s: loss(t, s), target, logits)[1]


def test_the_mean_gradient_is_the_full_one_and_that_of_the_largest_is_not():
    """1,000 draws: within three standard errors of all logits; the k largest are far outside."""
    rng = np.random.default_rng(0)
    t, s = rng.normal(size=(2, 1, 20)).astype("float32")
    full = gradient(kd.losses.SoftTarget(1.0), t, s)[0]
    loss = kd.losses.SampledSoftTarget(1.0)
    codec = Draws((20,), k=4, temperature=1.0, power=1.0, seed=0)
    ids = np.array([f"draw/{i}" for i in range(1000)])
    starts = codec.starts(ids, np.zeros(1000, int))
    (classes,) = codec.prepare(np.tile(t, (1000, 1)), starts)
    target = codec.decode(codec.encode([ops.convert_to_numpy(classes)]))
    found = 1000 * gradient(loss, tuple(target), np.tile(s, (1000, 1)))  # the loss is a mean
    # Each class comes floor(k p) or ceil(k p) times: its standard error is known.
    share = 4 * softmax(t)[0] % 1
    error = np.sqrt(share * (1 - share)) / 4 / np.sqrt(1000)
    assert (np.abs(found.mean(axis=0) - full) <= 3 * error + 1e-6).all()
    np.testing.assert_allclose(found.std(axis=0), error * np.sqrt(1000), rtol=0.3, atol=0.02)
    order = np.argsort(-t, -1)[:, :4]
    largest = np.take_along_axis(t, order, -1), order, np.log(np.exp(t).sum(-1))
    biased = gradient(kd.losses.SparseSoftTarget(1.0), largest, s)[0]
    assert (np.abs(biased - full) > 3 * error).any()
    assert np.abs(biased - full).max() > 3 * np.abs(found.mean(axis=0) - full).max()


def test_even_places_vary_less_than_independent_draws():
    p = np.array([[0.55, 0.25, 0.15, 0.05]], "float32")
    codec = Draws((4,), k=8, temperature=1.0, power=1.0, seed=0)
    starts = codec.starts(np.array([str(i) for i in range(300)]), np.zeros(300, int))
    (classes,) = codec.prepare(np.tile(np.log(p), (300, 1)), starts)
    counts = np.eye(4)[ops.convert_to_numpy(classes)].sum(axis=1)
    assert (np.abs(counts - 8 * p) < 1 + 1e-4).all()
    assert (counts.std(axis=0) < np.sqrt(8 * p * (1 - p))).all()


def test_draws_follow_from_id_view_and_seed(tmp_path):
    part, model = tokens(), language_model()
    settings = {"sampled": 4, "batch_size": 16, "shard_size": 16}
    stores.write(model, part, tmp_path / "a", **settings)
    stores.write(model, part, tmp_path / "again", **settings)
    stores.write(model, part, tmp_path / "other", seed=1, **settings)
    assert files(tmp_path / "a") == files(tmp_path / "again")
    first, other = (stored(tmp_path / name, part).classes for name in ("a", "other"))
    assert 0.05 < (first != other).mean() < 1
    backwards = part.take(np.arange(len(part))[::-1])
    stores.write(model, backwards, tmp_path / "backwards", **settings)
    assert (stored(tmp_path / "backwards", part).classes == first).all()
    with pytest.raises(stores.StoreError, match=r"written otherwise: seed is|signals is"):
        stores.write(model, part, tmp_path / "a", seed=1, **settings)
    codec = stores.Manifest.read(tmp_path / "a").codecs[0]
    starts = [codec.starts(part.ids[:2], np.array([v, v])) for v in (0, 1)]
    assert (starts[0] != starts[1]).all() and (starts[0][0] != starts[0][1]).all()
    assert (starts[0] >= 0).all() and (starts[0] < 1).all()


def test_several_writers_and_a_lost_shard(tmp_path):
    part, model = tokens(), language_model()
    settings = {"sampled": 4, "sampling_power": 0.9, "batch_size": 16, "shard_size": 16}
    stores.write(model, part, tmp_path / "one", **settings)
    for index in (1, 0):
        stores.write(model, part, tmp_path / "two", shard_index=index, num_shards=2, **settings)
    assert files(tmp_path / "two") == files(tmp_path / "one")
    for file in (tmp_path / "two" / "shard-00001").iterdir():
        file.unlink()
    (tmp_path / "two" / "shard-00001").rmdir()
    stores.write(model, part, tmp_path / "two", **settings)
    assert files(tmp_path / "two") == files(tmp_path / "one")


def test_training_and_verifying(tmp_path):
    part, model = tokens(), language_model()
    stores.write(model, part, tmp_path, sampled=8, temperatures=2.0)
    assert stores.verify(tmp_path, part, model, sample=20).examples == 20
    distiller = kd.Distiller(
        student=language_model("student", seed=3),
        terms=[kd.Term(kd.losses.SampledSoftTarget(2.0))],
    )
    distiller.compile(keras.optimizers.Adam(0.05))
    losses = distiller.fit(
        stores.read(tmp_path, part, teacher=model, batch_size=16), epochs=3, verbose=0
    ).history["loss"]
    assert losses[-1] < losses[0] - 0.1
    other = dataclasses.replace(stores.Manifest.read(tmp_path).codecs[0], seed=1)
    columns = {"classes": stored(tmp_path, part).classes}
    starts = other.starts(part.ids, np.zeros(len(part), int))
    prepared = [ops.convert_to_numpy(x) for x in other.prepare(model(part.x), starts)]
    assert (other.apart(prepared, columns) > other.tolerance).mean() > 0.9
    with pytest.raises(stores.StoreError, match=r"is not what the teacher predicts"):
        stores.read(tmp_path, part, teacher=lambda x: -model(x))


def test_a_function_as_the_teacher(tmp_path):
    part, model = tokens(), language_model()
    stores.write(model, part, tmp_path / "keras", sampled=4)
    function = lambda x: ops.convert_to_numpy(model(x))  # noqa: E731
    stores.write(function, part, tmp_path / "function", sampled=4, name="f")
    same = stored(tmp_path / "keras", part).classes == stored(tmp_path / "function", part).classes
    assert same.mean() > 0.99


def test_outputs_without_positions(tmp_path, part, model):
    stores.write(model, part, tmp_path, sampled=5)
    classes = stored(tmp_path, part).classes
    assert classes.shape == (200, 5) and classes.max() < CLASSES
    data = stores.read(tmp_path, kd.data.tf_data(part).batch(20))
    batch, _ = next(iter(data))
    assert batch["signals"]["teacher:output"].classes.shape == (20, 5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sampled": 0}, r"`sampled` must be a whole number of at least 1. Received: sampled=0"),
        ({"sampled": 4, "top_k": 4}, r"two ways to keep a part of an output: give one"),
        ({"sampled": 4, "temperatures": (1.0, 2.0)}, r"Classes are drawn at one temperature"),
        ({"sampled": 4, "sampling_power": 0}, r"`sampling_power` must be a number above 0"),
        ({"sampled": 4, "seed": -1}, r"`seed` must be a whole number of at least 0"),
        ({"sampled": 4, "dtype": "int8"}, r"`sampled` .*has no use for dtype='int8'"),
    ],
)  # fmt: skip
def test_wrong_arguments(tmp_path, wrong, words):
    with pytest.raises(ValueError, match=words):
        stores.write(language_model(), tokens(), tmp_path, **wrong)


def test_another_temperature_and_a_metric_that_needs_more(tmp_path):
    part = tokens()
    stores.write(language_model(), part, tmp_path, sampled=4, temperatures=2.0)
    with pytest.raises(stores.StoreError, match=r"drawn at the temperature 2, .* temperature=1."):
        stores.Store(tmp_path, temperature=1.0)
    target = stored(tmp_path, part)
    for metric in (kd.metrics.Agreement(), kd.metrics.TeacherKL(2.0)):
        with pytest.raises(ValueError, match=r"the store has classes that were drawn"):
            metric.update_state(target, np.zeros((48, LENGTH, VOCABULARY), "float32"))


def test_a_teacher_that_gives_its_largest_alone(tmp_path, part):
    few = stores.Largest(np.zeros((1, 2), "float32"), np.zeros((1, 2), "int32"), np.zeros(1))
    given = lambda x: stores.Largest(*(np.repeat(p, len(x), 0) for p in few))  # noqa: E731
    with pytest.raises(stores.StoreError, match=r"Leave out `top_k`, `sampled` and"):
        stores.write(given, part, tmp_path, name="few", sampled=4)


@pytest.mark.parametrize("power", [1.0, 0.8])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_of_nan_nothing_is_drawn(tmp_path, bad, power):
    part, model = tokens(), language_model()

    def teacher(x):
        logits = np.array(model.predict_on_batch(x))
        logits[x[:, 0] == part.x[7, 0], 2, 4] = bad
        return logits

    first = next(i for i in range(48) if part.x[i, 0] == part.x[7, 0])
    with pytest.raises(stores.StoreError, match=rf"'text/{first}' holds NaN or infinite"):
        stores.write(teacher, part, tmp_path, name="function", sampled=4, sampling_power=power)
