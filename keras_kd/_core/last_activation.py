"""What a model ends in: logits, or probabilities that no loss on logits can read."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_kd._core.keras_private import calls_of, origin, outputs_of

PROBABILITIES = {
    "softmax": "FromProbabilities",
    "sigmoid": "FromBinaryProbabilities",
}


#: What changes neither the numbers nor what they mean.
_PASSES = (keras.layers.Dropout, keras.layers.Flatten, keras.layers.Identity, keras.layers.Reshape)


class EndsLike:
    """A model around others, whose output is of the same kind as theirs."""

    def ends_like(self) -> Sequence[keras.Model]:
        """The models whose last activations count for this one's."""
        raise NotImplementedError


class EndsLikeItsModel(EndsLike):
    """A model around one other, `self.model`, whose output is of the same kind."""

    model: keras.Model

    def ends_like(self) -> Sequence[keras.Model]:
        return [self.model]


class EndsIn:
    """A model whose last activation is known without looking at its layers."""

    def ends_in(self, path: tuple[str, ...]) -> str | None:
        """As `ending`."""
        raise NotImplementedError


def last_activation(model: keras.Model, path: tuple[str, ...] = ()) -> str | None:
    """`"softmax"` or `"sigmoid"` when the model, or its output `path`, ends in one; else `None`."""
    name = ending(model, path)
    return name if name in PROBABILITIES else None


def ending(model: keras.Model, path: tuple[str, ...] = ()) -> str | None:
    """`"softmax"`, `"sigmoid"`, `"linear"`: the activation that the model, or its output `path`,
    ends in; `None` when it is another one, or cannot be seen."""
    if isinstance(model, EndsIn):
        return model.ends_in(path)
    if isinstance(model, EndsLike):
        found = [ending(inner, path) for inner in model.ends_like()]
        probabilities = next((name for name in found if name in PROBABILITIES), None)
        return probabilities or (found[0] if len(set(found)) == 1 else None)
    if isinstance(model, keras.Sequential):
        layers = [layer for layer in model.layers if not passes(layer)]
        return activation_of(layers[-1], path) if layers else None
    output = output_at(model, path)
    return None if output is None else ending_of(output)


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


def ending_of(output: Any) -> str | None:
    """As `ending`, of one symbolic output."""
    operation, node, place = origin(output)
    while passes(operation):
        before = calls_of(operation)[node].input_tensors
        operation, node, place = origin(before[0])
    if getattr(operation, "outputs", None) and not isinstance(operation, EndsLike):
        return ending_of(operation.outputs[place])  # of a Functional model within
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
