"""Every name of Keras that is not public and that this package uses, each in one place.

`tests/test_keras_private.py` tries each on the installed Keras, names what would take its place,
and proves that no other module uses such a name.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
from keras.src import backend
from keras.src.utils import tracking

# Layers.


def layers_of(
    layer: keras.Layer, include_self: bool = True, recursive: bool = True
) -> list[keras.Layer]:
    """The layer and every layer inside it, those of subclassed models and wrappers too."""
    return layer._flatten_layers(include_self=include_self, recursive=recursive)


def takes_training(layer: keras.Layer) -> bool:
    """Whether the layer's `call` has an argument `training`."""
    return layer._call_has_training_arg


def own_variables(layer: keras.Layer) -> list[keras.Variable]:
    """The variables that the layer made itself, not those of the layers inside it."""
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def is_rematerialized(layer: keras.Layer) -> bool:
    """Whether a `keras.RematScope` had the layer run again for the backward pass."""
    return getattr(layer, "_remat_mode", None) is not None


@contextlib.contextmanager
def computing_with(weights: Iterable[tuple[keras.Layer, str, Any]]) -> Iterator[None]:
    """Has each layer compute with a tensor in place of its weight of that name, while this lasts.

    Past Keras's attribute tracking, on purpose. Where `kernel` is a property, `_kernel` holds it.
    """
    before: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for layer, name, tensor in weights:
            held = vars(layer)
            slot = f"_{name}" if f"_{name}" in held else name
            before.append((held, slot, held[slot]))
            held[slot] = tensor
        yield
    finally:
        for held, slot, variable in reversed(before):
            held[slot] = variable


def input_shape_argument(layer: keras.Layer) -> Any:
    """`input_shape` as the layer was given it, from which a Sequential makes its entry."""
    return getattr(layer, "_input_shape_arg", None)


#: The method that attention layers, those of keras-hub too, hand their queries, keys and mask to:
#: a fused kernel or a softmax stands in it.
ATTENTION = "_compute_attention"


# The graph of Functional models.


def outputs_of(model: keras.Model) -> Any:
    """A Functional model's symbolic outputs in the structure it returns; else `None`.

    One that was made with a list of one output returns that output alone.
    """
    outputs = getattr(model, "_outputs_struct", None)
    return outputs[0] if isinstance(outputs, (list, tuple)) and len(outputs) == 1 else outputs


def is_wired(model: keras.Model) -> bool:
    """Whether the model's layers are wired by tensors: Functional, and a built Sequential not."""
    return bool(getattr(model, "_nodes_by_depth", None))


def run_wires(model: keras.Model, inputs: Any, call: Callable[..., Any]) -> Any:
    """`call(operation, *args, **kwargs)` in place of each operation of a wired model, in order.

    Keras's own walk: it knows shared layers, and arguments in any structure.
    """
    return model._run_through_graph(inputs, operation_fn=lambda operation: operation, call_fn=call)


def origin(tensor: keras.KerasTensor) -> tuple[Any, int, int]:
    """The operation that made a symbolic tensor, which of its calls, and which of its outputs."""
    operation, call, place = tensor._keras_history
    return operation, call, place


def calls_of(layer: keras.Operation) -> list[Any]:
    """A node for each symbolic call of the layer, with `input_tensors` and `output_tensors`."""
    return layer._inbound_nodes


@contextlib.contextmanager
def unframed() -> Iterator[None]:
    """Lets errors from within a `call` leave it as they are: Keras would frame them, in colors, with
    the arguments of every call on the way."""
    try:
        yield
    except Exception as error:
        error._keras_call_info_injected = True  # type: ignore[attr-defined]
        raise


# Losses.


def constants_of(loss: keras.losses.Loss) -> dict[str, Any]:
    """What a loss that wraps a function calls it with. Of some, such as `Huber(delta)`, the config
    does not hold it."""
    return dict(getattr(loss, "_fn_kwargs", {}))


def single_loss(compiled: Any, y_true: Any, y_pred: Any) -> tuple[keras.losses.Loss, Any]:
    """The loss behind `loss` of `compile` for a model of one output, and its weight; `None` is 1."""
    if not compiled.built:
        compiled.build(y_true, y_pred)
    return compiled._flat_losses[0].loss, compiled._flat_losses[0].loss_weights


# Optimizers.


def accumulated(optimizer: keras.optimizers.Optimizer, weights: Iterable[Any]) -> tuple[Any, list]:
    """How many micro batches an optimizer with `gradient_accumulation_steps` has accumulated for its
    next step, and the sum of their gradients by each of `weights`."""
    sums = [optimizer._accumulated_gradients[optimizer._get_variable_index(v)] for v in weights]
    return optimizer._iterations % optimizer.gradient_accumulation_steps, sums


# What travels with a tensor.


def mask_of(tensor: Any) -> Any:
    """The mask that Keras keeps with `tensor`, 0 at padded positions; `None` when there is none."""
    return backend.get_keras_mask(tensor)


def set_mask(tensor: Any, mask: Any) -> None:
    """Has Keras keep `mask` with `tensor`."""
    backend.set_keras_mask(tensor, mask)


# What `compile` and `fit` keep in a model.


def compiled_loss(model: keras.Model) -> Any:
    """`loss` of `compile` as one function of all outputs; `None` when there is none."""
    return model._compile_loss


def compiled_metrics(model: keras.Model) -> Any:
    """`metrics` of `compile` as one metric of all outputs; `None` when there are none."""
    return model._compile_metrics


def loss_tracker(model: keras.Model) -> keras.metrics.Metric:
    """The metric behind `loss` in the logs."""
    return model._loss_tracker


def track_loss(model: keras.Model, metric: keras.metrics.Metric) -> None:
    """Has `metric` stand behind `loss` in the logs."""
    with tracking.DotNotTrackScope():  # as Keras does: `model.metrics` names it by itself
        model._loss_tracker = metric


def added_loss(model: keras.Model, loss: Any) -> Any:
    """A loss from `add_loss` or a regularizer as a scalar, one device's share of it."""
    return model._aggregate_additional_loss(loss)


class KeepsJaxState:
    """A trainer that can take its variables back on jax.

    Keras empties them when training starts, and `jax_state_sync` fills them from `_jax_state` after
    it. Should the first step fail, to be traced for one, there was no such state yet.
    """

    def _get_jax_state(self, **wanted: bool) -> tuple:
        state = super()._get_jax_state(**wanted)  # type: ignore[misc]
        if wanted.pop("purge_model_variables", False):
            self._jax_state = dict(zip((k for k, on in wanted.items() if on), state, strict=True))
        return state
