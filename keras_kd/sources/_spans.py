"""Which tokens of two tokenizers stand for the same text, and the ids that each makes of it."""

import codecs
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_kd._core.token_texts import is_special


class Encoded(NamedTuple):
    """A text as one tokenizer has it: its tokens, and where each ends in the text, in bytes. A token
    that stands for none of the text ends where the one before it does."""

    ids: np.ndarray
    ends: np.ndarray


def encoded(ids: Sequence[int], texts: Sequence[bytes]) -> Encoded:
    """Tokens that stand for these bytes. A special one that begins a text is predicted by nothing, and
    the other side may have none, so it stands for nothing."""
    lengths = [len(text) for text in texts]
    if texts and is_special(texts[0]):
        lengths[0] = 0
    return Encoded(np.array(ids, "int64"), np.cumsum(lengths, dtype="int64"))


class Reader:
    """A tokenizer, and the bytes of its tokens.

    Args:
        tokenizer: Of KerasHub or of the package `tokenizers`, or a preprocessor of KerasHub.
        tokens: The bytes of each of its tokens.
        whose: For errors: `"student"` or `"teacher"`.
    """

    def __init__(self, tokenizer: Any, tokens: Sequence[bytes], whose: str):
        self.tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
        self.tokens, self.whose = tokens, whose
        self.special = {text: i for i, text in enumerate(tokens) if is_special(text)}
        ends = (("add_start_token", "start_token_id"), ("add_end_token", "end_token_id"))
        self.around = tuple(
            [] if found is None or not getattr(tokenizer, wanted, True) else [int(found)]
            for wanted, found in ((w, getattr(self.tokenizer, name, None)) for w, name in ends)
        )

    def ids(self, text: str, whole: bool) -> list[int]:
        """The ids of a text, with what begins and ends a `whole` one."""
        if callable(encode := getattr(self.tokenizer, "encode", None)):  # of `tokenizers`
            return list(encode(text, add_special_tokens=whole).ids)
        made = np.asarray(self.tokenizer(text)).reshape(-1).tolist() if text else []
        start, end = self.around if whole else ([], [])
        return [*start, *made, *end]

    def __call__(self, text: str, row: int) -> Encoded:
        """A whole text.

        Raises:
            ValueError: If its tokens do not give it back.
        """
        ids = self.ids(text, whole=True)
        return self.placed(ids, text.encode(), row, [])

    def of_pieces(self, pieces: Sequence[bytes], first: int, row: int) -> Encoded:
        """A text of which special tokens are known, each a piece, from its byte `first` on."""
        ids: list[int] = []
        begins = []
        for piece in pieces:
            if is_special(piece):
                ids.append(self.special[piece])
            else:
                begins.append(len(ids))
                ids += self.ids(piece.decode(), whole=False)
        made = self.placed(ids, b"".join(p for p in pieces if not is_special(p)), row, begins)
        return made._replace(ends=made.ends + first)

    def placed(self, ids: Sequence[int], text: bytes, row: int, begins: Sequence[int]) -> Encoded:
        """Tokens of which the bytes are those of the text. A space that a tokenizer puts before a
        text is not of it: `begins` are the places where a piece begins, besides the first."""
        texts = [self.tokens[i] if i < len(self.tokens) else b"" for i in ids]
        plain = [i for i, one in enumerate(texts) if one and not is_special(one)]
        first = {*begins, *plain[:1]}
        place = 0
        for i in plain:
            one = texts[i]
            if i in first and one[:1] == b" " and text[place : place + 1] != b" ":
                texts[i] = one = one[1:]
            if text[place : place + len(one)] != one:
                raise self._lost(text, place, one, row)
            place += len(one)
        if place != len(text):
            raise self._lost(text, place, b"", row)
        return encoded(ids, texts)

    def _lost(self, text: bytes, place: int, found: bytes, row: int) -> ValueError:
        stands, made = (part.decode(errors="replace") for part in (text[place : place + 20], found))
        return ValueError(
            f"The {self.whose}'s tokenizer does not give the text back: in row {row}, at byte "
            f"{place}, stands {stands!r}, and its tokens have {made!r}. One that changes "
            "texts (lower case, accents, unknown characters, '##' within words) cannot be aligned. "
            "Change the texts in the same way before, take out its normalizer, or leave such texts "
            "out."
        )


def pieces_of(ids: Sequence[int], tokens: Sequence[bytes], row: int) -> tuple[list[bytes], int]:
    """What a row of ids stands for: text between special tokens; and how many bytes at its beginning
    belong to a character of the row before. Such are left out, and so are those at the end."""
    pieces: list[bytes] = [b""]
    for i in ids:
        if is_special(tokens[i]):
            pieces += [tokens[i], b""]
        else:
            pieces[-1] += tokens[i]
    first = 0
    while first < min(3, len(pieces[0])) and pieces[0][first] & 0xC0 == 0x80:
        first += 1
    pieces[0] = pieces[0][first:]
    whole = codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in pieces[:-1]:
            if not is_special(piece):
                piece.decode()
        whole.decode(pieces[-1])
    except UnicodeDecodeError as error:
        raise ValueError(
            f"`texts` has token numbers in row {row} that are no text in UTF-8: {error}. Give texts, "
            "or numbers as the student's tokenizer makes them."
        ) from error
    begun, _ = whole.getstate()
    pieces[-1] = pieces[-1].removesuffix(begun)
    return [piece for piece in pieces if piece], first


def spans_of(student: Encoded, teacher: Encoded) -> tuple[np.ndarray, np.ndarray]:
    """The spans of a text, as `keras_kd.losses.SpanTarget` takes them, of the tokens from the second
    on: `(tokens - 1, 3)` of the student, `(tokens - 1, 2)` of the teacher.

    A span whose first token no position predicts, as the first of the text, is none.
    """
    both = student, teacher
    lengths = [np.diff(side.ends, prepend=0) for side in both]
    one, other = (np.unique(side.ends[n > 0]) for side, n in zip(both, lengths, strict=True))
    common = np.intersect1d(one, other)
    reach = common[-1] if len(common) else -1
    span_of = [
        np.where((n > 0) & (side.ends <= reach), np.searchsorted(common, side.ends), -1)
        for side, n in zip(both, lengths, strict=True)
    ]
    missed = {int(span[0]) for span in span_of if len(span)}  # nothing predicts a first token
    begins = [
        {int(s): i for i, s in reversed([*enumerate(span)]) if s >= 0 and int(s) not in missed}
        for span in span_of
    ]
    made = [
        np.full((max(len(side.ids) - 1, 0), columns), -1, "int32")
        for side, columns in zip(both, (3, 2), strict=True)
    ]
    for rows, side, span in zip(made, both, span_of, strict=True):
        rows[:, 0] = side.ids[1:]
        rows[:, 1] = [begins[0].get(int(s), 0) - 1 for s in span[1:]]
    for s, i in begins[0].items():
        made[0][i - 1, 2] = begins[1][s] - 1
    return made[0], made[1]
