"""Losses that read probabilities, where the student gives logits; and the reverse.

Keras clips what a cross-entropy reads into [0, 1] and goes on: the student would learn little, and
no error would show it.
"""

import functools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_kd._compiled._label_assignment import LabelPart, label_part_of
from keras_kd._compiled._outputs import Output, Outputs
from keras_kd._core.addresses import parse
from keras_kd.terms import Labels

#: Losses of Keras that read logits when they are given so, by the names of their functions.
FUNCTIONS = {
    "binary_crossentropy": "BinaryCrossentropy",
    "binary_focal_crossentropy": "BinaryFocalCrossentropy",
    "categorical_crossentropy": "CategoricalCrossentropy",
    "categorical_focal_crossentropy": "CategoricalFocalCrossentropy",
    "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
}
#: Those that never do.
_NEVER = {
    "kl_divergence": "KLDivergence",
    "categorical_generalized_cross_entropy": "CategoricalGeneralizedCrossEntropy",
    "dice": "Dice",
    "tversky": "Tversky",
}


@dataclass(frozen=True)
class Applied:
    """A loss that a `Labels` term applies to one output."""

    output: Output
    loss: Any
    part: LabelPart

    def read_as_logits(self) -> bool:
        """Whether the output is known to be read as logits."""
        return self.output.term is not None or reads_logits(self.loss) is True

    def resolved(self) -> Any:
        """The loss as an object of its class, where Keras has one."""
        options: dict[str, Any] = {}
        found = _resolved(self.loss)
        if isinstance(self.loss, functools.partial):
            found, options = self.loss.func, dict(self.loss.keywords)
        name = None if isinstance(found, keras.losses.Loss) else name_of(found)
        return getattr(keras.losses, FUNCTIONS[name])(**options) if name in FUNCTIONS else found

    def ignored(self) -> int | None:
        """The class number that stands for a missing label."""
        found = self.resolved()
        return getattr(found, "ignore_class", None)

    def ignoring(self) -> str:
        """The loss as one writes it to leave out labels of -1."""
        return "loss=" + _written(self.resolved(), ignore_class=-1)

    def shown(self) -> str:
        return _shown(self.loss)


def check_losses(
    terms: Sequence[Any], students: Mapping[str, keras.Model], loss: Any
) -> list[Applied]:
    """Each loss with its output; raises when one reads probabilities from logits, or the reverse,
    and warns when a term needs outputs of another kind than the loss does."""
    outputs = Outputs(terms, students)
    applied: list[Applied] = []
    for term in terms:
        if isinstance(term, Labels):
            part = label_part_of(term, students)
            for output, one in _losses(outputs, part, parse(term.pred).path, loss):
                _check(output, one)
                keys = part.keys if part.keys is None else output.keys
                applied.append(Applied(output, one, part.of(keys)))
                _warn_of_kinds(applied[-1])
    return applied


def _warn_of_kinds(one: Applied) -> None:
    """Labels that are yes or no in each column, beside a term that chooses one of them."""
    kinds = ("BinaryCrossentropy", "BinaryFocalCrossentropy")
    if type(one.resolved()).__name__ in kinds and one.output.among and one.output.width != 1:
        warnings.warn(
            f"compile() was given loss={one.shown()}, for which each column of "
            f"'{one.output.address}' is a yes-no question of its own, and Term "
            f"'{one.output.among}' compares them as the classes of one softmax. For examples with "
            "several labels take keras_kd.recipes.binary(), or keras_kd.losses.BinarySoftTarget in "
            "that term; for one label each, CategoricalCrossentropy(from_logits=True).",
            stacklevel=4,
        )


def _losses(
    outputs: Outputs, part: LabelPart, path: str, loss: Any
) -> Iterator[tuple[Output, Any]]:
    """Each output that a `Labels` term learns from, with each loss that `compile` gives it."""
    if part.keys is None:
        yield from ((outputs.at(part.role, path), one) for one in leaves(loss))
        return
    for keys in outputs.inside(part.role, part.keys):
        given = part.of(keys).find(loss)
        if isinstance(given, Mapping) and not outputs.known(part.role):
            for key, single in given.items():
                place = (*keys, str(key))
                yield from ((outputs.at(part.role, place), one) for one in leaves(single))
        else:
            yield from ((outputs.at(part.role, keys), one) for one in leaves(given))


def leaves(given: Any) -> list[Any]:
    """All that is given, in whatever lists and dicts."""
    return [one for one in keras.tree.flatten(given) if one is not None]


