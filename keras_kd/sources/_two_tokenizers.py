"""Texts for a student and a teacher of which each has a tokenizer of its own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.addresses import INPUTS, MASK, SPANS
from keras_kd._core.scalars import count
from keras_kd._core.token_texts import both_tokens
from keras_kd.sources._spans import Encoded, Reader, encoded, pieces_of, spans_of
from keras_kd.sources._writing import IDS, drawn
from keras_kd.sources._writing import MASK as PADDING


class TwoTokenizers(keras.utils.PyDataset):
    """Batches of texts for a student and a teacher with tokenizers of their own.

    Each text is read by both tokenizers, and their tokens are aligned by the bytes that they stand
    for, once, when this is made. Each model then sees its own token ids, and the terms of
    `keras_kd.recipes.gold` compare them over the spans of text that begin and end between tokens on
    both sides. What one side alone has, because the text was cut off at its length, is in no span.

    The batches are `({"inputs": ids, "signals": {"teacher:inputs": ids, "spans": spans}}, next
    tokens, weights)`, the last two those of the student, for its labels: `max_length - 1` positions
    each, weights 1 where a token follows. The spans are as `keras_kd.losses.SpanTarget` takes them.
    Special tokens at the same place on both sides, as the ends of the text, are a span of their own.

    Args:
        texts: List of texts; or, of texts that are cut into windows already, a list of the student's
            token numbers for each.
        student_tokenizer: The student's tokenizer: of KerasHub, or of the package `tokenizers`; or a
            preprocessor of KerasHub, which says whether texts get a token that begins and one that
            ends them. A tokenizer of KerasHub has both, where it knows them; one of `tokenizers`
            adds what its post-processor does.
        teacher_tokenizer: The teacher's.
        max_length: Number of the student's tokens of a text, what is beyond is cut off.
        teacher_max_length: Number of the teacher's tokens. Defaults to `None`: as many as what the
            student keeps of the longest text takes.
        batch_size: Number of texts in a batch. Defaults to `8`.
        special_tokens: As in `keras_kd.recipes.gold`. Defaults to `None`.
        padding_mask: Whether models take a dict of `"token_ids"` and `"padding_mask"`, as those of
            KerasHub do, or the ids alone; a pair where student and teacher differ. Defaults to `True`.
        role: The role of the teacher. Defaults to `"teacher"`.
        shuffle: Whether each epoch has an order of its own. Defaults to `True`.
        seed: Seed of these orders. Defaults to `0`.

    Raises:
        TypeError: If a tokenizer does not tell its tokens by their ids.
        ValueError: If a tokenizer changes a text, so that it cannot be aligned; if no text has a span;
            or a number is out of range.

    Example:

    >>> class Letters:
    ...     def __init__(self, *tokens): self.tokens = tokens
    ...     def vocabulary_size(self): return len(self.tokens)
    ...     def id_to_token(self, id): return self.tokens[id]
    ...     def __call__(self, text):
    ...         ids = []
    ...         while text:
    ...             best = max((t for t in self.tokens if text.startswith(t)), key=len)
    ...             ids, text = [*ids, self.tokens.index(best)], text[len(best):]
    ...         return np.array(ids)
    >>> student, teacher = Letters("a", "b", "ab"), Letters("a", "b", "ba")
    >>> source = keras_kd.sources.TwoTokenizers(
    ...     ["aabab"], student, teacher, max_length=4, padding_mask=False
    ... )
    >>> x, y, weight = source[0]
    >>> x["inputs"].tolist(), x["signals"]["teacher:inputs"].tolist()  # a ab ab, and a a ba b
    ([[0, 2, 2]], [[0, 0, 2]])
    >>> [part.tolist() for part in x["signals"]["spans"]]  # "abab", by 2 tokens and by 3
    [[[[2, 0, 0], [2, 0, -1], [-1, -1, -1]]], [[[0, 0], [2, 0], [1, 0]]]]

    Reference: Patiño et al., "Unlocking On-Policy Distillation for Any Model Family", Hugging Face,
    2025, https://huggingface.co/spaces/HuggingFaceH4/on-policy-distillation.
    """

    def __init__(
        self,
        texts: Sequence[Any],
        student_tokenizer: Any,
        teacher_tokenizer: Any,
        *,
        max_length: int,
        teacher_max_length: int | None = None,
        batch_size: int = 8,
        special_tokens: Mapping[str, str] | None = None,
        padding_mask: bool | tuple[bool, bool] = True,
        role: str = "teacher",
        shuffle: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        self.max_length = count(max_length, "max_length", least=2)
        longest = teacher_max_length
        self.batch_size = count(batch_size, "batch_size")
        self.seed, self.shuffle, self.role, self.epoch = (
            count(seed, "seed", least=0),
            shuffle,
            role,
            0,
        )
        self.as_dict = padding_mask if isinstance(padding_mask, tuple) else (padding_mask,) * 2
        tokens = both_tokens(student_tokenizer, teacher_tokenizer, special_tokens)
        student, teacher = (
            Reader(tokenizer, of, whose)
            for tokenizer, of, whose in zip(
                (student_tokenizer, teacher_tokenizer), tokens, ("student", "teacher"), strict=True
            )
        )
        made = []
        for row, text in enumerate(_listed(texts)):
            mine, theirs = _read(text, student, teacher, row)
            mine = Encoded(*(part[: self.max_length] for part in mine))
            reach = int(mine.ends[-1]) if len(mine.ends) else 0
            kept = int(np.searchsorted(theirs.ends, reach)) + 1 if longest is None else longest
            made.append((mine, Encoded(*(part[:kept] for part in theirs))))
        if longest is None:
            longest = max([2, *(len(theirs.ids) for _, theirs in made)])
        self.teacher_max_length = count(longest, "teacher_max_length", least=2)
        aligned = [spans_of(*pair) for pair in made]
        self._student = _padded([mine.ids for mine, _ in made], self.max_length)
        self._teacher = _padded([theirs.ids for _, theirs in made], self.teacher_max_length)
        self._spans = tuple(
            _padded([pair[side] for pair in aligned], length - 1, -1)
            for side, length in enumerate((self.max_length, self.teacher_max_length))
        )
        self._lengths = np.array([[len(side.ids) for side in pair] for pair in made])
        if not (self._spans[0][..., 1] >= 0).any():
            raise ValueError(
                f"None of the {len(made)} texts has a span of which both models predict all tokens: they "
                "have a token or two each. Give longer texts."
            )

    def __len__(self) -> int:
        return -(-len(self._lengths) // self.batch_size)

    def __getitem__(self, index: int) -> tuple:
        texts = len(self._lengths)
        some = np.arange(index * self.batch_size, min((index + 1) * self.batch_size, texts))
        if self.shuffle:
            some = drawn(texts, texts, self.epoch, self.seed)[some]
        ids, masks = [], []
        for side, tokens in enumerate((self._student, self._teacher)):
            mask = np.arange(tokens.shape[1] - 1) < self._lengths[some, side, None]
            masks.append(mask)
            inputs = tokens[some, :-1]
            ids.append({IDS: inputs, PADDING: mask} if self.as_dict[side] else inputs)
        signals = {f"{self.role}:{INPUTS}": ids[1], SPANS: tuple(s[some] for s in self._spans)}
        if not self.as_dict[0]:
            signals[MASK] = masks[0]
        follows = np.arange(1, self.max_length) < self._lengths[some, 0, None]
        x = {"inputs": ids[0], "signals": signals}
        return x, self._student[some, 1:], follows.astype("float32")

    def on_epoch_end(self) -> None:
        self.epoch += 1


def _listed(texts: Any) -> list[Any]:
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise TypeError(
            "`texts` must be a list of texts, or of lists of the student's token numbers. Received: "
            f"{texts!r:.80}."
        )
    found = list(texts)
    if not found:
        raise ValueError("`texts` are empty. Give some texts.")
    return found


def _read(text: Any, student: Reader, teacher: Reader, row: int) -> tuple[Encoded, Encoded]:
    """A text as both tokenizers have it."""
    if isinstance(text, (str, bytes)):
        text = text.decode() if isinstance(text, bytes) else text
        return student(text, row), teacher(text, row)
    ids = np.asarray(text)
    if ids.ndim != 1 or (len(ids) and ids.dtype.kind not in "iu"):
        raise TypeError(
            "`texts` must be texts, or lists of token numbers of one text each. Received in row "
            f"{row}: {text!r:.80}."
        )
    if len(ids) and not 0 <= ids.min() <= ids.max() < len(student.tokens):
        raise ValueError(
            f"`texts` has token numbers from {ids.min()} to {ids.max()} in row {row}, and the "
            f"student's tokenizer has tokens from 0 to {len(student.tokens) - 1}."
        )
    pieces, first = pieces_of(ids.tolist(), student.tokens, row)
    theirs = teacher.of_pieces(pieces, first, row)
    return encoded(ids.tolist(), [student.tokens[i] for i in ids]), theirs


def _padded(rows: Sequence[np.ndarray], length: int, fill: int = 0) -> np.ndarray:
    made = np.full((len(rows), length, *rows[0].shape[1:]), fill, "int32")
    for row, values in zip(made, rows, strict=True):
        row[: len(values)] = values[:length]
    return made
