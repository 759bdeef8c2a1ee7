"""Ids: the one form in which an example's name is compared."""

from typing import Any

import numpy as np


def as_bytes(ids: Any) -> np.ndarray:
    """Ids given as text, bytes or whole numbers, as an array of bytes; `7` and `"7"` are one id.

    Raises:
        ValueError: If an id is empty, is no text and no whole number, or ends in a zero byte.
    """
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(f"Ids are one for each example. Received ids of shape {array.shape}.")
    if array.dtype.kind in "iu":
        return array.astype("S")
    if array.dtype.kind == "U":
        encoded = np.char.encode(array, "utf-8")
    elif array.dtype.kind == "S":
        encoded = array
    elif array.dtype.kind == "O":
        plain = array.tolist()
        if set(map(type, plain)) != {bytes} or b"\0" in b"".join(plain):
            plain = [_one(each) for each in plain]
        encoded = np.array(plain, dtype="S")
    else:
        raise ValueError(
            f"Ids are text, bytes or whole numbers. Received ids of type {array.dtype}."
        )
    if len(encoded) and not np.char.str_len(encoded).all():
        raise ValueError("Every example needs an id, and one is empty.")
    return encoded.astype("S1") if encoded.dtype.itemsize == 0 else encoded


def _one(value: Any) -> bytes:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return str(int(value)).encode()
    if not isinstance(value, (str, bytes)):
        raise ValueError(f"Ids are text, bytes or whole numbers. Received the id {value!r}.")
    plain = value.encode() if isinstance(value, str) else value
    if plain.endswith(b"\0"):
        raise ValueError(f"An id must not end in a zero byte. Received the id {value!r}.")
    return plain


def shown(identifier: bytes) -> str:
    """An id as an error names it."""
    return repr(bytes(identifier).decode("utf-8", "backslashreplace"))
