"""The last layer of a model of logits, and what enters it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from keras_kd._core.factors import CappedFactors, Factors
from keras_kd._core.keras_private import calls_of, origin, outputs_of
from keras_kd._core.last_activation import passes
from keras_kd._core.layer_calls import around_calls
from keras_kd._core.tensors import Tensor


def head_of(model: keras.Model, role: str, reader: str) -> keras.layers.Layer:
    """The layer whose product the model's logits are."""
    layer: Any = model
    while isinstance(layer, keras.Model):
        layer = _last(layer, role, reader)
    if isinstance(layer, keras.layers.Dense):
        if layer.activation is not keras.activations.linear:
            raise _no_head(
                model, role, reader, f"its last layer '{layer.name}' has an activation",
                f"Give {role}=keras_kd.with_logits({role}).",
            )  # fmt: skip
        return layer
    if _is_reversible(layer):
        return layer
    raise _no_head(
        model, role, reader, f"it ends in a {type(layer).__name__}",
        "The logits have to come from a Dense layer, or an embedding that is called in reverse, as "
        "in the causal models of keras-hub.",
    )  # fmt: skip


def _last(model: keras.Model, role: str, reader: str) -> Any:
    if isinstance(model, keras.Sequential):
        return next(layer for layer in reversed(model.layers) if not passes(layer))
    outputs = outputs_of(model)
    if not keras.backend.is_keras_tensor(outputs):
        raise _no_head(
            model, role, reader,
            "it has several outputs" if outputs is not None else "only Python can read its call",
            "The factors are those of a Functional or Sequential model with one output.",
        )  # fmt: skip
    operation, node, _ = origin(outputs)
    while passes(operation):
        operation, node, _ = origin(calls_of(operation)[node].input_tensors[0])
    if isinstance(operation, keras.Model) and not isinstance(operation, keras.Sequential):
        outputs = keras.tree.flatten(outputs_of(operation))
        if len(outputs) > 1:
            raise _no_head(model, role, reader, f"'{operation.name}' in it has several outputs", "")
    return operation


def before_head(model: keras.Model) -> tuple[str, int] | None:
    """The path of the layer whose output enters the last one, by its place, such as `"layers/3"`,
    and how many numbers it gives; `None` where that is no layer of the model itself, or gives no
    row of numbers for each example."""
    try:
        operation = head_of(model, "model", "A hint")
        node = calls_of(operation)[0]
        while not isinstance(operation, keras.layers.InputLayer):
            operation, place, _ = origin(node.input_tensors[0])
            node = calls_of(operation)[place]
            if not isinstance(operation, keras.layers.Dropout):
                break
    except (ValueError, IndexError, AttributeError):
        return None
    places = [number for number, layer in enumerate(model.layers) if layer is operation]
    shape = node.output_tensors[0].shape
    if not places or len(shape) != 2 or isinstance(operation, keras.layers.InputLayer):
        return None
    return f"layers/{places[0]}", shape[1]


def _no_head(model: keras.Model, role: str, reader: str, why: str, advice: str) -> ValueError:
    return ValueError(
        f"{reader} reads '{role}:factors', the factors of the logits of '{model.name}', and {why}. "
        f"{advice} Or compare whole logits: '{role}:output'."
    )


def _is_reversible(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Embedding) and isinstance(
        getattr(layer, "tie_weights", None), bool
    )


@contextlib.contextmanager
def factoring(layer: keras.layers.Layer | None, whole: bool) -> Iterator[list[Any]]:
    """Notes the factors of what `layer` makes while the context lasts; unless `whole`, it makes
    nothing then: zeros that take no room stand where the logits would."""
    noted: list[Any] = []

    def note(layer: Any, original: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
        if _is_reversible(layer) and not kwargs.get("reverse", (*args, False, False)[1]):
            return original(*args, **kwargs)
        hidden = args[0] if args else kwargs["inputs"]
        factors = _factors(layer, hidden, original)
        noted.append(factors)
        if whole:
            return original(*args, **kwargs)
        shape = (*ops.shape(hidden)[:-1], factors.kernel.shape[-1])
        return ops.broadcast_to(ops.zeros((1,) * len(shape), "float32"), shape)

    with around_calls([] if layer is None else [layer], note):
        yield noted


def _factors(layer: Any, hidden: Tensor, original: Callable[..., Any]) -> Factors | CappedFactors:
    reverse = _is_reversible(layer)
    dtype = (layer.reverse_dtype if reverse else None) or layer.compute_dtype
    if layer.quantization_mode is not None:
        kernel, bias = _dequantized(layer, original, dtype)
        if (quantizer := getattr(layer, "inputs_quantizer", None)) is not None:
            steps, scale = quantizer(ops.cast(hidden, dtype))
            hidden = ops.cast(steps, dtype) / ops.cast(scale, dtype)
    elif reverse:
        kernel = ops.transpose(layer.embeddings) if layer.tie_weights else layer.reverse_embeddings
        bias = None
    else:
        kernel, bias = layer.kernel, layer.bias
    kernel = ops.cast(ops.convert_to_tensor(kernel), dtype)
    bias = ops.zeros((kernel.shape[-1],), dtype) if bias is None else ops.convert_to_tensor(bias)
    cap = layer.logit_soft_cap if reverse else None
    if cap is None:
        return Factors(hidden, kernel, bias)
    return CappedFactors(hidden, kernel, bias, ops.convert_to_tensor(cap, "float32"))


def _dequantized(layer: Any, original: Callable[..., Any], dtype: Any) -> tuple[Tensor, Any]:
    """The weights of a quantized layer, as it multiplies by them: what it makes of unit vectors.

    Each of these survives the rounding of the layer's input as it is."""
    reverse = _is_reversible(layer)
    width = layer.output_dim if reverse else layer.input_spec.axes[-1]
    units = ops.eye(width, dtype=dtype)
    if not reverse:
        made = original(units)
        bias = None if layer.bias is None else ops.convert_to_tensor(layer.bias)
        return made if bias is None else made - bias, bias
    made = original(units, reverse=True)
    if layer.logit_soft_cap is not None:
        made = layer.logit_soft_cap * ops.arctanh(made / layer.logit_soft_cap)
    return made, None
