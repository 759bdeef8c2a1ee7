"""What a file says of itself: names, ranges and classes, and the card of its student."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from keras_kd.exporting._preprocessing import Preprocessing
from keras_kd.exporting._tensors import Tensor

#: What a card says in texts, for which formats have places of their own.
TEXTS = ("description", "version", "author", "license")
#: The file, or the entry, in which a format keeps the card.
CARD = "student.json"


@dataclass(frozen=True)
class Metadata:
    """What is written into a file beside the network.

    Args:
        name: The student's.
        fingerprint: What tells it from other students.
        quantization: How numbers are stored and computed with.
        inputs: What it takes.
        outputs: What it gives.
        classes: Names of the classes.
        preprocessing: What is done to inputs before.
        card: What its maker says of it.
    """

    name: str
    fingerprint: str
    quantization: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    card: Mapping[str, Any]

    def text(self, key: str) -> str:
        """What the card says of one of `TEXTS`; empty when it says nothing."""
        return str(self.card.get(key, ""))

    def as_json(self) -> str:
        """All of it, for files that hold the card."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)


def check_card(card: Any) -> dict[str, Any]:
    """A card that can be written; an error when it cannot."""
    if card is None:
        return {}
    if not isinstance(card, Mapping) or not all(isinstance(key, str) for key in card):
        raise ValueError(
            "`card` must be a dict of what is to be said of the student, by names such as "
            f"'author', 'license', 'data', 'teacher'. Received: {card!r}."
        )
    for key in TEXTS:
        if key in card and not isinstance(card[key], str):
            raise ValueError(f"`card`: '{key}' must be a text. Received: {card[key]!r}.")
    try:
        return json.loads(json.dumps(dict(card), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`card` has something that JSON cannot hold: {error}. Give texts, numbers, lists and "
            "dicts of these."
        ) from error
