"""Models of KerasHub with tokenizers that differ: texts of which each sees tokens of its own."""

import io

import keras
import numpy as np
import pytest

pytest.importorskip("keras_hub")

import keras_hub

import keras_kd as kd
from keras_kd._core import token_texts
from tests.hub.models import model
from tests.hub.test_texts import TEXTS

LETTERS = [*"abcdefghijklmnopqrstuvwxyz", "Ġ"]


def preprocessor(name, special, *merges):
    tokens = [*special, *LETTERS, *(merge.replace(" ", "") for merge in merges)]
    tokenizer = getattr(keras_hub.models, f"{name}Tokenizer")(
        vocabulary={token: i for i, token in enumerate(tokens)}, merges=list(merges)
    )
    make = getattr(keras_hub.models, f"{name}CausalLMPreprocessor")
    return make(tokenizer, sequence_length=16)


def pair():
    small = model("GPT2", 8, 1, preprocessor("GPT2", ["<|endoftext|>"], "a t", "t h"))
    big = model("OPT", 16, 2, preprocessor("OPT", ["<pad>", "</s>"], "Ġ t", "r e", "t h"))
    for weight in (*small.trainable_variables, *big.trainable_variables):
        weight.assign(4.0 * weight)  # far from giving all tokens the same probability
    return small, big


def test_models_with_tokenizers_that_differ():
    small, big = pair()
    both = small.preprocessor, big.preprocessor
    terms = kd.recipes.gold(*both, labels_weight=0.01)
    distiller = kd.Distiller(student=small, teacher=big, terms=terms)
    distiller.compile(keras.optimizers.Adam(0.01), "auto")
    source = kd.sources.TwoTokenizers(TEXTS, *both, max_length=24, batch_size=6)
    (x, y, weights), tokenizers = source[0], [p.tokenizer for p in both]
    teacher_ids = x["signals"]["teacher:inputs"]["token_ids"]
    for ids, tokenizer in zip((x["inputs"]["token_ids"], teacher_ids), tokenizers, strict=True):
        assert (ids[:, 0] == tokenizer.start_token_id).all()
    mine, theirs = x["signals"]["spans"]
    last = weights.sum(axis=1).astype(int) - 1
    rows = np.arange(len(last))
    assert (y[rows, last] == tokenizers[0].end_token_id).all()  # which is a span of its own
    there = mine[rows, last, 2]
    assert (theirs[rows, there, 0] == tokenizers[1].end_token_id).all()
    before = distiller.evaluate(source, verbose=0, return_dict=True)
    distiller.fit(source, epochs=4, verbose=0)
    after = distiller.evaluate(source, verbose=0, return_dict=True)
    assert after["span_target"] < before["span_target"] and after["loss"] < before["loss"]


def test_texts_alone_are_refused():
    """The teacher must not be given the student's ids."""
    small, big = pair()
    terms = kd.recipes.gold(small.preprocessor, big.preprocessor)
    distiller = kd.Distiller(student=small, teacher=big, terms=terms)
    distiller.compile("adam")
    words = r"has tokens of its own, and this batch brings no 'teacher:inputs'.*TwoTokenizers"
    with pytest.raises(ValueError, match=words):
        distiller.fit(TEXTS, verbose=0)


def test_sentencepiece_beside_bytes():
    sentencepiece = pytest.importorskip("sentencepiece")
    written, texts = (
        io.BytesIO(),
        ["the café was there", "they read  the café's 日本 letters", "a cat"],
    )
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts * 5), model_writer=written, model_type="bpe", vocab_size=320,
        byte_fallback=True, hard_vocab_limit=False, minloglevel=2, character_coverage=0.98,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
    )  # fmt: skip
    one = keras_hub.models.LlamaTokenizer(written.getvalue())
    letters = {c: i for i, c in enumerate(["<|endoftext|>", *sorted(token_texts._LETTERS)])}
    other = keras_hub.models.GPT2Tokenizer(
        vocabulary={**letters, "Ġt": len(letters)}, merges=["Ġ t"]
    )
    tokens = token_texts.both_tokens(one, other)
    source = kd.sources.TwoTokenizers(texts, one, other, max_length=60, shuffle=False)
    (x, y, weights) = source[0]
    mine, theirs = x["signals"]["spans"]
    for row, text in enumerate(texts):
        for side, of, first in ((0, mine, one), (1, theirs, other)):
            ids = of[row, of[row, :, 1] >= 0, 0]
            read = b"".join(tokens[side][i] for i in ids)
            end = tokens[side][first.end_token_id]
            assert read.lstrip() == text.encode() + end  # a space is put before the text
    assert weights.sum() > 0 and y.shape == weights.shape
