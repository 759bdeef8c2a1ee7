"""How many bytes of text each token of a vocabulary stands for."""

from typing import Any

from keras_kd._core.token_texts import tokens_of


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
    otherwise = " For another, give BitsPerByte a list of the bytes of each token."
    tokens = tokens_of(tokenizer, otherwise=otherwise)
    return [len(token or b"") for token in tokens.bytes]
