"""What a model ends in: logits, or probabilities that no loss on logits can read."""

from collections.abc import Iterable
from typing import Any

import keras

from keras_kd._core.addresses import OUTPUT, parse
from keras_kd.losses import Loss
from keras_kd.teachers._ensembles import Ensemble, LogitEnsemble, Stacked
from keras_kd.teachers._momentum import Momentum
from keras_kd.teachers._views import ClassMap, OnInput

_PROBABILITIES = {
    "softmax": "FromProbabilities",
    "sigmoid": "FromBinaryProbabilities",
}


def last_activation(model: keras.Model, path: tuple[str, ...] = ()) -> str | None:
    """`"softmax"` or `"sigmoid"` when the model, or its output `path`, ends in one; else `None`."""
    if isinstance(model, (Ensemble, LogitEnsemble)):
        found = (last_activation(member, path) for member in model.members)
        return next((name for name in found if name), None)
    if isinstance(model, Stacked):
        return last_activation(model.head, path)
    if isinstance(model, (Momentum, OnInput, ClassMap)):
        return last_activation(model.model, path)
    if isinstance(model, keras.Sequential):
        return _activation_of(model.layers[-1], path) if model.layers else None
    outputs: Any = getattr(model, "_outputs_struct", None)  # Functional models alone have it
    for key in path:
        if isinstance(outputs, dict):
            outputs = outputs.get(key)
        elif isinstance(outputs, (list, tuple)) and key.isdigit() and int(key) < len(outputs):
            outputs = outputs[int(key)]
    if not keras.backend.is_keras_tensor(outputs):
        return None
    return _activation_of(outputs._keras_history.operation, ())


def _activation_of(layer: Any, path: tuple[str, ...]) -> str | None:
    if isinstance(layer, keras.Model):
        return last_activation(layer, path)
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    name = getattr(getattr(layer, "activation", None), "__name__", type(layer).__name__.lower())
    return name if name in _PROBABILITIES else None


def check_logits(terms: Iterable[Any], models: dict[str, keras.Model], students: set[str]) -> None:
    """Raises when a term compares logits and a model ends in probabilities."""
    for term in terms:
        loss = getattr(term, "loss", None)  # the term for the labels has none of its own
        if not isinstance(loss, Loss) or not loss.on_logits:
            continue
        if term.projector is not None or term.target_projector is not None:
            continue
        for address in map(parse, term.addresses()):
            first, *path = address.path.split("/")
            if first != OUTPUT or address.role not in models:
                continue
            model = models[address.role]
            name = last_activation(model, tuple(path))
            if name is not None:
                raise ValueError(
                    f"Term '{term.name}' compares logits with {type(loss).__name__}, and "
                    f"{address.role} '{model.name}' ends in a {name}: '{address}' gives "
                    f"probabilities. " + _advice(address.role, name, address.role in students)
                )


def _advice(role: str, name: str, learns: bool) -> str:
    if learns:
        return (
            f"Take the {name} off its last layer, and compile with a loss that has "
            "from_logits=True."
        )
    return (
        f"Take the {name} off its last layer, or give "
        f"keras_kd.teachers.{_PROBABILITIES[name]}({role})."
    )
