"""The memory bank: what it remembers of every example, by the numbers that batches bring."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd
from keras_kd import losses, projectors, recipes
from tests.models import cross_entropy, equal, values
from tests.recipes.networks import convolutional, images

RNG = np.random.default_rng(0)
LAYERS = {"pred": "student:b", "target": "teacher:b"}


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def nce(scores, examples):
    """The cost of a row of scores in float64, from the formula of the paper."""
    p, c = np.exp(scores), (scores.shape[1] - 1) / examples
    return -np.log(p[:, 0] / (p[:, 0] + c)) - np.log(c / (p[:, 1:] + c)).sum(-1)


class Oracle:
    """The memory bank and its cost in float64 numpy; it is told which others were drawn."""

    def __init__(self, layer):
        self.banks = [np.array(bank.numpy(), "float64")[:-1] for bank in layer.banks]
        self.kernels = [[np.array(w, "float64") for w in e.get_weights()] for e in layer.embeddings]
        self.z, self.n = None, layer.examples
        self.temperature, self.momentum = layer.temperature, layer.momentum

    def step(self, signals, ids, others, training):
        pooled = [x.astype("float64").reshape(len(x), -1, x.shape[-1]).mean(1) for x in signals]
        e = [unit(x @ w + b) for x, (w, b) in zip(pooled, self.kernels, strict=True)]
        odds = []
        for one, two, bank in ((e[0], e[1], self.banks[1]), (e[1], e[0], self.banks[0])):
            own = [bank[i] if i >= 0 else other for i, other in zip(ids, two, strict=True)]
            rows = [np.stack([o, *bank[drawn]]) for o, drawn in zip(own, others, strict=True)]
            odds.append(np.exp([r @ x / self.temperature for r, x in zip(rows, one, strict=True)]))
        z = self.z or [o.mean() * self.n for o in odds]
        if training:
            self.z = z
            for bank, new in zip(self.banks, e, strict=True):
                for i, row in zip(ids, new, strict=True):
                    if i >= 0:
                        bank[i] = unit(self.momentum * bank[i] + (1 - self.momentum) * row)
        return [np.log(o / each) for o, each in zip(odds, z, strict=True)]


def test_a_memory_bank_does_what_the_paper_says(monkeypatch):
    """Scores, Z, cost and entries of three batches, against float64 numpy."""
    layer = projectors.MemoryBank(9, 4, negatives=5, temperature=0.5, momentum=0.6, seed=2)
    maps, vectors = normal(3, 3, 4, 4, 5), normal(3, 3, 6)
    drawn = []
    others_of = layer._others

    def spy(rows, training):
        drawn.append(numpy(others_of(rows, training)))
        return ops.convert_to_tensor(drawn[-1])

    monkeypatch.setattr(layer, "_others", spy)
    layer((maps[0], vectors[0], np.array([0, 1, 2])))  # looking changes nothing
    oracle, loss = Oracle(layer), losses.NoiseContrastive(9, reduction=None)
    for step, ids in enumerate(([0, 8, 3], [8, 0, 1], [3, -1, 2], [5, -1, 70])):
        signals, training = (maps[step % 3], vectors[step % 3]), step < 3
        said = layer((*signals, np.array(ids)), training=training)
        known = [i if 0 <= i < 9 else -1 for i in ids]
        expected = oracle.step(signals, known, drawn[-1], training)
        for a, b in zip(said, expected, strict=True):
            np.testing.assert_allclose(numpy(a), b, atol=1e-5)
        cost = sum(nce(scores, 9) for scores in expected)
        np.testing.assert_allclose(numpy(loss(np.zeros(3), said)), cost, rtol=1e-5)
        for bank, entries in zip(layer.banks, oracle.banks, strict=True):
            np.testing.assert_allclose(bank.numpy()[:-1], entries, atol=1e-5)
    rows = np.array([0, 8, 3])[:, None]
    assert all(((d >= 0) & (d < 9)).all() for d in drawn) and not (drawn[1] == rows).any()
    assert not np.array_equal(drawn[1], drawn[2])


def test_a_memory_bank_draws_evenly_from_all_others():
    layer = projectors.MemoryBank(5, 2, negatives=4000, seed=3)
    others = numpy(layer._others(ops.convert_to_tensor(np.array([1, 4], "int32")), True))
    for row, own in zip(others, (1, 4), strict=True):
        counts = np.bincount(row, minlength=5)
        assert counts[own] == 0
        assert (np.abs(np.delete(counts, own) - 1000) < 150).all()  # five deviations


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"examples": 1}, "`examples` must be a whole number of at least 2"),
        ({"examples": 9, "negatives": 0}, "`negatives` must be a whole number of at least 1"),
        ({"examples": 9, "temperature": 0.0}, "`temperature` must be above 0"),
        ({"examples": 9, "momentum": 1.0}, "`momentum` must be from 0 up to 1"),
    ],
)
def test_a_memory_bank_that_cannot_be(wrong, words):
    with pytest.raises(ValueError, match=words):
        projectors.MemoryBank(**wrong)


def distilled(examples=16):
    terms = recipes.crd_memory(examples=examples, **LAYERS, units=4, negatives=6, seed=1)
    distiller = keras_kd.Distiller(
        student=convolutional("s"), teacher=convolutional("t", 6, 8), terms=terms
    )
    distiller.compile(keras.optimizers.Adam(0.01), cross_entropy())
    return distiller


def numbered(x, numbers):
    return {"inputs": x, "signals": {"ids": np.asarray(numbers, "int32")}}


def test_it_learns_is_saved_and_goes_on(tmp_path):
    x, y = images()
    batch, options = numbered(x, np.arange(16)), {"batch_size": 8, "shuffle": False, "verbose": 0}
    distiller = distilled()
    memory = distiller.terms[1].projector
    start = [bank.numpy().copy() for bank in memory.banks]
    logs = distiller.fit(batch, y, epochs=6, **options).history["contrast"]
    assert logs[-1] < logs[0]
    for bank, was in zip(memory.banks, start, strict=True):
        entries = bank.numpy()
        np.testing.assert_allclose(np.linalg.norm(entries[:-1], axis=-1), 1.0, atol=1e-5)
        assert not np.isclose(entries[:-1], was[:-1]).all(-1).any()
    distiller.save(tmp_path / "d.keras")
    again = keras.saving.load_model(tmp_path / "d.keras")
    assert equal(values(distiller.variables), values(again.variables))
    more = distiller.fit(batch, y, **options).history, again.fit(batch, y, **options).history
    assert more[0] == more[1]
    assert equal(values(memory.variables), values(again.terms[1].projector.variables))


def test_examples_to_validate_on_are_not_remembered():
    x, y = images()
    distiller = distilled()
    distiller.fit(numbered(x, np.arange(16)), y, verbose=0)
    before = values(distiller.variables)
    costs = [
        distiller.evaluate(numbered(x, numbers), y, verbose=0, return_dict=True)["contrast"]
        for numbers in (np.arange(16), np.full(16, -1), np.full(16, 99))
    ]
    assert equal(before, values(distiller.variables))
    assert np.isfinite(costs).all() and costs[0] != costs[1] == costs[2]


def test_numbers_by_the_ids_of_the_data():
    data = keras_kd.data.load("digits")
    numbers = keras_kd.data.Numbers(data.ids_train)
    which = np.array([5, 0, 1156])
    assert numbers(data.ids_train[which])["ids"].tolist() == [5, 0, 1156]
    assert numbers(data.ids_test[:2])["ids"].tolist() == [-1, -1]
    assert len(numbers) == 1157
    stream = keras_kd.data.feed(data["train"], batch_size=400, shuffle=True, seed=1, join=numbers)
    batches = [stream[i][0] for i in range(len(stream))]
    found = np.concatenate([batch["signals"]["ids"] for batch in batches])
    assert sorted(found) == list(range(1157)) and found[0] != 0
    np.testing.assert_array_equal(batches[0]["inputs"], data.x_train[found[:400]])
    with pytest.raises(ValueError, match="Each id comes once, and 'a' twice"):
        keras_kd.data.Numbers(["b", "a", "a"])


def test_a_batch_without_numbers_and_terms_that_misuse_them():
    x, y = images()
    with pytest.raises(ValueError, match=r"'contrast' reads the examples' ids.*brings none.*-1"):
        distilled().fit(x, y, verbose=0)
    for wrong in ({"pred": "ids"}, {"target": "ids"}):
        with pytest.raises(ValueError, match="'ids' are for a projector to read"):
            keras_kd.Term(losses.FeatureMatch(), **wrong)
    with pytest.raises(ValueError, match="other than 'labels', 'ids', 'mask' and 'spans'"):
        keras_kd.Distiller(student={"ids": convolutional("s")}, terms=recipes.tf_kd())
