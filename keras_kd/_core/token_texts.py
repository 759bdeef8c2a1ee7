"""What the tokens of a vocabulary stand for, in bytes, and which of two vocabularies are the same."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

#: A single byte, as SentencePiece writes those that stand in no piece.
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
#: A letter by which byte-level vocabularies write a byte that cannot be seen: the space.
_SPACE = "Ġ"
#: Begins what stands for a special token that two vocabularies share: in no text is such a byte.
_SPECIAL = b"\xff"


def _letters() -> dict[str, int]:
    """The letter by which byte-level vocabularies write each byte: its own where that can be seen,
    and the next from 256 on where it cannot."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {chr(b): b for b in seen} | {chr(256 + i): b for i, b in enumerate(hidden)}


_LETTERS = _letters()


class Tokens(NamedTuple):
    """A vocabulary: what each token is written as, and its bytes; `None` of a special token."""

    names: list[str]
    bytes: list[bytes | None]


def tokens_of(tokenizer: Any, argument: str = "tokenizer", otherwise: str = "") -> Tokens:
    """The tokens of a tokenizer of KerasHub or of the package tokenizers, in the order of their ids.

    Raises:
        TypeError: If it does not tell its tokens by their ids.
    """
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # of a preprocessor
    of_id = getattr(tokenizer, "id_to_token", None)
    size = getattr(tokenizer, "vocabulary_size", None) or getattr(tokenizer, "get_vocab_size", None)
    if not callable(of_id) or not callable(size):
        raise TypeError(
            f"`{argument}` must be a tokenizer of KerasHub, or of the package tokenizers: one with "
            "`id_to_token` and `vocabulary_size`; a fast tokenizer of transformers has such a one as "
            f"its `backend_tokenizer`. Received: {tokenizer!r}.{otherwise}"
        )
    names = [of_id(i) or "" for i in range(size())]
    special = set(getattr(tokenizer, "special_tokens", None) or ())
    added = getattr(tokenizer, "get_added_tokens_decoder", None)
    if callable(added):
        special |= {token.content for token in added().values() if token.special}
    by_bytes = _by_bytes([name for name in names if name not in special])
    return Tokens(names, [None if n in special else _bytes(n, by_bytes) for n in names])


def _by_bytes(names: Sequence[str]) -> bool:
    """Whether each letter is a byte: all are among the 256 that stand for one."""
    marked = any(_SPACE in name for name in names)
    return marked and all(letter in _LETTERS for name in names for letter in name)


def _bytes(name: str, by_bytes: bool) -> bytes:
    if by_bytes:
        return bytes(_LETTERS[letter] for letter in name)
    if byte := _BYTE.fullmatch(name):
        return bytes([int(byte[1], 16)])
    return name.replace("▁", " ").encode()


def both_tokens(
    student: Any, teacher: Any, special_tokens: Mapping[str, str] | None = None
) -> tuple[list[bytes], list[bytes]]:
    """The bytes of the tokens of two tokenizers.

    Special tokens that mean the same have bytes of their own, the same on both sides, which are in
    no text: those paired by `special_tokens`, the ends, the starts, and those that are written
    alike. Others have none.

    Raises:
        TypeError: If a tokenizer does not tell its tokens.
        ValueError: If `special_tokens` names one that is not there.
    """
    sides = [
        tokens_of(tokenizer, argument)
        for tokenizer, argument in ((student, "student_tokenizer"), (teacher, "teacher_tokenizer"))
    ]
    ids = [{name: i for i, name in enumerate(side.names)} for side in sides]
    alike = [name for name in ids[0] if name in ids[1] and sides[0].bytes[ids[0][name]] is None]
    pairs = [
        *(_named(pair, ids) for pair in (special_tokens or {}).items()),
        *(_ids_of(student, teacher, name) for name in ("end_token_id", "start_token_id")),
        *((ids[0][name], ids[1][name]) for name in alike),
    ]
    texts = [[text or b"" for text in side.bytes] for side in sides]
    taken: list[set[int]] = [set(), set()]
    for number, pair in enumerate(pairs):
        if None in pair or any(i in of for i, of in zip(pair, taken, strict=True)):
            continue
        for i, of, text in zip(pair, taken, texts, strict=True):
            of.add(i)
            text[i] = _SPECIAL + bytes([number])
    return texts[0], texts[1]


def is_special(text: bytes) -> bool:
    """Whether these are the bytes of a special token."""
    return text[:1] == _SPECIAL and len(text) > 1


def _named(pair: tuple[str, str], ids: list[dict[str, int]]) -> tuple[int, int]:
    for name, of, side in zip(pair, ids, ("student", "teacher"), strict=True):
        if name not in of:
            raise ValueError(
                f"`special_tokens` pairs {pair[0]!r} of the student with {pair[1]!r} of the teacher, "
                f"and the {side}'s tokenizer has no token {name!r}."
            )
    return ids[0][pair[0]], ids[1][pair[1]]


def _ids_of(student: Any, teacher: Any, name: str) -> tuple[Any, Any]:
    """The ids that both tokenizers of KerasHub have under this name."""
    sides = (getattr(side, "tokenizer", side) for side in (student, teacher))
    one, other = (getattr(side, name, None) for side in sides)
    return one, other


def groups_of(
    student: Sequence[bytes], teacher: Sequence[bytes], by_prefix: bool
) -> tuple[list[int], list[int]]:
    """The tokens of two vocabularies in groups that mean the same on both sides: the group of each
    token, from 0, or -1 of one that is in none.

    Tokens of the same bytes are a group. `by_prefix` a token that the other side lacks stands with
    the longest one there that it begins with: the text goes on with a token of the group on the one
    side where it does on the other. Such a group holds tokens of one first byte.
    """
    texts = (student, teacher)
    nodes = {text: {text} for side in texts for text in side if text}
    for side, other in (texts, texts[::-1]) if by_prefix else ():
        others = set(other)
        for text in {*side} - others:
            ends = range(len(text) - 1, 0, -1) if not is_special(text) else ()
            first = next((text[:end] for end in ends if text[:end] in others), None)
            if first is not None and nodes[first] is not nodes[text]:
                few, many = sorted((nodes[first], nodes[text]), key=len)
                many |= few
                nodes.update(dict.fromkeys(few, many))
    both = [{id(nodes[text]) for text in side if text} for side in texts]
    numbers: dict[int, int] = {}
    for text in student:
        if text and id(nodes[text]) in both[1]:
            numbers.setdefault(id(nodes[text]), len(numbers))
    of = [[numbers.get(id(nodes.get(text)), -1) for text in side] for side in texts]
    return of[0], of[1]
