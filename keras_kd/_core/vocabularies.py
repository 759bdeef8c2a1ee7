"""Vocabularies of two models: those that differ by rows of padding alone, and those of other texts."""

import logging
from typing import Any

import keras

from keras_kd._core.keras_private import mask_of, set_mask
from keras_kd._core.tensors import Tensor


def padded_alike(one: int, other: int) -> bool:
    """Whether the larger of two vocabularies is likely the smaller one, rounded up.

    Vocabularies are padded to a multiple of 8, 64 or 128, by a few hundred rows at most. More rows,
    as the 768 between two versions of Mistral, are tokens, and may stand in front.
    """
    few, many = sorted((one, other))
    return few < many and many % 8 == 0 and many - few <= min(few // 8, 512)


def of_common_tokens(who: str, pred: Any, target: Any, told: bool) -> tuple[Any, Any, bool]:
    """Logits of sequences over the tokens that both sides have; and whether a note was given.

    Args:
        who: What compares them, such as `"Term 'soft_target'"`.
        pred: The student's logits.
        target: The teacher's logits, or a tuple of these and of other tensors.
        told: Whether the note was given before.
    """
    sides = [pred, *(target if isinstance(target, tuple) else (target,))]
    sizes = {size for side in sides if (size := _size(side)) is not None}
    if len(sizes) != 2 or not padded_alike(*sizes):
        return pred, target, told
    size = min(sizes)
    if not told:
        logging.getLogger("keras_kd").warning(
            "%s compares the first %d tokens: the %d beyond them are taken for padding of "
            "one vocabulary.", who, size, max(sizes) - size,
        )  # fmt: skip
    pred, *targets = (_first(side, size) if _size(side) else side for side in sides)
    return pred, tuple(targets) if isinstance(target, tuple) else targets[0], True


def _size(side: Any) -> int | None:
    if keras.tree.is_nested(side) or len(getattr(side, "shape", ())) != 3:
        return None
    return side.shape[-1]


def _first(logits: Tensor, size: int) -> Tensor:
    """The first `size` logits of each position, under the mask that they had."""
    kept = logits[..., :size]
    if (mask := mask_of(logits)) is not None:
        set_mask(kept, mask)
    return kept
