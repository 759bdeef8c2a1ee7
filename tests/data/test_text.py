"""Texts: words learnt once, kept beside the student, the same numbers for the same words."""

import json
import re
from collections import Counter

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import stores
from tests.models import cross_entropy

pytest.importorskip("tensorflow")

TEXTS = ["The cat sat; the cat ran!", "a dog sat", "The dog's cat."]


def plain_words(text):
    """What the default settings make of a text, said again without tensorflow."""
    return re.sub(r"[!\"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']", "", text.lower()).split()


def numbers(words, texts, length):
    known = {word: number for number, word in enumerate(words, start=2)}
    rows = np.zeros((len(texts), length), int)
    for row, text in zip(rows, texts, strict=True):
        found = [known.get(word, 1) for word in plain_words(text)][:length]
        row[: len(found)] = found
    return rows


def test_the_most_frequent_words_in_order():
    text = kd.data.Text.learn(TEXTS, size=6, length=4)
    counts = Counter(word for t in TEXTS for word in plain_words(t))
    assert text.size == 6
    assert [counts[word] for word in text.words] == [3, 3, 2, 1]
    assert set(text.words[:2]) == {"the", "cat"}
    assert text.words[2] == "sat"
    rows = text([*TEXTS, b"cat", ""])
    assert rows.dtype == "int32"
    np.testing.assert_array_equal(rows, numbers(text.words, [*TEXTS, "cat", ""], 4))
    assert kd.data.Text.learn(TEXTS[::-1], size=6).words == text.words


def test_settings():
    assert kd.data.Text.learn(["A b"], standardize=None).words == ("b", "A")
    assert set(kd.data.Text.learn(["a b"], ngrams=2).words) == {"a", "b", "a b"}
    assert kd.data.Text.learn(["ab b\nb"], split="character").words[0] == "b"
    assert kd.data.Text(["a", "b"], split="character", length=3)(["ba\n"]).tolist() == [[3, 2, 1]]


def test_saved_beside_the_student_and_read_again(tmp_path):
    # Line separators of other alphabets are part of a word here.
    text = kd.data.Text.learn(["x\u2028y \x85 ü b\x1dc"], length=3, standardize="lower")
    text.save(tmp_path / "student.keras")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["student.text.json", "student.words.txt"]
    lines = (tmp_path / "student.words.txt").read_bytes().decode().split("\n")
    assert lines == [*text.words, ""]
    again = kd.data.Text.load(tmp_path / "student.keras")
    assert again.words == text.words
    assert again.get_config() == text.get_config()
    np.testing.assert_array_equal(again(["ü what"]), text(["ü what"]))
    assert kd.data.Text.load(str(tmp_path / "student.tflite")).words == text.words


def test_files_that_do_not_belong_together(tmp_path):
    path = tmp_path / "s.keras"
    kd.data.Text(["a", "b"]).save(path)
    (tmp_path / "s.words.txt").write_text("b\na\n")
    with pytest.raises(
        ValueError, match=r"s.words.txt' is not the vocabulary that '.*s.text.json'"
    ):
        kd.data.Text.load(path)
    (tmp_path / "s.words.txt").unlink()
    with pytest.raises(
        ValueError, match=r"No vocabulary is beside '.*s.keras': '.*s.words.txt' is"
    ):
        kd.data.Text.load(path)
    kd.data.Text(["a", "b"]).save(path)
    settings = json.loads((tmp_path / "s.text.json").read_text())
    (tmp_path / "s.text.json").write_text(json.dumps({**settings, "format": 2}))
    with pytest.raises(ValueError, match=r"has format 2, and this version of keras_kd reads"):
        kd.data.Text.load(path)
    for content in ("{", "[]", '{"format": 1}'):
        (tmp_path / "s.text.json").write_text(content)
        with pytest.raises(ValueError, match=r"s.text.json' is damaged"):
            kd.data.Text.load(path)


