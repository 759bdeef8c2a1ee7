"""Which part of what `compile` and `fit` are given belongs to which `Labels` term.

A model of several outputs gets losses, labels and weights by output: dicts by name, or lists in
order. A `Labels` term on one output, `Labels(pred="student:output/kind")`, takes its own from each.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras

from keras_kd._compiled._outputs import Keys, keys_of
from keras_kd._core.addresses import LABELS, RESERVED, as_tuple, parse
from keras_kd._core.keras_private import outputs_of
from keras_kd._core.messages import listing
from keras_kd.terms import Labels, Term


def key_in(given: Any, key: str, names: Sequence[str]) -> Any:
    """What `given` calls the output `key`, which is one of `names` or its place among them;
    `None` when it has none."""
    place = int(key) if key.isdigit() else names.index(key) if key in names else None
    name = names[place] if place is not None and place < len(names) else key
    if isinstance(given, Mapping):
        return next((k for k in (key, name, place) if k is not None and k in given), None)
    return place if place is not None and place < len(given) else None


@dataclasses.dataclass(frozen=True)
class LabelPart:
    """What a `Labels` term takes for its own output."""

    model: keras.Model
    role: str
    keys: Keys | None
    reader: str

    def __call__(self, given: Any, what: str) -> Any:
        """The part of `given`, which errors call `what`, for this term's output."""
        if not isinstance(given, (Mapping, list, tuple)):
            return given
        if self.keys is None:
            raise ValueError(
                f"{self.reader} learns at a layer that is no output of '{self.model.name}', so "
                f"{what} by output has none for it. Name an output, as in "
                f"pred='{self.role}:output/NAME'."
            )
        for key in self.keys:
            if not isinstance(given, (Mapping, list, tuple)):
                break
            found = key_in(given, key, self.names)
            if found is None:
                held = given if isinstance(given, Mapping) else range(len(given))
                raise ValueError(
                    f"{self.reader} learns from the labels of output '{'/'.join(self.keys)}', and "
                    f"{what} holds {listing(map(str, held))}. Give one for it there, or name "
                    "another output in Labels(pred=...)."
                )
            given = given[found]
        return given

    def of(self, keys: Keys | None) -> "LabelPart":
        """The same, for the output at `keys`."""
        return dataclasses.replace(self, keys=keys)

    def find(self, given: Any) -> Any:
        """As a call, with `None` where `given` has nothing for this output."""
        for key in self.keys or ():
            if not isinstance(given, (Mapping, list, tuple)):
                break
            found = key_in(given, key, self.names)
            given = None if found is None else given[found]
        return given

    def called(self, keys: Keys) -> list[Any]:
        """All that the output at `keys` may be called: by name or by place; `None`, the only one."""
        if not keys:
            return [None, 0, *self.names]
        first = keys[0]
        place = int(first) if first.isdigit() else self.names.index(first)
        return [first, place, *self.names[place : place + 1]]

    @property
    def names(self) -> list[str]:
        """The outputs' names, in the order in which lists give something for each."""
        outputs = outputs_of(self.model)
        if isinstance(outputs, Mapping):
            return sorted(map(str, outputs))
        return list(getattr(self.model, "output_names", None) or ())


def label_part_of(term: Term | Labels, students: Mapping[str, keras.Model]) -> LabelPart:
    """What `term` takes for its own output."""
    addresses = (parse(a) for a in as_tuple(term.pred) if a not in RESERVED)
    for role, path in addresses:
        if role in students:
            return LabelPart(
                students[role], role, keys_of(students[role], path), f"Term '{term.name}'"
            )
    raise ValueError(f"Term '{term.name}' names no student in `pred`: {term.pred!r}.")


def apply(
    terms: Sequence[Term | Labels],
    students: Mapping[str, keras.Model],
    loss: Any,
    loss_weights: Any,
    compiled: Any,
) -> None:
    """Gives each term the loss and the labels of its output; `compiled` is Keras's own loss for all
    of them."""
    for term in terms:
        if not isinstance(term, Labels) and LABELS not in as_tuple(term.target):
            continue
        part = label_part_of(term, students)
        if part.keys != ():
            term.label_part = part
        if not isinstance(term, Labels):
            continue
        if part.keys == () or compiled is None:
            term.use_loss(compiled, given=loss)
            continue
        single = part(loss, "the `loss` given to compile()")
        if single is None:
            raise ValueError(
                f"Term '{term.name}' applies the loss given to compile() for '{term.pred}', and "
                "that is None. Give it a loss, or leave this Labels out of the terms."
            )
        weight = part(loss_weights, "the `loss_weights` given to compile()")
        weight = None if weight is None else float(weight)
        term.use_loss(type(compiled)(single, loss_weights=weight), given=single)
    _check_all_used([term for term in terms if isinstance(term, Labels)], students, loss)


def _check_all_used(
    terms: Sequence[Labels], students: Mapping[str, keras.Model], loss: Any
) -> None:
    """Raises when `loss` holds one for an output from whose labels no term learns."""
    parts = [label_part_of(term, students) for term in terms]
    if not isinstance(loss, (Mapping, list, tuple)) or not all(part.keys for part in parts):
        return
    used = {key_in(loss, part.keys[0], part.names) for part in parts if part.keys}
    unused = {key: one for key, one in _keyed(loss) if one is not None and key not in used}
    for key in unused:
        raise ValueError(
            f"compile() was given a loss for output {key!r}, but no Labels among the terms learns "
            f"from its labels ({listing(term.pred for term in terms)}), so nothing would apply it. "
            f"Add keras_kd.Labels(pred='{parts[0].role}:output/{key}', name='labels_{key}') to the "
            "terms, or leave that loss out."
        )


def _keyed(given: Any) -> Iterable[tuple[Any, Any]]:
    return given.items() if isinstance(given, Mapping) else enumerate(given)


def weights_for(
    term: Term | Labels, sample_weight: Any, students: Mapping[str, keras.Model]
) -> Any:
    """Weights given per output serve the labels, and a term on just that output."""
    if isinstance(term, Labels) or not keras.tree.is_nested(sample_weight):
        return sample_weight
    if not isinstance(term.pred, str) or parse(term.pred).role not in students:
        return None
    part = label_part_of(term, students)
    found = part.find(sample_weight) if part.keys else None
    return None if keras.tree.is_nested(found) else found
