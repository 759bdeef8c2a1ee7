"""`prune_low_magnitude` and what goes with it."""

import functools
import inspect
from typing import Any

import keras

from keras_kd.compat.tfmot._copies import check_known, copied, unwrapped
from keras_kd.compat.tfmot._pruned_layer import (
    PruneLowMagnitude,
    can_be_pruned,
    check_one_input,
    no_callback,
)
from keras_kd.compat.tfmot._pruning_callbacks import UpdatePruningStep
from keras_kd.compat.tfmot._schedules import ConstantSparsity, PruningSchedule


class PruningPolicy:
    """Says which layers of a model are pruned: the base of policies of your own."""

    def allow_pruning(self, layer: keras.Layer) -> bool:
        """Whether this layer is pruned."""
        raise NotImplementedError(f"{type(self).__name__} must define allow_pruning(layer).")

    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raises a ValueError for a model that the policy is not for."""
        raise NotImplementedError(
            f"{type(self).__name__} must define ensure_model_supports_pruning(model)."
        )


class PruneForLatencyOnXNNPack(PruningPolicy):
    """Prunes convolutions of 1×1 alone, the ones that XNNPACK computes faster when they are sparse.

    The model must have such a convolution and a `GlobalAveragePooling2D`. Whether XNNPACK takes its
    sparse way through the file is for a measurement on the device to say.
    """

    def allow_pruning(self, layer: keras.Layer) -> bool:
        return isinstance(layer, keras.layers.Conv2D) and tuple(layer.kernel_size) == (1, 1)

    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        pooled = any(isinstance(la, keras.layers.GlobalAveragePooling2D) for la in model.layers)
        if not pooled or not any(map(self.allow_pruning, model.layers)):
            raise ValueError(
                "PruneForLatencyOnXNNPack is for models with a Conv2D of kernel_size=(1, 1) and a "
                f"GlobalAveragePooling2D. Model '{model.name}' lacks one of them: leave out "
                "`pruning_policy`."
            )


def prune_low_magnitude(
    to_prune: Any,
    pruning_schedule: PruningSchedule = ConstantSparsity(0.5, 0),  # noqa: B008, never changed
    block_size: Any = (1, 1),
    block_pooling_type: str = "AVG",
    pruning_policy: PruningPolicy | None = None,
    sparsity_m_by_n: Any = None,
    **kwargs: Any,
) -> Any:
    """A layer or a model whose smallest weights become zero while it is trained.

    Train it with `UpdatePruningStep()` among the callbacks, and take the layers out of their
    wrappers with `strip_pruning`. Of a model, a copy is wrapped and the model stays as it was; a
    layer by itself is wrapped as it is, with its weights. Pruned are the kernels of dense layers,
    convolutions (of separable ones the pointwise part), recurrent cells, embeddings, and
    what a `PrunableLayer` names; layers without such weights are left as they are.

    Args:
        to_prune: A layer, a list of layers, or a Sequential or Functional model.
        pruning_schedule: When weights are pruned, and how many. Defaults to half of them, from the
            beginning.
        block_size: `(rows, columns)` of the blocks of a matrix that stay or go as a whole. Defaults
            to `(1, 1)`, single weights.
        block_pooling_type: What a block counts as: the mean size of its weights, `"AVG"`, or the
            largest, `"MAX"`. Defaults to `"AVG"`.
        pruning_policy: Which layers of a model are pruned. Defaults to all that can be.
        sparsity_m_by_n: `(m, n)` for `m` zeros in each `n` weights that are summed one after
            another; the schedule then says only when. Defaults to `None`.
        **kwargs: As in `keras.layers.Layer`, for a layer.

    Returns:
        The wrapped layer, a list of them, or a model with wrapped layers, not compiled.

    Raises:
        ValueError: If a layer has weights, but none that it is known how to prune, if weights
            cannot have the pattern, or if `to_prune` is nothing of these.

    Example:

    >>> sparsity = keras_kd.compat.tfmot.sparsity.keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    >>> half = sparsity.ConstantSparsity(0.5, 0, frequency=1)
    >>> pruned = sparsity.prune_low_magnitude(model, half)
    >>> pruned.compile("sgd", "mse")
    >>> steps = [sparsity.UpdatePruningStep()]
    >>> _ = pruned.fit(np.ones((32, 4)), np.ones((32, 8)), verbose=0, callbacks=steps)
    >>> keras_kd.compression.sparsity(sparsity.strip_pruning(pruned))
    0.5

    Reference: Zhu, Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model
    compression", 2017, arXiv:1710.01878, section 3.
    """
    settings = {
        "pruning_schedule": pruning_schedule, "block_size": block_size,
        "block_pooling_type": block_pooling_type, "sparsity_m_by_n": sparsity_m_by_n,
    }  # fmt: skip

    def wrapped(layer: keras.Layer, copy: keras.Layer) -> keras.Layer:
        if isinstance(layer, (PruneLowMagnitude, keras.layers.InputLayer)):
            return copy
        if pruning_policy is not None and not pruning_policy.allow_pruning(layer):
            return copy
        return PruneLowMagnitude(copy, **settings) if _has_prunable(layer) else copy

    if isinstance(to_prune, (list, tuple)):
        return [wrapped(layer, layer) for layer in to_prune]
    if isinstance(to_prune, keras.Model):
        if pruning_policy is not None:
            pruning_policy.ensure_model_supports_pruning(to_prune)
        model = copied(to_prune, "prune_low_magnitude()", around=wrapped)
        if not any(isinstance(layer, PruneLowMagnitude) for layer in _all_layers(model)):
            raise ValueError(
                f"Nothing to prune: model '{to_prune.name}' has no layer with a kernel that may be "
                "pruned. Let a layer of your own inherit tfmot.sparsity.keras.PrunableLayer."
            )
        return _guarded(model)
    if isinstance(to_prune, keras.layers.Layer):
        _has_prunable(to_prune)
        return PruneLowMagnitude(to_prune, **settings, **kwargs)
    raise ValueError(
        "`to_prune` must be a layer, a list of layers, or a Sequential or Functional model. "
        f"Received: {to_prune!r} of type {type(to_prune).__name__}."
    )


def strip_pruning(model: keras.Model) -> keras.Model:
    """A copy of the model without the wrappers of `prune_low_magnitude`: plain layers, with zeros.

    Args:
        model: A model with pruned layers.

    Returns:
        A model of the same layers as before `prune_low_magnitude`, not compiled.

    Raises:
        ValueError: If `model` is no Sequential or Functional model.
    """
    return unwrapped(model, PruneLowMagnitude, "strip_pruning()")


def prune_scope() -> Any:
    """The scope in which files with pruned layers are loaded. `keras.saving.load_model` finds them
    without it too, once this module is imported."""
    return keras.saving.custom_object_scope({"PruneLowMagnitude": PruneLowMagnitude})


def _guarded(model: keras.Model) -> keras.Model:
    """The model, whose `fit` looks for the callback before it begins: a step that fails midway, as
    its layers' does, leaves a model on JAX without its weights."""
    fit = model.fit

    @functools.wraps(fit)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(fit).bind(*args, **kwargs).arguments.get("callbacks") or []
        listed = getattr(given, "callbacks", given)
        listed = listed if isinstance(listed, (list, tuple)) else [listed]
        if not any(isinstance(one, UpdatePruningStep) for one in listed):
            raise no_callback(f"Model '{model.name}'")
        return fit(*args, **kwargs)

    model.fit = guarded
    return model


def _all_layers(model: keras.Model) -> list[keras.Layer]:
    inner = [la for m in model.layers if isinstance(m, keras.Model) for la in _all_layers(m)]
    return [*model.layers, *inner]


def _has_prunable(layer: keras.Layer) -> bool:
    """Whether it has weights to prune; an error where nobody can know which these would be."""
    check_one_input(layer, "prune_low_magnitude()", "keras_kd.compression.Pruning(0.5)")
    if can_be_pruned(layer):
        return True
    check_known(layer, "pruned", "tfmot.sparsity.keras.PrunableLayer", "get_prunable_weights")
    return False
