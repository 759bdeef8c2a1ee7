"""What a store holds as a teacher's output is read as logits: probabilities are told of, not kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.probabilities import looks, read
from keras_kd.stores._codecs import StoreError
from keras_kd.teachers._heads import last_activation

#: How many examples are looked at.
SAMPLE = 64


def check_ending(teacher: keras.Model, paths: Sequence[str]) -> None:
    """Raises when an output that is to be kept is seen to end in a softmax."""
    for path in paths:
        first, *keys = path.split("/")
        if first == OUTPUT and last_activation(teacher, tuple(keys)) == "softmax":
            raise StoreError(
                f"The teacher '{teacher.name}' ends in a softmax: its '{path}' is probabilities. "
                + _instead()
            )


def check_values(signals: Mapping[str, Any], where: str, already_kept: bool = False) -> None:
    """Raises when what is kept as an output can only be probabilities.

    Args:
        signals: By path, what is kept of some examples.
        where: Who says so, as the start of a sentence.
        already_kept: Whether it is read and not written. Defaults to `False`.
    """
    for path, signal in signals.items():
        if path.split("/")[0] != OUTPUT:
            continue
        seen = read(keras.ops.convert_to_numpy(looks(keras.tree.flatten(signal)[0][:SAMPLE])))
        if seen.softmax:
            raise StoreError(
                f"{where} '{path}' is probabilities: all {seen.distributions:.0f} rows looked at "
                f"are nowhere negative and sum to 1. {_instead(already_kept)}"
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
