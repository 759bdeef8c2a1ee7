"""Perplexity, bits per byte and acceptance length: formulas, masks, tokenizers, files."""

import json

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd as kd
from keras_kd import metrics as M
from keras_kd._core.keras_private import set_mask
from tests.metrics.oracles import softmax

VOCABULARY = 6
BYTES = [0, 1, 2, 3, 4, 5]


def drawn(batch=4, length=5, seed=0):
    rng = np.random.default_rng(seed)
    teacher, student = rng.normal(0, 2, (2, batch, length, VOCABULARY)).astype("float32")
    mask = rng.integers(0, 2, (batch, length)).astype("float32")
    mask[:, 0] = 1.0
    return teacher, student, rng.integers(0, VOCABULARY, (batch, length)), mask


def nats(y, s):
    return -np.log(np.take_along_axis(softmax(s), y[..., None], -1)[..., 0])


def of(metric, *given, **kwargs):
    metric.update_state(*given, **kwargs)
    return float(metric.result())


def test_against_the_formulas():
    t, s, y, mask = drawn()
    cost = nats(y, s)
    for m in (np.ones_like(mask), mask, 2.5 * mask):
        weights = {"sample_weight": m}
        perplexity = np.exp((m * cost).sum() / m.sum())
        assert of(M.Perplexity(), y, s, **weights) == pytest.approx(perplexity, rel=1e-5)
        bits = (m * cost).sum() / np.log(2) / (m * np.array(BYTES)[y]).sum()
        assert of(M.BitsPerByte(BYTES), y, s, **weights) == pytest.approx(bits, rel=1e-5)
        p, q = softmax(t / 1.5), softmax(s / 1.5)
        alpha = (m * np.minimum(p, q).sum(-1)).sum() / m.sum()
        length = sum(alpha**i for i in range(1, 4))
        metric = M.AcceptanceLength(3, temperature=1.5)
        assert of(metric, t, s, **weights) == pytest.approx(length, rel=1e-5)


def test_of_probabilities_and_of_labels_with_an_axis_more():
    _, s, y, _ = drawn()
    wanted = of(M.Perplexity(), y, s)
    found = of(M.Perplexity(from_logits=False), y[..., None], softmax(s).astype("float32"))
    assert found == pytest.approx(wanted, rel=1e-4)


def test_batches_join_by_their_tokens():
    _, s, y, mask = drawn(6)
    mask[:3, 1:] = 0.0  # of the first batch far fewer count
    for make in (M.Perplexity, lambda: M.BitsPerByte(BYTES)):
        whole, parts = make(), make()
        whole.update_state(y, s, sample_weight=mask)
        for i in (0, 3):
            parts.update_state(y[i : i + 3], s[i : i + 3], sample_weight=mask[i : i + 3])
        assert float(parts.result()) == pytest.approx(float(whole.result()), rel=1e-6)
        parts.reset_state()
        assert of(parts, y[:3], s[:3]) != pytest.approx(float(whole.result()), rel=1e-3)


@pytest.mark.parametrize("make", [M.Perplexity, lambda **k: M.BitsPerByte(BYTES, **k)])
def test_what_stands_at_padding_is_nothing(make):
    _, s, y, mask = drawn()
    wanted = of(make(), y, s, sample_weight=mask)
    broken = np.where(mask[..., None] > 0, s, np.nan).astype("float32")
    assert of(make(), y, broken, sample_weight=mask) == pytest.approx(wanted, rel=1e-6)
    masked = ops.convert_to_tensor(s)
    set_mask(masked, ops.convert_to_tensor(mask > 0))
    assert of(make(), y, masked) == pytest.approx(wanted, rel=1e-6)
    ignored = np.where(mask > 0, y, -100)
    assert of(make(ignore_class=-100), ignored, s) == pytest.approx(wanted, rel=1e-6)
    assert of(make(), y, s, sample_weight=0 * mask) in (0.0, 1.0)  # nothing counts: no division


def test_the_mask_of_the_acceptance_length():
    t, s, _, mask = drawn()
    wanted = of(M.AcceptanceLength(), t, s, sample_weight=mask)
    masked = ops.convert_to_tensor(s)
    set_mask(masked, ops.convert_to_tensor(mask > 0))
    assert of(M.AcceptanceLength(), t, masked) == pytest.approx(wanted, rel=1e-6)


def test_the_ends_of_the_acceptance_length():
    t, s, _, _ = drawn()
    assert of(M.AcceptanceLength(5), t, t + 3.0) == pytest.approx(5.0, rel=1e-5)
    far = 100 * np.eye(VOCABULARY, dtype="float32")
    assert of(M.AcceptanceLength(5), far, far[::-1].copy()) == pytest.approx(0.0, abs=1e-5)
    shared = 1 - float(kd.losses.TotalVariation()(t, s))
    assert of(M.AcceptanceLength(1), t, s) == pytest.approx(shared, rel=1e-5)


