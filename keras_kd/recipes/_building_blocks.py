"""What recipes are built of: lists of terms, pairs of addresses, shares; and how they are called."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeAlias

import keras

from keras_kd import losses
from keras_kd._core.deprecated import warn
from keras_kd._core.scalars import Number
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


def recipe(function: Callable[_Given, Terms]) -> Callable[_Given, Terms]:
    """A recipe, called with settings by name; its errors show how to name what is missing.

    `student=` and `teacher=`, the old names of the addresses, still stand for `pred=` and
    `target=`.
    """
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    takes_roles = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    models = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_name = {p.name: p for p in parameters if p.kind is not p.VAR_POSITIONAL}
    optional = {name for name, p in by_name.items() if p.default is not p.empty}
    pred = by_name.get("pred")
    on_layers = (
        pred is not None and pred.annotation in (str, Layers) and not {"pred", "target"} & optional
    )
    former = "pred" in optional and not models
    addresses = {"student": "pred", "teacher": "target"} if former else {}
    renamed = {old: new for old, new in addresses.items() if new in optional}

    @functools.wraps(function)
    def called(*args: _Given.args, **kwargs: _Given.kwargs) -> Terms:
        if len(args) > len(models) and not takes_roles:
            raise TypeError(_by_name(function.__name__, list(by_name), args))
        for old in renamed.keys() & kwargs.keys():
            warn(f"{old}= of the recipe '{function.__name__}'", f"{renamed[old]}=")
            kwargs[renamed[old]] = kwargs.pop(old)
        if on_layers and not {"pred", "target"} <= kwargs.keys():
            raise TypeError(_how_to_name(function.__name__, signature))
        return function(*args, **kwargs)

    return called


def _by_name(name: str, settings: Sequence[str], args: Sequence[Any]) -> str:
    given = zip(settings, args, strict=False)
    call = ", ".join(f"{setting}={value!r}" for setting, value in given)
    return (
        f"The recipe '{name}' takes its settings by name: "
        f"{', '.join(settings)}. "
        f"Received {len(args)} without a name. Write for example keras_kd.recipes.{name}({call})."
    )


def _how_to_name(name: str, signature: inspect.Signature) -> str:
    needed = [p for p in signature.parameters.values() if p.default is p.empty]
    others = [f"{p.name}={p.name}" for p in needed if p.name not in ("pred", "target")]
    if signature.parameters["pred"].annotation is str:
        found = "layers = keras_kd.procedures.hint_layers(student, teacher), and "
        layers = ['pred=layers["pred"][-1]', 'target=layers["target"][-1]']
    else:
        found = ""
        layers = ["**keras_kd.procedures.hint_layers(student, teacher)"]
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


def copied(layer: keras.layers.Layer | None) -> keras.layers.Layer | None:
    """Another layer of the same settings, for a term has its projectors to itself."""
    return None if layer is None else type(layer).from_config(layer.get_config())


def each(
    pred: Layers, target: Layers, loss: Callable[[], losses.Loss], weight: Number, name: str
) -> Terms:
    """One term for each pair, without projectors."""
    return [
        Term(loss(), pred=s, target=t, weight=weight, name=name) for s, t in paired(pred, target)
    ]


def rest(alpha: float, labels_weight: Number | None) -> Number:
    """The weight of the labels beside a teacher whose share is `alpha`: `labels_weight`, and by
    default the rest."""
    if not 0 <= alpha <= 1:
        raise ValueError(
            "`alpha` is the teacher's share and lies between 0 and 1: "
            f"(1 - alpha) · labels + alpha · teacher. Received: alpha={alpha!r}."
        )
    return 1 - alpha if labels_weight is None else labels_weight
