"""Language models side by side."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd.report import compare_language

VOCABULARY, LENGTH = 7, 6


def language_model(seed, vocabulary=VOCABULARY):
    ids = keras.Input((LENGTH,), dtype="int32", name="token_ids")
    mask = keras.Input((LENGTH,), dtype="int32", name="padding_mask")
    h = keras.layers.Embedding(vocabulary, 5)(ids)
    model = keras.Model({"token_ids": ids, "padding_mask": mask}, keras.layers.Dense(vocabulary)(h))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 1, w.shape).astype("float32") for w in model.get_weights()])
    return model


def texts(count=5):
    ids = np.random.default_rng(0).integers(1, VOCABULARY, (count, LENGTH)).astype("int32")
    mask = (np.arange(LENGTH) < np.arange(2, 2 + count)[:, None]).astype("int32")
    return {"token_ids": ids, "padding_mask": mask}, np.roll(ids, -1, axis=1), mask


def log_softmax(z):
    z = z.astype("float64")
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def test_each_number_by_hand():
    x, y, mask = texts()
    models = {"teacher": language_model(0), "student": language_model(1)}
    sizes = [0, 1, 2, 3, 4, 5, 6]
    report = compare_language(models, (x, y), token_bytes=sizes, drafted=2, batch_size=2)
    p, q = (log_softmax(m.predict(x, verbose=0)) for m in models.values())
    m = mask > 0
    nats = -np.take_along_axis(q, y[..., None], -1)[..., 0][m]
    found = report.models["student"]
    alpha = np.exp(np.minimum(p, q)).sum(-1)[m].mean()
    wanted = {
        "bits_per_token": nats.mean() / np.log(2), "perplexity": np.exp(nats.mean()),
        "bits_per_byte": nats.sum() / np.log(2) / np.array(sizes)[y][m].sum(),
        "accuracy": (q.argmax(-1) == y)[m].mean(),
        "agreement": (p.argmax(-1) == q.argmax(-1))[m].mean(),
        "teacher_kl": (np.exp(p) * (p - q)).sum(-1)[m].mean(),
        "acceptance_length": alpha + alpha**2,
    }  # fmt: skip
    for key, value in wanted.items():
        assert getattr(found, key) == pytest.approx(value, rel=1e-4), key
    assert found.milliseconds > 0 and found.parameters == models["student"].count_params()
    assert report.models["teacher"].agreement is None
    assert report.tokens == mask.sum() and report.teacher == "teacher"
    text = str(report)
    assert "bits/byte" in text and f"{found.perplexity:.2f}" in text and "student" in text


def test_batches_weights_and_no_teacher():
    x, y, mask = texts()
    model = language_model(1)
    whole = compare_language({"a": model}, (x, y), latency=False).models["a"]
    batches = [
        ({k: v[i : i + 2] for k, v in x.items()}, y[i : i + 2], mask[i : i + 2]) for i in (0, 2, 4)
    ]
    found = compare_language({"a": model}, batches, latency=False).models["a"]
    assert found.perplexity == pytest.approx(whole.perplexity, rel=1e-5)
    assert found.agreement is None and found.bits_per_byte is None and found.milliseconds is None
    other = compare_language({"a": model}, (x, y, np.ones_like(mask)), latency=False).models["a"]
    assert other.perplexity != pytest.approx(whole.perplexity, rel=1e-3)


def test_words_of_what_cannot_be():
    x, y, _ = texts()
    model = language_model(0)
    with pytest.raises(ValueError, match=r"`data` has no token that counts"):
        compare_language({"a": model}, (x, y, 0 * y))
    with pytest.raises(
        ValueError, match=r"\['a'\] must give logits \(batch, positions, vocabulary\)"
    ):
        compare_language({"a": model}, (x, y[:, :3], np.ones(5)), latency=False)
    with pytest.raises(
        ValueError, match=r"Weights of shape \(5, 6\) are none for the positions of"
    ):
        compare_language({"a": model}, (x, y[:, :3]), latency=False)
    with pytest.raises(ValueError, match=r"predicts 9 tokens, and the teacher 7: one vocabulary"):
        compare_language({"teacher": model, "b": language_model(1, 9)}, (x, y), latency=False)
    with pytest.raises(ValueError, match=r"`teacher` names the model 'c', and there is none"):
        compare_language({"a": model}, (x, y), teacher="c")
    with pytest.raises(ValueError, match=r"compare_language"):  # no next tokens: of a tagger
        kd.report.compare({"a": model, "b": model}, (x, (y + 1) % VOCABULARY), latency=False)
    for given, word in (({"slices": {"a": y}}, "'slices'"), ({"temperature": 2.0}, "'temperature'"),
                        ({"memory": True}, "'memory'")):  # fmt: skip
        with pytest.raises(ValueError, match=f"compare_language: it has no {word}. Leave it out"):
            kd.report.compare({"a": model, "b": model}, (x, y), latency=False, **given)
    with pytest.raises(ValueError, match=r"'a' are several runs. Give each run a name"):
        kd.report.compare({"a": [model, model], "b": model}, (x, y), latency=False)
    with pytest.raises(ValueError, match=r"`data` are texts, and none of the models 'a' has"):
        kd.report.compare({"a": model}, ["a text"], latency=False)


@pytest.mark.parametrize("form", ["arrays", "batches", "part", "dataset", "tf"])
def test_compare_hands_causal_models_on(form):
    x, y, mask = texts(9)
    models = {
        "teacher": language_model(0),
        "student": language_model(1),
        "alone": language_model(2),
    }
    starts = range(0, 9, 4)
    batches = [({k: v[i : i + 4] for k, v in x.items()}, y[i : i + 4], mask[i : i + 4])
               for i in starts]  # fmt: skip
    if form == "tf":
        tf = pytest.importorskip("tensorflow")
        data = tf.data.Dataset.from_tensor_slices((x, y, mask)).batch(4)
    else:
        data = {"arrays": (x, y, mask), "batches": batches, "dataset": Batches(batches),
                "part": kd.data.Part(x, y, np.arange(9))}[form]  # fmt: skip
    expected = compare_language(models, (x, y, mask), latency=False)
    found = kd.report.compare(models, data, latency=False)
    assert str(found) == str(expected) and found.teacher == "teacher"
    one = kd.report.compare({"a": [models["student"]]}, data, latency=False, batch_size=2)
    assert one.models["a"].perplexity == pytest.approx(expected.models["student"].perplexity)


class Batches(keras.utils.PyDataset):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, i):
        return self.batches[i]


def test_a_vocabulary_that_is_padded():
    x, y, _ = texts()
    rng, small = np.random.default_rng(1), language_model(1, 60)
    large = language_model(0, 64)
    values = [rng.normal(0, 1, w.shape).astype("float32") for w in large.get_weights()]
    large.set_weights(values)
    report = compare_language({"teacher": large, "s": small}, (x, y), latency=False)
    p, q = (log_softmax(m.predict(x, verbose=0)[..., :60]) for m in (large, small))
    m = x["padding_mask"] > 0
    wanted = (np.exp(p) * (p - q)).sum(-1)[m].mean()
    assert report.models["s"].teacher_kl == pytest.approx(wanted, rel=1e-4)


def test_the_verdict_and_its_interval():
    """Bits of all texts over bytes of all texts; the interval is over texts."""
    ids = np.random.default_rng(3).integers(1, VOCABULARY, (60, LENGTH)).astype("int32")
    x = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    y, sizes = np.roll(ids, -1, axis=1), [0, 1, 2, 3, 4, 5, 6]
    models = {
        "teacher": language_model(0),
        "alone": language_model(1),
        "distilled": language_model(2),
    }
    report = compare_language(models, (x, y), token_bytes=sizes, latency=False)
    assert (report.baseline, report.judged, report.texts) == ("alone", "distilled", 60)
    bits = {
        name: -np.take_along_axis(
            log_softmax(model.predict(x, verbose=0)), y[..., None], -1
        )[..., 0].sum(1) / np.log(2)
        for name, model in models.items()
    }  # fmt: skip
    of_text = np.array(sizes)[y].sum(1)
    difference = bits["distilled"] - bits["alone"]
    mean = difference.sum() / of_text.sum()
    assert report.change.mean == pytest.approx(mean, rel=1e-4)
    rng = np.random.default_rng(0)
    drawn = [
        difference[i].sum() / of_text[i].sum()
        for i in (rng.integers(0, 60, 60) for _ in range(4000))
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    assert report.change.low == pytest.approx(low, abs=0.15 * (high - low))
    assert report.change.high == pytest.approx(high, abs=0.15 * (high - low))
    word = "fewer" if mean < 0 else "more"
    clear = report.change.direction != "unclear"
    start = f"distilled needs {abs(mean):.3f} {word} bits per byte than alone on 60 texts (95 % interval"
    assert report.verdict.startswith(start) == clear
    assert str(report).startswith(report.verdict.split(" (")[0])
    swapped = kd.report.compare(models, (x, y), baseline="distilled", judged="alone", latency=False)
    assert swapped.change.mean * report.change.mean < 0 and "bits per token" in swapped.verdict
    alone = compare_language({"a": models["alone"]}, (x, y), latency=False)
    assert alone.change is None and alone.verdict.startswith("a needs ")
    same = compare_language({"a": models["alone"], "b": models["alone"]}, (x, y), latency=False)
    assert same.verdict == "b and a: no difference on 60 texts."