def test_one_text_in_two_tokenizers_costs_the_same_under_uniform_bytes():
    """A model of bytes, and one of pairs of bytes that is its square: one cost for each byte."""
    one = np.zeros((1, 8, 4), "float32")
    two = np.zeros((1, 4, 16), "float32")
    text = np.random.default_rng(0).integers(0, 4, (1, 8))
    pairs = 4 * text[:, ::2] + text[:, 1::2]
    assert of(M.BitsPerByte([1] * 4), text, one) == pytest.approx(2.0)
    assert of(M.BitsPerByte([2] * 16), pairs, two) == pytest.approx(2.0)
    assert of(M.Perplexity(), text, one) != pytest.approx(of(M.Perplexity(), pairs, two))


@pytest.mark.parametrize(
    "metric",
    [
        M.Perplexity(ignore_class=3), M.BitsPerByte(np.array(BYTES), from_logits=False),
        M.AcceptanceLength(7, temperature=0.5, target="teacher:output"),
    ],
    ids=lambda m: m.name,
)  # fmt: skip
def test_configs(metric):
    config = json.loads(json.dumps(metric.get_config()))
    again = type(metric).from_config(config)
    assert again.get_config() == config
    assert (
        keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(metric)
        ).get_config()
        == config
    )


def test_within_compile():
    def model(name):
        inputs = keras.Input((5,), dtype="int32")
        h = keras.layers.Embedding(VOCABULARY, 4, mask_zero=True)(inputs)
        return keras.Model(inputs, keras.layers.Dense(VOCABULARY)(h), name=name)

    _, _, y, _ = drawn(8)
    x = np.where(np.arange(5) < 3, np.maximum(y, 1), 0)
    distiller = kd.Distiller(student=model("s"), teacher=model("t"), terms=kd.recipes.draft())
    made = [M.Perplexity(), M.BitsPerByte(BYTES), M.AcceptanceLength()]
    distiller.compile("adam", metrics=made)
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    s = ops.convert_to_numpy(distiller.student(x))[:, :3]
    assert logs["perplexity"] == pytest.approx(np.exp(nats(y[:, :3], s).mean()), rel=1e-4)
    assert 0 < logs["acceptance_length"] <= 4


class Tokenizer:
    def __init__(self, tokens, special=()):
        self.tokens, self.special_tokens = tokens, list(special)

    def vocabulary_size(self):
        return len(self.tokens)

    def id_to_token(self, i):
        return self.tokens[i]


@pytest.mark.parametrize(
    ("tokens", "special", "sizes"),
    [
        (["<|end|>", "the", "Ġthe", "Ã", "©", "Ċ", "ĠcafÃ©"], ["<|end|>"], [0, 3, 4, 1, 1, 1, 6]),
        (["<pad>", "▁the", "the", "<0x0A>", "é", "▁"], ["<pad>"], [0, 4, 3, 1, 2, 1]),
    ],
)
def test_bytes_of_tokens(tokens, special, sizes):
    assert M.token_bytes(Tokenizer(tokens, special)) == sizes


def test_bytes_of_tokens_are_those_of_the_text():
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<end>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    text = "The café was 12 € dear.\n\nNaïve — and 日本 too. " * 20
    made.train_from_iterator([text], trainer)
    sizes = M.token_bytes(made)
    assert sum(sizes[i] for i in made.encode(text).ids) == len(text.encode())
    assert sizes[made.token_to_id("<end>")] == 0


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: M.BitsPerByte([1.5, 2.0]), r"`token_bytes` must be a list of whole numbers from 0"),
        (lambda: M.BitsPerByte([]), r"`token_bytes` must be a list of whole numbers from 0"),
        (lambda: M.BitsPerByte([-1, 2]), r"`token_bytes` must be a list of whole numbers from 0"),
        (lambda: of(M.BitsPerByte([1, 2]), *drawn()[2:0:-1]), r"has 2 numbers, and 6 tokens are"),
        (lambda: of(M.Perplexity(), *drawn()[:2]), r"takes token ids \(batch, ...\) and one number"),
        (lambda: M.AcceptanceLength(0), r"`drafted` must be a whole number of at least 1"),
        (lambda: M.AcceptanceLength(temperature=0.0), r"`temperature` must be a number above 0"),
        (
            lambda: of(M.AcceptanceLength(), (np.ones((1, 2)), np.ones((1, 2))), np.ones((1, 3))),
            r"compares the probabilities of all tokens, and the store has some of them",
        ),
    ],
)  # fmt: skip
def test_wrong_arguments(act, words):
    with pytest.raises(ValueError, match=words):
        act()


def test_no_tokenizer():
    with pytest.raises(TypeError, match=r"`tokenizer` must be a tokenizer of KerasHub, or of the"):
        M.token_bytes("gpt2")
