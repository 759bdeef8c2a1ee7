"""Which class a token stands for."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_kd._core.messages import listing

#: The log-probability of a class that is not among the likeliest tokens: finite, and below what float32
#: adds to 1.
ABSENT = math.log(1e-12)
#: What some servers write for the space before a word.
_SPACES = str.maketrans("Ġ▁", "  ")

#: Log-probabilities by token.
Given = Mapping[str, float]
#: Log-probabilities and their classes.
Pair = tuple[list[float], list[int]]


class TokenIds:
    """Each token is a class, by its id: for a student with the teacher's vocabulary."""

    by_id = True
    num_classes: int | None = None

    def of(self, given: Given, top_k: int) -> Pair:
        """The `top_k` likeliest tokens."""
        if len(given) < top_k:
            raise ValueError(
                f"gives {len(given)} of the {top_k} likeliest tokens that `top_k` wants. Give "
                f"top_k={len(given)}."
            )
        values, ids = _sorted(given, top_k, _id)
        return values, ids

    def settings(self) -> Any:
        return None


class Classes:
    """Some tokens stand for a class, the others for none.

    All classes are there, in their order, so that nothing is left for the loss to share among them.

    Args:
        classes: For each class a word, or several that mean it; or token ids.
    """

    def __init__(self, classes: Sequence[Any]):
        listed = isinstance(classes, (list, tuple, np.ndarray))
        several = [
            each if isinstance(each, (list, tuple)) else (each,)
            for each in (classes if listed else ())
        ]
        names = [name for each in several for name in each]
        self.by_id = all(isinstance(name, (int, np.integer)) for name in names)
        known = self.by_id or all(isinstance(name, str) and _word(name) for name in names)
        if not known or len(several) < 2 or not all(map(len, several)):
            raise ValueError(
                "`classes` must name for each class of the student, in the order of its outputs, "
                "the token that stands for it, or a tuple of several: words, such as "
                f"classes=['no', ('yes', 'Yes')], or token ids. Received: {classes!r}."
            )
        self._key = _id if self.by_id else _word
        keys = [[int(n) if self.by_id else _word(n) for n in each] for each in several]
        #: The class of each token.
        self.places = {key: place for place, each in enumerate(keys) for key in each}
        self.num_classes: int | None = len(several)
        if len(self.places) < len(names):
            twice = [key for key in self.places if sum(each.count(key) for each in keys) > 1]
            raise ValueError(
                f"`classes` names {listing(map(str, twice))} more than once. Each token stands for "
                "one class; spaces around a word do not count."
            )

    def of(self, given: Given, top_k: int) -> Pair:
        """Each class: the sum over its tokens."""
        values = [ABSENT] * len(set(self.places.values()))
        for value, token in zip(*_sorted(given, top_k, self._key), strict=True):
            place = self.places.get(token)
            if place is not None:
                values[place] = float(np.logaddexp(values[place], value))
        return values, list(range(len(values)))

    def settings(self) -> Any:
        return [[key, place] for key, place in self.places.items()]


def _sorted(given: Given, top_k: int, key: Any) -> tuple[list[float], list[Any]]:
    """The `top_k` likeliest: many servers give the sampled token beside them."""
    pairs = sorted((-max(float(value), ABSENT), key(token)) for token, value in given.items())
    return [-value for value, _ in pairs[:top_k]], [token for _, token in pairs[:top_k]]


def _word(token: str) -> str:
    return token.translate(_SPACES).strip()


def _id(token: str) -> int:
    found = re.fullmatch(r"token_id:(\d+)", token)
    if not found:
        raise ValueError(
            f"gives the token {token!r} as a text, and not as an id as vLLM can. Name the words "
            "that stand for the classes: classes=['no', 'yes']."
        )
    return int(found[1])
