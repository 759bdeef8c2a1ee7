"""The outputs of the students, and what is known of each."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_kd._checks._classes import read_as_logits
from keras_kd._core.addresses import OUTPUT, RESERVED, as_tuple, parse
from keras_kd._core.keras_private import origin, outputs_of
from keras_kd._core.last_activation import activation_of, ending
from keras_kd.losses import Loss
from keras_kd.taps import layer_paths

Keys = tuple[str, ...]


def keys_of(model: keras.Model, path: str) -> Keys | None:
    """The keys of the output that `path` means: none for the whole, `None` for no output.

    A layer whose result is an output of the model means that output.
    """
    first, *rest = path.split("/")
    if first == OUTPUT:
        return tuple(rest)
    if isinstance(model, keras.Sequential):
        return () if model.layers and model.layers[-1].name == path.removeprefix("./") else None
    outputs = outputs_of(model)
    layer = layer_paths(model).get(path) if outputs is not None else None
    for keys, leaf in named_leaves(outputs):
        if layer is not None and origin(leaf)[0] is layer:
            return keys
    return None


def named_leaves(outputs: Any, keys: Keys = ()) -> list[tuple[Keys, Any]]:
    """Each tensor of a model's outputs, with the keys that lead to it."""
    if not isinstance(outputs, (Mapping, list, tuple)):
        return [] if outputs is None else [(keys, outputs)]
    parts = outputs.items() if isinstance(outputs, Mapping) else enumerate(outputs)
    return [leaf for key, part in parts for leaf in named_leaves(part, (*keys, str(key)))]


@dataclass(frozen=True)
class Output:
    """One output of a student, and how it is known to be logits or probabilities."""

    address: str
    keys: Keys | None  # of a layer that is no output, none
    model: keras.Model
    ending: str | None
    term: str | None  # the term that compares it as logits
    among: str | None  # the term that compares its columns as the classes of one softmax
    width: int | None
    rank: int | None

    def known(self) -> str:
        """How it is known to be logits."""
        if self.term is not None:
            return f"Term '{self.term}' compares them as such"
        return "the last layer has no activation"


class Outputs:
    """The students' outputs."""

    def __init__(self, terms: Sequence[Any], students: Mapping[str, keras.Model]):
        self.students = students
        self._as_logits = dict(_compared(terms, students, lambda loss: loss.on_logits))
        self._among = dict(_compared(terms, students, lambda loss: loss.among_classes))

    def inside(self, role: str, keys: Keys) -> list[Keys]:
        """The keys of every output within that at `keys`; these alone when only data shows them."""
        leaves = named_leaves(outputs_of(self.students[role]))
        return [found for found, _ in leaves if found[: len(keys)] == keys] or [keys]

    def known(self, role: str) -> bool:
        """Whether the model's outputs are known before it sees data."""
        model = self.students[role]
        functional = outputs_of(model) is not None
        return functional or isinstance(model, keras.Sequential)

    def at(self, role: str, place: Keys | str) -> Output:
        """The output at these keys; or the layer at this path, which is no output."""
        model = self.students[role]
        terms = self._as_logits.get((role, place)), self._among.get((role, place))
        if isinstance(place, str):
            found = activation_of(layer_paths(model).get(place))
            return Output(f"{role}:{place}", None, model, found, *terms, None, None)
        leaf = dict(named_leaves(outputs_of(model))).get(place)
        if leaf is None and isinstance(model, keras.Sequential) and model.outputs:
            leaf = model.outputs[0]
        shape = () if leaf is None else tuple(leaf.shape)
        size = (shape[-1], len(shape)) if shape else (None, None)
        address = "/".join((f"{role}:output", *place))
        return Output(address, place, model, ending(model, place), *terms, *size)

    def of(self, term: Any) -> Iterator[Output]:
        """The outputs that a term learns at."""
        for role, path in (parse(a) for a in as_tuple(term.pred) if a not in RESERVED):
            if role in self.students:
                keys = keys_of(self.students[role], path)
                yield self.at(role, path if keys is None else keys)


def _compared(
    terms: Iterable[Any], students: Mapping[str, keras.Model], how: Callable[[Loss], bool]
) -> Iterator[tuple[tuple[str, Keys | str], str]]:
    """The students' outputs that a term compares so, each with the term's name."""
    for term in terms:
        for role, path in map(parse, read_as_logits(term)):
            if role in students and how(term.loss):
                keys = keys_of(students[role], path)
                yield (role, path if keys is None else keys), term.name


def name_output_layers(terms: Iterable[Any], models: Mapping[str, keras.Model]) -> None:
    """Sets in each term which of its addresses are layers that give a model's output."""
    for term in terms:
        named = [(address, *parse(address)) for address in term.addresses()]
        term.output_layers = frozenset(
            address
            for address, role, path in named
            if role in models and keys_of(models[role], path) is not None
        )
