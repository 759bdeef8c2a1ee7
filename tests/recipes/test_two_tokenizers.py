"""A teacher with another tokenizer: texts of which each model has its own tokens, over their spans."""

import types

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd as kd
from keras_kd._core.token_texts import both_tokens
from tests.losses import oracles

tokenizers = pytest.importorskip("tokenizers")

TEXTS = [
    "The café was dear, and the film was dearer.",
    "A film about films: naïve, and 日本 too — 12 €.",
    "no",
    "",
    "This was the film that the other films were about, and there was nothing in it at all.",
    "They were there.",
]  # fmt: skip


def bpe(size, end="<end>"):
    """A byte-level tokenizer of the texts; each of them ends in a token of its own."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, special_tokens=[end], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    made.train_from_iterator(TEXTS * 3, trainer)
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, 0)]
    )
    return made


def language_model(vocabulary, width, seed):
    keras.utils.set_random_seed(seed)
    ids = keras.Input((None,), dtype="int32")
    h = layers.Embedding(vocabulary, width, embeddings_initializer="normal")(ids)
    h = layers.GRU(width, return_sequences=True)(h)
    logits = layers.Dense(
        vocabulary, kernel_initializer=keras.initializers.RandomNormal(stddev=1.0)
    )
    return keras.Model(ids, logits(h))


def made(student_tokenizer, teacher_tokenizer, texts=TEXTS, max_length=30, **settings):
    return kd.sources.TwoTokenizers(
        texts, student_tokenizer, teacher_tokenizer, max_length=max_length, padding_mask=False,
        shuffle=False, **settings,
    )  # fmt: skip


def models(student_tokenizer, teacher_tokenizer):
    sizes = [t.get_vocab_size() for t in (student_tokenizer, teacher_tokenizer)]
    return language_model(sizes[0], 8, 1), language_model(sizes[1], 12, 2)


def numpy(x):
    return np.asarray(ops.convert_to_numpy(x), "float64")


@pytest.mark.parametrize("student, teacher", [(300, 280), (280, 300), (300, 300)])
@pytest.mark.parametrize("texts", ["texts", "windows"])
def test_spans_are_the_smallest_pieces_of_text_that_both_have(student, teacher, texts):
    one, other = bpe(student), bpe(teacher, end="</s>")
    special = {"<end>": "</s>"}
    tokens = both_tokens(one, other, special)
    data = TEXTS
    if texts == "windows":  # which cut characters and words
        whole = [i for text in TEXTS for i in one.encode(text).ids]
        data = [whole[at : at + 30] for at in range(0, len(whole) - 1, 13)]
    source = made(one, other, data, special_tokens=special, batch_size=100)
    (x, y, _), found = source[0], []
    for mine, theirs in zip(*x["signals"]["spans"], strict=True):
        for begin in (i for i, span in enumerate(mine[:, 1]) if span == i):
            sides = mine[mine[:, 1] == begin, 0], theirs[theirs[:, 1] == begin, 0]
            assert theirs[mine[begin, 2], 0] == sides[1][0]
            parts = [[of[i] for i in ids] for of, ids in zip(tokens, sides, strict=True)]
            assert b"".join(parts[0]) == b"".join(parts[1]) != b""
            inner = [set(np.cumsum([len(part) for part in side])[:-1]) for side in parts]
            assert not inner[0] & inner[1]  # it could not be smaller
            found.append((len(parts[0]), len(parts[1])))
    assert len(found) > 40
    assert (np.max(found, axis=0) > 1).tolist() == [student < teacher, teacher < student]
    predicted = y[x["signals"]["spans"][0][..., 1] >= 0]
    if student == teacher:  # all but the first of each text
        first = sum(1 for row in data if len(row))
        rest = sum(
            min(len(one.encode(row).ids) if texts == "texts" else len(row), 30) for row in data
        )
        assert len(predicted) == rest - first - (texts == "texts")
    assert (predicted == 0).sum() >= 3  # the ends of texts


@pytest.mark.parametrize("by_prefix", [True, False])
@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_the_loss_is_the_oracle_s(beta, by_prefix):
    one, other = bpe(300), bpe(280, end="</s>")
    student, teacher = models(one, other)
    special = {"<end>": "</s>"}
    terms = kd.recipes.gold(
        one, other, beta=beta, by_prefix=by_prefix, special_tokens=special, temperature=1.5
    )
    source = made(one, other, special_tokens=special, batch_size=100)
    x, y, weight = source[0]
    spans, ids = x["signals"]["spans"], x["signals"]["teacher:inputs"]
    settings = terms[0].loss.get_config()
    names = ("student_groups", "teacher_groups", "beta", "temperature")
    wanted = oracles.spans(
        (numpy(teacher(ids)), spans), numpy(student(x["inputs"])), **{n: settings[n] for n in names}
    )
    wanted = wanted.sum() / (spans[0][..., 1] == np.arange(29)).sum()
    distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
    distiller.compile("sgd")
    logs = distiller.evaluate(x, y, sample_weight=weight, batch_size=6, verbose=0, return_dict=True)
    assert logs["span_target"] == pytest.approx(wanted, rel=1e-5)
    by_batches = distiller.evaluate(
        made(one, other, special_tokens=special, batch_size=2), verbose=0
    )
    assert by_batches == pytest.approx([wanted, wanted], rel=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("by_prefix", [True, False])
def test_with_one_tokenizer_it_is_gkd(beta, by_prefix):
    one, logs, weights = bpe(300), [], []
    source = made(one, one, batch_size=3)
    for terms in (
        kd.recipes.gold(one, one, beta=beta, temperature=2.0, by_prefix=by_prefix),
        kd.recipes.gkd(beta=beta, temperature=2.0),
    ):
        student, teacher = models(one, one)
        distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
        distiller.compile(keras.optimizers.SGD(1.0))
        if len(logs):  # what nothing predicts, and what only one side predicts, is padding
            batches = [
                (
                    {
                        "inputs": x["inputs"],
                        "signals": {"mask": x["signals"]["spans"][0][..., 1] >= 0},
                    },
                    y,
                    w,
                )
                for x, y, w in (source[i] for i in range(2))
            ]
        else:
            batches = [source[i] for i in range(2)]
        logs.append(
            [distiller.train_on_batch(*batch, return_dict=True)["loss"] for batch in batches]
        )
        weights.append([numpy(w) for w in student.trainable_variables])
    np.testing.assert_allclose(*logs, atol=1e-6)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_outputs_that_came_with_the_batch_and_nan_outside_the_spans():
    one, other = bpe(300), bpe(280)
    student, teacher = models(one, other)
    x, y, weight = made(one, other, batch_size=6)[0]
    distiller = kd.Distiller(
        student=student, teacher=teacher, terms=kd.recipes.gold(one, other, labels_weight=0.5)
    )
    distiller.compile("sgd", "auto")
    logs = distiller.test_on_batch(x, y, sample_weight=weight, return_dict=True)
    spans, ids = x["signals"]["spans"], x["signals"]["teacher:inputs"]
    outputs = numpy(teacher(ids)).astype("float32")
    outputs[spans[1][..., 1] < 0] = np.nan
    signals = {"teacher:output": outputs, "spans": spans, "mask": x["signals"]["mask"]}
    other_ids = np.where(x["signals"]["mask"], x["inputs"], 7)  # at padding
    given = {"inputs": other_ids, "signals": signals}
    again = distiller.test_on_batch(given, y, sample_weight=weight, return_dict=True)
    assert again == pytest.approx(logs, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda signals: signals.pop("spans"), r"has tokens of its own.*no 'teacher:inputs'"),
        (lambda signals: signals.pop("teacher:inputs"), r"has tokens of its own.*no 'teacher:in"),
        (lambda signals: signals.update(spans=tuple(s[:, :-1] for s in signals["spans"])),
         r"gives 29 positions, and the spans have 28"),
    ],
)  # fmt: skip
def test_batches_that_do_not_fit(change, words):
    one, other = bpe(300), bpe(280)
    student, teacher = models(one, other)
    x, y, _ = made(one, other)[0]
    distiller = kd.Distiller(student=student, teacher=teacher, terms=kd.recipes.gold(one, other))
    distiller.compile("sgd", run_eagerly=keras.config.backend() == "tensorflow")
    change(x["signals"])
    with pytest.raises(ValueError, match=words):
        distiller.test_on_batch(x, y)


def test_tokenizers_of_other_models():
    one, other = bpe(300), bpe(280)
    student, teacher = models(one, other)
    words = r"Term 'span_target': the student gives logits of 300 tokens, and its tokenizer has 320"
    with pytest.raises(ValueError, match=words):
        kd.Distiller(student=student, teacher=teacher, terms=kd.recipes.gold(bpe(320), other))
    words = r"Term 'span_target': the teacher gives logits of 280 tokens, and its tokenizer has 300"
    with pytest.raises(ValueError, match=words):
        kd.Distiller(student=student, teacher=teacher, terms=kd.recipes.gold(other, one))


def test_two_models_that_are_equally_right_agree():
    """Of a text of " movie", " moving", " mover" and " the", in words here and in parts of words there."""

    def tokens(*names):
        return types.SimpleNamespace(
            id_to_token=names.__getitem__, vocabulary_size=lambda: len(names)
        )

    student = tokens("Ġmovie", "Ġmoving", "Ġmover", "Ġthe")
    teacher = tokens("Ġthe", "Ġmov", "ie", "ing", "er")
    words = np.array([[[0.3, 0.1, 0.1, 0.5]]])
    parts = np.array([[[0.5, 0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.6, 0.2, 0.2]]]).clip(1e-12)
    spans = np.array([[[0, 0, 0]]]), np.array([[[1, 0], [2, 0]]])  # " movie" follows

    def value(by_prefix, words=words, **settings):
        (term,) = kd.recipes.gold(student, teacher, by_prefix=by_prefix, **settings)
        return float(term.loss((np.log(parts), spans), np.log(words)))

    for beta in (0.0, 0.5, 1.0):
        assert abs(value(True, beta=beta)) < 1e-6
    assert value(True, words=np.array([[[0.2, 0.2, 0.1, 0.5]]])) > 1e-3  # the wrong ending
    assert (
        value(True, words=np.array([[[0.4, 0.15, 0.1, 0.35]]])) > 1e-3
    )  # too little of another word
    assert value(False) > 0.1  # it asks for tokens that the student never writes