def reads_logits(loss: Any) -> bool | None:
    """Whether a loss reads logits; `None` when it reads neither these nor probabilities, or when
    that is unknown."""
    if isinstance(loss, str) and loss.lower() in ("crossentropy", "ce"):
        return False
    if isinstance(loss, functools.partial) and name_of(loss.func) in FUNCTIONS:
        return bool(loss.keywords.get("from_logits", False))
    found = _resolved(loss)
    if isinstance(found, keras.losses.Loss):
        if type(found).__name__ in _NEVER.values() and is_of_keras(type(found)):
            return False
        given = getattr(found, "from_logits", None)  # also of losses of one's own: the convention
        return given if isinstance(given, bool) else None
    return False if name_of(found) in {**FUNCTIONS, **_NEVER} else None


def _resolved(loss: Any) -> Any:
    """The loss that Keras takes for `loss`; for one it does not know, Keras raises by itself."""
    try:
        return keras.losses.get(loss)
    except (ValueError, TypeError):
        return None


def is_of_keras(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).split(".")[0] == "keras"


def name_of(function: Any) -> str | None:
    return getattr(function, "__name__", None) if is_of_keras(function) else None


def _check(output: Output, loss: Any) -> None:
    reads = reads_logits(loss)
    is_probabilities = output.ending in ("softmax", "sigmoid")
    if reads is True and is_probabilities and output.term is None:
        raise ValueError(
            f"compile() was given loss={_shown(loss)}, which reads logits, for '{output.address}' "
            f"of '{output.model.name}', which ends in a {output.ending} and gives probabilities. "
            "Leave from_logits=True out, or take the activation off its last layer."
        )
    if reads is False and (output.term is not None or output.ending == "linear"):
        raise ValueError(
            f"compile() was given loss={_shown(loss)}, which reads probabilities, for "
            f"'{output.address}' of '{output.model.name}', which gives logits: {output.known()}. "
            f"{_remedy(loss, output.width)}"
        )


def _shown(loss: Any) -> str:
    if isinstance(loss, str):
        return repr(loss)
    if isinstance(loss, functools.partial):
        return f"functools.partial({_shown(loss.func)}, ...)"
    if isinstance(loss, keras.losses.Loss):
        return _written(loss)
    return f"keras.losses.{loss.__name__}" if is_of_keras(loss) else repr(loss)


def _written(loss: keras.losses.Loss, **changed: Any) -> str:
    """The loss as one writes it, with the arguments that are not the usual ones."""
    kind = type(loss)
    try:
        config, usual = loss.get_config(), kind().get_config()
    except Exception:  # a loss of one's own may have no config, or no defaults
        config, usual = {}, {}
    left_out = {"name", "reduction", "dtype", "fn", *changed}
    kept = {k: v for k, v in config.items() if k not in left_out and v != usual.get(k)}
    prefix = "keras.losses." if is_of_keras(kind) else ""
    arguments = ", ".join(f"{k}={v!r}" for k, v in {**changed, **kept}.items())
    return f"{prefix}{kind.__name__}({arguments})"


def _remedy(loss: Any, width: int | None) -> str:
    if isinstance(loss, str) and loss.lower() in ("crossentropy", "ce"):
        name = "BinaryCrossentropy" if width == 1 else "SparseCategoricalCrossentropy"
        more = "" if width == 1 else " (CategoricalCrossentropy for one-hot labels)"
        return f"Write loss=keras.losses.{name}(from_logits=True){more}."
    if isinstance(loss, functools.partial):
        return "Add from_logits=True to its arguments."
    found = _resolved(loss)
    if isinstance(found, keras.losses.Loss):
        name = type(found).__name__
        if name not in _NEVER.values():
            return f"Write loss={_written(found, from_logits=True)}."
    else:
        name = {**FUNCTIONS, **_NEVER}[found.__name__]
        if name in FUNCTIONS.values():
            return f"Write loss=keras.losses.{name}(from_logits=True)."
    if name == "KLDivergence":
        return (
            "Write loss=keras.losses.CategoricalCrossentropy(from_logits=True): its gradient is "
            "the same."
        )
    function = next(function for function, kind in _NEVER.items() if kind == name)
    squash = "sigmoid" if width == 1 else "softmax"
    return (
        f"Turn them into probabilities within the loss: loss=lambda y, z: keras.losses.{function}"
        f"(y, keras.ops.{squash}(z))."
    )
