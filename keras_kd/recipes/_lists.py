"""What recipes are written with: lists of terms, pairs of addresses, shares of a whole."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeAlias

import keras

from keras_kd import losses
from keras_kd._core.numbers import Number
from keras_kd.terms import Labels, Term

Terms: TypeAlias = list[Term | Labels]
#: One address, or several: of one layer, or of one layer for each pair.
Layers: TypeAlias = str | Sequence[str]

_Given = ParamSpec("_Given")


def labels(weight: Number, pred: str = "student:output") -> Terms:
    """The labels' term by its weight; none when that is 0."""
    return [] if weight == 0 else [Labels(weight, pred=pred)]


def listed(layers: Layers) -> list[str]:
    """One address or several, as a list."""
    return [layers] if isinstance(layers, str) else list(layers)


def on_layers(recipe: Callable[_Given, Terms]) -> Callable[_Given, Terms]:
    """A recipe on layers, which says how to find them when it is not given their names."""
    signature = inspect.signature(recipe)

    @functools.wraps(recipe)
    def named(*args: _Given.args, **kwargs: _Given.kwargs) -> Terms:
        if not {"pred", "target"} <= kwargs.keys():
            raise TypeError(_how_to_name(recipe.__name__, signature))
        return recipe(*args, **kwargs)

    return named


def _how_to_name(name: str, signature: inspect.Signature) -> str:
    needed = [p for p in signature.parameters.values() if p.default is p.empty]
    others = [p.name for p in needed if p.name not in ("pred", "target")]
    if signature.parameters["pred"].annotation is str:
        found = "layers = keras_kd.recipes.hint_layers(student, teacher), and "
        layers = ['pred=layers["pred"][-1]', 'target=layers["target"][-1]']
    else:
        found = ""
        layers = ["**keras_kd.recipes.hint_layers(student, teacher)"]
    return (
        f"The recipe '{name}' compares layers, and needs their addresses, `pred` and `target`. "
        f"Name them, or have them paired by their sizes: {found}"
        f"keras_kd.recipes.{name}({', '.join([*others, *layers])})."
    )


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
