"""What recipes are written with: lists of terms, pairs of addresses, shares of a whole."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras

from keras_kd import losses
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


def shaped(
    loss: losses.Loss,
    pred: str,
    target: str,
    projector: keras.layers.Layer,
    weight: Number,
    name: str,
    **kwargs: Any,
) -> Term:
    """A term whose projector reads the target's shape."""
    return Term(
        loss, pred=(pred, target), target=target, projector=projector, weight=weight, name=name,
        **kwargs,
    )  # fmt: skip


def each(
    pred: Layers, target: Layers, loss: Callable[[], losses.Loss], weight: Number, name: str
) -> Terms:
    """One term for each pair, without projectors."""
    return [
        Term(loss(), pred=s, target=t, weight=weight, name=name) for s, t in paired(pred, target)
    ]


def check_share(alpha: float) -> None:
    """Raises when `alpha` is no share of the teacher."""
    if not 0 <= alpha <= 1:
        raise ValueError(
            "`alpha` is the teacher's share and lies between 0 and 1: "
            f"(1 - alpha) · labels + alpha · teacher. Received: alpha={alpha!r}."
        )
