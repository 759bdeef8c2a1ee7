"""Attention layers: their queries, keys and values, and the scores that no layer returns."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from keras_kd._core.keras_private import ATTENTION, layers_of
from keras_kd._core.layer_calls import around_calls
from keras_kd._core.tensors import Tensor

#: The last step of a path to the scores of an attention layer.
SCORES = "scores"
#: What stands for a score that a mask takes out of the softmax.
_MASKED = -1e9
_PARTS = ("query", "key", "value")


def projections(layer: keras.layers.Layer) -> dict[str, str]:
    """The names of the layers in an attention layer that make its queries, keys and values; empty
    when it is none."""
    inside = layers_of(layer, include_self=False, recursive=False)
    found = {child.name.removesuffix("_dense"): child.name for child in inside}
    return {part: found[part] for part in _PARTS} if set(_PARTS) <= set(found) else {}


def is_attention(layer: keras.layers.Layer) -> bool:
    """Whether `layer` looks from queries at keys."""
    kinds = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
    return isinstance(layer, kinds) or bool(projections(layer))


def heads_and_widths(layer: keras.layers.Layer) -> dict[str, tuple[int, int]]:
    """How many heads, and of what width, an attention layer's queries, keys and values have; those
    that show it."""
    inside = layers_of(layer, include_self=False, recursive=False)
    by_name = {child.name: child for child in inside}
    shapes = {
        part: tuple(by_name[name].get_config().get("output_shape") or ())
        for part, name in projections(layer).items()
    }  # of an `EinsumDense`: (positions, heads, width)
    return {part: (shape[1], shape[2]) for part, shape in shapes.items() if len(shape) == 3}


@contextlib.contextmanager
def score_recording(layers: list[keras.layers.Layer]) -> Iterator[dict[int, list[Any]]]:
    """The scores of each of `layers`, `(batch, heads, queries, keys)`, by `id(layer)`, call by call.

    A layer that takes a softmax of its own shows them there. A fused kernel hides them: they are
    computed again from the queries and keys that it was given.
    """
    recorded: dict[int, list[Any]] = {id(layer): [] for layer in layers}

    def note(layer: Any, original: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
        with _listening(layer) as (shown, given):
            output = original(*args, **kwargs)
        if shown:
            recorded[id(layer)].append(_masked(*shown[0]))
        elif given:
            recorded[id(layer)].append(_recomputed(layer, *given[0]))
        return output

    with around_calls(layers, note):
        yield recorded


@contextlib.contextmanager
def _listening(layer: keras.layers.Layer) -> Iterator[tuple[list[Any], list[Any]]]:
    """What the softmaxes in `layer` are called with, and what its fused kernel would be."""
    shown: list[Any] = []
    given: list[Any] = []

    def softmax(inner: Any, original: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        shown.append((args[0], args[1] if len(args) > 1 else kwargs.get("mask")))
        return original(*args, **kwargs)

    def attention(inner: Any, original: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        named = dict(zip(("query", "key", "value", "attention_mask"), args, strict=False))
        named.update({{"q": "query", "k": "key"}.get(name, name): v for name, v in kwargs.items()})
        causal = named.get("use_causal_mask", False)
        given.append((named["query"], named["key"], named.get("attention_mask"), causal))
        return original(*args, **kwargs)

    within = layers_of(layer, include_self=False)
    softmaxes = [inner for inner in within if isinstance(inner, keras.layers.Softmax)]
    fused = [layer] if hasattr(layer, ATTENTION) else []
    with around_calls(softmaxes, softmax), around_calls(fused, attention, ATTENTION):
        yield shown, given


def _recomputed(layer: Any, query: Tensor, key: Tensor, mask: Tensor, causal: bool) -> Tensor:
    """The scores of `query` and `key`, each `(batch, positions, heads, width)`, as given to a kernel:
    rotated already, and of grouped heads with one key for several queries."""
    query, key = ops.cast(query, "float32"), ops.cast(key, "float32")
    key = ops.repeat(key, query.shape[2] // key.shape[2], axis=2)
    width = query.shape[3]
    if getattr(layer, "query_head_dim_normalize", True) is False:
        width = layer.hidden_dim // layer.num_query_heads
    scores = ops.einsum("bqhd,bkhd->bhqk", query, key) / width**0.5
    if cap := getattr(layer, "logit_soft_cap", None):
        scores = cap * ops.tanh(scores / cap)
    if causal:
        scores = _within(scores, None)
    if getattr(layer, "use_sliding_window_attention", False):
        scores = _within(scores, layer.sliding_window_size)
    return _masked(scores, None if mask is None else _with_heads(mask))


def _with_heads(mask: Tensor) -> Tensor:
    return mask if len(mask.shape) == 4 else ops.expand_dims(mask, 1)


def _within(scores: Tensor, window: int | None) -> Tensor:
    """The scores of keys at most `window - 1` places away; without a window, of none to come."""
    queries, keys = ops.shape(scores)[2:]
    away = ops.expand_dims(ops.arange(queries), 1) - ops.expand_dims(ops.arange(keys), 0)
    seen = away >= 0 if window is None else ops.abs(away) < window
    return ops.where(seen, scores, _MASKED)


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    """The scores in four axes, those that a mask takes out far below any other."""
    scores = ops.cast(scores, "float32")
    if mask is not None:
        scores = ops.where(ops.cast(mask, "bool"), scores, _MASKED)
    if len(scores.shape) == 5:  # (batch, groups, heads of a group, queries, keys)
        batch, groups, each, queries, keys = ops.shape(scores)
        scores = ops.reshape(scores, (batch, groups * each, queries, keys))
    return scores
