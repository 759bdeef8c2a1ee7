"""Texts as numbers: a vocabulary learned once, kept beside the student that needs it."""

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._core.files import replacing
from keras_kd._core.optional import require_tensorflow
from keras_kd._core.scalars import count
from keras_kd._examples._part import Part

#: What stands before the words: padding, and any word that is not among them.
RESERVED = ("", "[UNK]")
_SPLITS = ("whitespace", "character")
_BATCH = 4096


class Text:
    """Texts as rows of word numbers, by Keras's `TextVectorization`; saved beside the student.

    A student of texts is worth nothing without the very vocabulary it learned with. `Text.learn`
    makes one from the training texts, a call makes numbers of texts, and `save` puts two files
    beside the student: the words, one a line in the order of their numbers (what a phone or
    another program reads), and a JSON file with the settings and the words' checksum.

    Number 0 pads, 1 stands for every word that is not in the vocabulary. Texts are turned into
    numbers by tensorflow, whatever backend Keras runs on; the student then sees numbers only.

    Args:
        words: The vocabulary, in the order of its numbers from 2 on.
        length: Numbers in a row: longer texts are cut, shorter ones padded. Defaults to `200`.
        standardize: What happens to a text first: `"lower_and_strip_punctuation"`, `"lower"`,
            `"strip_punctuation"` or `None`. Defaults to `"lower_and_strip_punctuation"`.
        split: What a word is: what stands between `"whitespace"`, or each `"character"`. Defaults
            to `"whitespace"`.
        ngrams: Also count up to so many words in a row as one. Defaults to `None`.

    Raises:
        ValueError: If a word comes twice, is empty or holds a line break, or a setting is none of
            these.

    Example:

    >>> text = keras_kd.data.Text(["good", "bad", "not"], length=4)
    >>> text(["Not bad!", "good, good film"]).tolist()
    [[4, 3, 0, 0], [2, 2, 1, 0]]
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        length: int = 200,
        standardize: str | None = "lower_and_strip_punctuation",
        split: str = "whitespace",
        ngrams: int | None = None,
    ):
        self.words = tuple(words)
        self.length, self.standardize, self.split, self.ngrams = length, standardize, split, ngrams
        count(length, "length")
        if split not in _SPLITS:
            raise ValueError(f"`split` must be one of {_SPLITS}. Received: {split!r}.")
        bad = [w for w in self.words if not isinstance(w, str) or w in RESERVED or "\n" in w]
        if bad or len(set(self.words)) < len(self.words) or not self.words:
            raise ValueError(
                "`words` must be different texts without line breaks, without '' and '[UNK]', which "
                f"have numbers of their own. Received: {len(self.words):,} of them"
                + (f", one is {bad[0]!r}." if bad else ", some twice." if self.words else ".")
            )
        self._layer: Any = None

    @classmethod
    def learn(cls, texts: Any, *, size: int = 20_000, **settings: Any) -> "Text":
        """The vocabulary of `texts`: their most frequent words.

        Take the training texts alone. Words as frequent as each other come in an order that
        follows from themselves, so equal texts give an equal vocabulary.

        Args:
            texts: Texts, or a `keras_kd.data.Part` of them.
            size: How many numbers there are at most, with those for padding and unknown words.
                Defaults to `20_000`.
            **settings: As for `Text`.

        Example:

        >>> text = keras_kd.data.Text.learn(["a b b", "b a c"], size=4, length=3)
        >>> text.words, text.size
        (('b', 'a'), 4)
        """
        count(size, "size", least=len(RESERVED) + 1)  # those for padding and unknown words
        layer = cls(["word"], **settings)._vectorization(size)
        texts = texts.x if isinstance(texts, Part) else texts
        layer.adapt(_strings(texts), batch_size=_BATCH)
        found = [
            str(w) for w in layer.get_vocabulary(include_special_tokens=False) if "\n" not in w
        ]
        if not found:
            raise ValueError("`texts` hold no words to learn.")
        return cls(found, **settings)

    @property
    def size(self) -> int:
        """How many numbers there are: the `input_dim` of the student's `Embedding`."""
        return len(self.words) + len(RESERVED)

    def __call__(self, texts: Any) -> Any:
        """Texts as int32 numbers `(texts, length)`; a `Part` of texts as a `Part` of numbers."""
        if isinstance(texts, Part):
            return Part(self(texts.x), texts.y, texts.ids)
        texts = _strings(texts)
        tf = require_tensorflow("keras_kd.data.Text makes numbers of texts")
        if self._layer is None:
            self._layer = self._vectorization(None, list(self.words))
        rows = np.zeros((len(texts), self.length), "int32")
        for start in range(0, len(texts), _BATCH):
            here = slice(start, start + _BATCH)
            with tf.device("CPU:0"):
                rows[here] = np.asarray(self._layer(tf.constant(texts[here])))
        return rows

    def _vectorization(self, size: int | None, words: list[str] | None = None) -> Any:
        require_tensorflow("keras_kd.data.Text makes numbers of texts")
        return keras.layers.TextVectorization(
            max_tokens=size,
            standardize=self.standardize,
            split=self.split,
            ngrams=self.ngrams,
            output_sequence_length=self.length,
            vocabulary=words,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "length": self.length, "standardize": self.standardize, "split": self.split,
            "ngrams": self.ngrams,
        }  # fmt: skip

    def save(self, student: str | os.PathLike[str]) -> None:
        """Writes the two files beside a student.

        Args:
            student: Where the student is, such as `"student.keras"`: the files are then
                `student.words.txt` and `student.text.json`.
        """
        settings, words = _paths(student)
        content = "".join(f"{word}\n" for word in self.words).encode()
        record = {"format": 1, **self.get_config(), "words": words.name, "size": self.size,
                "crc32": zlib.crc32(content)}  # fmt: skip
        with replacing(settings) as new_settings, replacing(words) as new_words:
            new_words.write_bytes(content)
            new_settings.write_text(json.dumps(record, indent=1) + "\n")

    @classmethod
    def load(cls, student: str | os.PathLike[str]) -> "Text":
        """Reads what `save` wrote beside a student; needs no tensorflow before the first call.

        Raises:
            ValueError: If a file is missing or damaged, or the two do not belong together.
        """
        settings, words = _paths(student)
        try:
            record, content = json.loads(settings.read_text()), words.read_bytes()
            if record["format"] > 1:
                raise ValueError(
                    f"'{settings}' has format {record['format']}, and this version of keras_kd reads "
                    "format 1. Upgrade keras_kd."
                )
            chosen = {name: record[name] for name in ("length", "standardize", "split", "ngrams")}
            if zlib.crc32(content) != record["crc32"]:
                raise ValueError(
                    f"'{words}' is not the vocabulary that '{settings}' was written with. Save "
                    "both again."
                )
        except FileNotFoundError as error:
            raise ValueError(
                f"No vocabulary is beside '{student}': '{error.filename}' is missing. Write it with "
                "keras_kd.data.Text.save(student)."
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"'{settings}' is damaged: {error}.") from error
        return cls(content.decode().split("\n")[:-1], **chosen)


def _paths(student: str | os.PathLike[str]) -> tuple[Path, Path]:
    path = Path(student)
    return path.with_suffix(".text.json"), path.with_suffix(".words.txt")


def _strings(texts: Any) -> list[str]:
    """Texts as a list of `str`."""
    if isinstance(texts, (str, bytes)):
        raise ValueError("Give several texts, as a list or an array. Received: one text.")
    found = [t.decode("utf-8", "replace") if isinstance(t, bytes) else t for t in texts]
    if not all(isinstance(text, str) for text in found):
        wrong = next(text for text in found if not isinstance(text, str))
        raise ValueError(f"Texts are str or bytes. Received: {type(wrong).__name__}.")
    return found
