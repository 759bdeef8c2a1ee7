"""Texts of which student and teacher have tokens of their own: what is aligned, and what is refused."""

import numpy as np
import pytest

import keras_kd as kd
from keras_kd._core.token_texts import both_tokens, groups_of, tokens_of

PIECES = [*"▁abcdé", "<0xC3>", "<0xA9>", "▁a", "ab"]  # as SentencePiece writes them
BYTES = [*"Ġabcd", "Ã", "©", "Ġa", "bc"]  # as GPT-2 does


class Tokenizer:
    """Takes the longest token that the text goes on with."""

    def __init__(self, tokens, special=(), before=""):
        self.tokens, self.special_tokens, self.before = [*special, *tokens], list(special), before
        for name, token in zip(("start", "end"), special, strict=False):
            setattr(self, f"{name}_token_id", self.tokens.index(token))

    def vocabulary_size(self):
        return len(self.tokens)

    def id_to_token(self, i):
        return self.tokens[i]

    def __call__(self, text):
        rest, ids = (self.before + text).encode(), []
        known = [token or b"" for token in tokens_of(self).bytes]
        while rest:
            best = max((t for t in known if t and rest.startswith(t)), key=len)
            ids, rest = [*ids, known.index(best)], rest[len(best) :]
        return np.array(ids)


def pieces(**settings):
    return Tokenizer(PIECES, before=" ", **settings)


def source(texts, student, teacher, **settings):
    settings = {"max_length": 9, "padding_mask": False, "shuffle": False, **settings}
    return kd.sources.TwoTokenizers(texts, student, teacher, **settings)


def spans(batch, student, teacher, row=0):
    """The spans of a text, as the tokens of both sides."""
    mine, theirs = (part[row] for part in batch[0]["signals"]["spans"])
    return [
        ([student.tokens[i] for i in mine[mine[:, 1] == place, 0]],
         [teacher.tokens[i] for i in theirs[theirs[:, 1] == place, 0]])
        for place in range(len(mine)) if mine[place, 1] == place
    ]  # fmt: skip


def test_ways_of_writing_bytes():
    one, other = pieces(), Tokenizer(BYTES)
    read = tokens_of(one).bytes
    assert read == [b" ", *b"a b c d".split(), "é".encode(), b"\xc3", b"\xa9", b" a", b"ab"]
    assert tokens_of(other).bytes[5:8] == [b"\xc3", b"\xa9", b" a"]
    groups = groups_of(*both_tokens(one, other), by_prefix=False)
    assert groups == ([0, 1, 2, 3, 4, -1, 5, 6, 7, -1], [0, 1, 2, 3, 4, 5, 6, 7, -1])
    # "é" begins with the other's "Ã", "ab" with "a", "bc" here with "b".
    groups = groups_of(*both_tokens(one, other), by_prefix=True)
    assert groups == ([0, 1, 2, 3, 4, 5, 5, 6, 7, 1], [0, 1, 2, 3, 4, 5, 6, 7, 2])


def test_a_space_that_one_side_puts_before_a_text_and_a_character_of_two_bytes():
    one, other = pieces(), Tokenizer(BYTES)
    (batch,) = source(["abcé ad"], one, other)
    # The first span, by "▁a" here and by "a" there, is predicted by nothing.
    assert spans(batch, one, other) == [
        (["b", "c"], ["bc"]),
        (["é"], ["Ã", "©"]),
        (["▁a"], ["Ġa"]),
        (["d"], ["d"]),
    ]
    assert batch[2].sum() == 6 - 1 and batch[0]["signals"]["mask"].sum() == 6


def test_texts_cut_at_one_side_alone():
    one, other = Tokenizer("abcd"), Tokenizer(["ab", "cd", *"abcd"])
    (cut,) = source(["abcdabcd"], one, other, max_length=7)
    assert cut[0]["signals"]["teacher:inputs"].tolist() == [
        [0, 1, 0]
    ]  # and the cut "cd" is no input
    assert spans(cut, one, other) == [(["c", "d"], ["cd"]), (["a", "b"], ["ab"])]
    (cut,) = source(["abcdabcd"], one, other, teacher_max_length=3)
    assert spans(cut, one, other) == [(["c", "d"], ["cd"]), (["a", "b"], ["ab"])]
    assert cut[2].tolist() == [[1, 1, 1, 1, 1, 1, 1, 0]]  # the labels go on


def test_beginnings_and_ends():
    one = Tokenizer("ab", special=["<s>", "</s>"])
    other = Tokenizer("ab", special=["<bos>", "<eos>"])
    (batch,) = source(["ab"], one, other)
    assert spans(batch, one, other) == [(["a"], ["a"]), (["b"], ["b"]), (["</s>"], ["<eos>"])]
    without = Tokenizer("ab")  # no token of its own for the beginning, nor for the end
    (batch,) = source(["ab"], one, without)
    assert spans(batch, one, without) == [(["b"], ["b"])]
    named = Tokenizer("ab", special=["<pad>"])
    named.start_token_id = None
    assert groups_of(*both_tokens(one, named, {"</s>": "<pad>"}), by_prefix=False)[1] == [0, 1, 2]


def test_a_preprocessor_says_what_begins_and_ends_a_text():
    class Preprocessor:
        add_start_token, add_end_token = False, True
        tokenizer = Tokenizer("ab", special=["<s>", "</s>"])

    (batch,) = source(["ab"], Preprocessor(), Preprocessor.tokenizer)
    assert batch[0]["inputs"][0, :3].tolist() == [2, 3, 1]  # "a", "b", the end
    assert len(spans(batch, Preprocessor.tokenizer, Preprocessor.tokenizer)) == 2


