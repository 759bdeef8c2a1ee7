"""What recipes are written with: lists of terms, lists of addresses, the labels' part."""

from collections.abc import Sequence
from typing import TypeAlias

from keras_kd._core.numbers import Number
from keras_kd.terms import Labels, Term

Terms: TypeAlias = list[Term | Labels]
#: One address, or several: of one layer, or of one layer for each pair.
Layers: TypeAlias = str | Sequence[str]


def labels(weight: Number, pred: str = "student:output") -> Terms:
    """The labels' term by its weight; none when that is 0."""
    return [] if weight == 0 else [Labels(weight, pred=pred)]


def listed(layers: Layers) -> list[str]:
    """One address or several, as a list."""
    return [layers] if isinstance(layers, str) else list(layers)


def paired(pred: Layers, target: Layers) -> list[tuple[str, str]]:
    """The learner's layers with the layers that they learn from, in order."""
    preds, targets = listed(pred), listed(target)
    if len(preds) != len(targets) or not preds:
        raise ValueError(
            "`pred` and `target` name layers in pairs, so they have as many, at least one. "
            f"Received: pred={pred!r}, target={target!r}."
        )
    return list(zip(preds, targets, strict=True))
