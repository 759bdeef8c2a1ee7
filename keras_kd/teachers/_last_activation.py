"""What a model ends in: logits, or probabilities that no loss on logits can read."""

from collections.abc import Iterable
from typing import Any

import keras

from keras_kd._checks._classes import read_as_logits
from keras_kd._core.addresses import OUTPUT, parse
from keras_kd._core.keras_private import calls_of, origin, outputs_of
from keras_kd.teachers._ensembles import Ensemble, LogitEnsemble, Stacked
from keras_kd.teachers._momentum import Momentum
from keras_kd.teachers._views import ClassMap, OnInput

PROBABILITIES = {
    "softmax": "FromProbabilities",
    "sigmoid": "FromBinaryProbabilities",
}


#: What changes neither the numbers nor what they mean.
_PASSES = (keras.layers.Dropout, keras.layers.Flatten, keras.layers.Identity, keras.layers.Reshape)


def last_activation(model: keras.Model, path: tuple[str, ...] = ()) -> str | None:
    """`"softmax"` or `"sigmoid"` when the model, or its output `path`, ends in one; else `None`."""
    name = ending(model, path)
    return name if name in PROBABILITIES else None


def ending(model: keras.Model, path: tuple[str, ...] = ()) -> str | None:
    """`"softmax"`, `"sigmoid"`, `"linear"`: the activation that the model, or its output `path`,
    ends in; `None` when it is another one, or cannot be seen."""
    if isinstance(model, (Ensemble, LogitEnsemble)):
        found = (last_activation(member, path) for member in model.members)
        return next((name for name in found if name), None)
    if isinstance(model, Stacked):
        return ending(model.head, path)
    if isinstance(model, (Momentum, OnInput, ClassMap)):
        return ending(model.model, path)
    if isinstance(model, keras.Sequential):
        layers = [layer for layer in model.layers if not passes(layer)]
        return activation_of(layers[-1], path) if layers else None
    output = output_at(model, path)
    return None if output is None else _ending_of(output)


def output_at(model: keras.Model, path: tuple[str, ...]) -> Any:
    """The symbolic output of a Functional model at `path`; `None` when there is no such one."""
    outputs: Any = outputs_of(model)
    for key in path:
        if isinstance(outputs, dict):
            outputs = outputs.get(key)
        elif isinstance(outputs, (list, tuple)) and key.isdigit() and int(key) < len(outputs):
            outputs = outputs[int(key)]
        else:
            return None
    return outputs if keras.backend.is_keras_tensor(outputs) else None


def _ending_of(output: Any) -> str | None:
    operation, node, _ = origin(output)
    while passes(operation):
        before = calls_of(operation)[node].input_tensors
        operation, node, _ = origin(before[0])
    return activation_of(operation)


def passes(layer: Any) -> bool:
    """Whether a layer changes neither the numbers nor what they mean."""
    if isinstance(layer, keras.layers.Activation):
        return layer.activation is keras.activations.linear
    return isinstance(layer, _PASSES)


def activation_of(layer: Any, path: tuple[str, ...] = ()) -> str | None:
    """As `ending`, of one layer or operation."""
    if isinstance(layer, keras.Model):
        return ending(layer, path)
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    activation = getattr(layer, "activation", None)
    if activation is keras.activations.linear:
        return "linear"
    name = getattr(activation, "__name__", type(layer).__name__.lower())
    return name if name in PROBABILITIES else None


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
