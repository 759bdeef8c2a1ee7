"""A model without its last softmax or sigmoid, on the same weights."""

from typing import Any

import keras

from keras_kd._core.keras_private import calls_of, is_wired, origin, outputs_of
from keras_kd._core.last_activation import PROBABILITIES, activation_of, passes
from keras_kd._core.symbolic import input_of


def with_logits(model: keras.Model) -> keras.Model:
    """A model without its last softmax or sigmoid, on the same weights.

    Soft targets compare logits, and many people's models end in a softmax: those of
    `keras.applications` do. Train what this returns; the model that was given learns with it, for
    they share every layer and weight, and is the one to save: it ends in its softmax as before.

    Every output of the model that ends in a softmax or a sigmoid is given without it, whether that
    is the `activation` of its last layer, a layer of its own, or the end of a model inside. The
    logits are float32 under any precision. Layers keep their names, so addresses stay as they are.

    Args:
        model: A Functional model, or a Sequential one that knows its input.

    Returns:
        A Functional model.

    Raises:
        TypeError: If `model` is no `keras.Model`.
        ValueError: If it is neither Functional nor Sequential, not built, or ends in no softmax or
            sigmoid.

    Example:

    >>> classifier = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    >>> student = keras_kd.with_logits(classifier)  # train this, and save `classifier`
    >>> x = np.ones((1, 4), "float32")
    >>> apart = keras.ops.softmax(student(x)) - classifier(x)
    >>> float(keras.ops.max(keras.ops.abs(apart))) < 1e-6
    True
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"`model` must be a keras.Model. Received: {model!r} of type {type(model).__name__}."
        )
    outputs = _outputs(model)
    flat = keras.tree.flatten(outputs)
    ends = [_end_of(output) for output in flat]
    if not any(ends):
        raise ValueError(
            f"'{model.name}' ends in no softmax or sigmoid that could be seen, so there is none to "
            "take off. If its last layer has no activation, it gives logits already."
        )
    _check_inner(model, ends)
    calls: dict[tuple[int, int], list[Any]] = {}
    for output, name in zip(flat, ends, strict=True):
        inner, node, _ = _before_passes(output)
        if name is not None and isinstance(inner, keras.Model) and (id(inner), node) not in calls:
            calls[id(inner), node] = _called(inner, node)  # once for all of its outputs
    logits = [
        output if name is None and _key(output) not in calls else _without(output, calls)
        for output, name in zip(flat, ends, strict=True)
    ]
    made = keras.tree.pack_sequence_as(outputs, logits)
    return keras.Model(input_of(model), made, name=model.name)


def _called(inner: keras.Model, node: int) -> list[Any]:
    """What a model inside gives without its activations, where it was called."""
    arguments = calls_of(inner)[node].arguments
    return keras.tree.flatten(with_logits(inner)(*arguments.args, **arguments.kwargs))


def _key(output: Any) -> tuple[int, int]:
    operation, node, _ = _before_passes(output)
    return id(operation), node


def _outputs(model: keras.Model) -> Any:
    """The model's symbolic outputs."""
    if isinstance(model, keras.Sequential) and model.built and model.outputs:
        return model.outputs[0]
    if isinstance(model, keras.Sequential):
        raise ValueError(
            f"Sequential '{model.name}' does not know its input yet. Begin it with "
            "keras.Input(shape), or call it once on data."
        )
    outputs = outputs_of(model)
    if outputs is None or not is_wired(model):
        raise ValueError(
            f"'{model.name}' is a {type(model).__name__}, whose call only Python can read: the "
            "last activation can be taken off Functional and Sequential models. Have its `call` "
            "return logits; of a model around another, such as keras_kd.teachers.SelectInput, take it "
            "off the one inside."
        )
    return outputs


def _end_of(output: Any) -> str | None:
    """`"softmax"`, `"sigmoid"`, or `None`."""
    operation, _, place = _before_passes(output)
    if isinstance(operation, keras.Model):
        inner = keras.tree.flatten(_outputs(operation))[place]
        return _end_of(inner)
    name = activation_of(operation)
    return name if name in PROBABILITIES else None


def _before_passes(output: Any) -> tuple[Any, int, int]:
    """What made `output`, before layers that change neither the numbers nor their meaning."""
    operation, node, place = origin(output)
    while passes(operation):
        operation, node, place = origin(calls_of(operation)[node].input_tensors[0])
    return operation, node, place


def _check_inner(model: keras.Model, ends: list[str | None]) -> None:
    """Raises when a model inside has to be run twice: for its logits, and for others."""
    flat = keras.tree.flatten(_outputs(model))
    for output, name in zip(flat, ends, strict=True):
        inner, node, _ = _before_passes(output)
        if name is None or not isinstance(inner, keras.Model):
            continue
        made = {id(tensor) for tensor in calls_of(inner)[node].output_tensors}
        for layer in model.layers:
            used = [t for call in calls_of(layer) for t in call.input_tensors if id(t) in made]
            if used and not passes(layer):
                raise ValueError(
                    f"The model '{inner.name}' inside '{model.name}' ends in a {name} that "
                    f"'{layer.name}' reads as well. Give '{inner.name}' a second output, its "
                    "logits, and make the outputs of that."
                )


def _without(output: Any, calls: dict[tuple[int, int], list[Any]]) -> Any:
    """`output` before its last activation."""
    operation, node, place = origin(output)
    call = calls_of(operation)[node]
    if passes(operation):  # a layer without weights: its like goes where it was
        like = type(operation).from_config(operation.get_config())
        return like(_without(call.input_tensors[0], calls))
    if isinstance(operation, keras.Model):
        return calls[id(operation), node][place]
    before = call.input_tensors[0]
    if isinstance(operation, (keras.layers.Activation, keras.layers.Softmax)):
        return _as_float32(before, operation.name)
    if not isinstance(operation, keras.layers.Layer):  # keras.ops.softmax and the like
        return _as_float32(before, f"{operation.name}_logits")
    return _linear(operation)(before)


def _as_float32(logits: Any, name: str) -> Any:
    return keras.layers.Activation("linear", dtype="float32", name=name)(logits)


def _linear(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The same layer without its activation: its very variables, computed in float32."""
    config = {**layer.get_config(), "activation": "linear"}
    if "mixed" in layer.dtype_policy.name:
        config["dtype"] = "float32"
    twin = type(layer).from_config(config)
    for name, value in vars(layer).items():
        if isinstance(value, keras.Variable) or name not in vars(twin):
            setattr(twin, name, value)
    twin.built = True
    twin.trainable = layer.trainable
    if [id(v) for v in twin.variables] != [id(v) for v in layer.variables]:
        raise ValueError(
            f"The activation of '{layer.name}', a {type(layer).__name__}, cannot be taken off: its "
            "weights are held by layers inside it. Give the activation a layer of its own: "
            "keras.layers.Activation after one without."
        )
    return twin