def test_empty_texts_have_no_spans():
    one, other = Tokenizer("abcd"), Tokenizer(["ab", *"abcd"])
    batch = source(["", "cdab", ""], one, other)[0]
    assert [len(spans(batch, one, other, row)) for row in range(3)] == [0, 2, 0]
    assert batch[2].sum(axis=1).tolist() == [0, 3, 0]
    with pytest.raises(ValueError, match="None of the 2 texts has a span of which both"):
        source(["", "a"], one, other)


def test_windows_of_ids_cut_words_and_characters():
    one, other = (
        Tokenizer(BYTES, special=["<end>"]),
        Tokenizer(["Ġ", *"abcd", "Ã", "©", "ab"], ["<end>"]),
    )
    one.start_token_id = other.start_token_id = None
    one.end_token_id = other.end_token_id = 0
    ids = [one.tokens.index(token) for token in ["©", "a", "bc", "<end>", "Ã", "©", "d", "Ã"]]
    (batch,) = source([ids], one, other)
    assert batch[0]["inputs"][0].tolist() == ids
    found = spans(batch, one, other)
    # "abc" here by "a" and "bc", there by "ab" and "c": the first tokens there are.
    assert found == [(["<end>"], ["<end>"]), (["Ã"], ["Ã"]), (["©"], ["©"]), (["d"], ["d"])]
    assert [other.tokens[i] for i in batch[0]["signals"]["teacher:inputs"][0]][:3] == [
        "ab",
        "c",
        "<end>",
    ]


def test_orders_and_forms_of_the_batches():
    one, other = Tokenizer("abcd"), Tokenizer(["ab", *"abcd"])
    texts = ["cdab"[at:] + "dcab"[:at] for at in range(4)] * 3
    made = source(texts, one, other, batch_size=5, shuffle=True, padding_mask=(True, False))
    assert len(made) == 3 and made[2][1].shape == (2, 8)
    x = made[0][0]
    assert set(x["inputs"]) == {"token_ids", "padding_mask"} and "mask" not in x["signals"]
    assert x["signals"]["teacher:inputs"].shape == (5, 3)
    first = made[0][1]
    made.on_epoch_end()
    assert not np.array_equal(first, made[0][1])
    again = source(texts, one, other, batch_size=5, shuffle=True)
    np.testing.assert_array_equal(first, again[0][1])


class LowerCase(Tokenizer):
    def __call__(self, text):
        return super().__call__(text.lower())


NORMAL = Tokenizer("abcd")


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda: source(["ab", "aB"], Tokenizer("abcdB"), LowerCase("abcdB")), ValueError,
         r"The teacher's tokenizer does not give the text back: in row 1, at byte 1, stands 'B', and "
         r"its tokens have 'b'.*take out its normalizer"),
        (lambda: source(["ab"], LowerCase([*"ab", "##"]), object()), TypeError,
         r"`teacher_tokenizer` must be a tokenizer of KerasHub, or of the package tokenizers"),
        (lambda: source("ab", NORMAL, NORMAL), TypeError, r"`texts` must be a list of texts"),
        (lambda: source([], NORMAL, NORMAL), ValueError, r"`texts` are empty"),
        (lambda: source([[0, 9]], NORMAL, NORMAL), ValueError,
         r"numbers from 0 to 9 in row 0, and the student's tokenizer has tokens from 0 to 3"),
        (lambda: source([[[0, 1]]], NORMAL, NORMAL), TypeError, r"lists of token numbers of one text"),
        (lambda: source([[1, 5, 6, 1, 6, 6, 1]], Tokenizer(BYTES), NORMAL), ValueError,
         r"token numbers in row 0 that are no text in UTF-8"),
        (lambda: source(["ab"], NORMAL, NORMAL, max_length=1), ValueError, r"`max_length` must be"),
        (lambda: source(["ab"], NORMAL, NORMAL, teacher_max_length=1), ValueError,
         r"`teacher_max_length` must be"),
        (lambda: kd.recipes.gold(NORMAL, "gpt2"), TypeError, r"`teacher_tokenizer` must be"),
        (lambda: kd.recipes.gold(NORMAL, Tokenizer("xyz")), ValueError, r"no token in common"),
        (lambda: kd.recipes.gold(NORMAL, NORMAL, special_tokens={"a": "<s>"}), ValueError,
         r"pairs 'a' of the student with '<s>' of the teacher, and the teacher's tokenizer has no"),
        (lambda: kd.recipes.gold(NORMAL, NORMAL, matched_weight=1.0), ValueError, r"given together"),
        (lambda: kd.recipes.gold(NORMAL, NORMAL, matched_weight=-1.0, unmatched_weight=1.0),
         ValueError, r"`matched_weight` must be a number of at least 0"),
        (lambda: kd.losses.SpanTarget([0, 1], [0, 2]), ValueError, r"must have the same groups"),
        (lambda: kd.losses.SpanTarget([], [0]), ValueError, r"must name the group of each token"),
        (lambda: kd.Term(kd.losses.SpanTarget([0], [0])), ValueError,
         r"SpanTarget reads the spans of text beside.*target=\('teacher:output', 'spans'\)"),
        (lambda: kd.Term(kd.losses.SoftTarget(), target=("teacher:output", "spans")), ValueError,
         r"SoftTarget does not read 'spans'"),
    ],
)  # fmt: skip
def test_refused(act, error, words):
    with pytest.raises(error, match=words):
        act()
