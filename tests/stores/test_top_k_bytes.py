"""The largest logits as probabilities of one byte each: how small, how exact, read as any others."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd as kd
from keras_kd import stores
from tests.stores.conftest import files
from tests.stores.test_ragged import COUNT, LENGTH, VOCABULARY, language_model, texts
from tests.stores.test_sampled import softmax, stored

SETTINGS = {"top_k": 8, "dtype": "int8"}


def parts(largest):
    return (ops.convert_to_numpy(part) for part in largest)


@pytest.mark.parametrize("ragged", [False, True])
def test_three_bytes_for_each_of_the_largest(tmp_path, ragged):
    part, mask = texts()
    manifest = stores.write(language_model(), part, tmp_path, ragged=ragged, **SETTINGS)
    mine = 24.0 if not ragged else 24 + (2 + 8) * COUNT / mask.sum()
    assert manifest.bytes_per_token() == pytest.approx(mine)
    assert manifest.content["format"] == 5
    assert stores.verify(tmp_path, part, language_model()).examples == COUNT


def test_other_stores_keep_their_formats(tmp_path):
    part, _ = texts()
    for name, settings, known in (("k", {"top_k": 3}, 2), ("r", {"top_k": 3, "ragged": True}, 4)):
        path = tmp_path / name
        assert stores.write(language_model(), part, path, **settings).content["format"] == known


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("scale", [0.5, 3.0, 40.0])
def test_the_bound_of_the_error(tmp_path, scale, temperature):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, scale, (64, LENGTH, VOCABULARY)).astype("float32")
    part = kd.data.Part(logits, np.zeros(64), np.arange(64))
    stores.write(lambda x: x, part, tmp_path, name="given", temperatures=temperature, **SETTINGS)
    values, classes, sums = parts(stored(tmp_path, part, temperature=temperature))
    order = np.argsort(-logits)[..., :8]
    assert (classes == order).all() and (sums == 0).all()
    p = np.take_along_axis(softmax(logits.astype("float64") / temperature), order, -1)
    known = p > 2e-7
    log_p = values.astype("float64") / temperature
    assert np.abs(log_p - np.log(p))[known].max() <= 1 / 8
    found = np.exp(log_p)
    assert found.sum(-1).max() <= 1 + 1e-6 and found[~known].max(initial=0) < 4e-7
    whole = (found.sum(-1) < 1 - 1e-5)[..., None] & known & (p < 0.999)
    odds = np.log(found / (1 - found)) - np.log(p / (1 - p))
    assert whole.any() and np.abs(odds[whole]).max() <= 1 / 16 + 1e-3
    # What it makes of a divergence is far below what is learned from.
    apart = (p * (np.log(np.maximum(p, 1e-30)) - log_p)).sum(-1)
    assert np.abs(apart).mean() < 0.02


def test_training_from_it_is_near_training_from_the_logits(tmp_path):
    part, _ = texts()
    found = {}
    for kind in ("float32", "int8"):
        stores.write(language_model(), part, tmp_path / kind, top_k=8, dtype=kind)
        student = language_model("s", 3)
        learner = kd.Distiller(
            student=student, terms=[kd.Term(kd.losses.SparseSoftTarget(temperature=1.0))]
        )
        learner.compile(keras.optimizers.Adam(0.01), metrics=[kd.metrics.TeacherKL()])
        data = stores.read(tmp_path / kind, part, batch_size=16, teacher=language_model())
        history = learner.fit(data, epochs=4, verbose=0, shuffle=False).history
        found[kind] = [*history["loss"], *history["teacher_kl"]]
    assert found["int8"] == pytest.approx(found["float32"], abs=0.01)
    assert found["int8"][3] < found["int8"][0]


def test_nan_is_named_where_it_counts_and_nowhere_else(tmp_path):
    part, mask = texts()
    model = language_model()

    def function(x):
        logits = ops.convert_to_numpy(model(x)).copy()
        logits[~mask] = np.nan
        logits[7, np.argmax(mask[7])] = np.nan
        return logits

    for ragged in (False, True):
        with pytest.raises(stores.StoreError, match=r"for the example 'text/7' holds NaN"):
            stores.write(
                function, part, tmp_path / f"{ragged}", ragged=ragged, name="f", **SETTINGS
            )
    broken = language_model(broken=float("nan"))
    stores.write(broken, part, tmp_path / "nan", **SETTINGS)
    stores.write(model, part, tmp_path / "sound", **SETTINGS)
    pairs = zip(stored(tmp_path / "nan", part), stored(tmp_path / "sound", part), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a[mask], b[mask])
    stores.verify(tmp_path / "nan", part, broken)


def test_another_teacher_is_found_out_and_a_lost_shard_made_again(tmp_path):
    part, _ = texts()
    settings = {**SETTINGS, "batch_size": 16, "shard_size": 16}
    stores.write(language_model(), part, tmp_path / "a", **settings)
    before = files(tmp_path / "a")
    for file in (tmp_path / "a" / "shard-00001").iterdir():
        file.unlink()
    (tmp_path / "a" / "shard-00001").rmdir()
    stores.write(language_model(), part, tmp_path / "a", **settings)
    assert files(tmp_path / "a") == before
    other = language_model(seed=1)
    with pytest.raises(stores.StoreError, match="not what the teacher predicts"):
        stores.read(tmp_path / "a", part, teacher=lambda x: other(x))


def test_wrong_settings(tmp_path):
    part, _ = texts()
    with pytest.raises(ValueError, match="with `top_p`, logits are float16 or float32"):
        stores.write(language_model(), part, tmp_path, top_p=0.5, **SETTINGS)
    with pytest.raises(ValueError, match=r"hold at one temperature\. Received: temperatures=\(1"):
        stores.write(language_model(), part, tmp_path, temperatures=(1.0, 2.0), **SETTINGS)
    stores.write(language_model(), part, tmp_path, **SETTINGS)
    with pytest.raises(stores.StoreError, match="holds log-sum-exps at the temperature 1"):
        stores.read(tmp_path, part, temperature=2.0)
