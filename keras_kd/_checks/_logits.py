"""Probabilities where terms read logits: which signals are checked, and the error messages."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_kd._checks._classes import read_as_logits
from keras_kd._core.addresses import LABELS, OUTPUT, parse
from keras_kd._core.last_activation import PROBABILITIES, ending, last_activation
from keras_kd._core.messages import see
from keras_kd._core.probabilities import ENOUGH, Looks, looks, read
from keras_kd.taps import Signals

#: About so many numbers of a signal are looked at.
_MOST = 2**18


def logits_among(terms: Iterable[Any]) -> dict[str, str]:
    """The addresses that terms read as logits, each with a term that does."""
    found: dict[str, str] = {}
    for term in terms:
        for address in read_as_logits(term):
            is_output = parse(address).path.split("/")[0] == OUTPUT
            if is_output or term.loss.among_classes:  # other losses on logits read features beside
                found.setdefault(address, term.name)
    return found


def looked_at(signals: Signals, addresses: Iterable[str]) -> Any:
    """What each of these signals looks like; of the largest logits alone, their values."""
    outputs = [keras.tree.flatten(signals.get(address, 0.0)) for address in addresses]
    # Two are the weights and classes of draws, of which there are no logits.
    outputs = [[0.0] if len(leaves) == 2 else leaves for leaves in outputs]
    return ops.stack([looks(_some(leaves[0])) for leaves in outputs] or [looks(0.0)])


def _some(x: Any) -> Any:
    """`x`, or of a large one the first examples, and at each of them some positions that lie evenly:
    to look at a number costs as much as to compute with it."""
    shape = tuple(getattr(x, "shape", ()))
    if len(shape) < 2 or None in shape[1:]:
        return x
    each = max(1, math.prod(shape[1:]))
    examples = max(ENOUGH, _MOST // each)
    x = x[:examples]
    return x if len(shape) == 2 else x[:, :: max(1, examples * each // _MOST)]


def check_looks(counts: Sequence[Any], logits: Mapping[str, str]) -> None:
    """Raises when a signal that a term reads as logits can only be probabilities."""
    for found, (address, term) in zip(counts, logits.items(), strict=False):
        seen = read(found)
        if seen.softmax or seen.sigmoid:
            raise ValueError(
                f"Term '{term}' reads '{address}' as logits, and it holds probabilities: "
                + _instead(seen, parse(address).role)
            )


def _instead(seen: Looks, role: str) -> str:
    """What is wrong, and what to write instead."""
    if seen.softmax:
        shown = f"all {seen.distributions:.0f} rows looked at are nowhere negative and sum to 1"
        view, log = "FromProbabilities", "np.log(np.maximum(p, 1e-7))"
    else:
        shown = f"all {seen.numbers:.0f} numbers looked at lie in [0, 1], many of them at the ends"
        view = "FromBinaryProbabilities"
        log = "p = np.clip(p, 1e-6, 1 - 1e-6); np.log(p / (1 - p))"
    return (
        f"{shown}. A softmax or sigmoid of probabilities is nearly constant. Give logits: "
        f"without its last activation, a model gives them; {role}=keras_kd.teachers.{view}({role}) "
        f"makes them of a teacher's probabilities, {log} of outputs that come with the batch."
    )


def cause(counts: Sequence[Any], logits: Iterable[str]) -> str:
    """The usual causes of outputs that are not finite; that of -inf, where one was seen."""
    for found, address in zip(counts, logits, strict=False):
        if read(found).lowest:
            return (
                f"Among '{address}' is -inf: the logarithm of a probability of 0, of which a "
                "forest, for one, gives many. Clip before the logarithm: "
                "np.log(np.maximum(p, 1e-7))."
            )
    return (
        "Look at teacher.predict() on that data: unscaled or missing inputs, float16 logits above "
        "65,504, and the logarithm of a probability of 0 are the usual causes."
    )


def check_logits(terms: Iterable[Any], models: dict[str, keras.Model], students: set[str]) -> None:
    """Raises when a term compares logits and a model ends in probabilities."""
    for term in terms:
        for address in map(parse, read_as_logits(term)):
            first, *path = address.path.split("/")
            if first != OUTPUT or address.role not in models:
                continue
            model = models[address.role]
            name = last_activation(model, tuple(path))
            if name is not None:
                raise ValueError(
                    f"Term '{term.name}' compares logits with {type(term.loss).__name__}, and "
                    f"{address.role} '{model.name}' ends in a {name}: '{address}' gives "
                    f"probabilities. "
                    + _advice(address.role, model.name, name, address.role in students)
                    + see("probabilities")
                )


def _advice(role: str, model: str, name: str, learns: bool) -> str:
    if learns:
        return (
            f"Train the model below its {name}: student=keras_kd.with_logits({role}) shares its "
            f"weights, and '{model}' can be saved afterwards as it is. Compile with a loss that has "
            "from_logits=True."
        )
    return (
        f"Take the {name} off its last layer, or give "
        f"keras_kd.teachers.{PROBABILITIES[name]}({role})."
    )


#: Losses of Keras that read probabilities on both sides, unless `from_logits=True`.
_ON_PROBABILITIES = (
    keras.losses.BinaryCrossentropy, keras.losses.BinaryFocalCrossentropy,
    keras.losses.CategoricalCrossentropy, keras.losses.CategoricalFocalCrossentropy,
    keras.losses.KLDivergence,
)  # fmt: skip


def check_probabilities(terms: Iterable[Any], models: dict[str, keras.Model]) -> None:
    """Raises when a loss of Keras reads probabilities and a model ends in logits."""
    for term in terms:
        loss = getattr(term, "loss", None)
        if type(loss) not in _ON_PROBABILITIES or getattr(loss, "from_logits", False):
            continue
        for address, projector in (
            (term.pred, term.projector),
            (term.target, term.target_projector),
        ):
            if projector is not None or not isinstance(address, str) or address == LABELS:
                continue
            role, path = parse(address)
            first, *keys = path.split("/")
            if first == OUTPUT and role in models and ending(models[role], tuple(keys)) == "linear":
                raise ValueError(
                    f"Term '{term.name}' compares probabilities with keras.losses."
                    f"{type(loss).__name__}, and {role} '{models[role].name}' ends in logits: "
                    "Keras would clip them into [0, 1]. Soft targets between logits are "
                    "keras_kd.losses.SoftTarget(temperature=4.0), of yes-no outputs "
                    "keras_kd.losses.BinarySoftTarget(temperature=4.0)."
                )