def test_an_interrupted_save_leaves_the_former_pair(tmp_path, monkeypatch):
    path = tmp_path / "s.keras"
    kd.data.Text(["a", "b"]).save(path)
    monkeypatch.setattr(json, "dumps", None)
    with pytest.raises(TypeError):
        kd.data.Text(["c"]).save(path)
    assert kd.data.Text.load(path).words == ("a", "b")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: kd.data.Text([]), r"Received: 0 of them\."),
        (lambda: kd.data.Text(["a", "a"]), r"Received: 2 of them, some twice"),
        (lambda: kd.data.Text(["[UNK]"]), r"one is '\[UNK\]'"),
        (lambda: kd.data.Text(["a"], length=0), r"`length` must be a whole number of at least 1"),
        (lambda: kd.data.Text(["a"], split="word"), r"`split` must be one of \('whitespace'"),
        (lambda: kd.data.Text.learn(["a"], size=2), r"`size` must be a whole number of at least 3"),
        (lambda: kd.data.Text.learn(["", "!"]), r"`texts` hold no words"),
        (lambda: kd.data.Text(["a"])("a b"), r"Give several texts, as a list or an array"),
        (lambda: kd.data.Text(["a"])([1]), r"Texts are str or bytes. Received: int"),
    ],
)
def test_words_of_the_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_real_set_of_reviews(imdb_dir, tmp_path):
    """From its name to a student trained on stored answers."""
    data = kd.data.load("imdb_reviews", data_dir=imdb_dir)
    assert dict(data.info.counts) == {"train": 25000, "test": 25000}
    assert data.info.class_names == ("neg", "pos")
    assert data.info.shape == ()
    assert np.bincount(data.y_train).tolist() == [12500, 12500]
    assert len({*data.ids_train, *data.ids_test}) == 50000
    assert data.ids_train[7] == "imdb_reviews-train.tfrecord-00000-of-00001__7"
    assert data.x_train[0].startswith("Peter Fonda is so intentionally enervated as an actor")
    some = data["train"].take(np.arange(256))
    text = kd.data.Text.learn(some, size=500, length=32)
    np.testing.assert_array_equal(text(some.x), numbers(text.words, some.x, 32))
    train = text(some)

    def net(units, name):
        layers = [
            keras.Input((32,), dtype="int32"),
            keras.layers.Embedding(text.size, units),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(2),
        ]
        return keras.Sequential(layers, name=name)

    teacher = net(8, "teacher")
    teacher.compile(keras.optimizers.Adam(0.03), cross_entropy())
    teacher.fit(train.x, train.y, epochs=8, verbose=0)
    stores.write(teacher, train, tmp_path / "answers", dtype="float32")
    distiller = kd.Distiller(student=net(4, "student"))
    distiller.compile(keras.optimizers.Adam(0.03), cross_entropy())
    answers = stores.read(tmp_path / "answers", train, shuffle=True)
    losses = distiller.fit(answers, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.95 * losses[0]
    text.save(tmp_path / "student.keras")
    np.testing.assert_array_equal(kd.data.Text.load(tmp_path / "student.keras")(some.x), train.x)


def test_texts_travel_as_they_are(tmp_path):
    """A teacher that takes strings: preprocessing inside the model, on tensorflow."""
    part = kd.data.Part(np.array(TEXTS * 4, object), np.arange(12) % 2, np.arange(12))
    x, _ = kd.data.feed(part, batch_size=5)[2]
    assert x.tolist() == [TEXTS[1], TEXTS[2]]
    (x, _), *_ = kd.data.feed(kd.data.tf_data(part), batch_size=5)
    assert x.numpy()[0].decode() == TEXTS[0]
    if keras.config.backend() != "tensorflow":
        return
    layers = [keras.layers.TextVectorization(vocabulary=["cat", "dog"], output_mode="count")]
    teacher = keras.Sequential([keras.Input((), dtype="string"), *layers, keras.layers.Dense(2)])
    stores.write(teacher, part, tmp_path, dtype="float32", batch_size=5)
    batch, _ = stores.read(tmp_path, part, batch_size=12)[0]
    live = keras.ops.convert_to_numpy(teacher(keras.ops.convert_to_tensor(TEXTS * 4)))
    np.testing.assert_allclose(batch["signals"]["teacher:output"], live, atol=1e-6)
