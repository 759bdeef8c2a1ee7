"""What a store holds as a teacher's output is read as logits: probabilities raise an error."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.external import ExternalTeacher
from keras_kd._core.last_activation import last_activation
from keras_kd._core.probabilities import looks, read
from keras_kd.stores._codecs import StoreError

#: The kind, in a manifest, of signals that are probabilities of classes.
PROBABILITIES = "probabilities"
#: How many examples are looked at.
SAMPLE = 64


def check_ending(teacher: keras.Model | ExternalTeacher, paths: Sequence[str]) -> None:
    """Raises when an output that is to be kept is seen to end in a softmax."""
    if isinstance(teacher, ExternalTeacher):
        return  # makes logits of whatever it gives
    for path in paths:
        first, *keys = path.split("/")
        if first == OUTPUT and last_activation(teacher, tuple(keys)) == "softmax":
            raise StoreError(
                f"The teacher '{teacher.name}' ends in a softmax: its '{path}' is probabilities. "
                + _instead()
            )


def values_of(signals: Mapping[str, Any]) -> dict[str, str]:
    """What some examples' signals are, by path: `"logits"`, `"probabilities"` or `"features"`.

    By their values: an output counts as logits unless it can only be probabilities of classes.
    """
    kinds = {}
    for path, signal in signals.items():
        tensor = keras.tree.flatten(signal)[0][:SAMPLE]
        seen = read(keras.ops.convert_to_numpy(looks(tensor)))
        output = path.split("/")[0] == OUTPUT
        kinds[path] = PROBABILITIES if seen.softmax else "logits" if output else "features"
    return kinds


def kinds_of(teacher: keras.Model | ExternalTeacher, signals: Mapping[str, Any]) -> dict[str, str]:
    """What a teacher's signals are, by path; raises when an output is probabilities."""
    kinds = values_of(signals)
    if isinstance(teacher, ExternalTeacher) and teacher.kind == "values" and OUTPUT in kinds:
        kinds[OUTPUT] = "values"
    elif isinstance(teacher, ExternalTeacher) and kinds.get(OUTPUT) == PROBABILITIES:
        raise StoreError(
            f"The teacher '{teacher.name}' gives no logits: of all examples looked at, no number is "
            "below 0 and the sum is 1. Give their kind, kind='probabilities'; of a "
            "function by keras_kd.sources.FunctionTeacher(function, name=..., kind='probabilities')."
        )
    else:
        check_kinds(kinds, f"The teacher '{teacher.name}' gives no logits: its")
    return kinds


def check_kinds(kinds: Mapping[str, str | None], where: str, already_kept: bool = False) -> None:
    """Raises when what is kept as an output can only be probabilities.

    Args:
        kinds: By path, what is kept, as `values_of` returns it.
        where: What is at fault, as the start of a sentence.
        already_kept: Whether it is read and not written. Defaults to `False`.
    """
    for path, kind in kinds.items():
        if path.split("/")[0] == OUTPUT and kind == PROBABILITIES:
            raise StoreError(
                f"{where} '{path}' is probabilities: of all examples looked at, no number is below "
                f"0 and the sum is 1. {_instead(already_kept)}"
            )


def _instead(already_kept: bool = False) -> str:
    text = (
        "What is stored under 'output' is read as logits. Write it from "
        "keras_kd.teachers.FromProbabilities(teacher), or without the softmax. "
    )
    if already_kept:
        return text + "keras_kd.stores.Store(path) gives what is there as it is."
    return text + (
        "If you want the probabilities themselves, for a loss on probabilities, store them under "
        "the name of the layer that gives them: addresses=('NAME',)."
    )
