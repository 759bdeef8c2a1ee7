"""How many bytes of text each token of a vocabulary stands for."""

import re
from typing import Any

#: A single byte, as SentencePiece writes those that stand in no piece.
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
#: The letters by which byte-level vocabularies write the bytes that cannot be seen.
_SPACE = "Ġ"


def token_bytes(tokenizer: Any) -> list[int]:
    """The UTF-8 bytes of each token of a vocabulary, for `keras_kd.metrics.BitsPerByte`.

    Byte-level vocabularies (GPT-2, Llama 3, Qwen) write each byte as a letter. Others
    (SentencePiece: Llama 2, Gemma, T5) write a space as `▁` and bytes without a piece as `<0x0A>`.
    Special tokens have no bytes.

    Args:
        tokenizer: A tokenizer of KerasHub, or of the package `tokenizers`.

    Returns:
        A list of whole numbers, in the order of the ids.

    Raises:
        TypeError: If the tokenizer does not tell its tokens by their ids.

    Example:

    >>> class Tokenizer:
    ...     special_tokens = ["<pad>"]
    ...     def vocabulary_size(self): return 3
    ...     def id_to_token(self, id): return ["<pad>", "the", "ĠcafÃ©"][id]
    >>> keras_kd.metrics.token_bytes(Tokenizer())  # "Ã©" are the two bytes of "é"
    [0, 3, 6]
    """
    of_id = getattr(tokenizer, "id_to_token", None)
    size = getattr(tokenizer, "vocabulary_size", None) or getattr(tokenizer, "get_vocab_size", None)
    if not callable(of_id) or not callable(size):
        raise TypeError(
            "`tokenizer` must be a tokenizer of KerasHub, or of the package tokenizers: one with "
            f"`id_to_token` and `vocabulary_size`. Received: {tokenizer!r}. For another, give "
            "BitsPerByte a list of the bytes of each token."
        )
    tokens = [of_id(i) or "" for i in range(size())]
    special = set(getattr(tokenizer, "special_tokens", None) or ())
    added = getattr(tokenizer, "get_added_tokens_decoder", None)
    if callable(added):
        special |= {token.content for token in added().values() if token.special}
    by_bytes = _by_bytes([token for token in tokens if token not in special])
    return [0 if token in special else _size(token, by_bytes) for token in tokens]


def _by_bytes(tokens: list[str]) -> bool:
    """Whether each letter is a byte: all are among the 256 that stand for one."""
    marked = any(_SPACE in token for token in tokens)
    return marked and all(ord(letter) < 0x144 and letter != "▁" for t in tokens for letter in t)


def _size(token: str, by_bytes: bool) -> int:
    if by_bytes:
        return len(token)
    if _BYTE.fullmatch(token):
        return 1
    return len(token.replace("▁", " ").encode())
