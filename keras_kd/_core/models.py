"""What people give in place of a `keras.Model`, and what to write instead."""

import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


def no_model(thing: Any, argument: str, expected: str = "a keras.Model") -> TypeError:
    """The error that `thing` is no model.

    Args:
        thing: What was given.
        argument: The argument's name. A `"teacher"` may also be asked by hand.
        expected: What it must be.
    """
    by_hand = argument == "teacher"
    advice = _advice(thing, argument, by_hand) + _WITH_BATCH * _is_asked(thing, by_hand)
    return TypeError(
        f"`{argument}` must be {expected}. Received: {_shown(thing)} of type "
        f"{type(thing).__name__}.{advice}"
    )


_WITH_BATCH = (
    " Answers come with the batch, {'inputs': x, 'signals': {'teacher:output': answers}} in place "
    "of x, to a Distiller without `teacher`."
)


def _is_asked(thing: Any, by_hand: bool) -> bool:
    """Whether the advice is to ask it by hand."""
    return by_hand and (
        _is_torch(thing) or _is_estimator(thing) or isinstance(thing, np.ndarray)
        or type(thing).__module__.split(".")[0] in ("tf_keras", "tensorflow")
        or (callable(thing) and not isinstance(thing, (type, keras.layers.Layer)))
    )  # fmt: skip


def _advice(thing: Any, argument: str, by_hand: bool) -> str:
    name = type(thing).__name__
    if isinstance(thing, keras.layers.Layer):
        return f" It is a layer: wrap it, {argument}=keras.Sequential([layer])."
    if isinstance(thing, type):
        return f" It is a class: give an instance of it, {thing.__name__}(...)."
    if isinstance(thing, (str, os.PathLike)):
        return f" Load it first: {argument}=keras.saving.load_model({str(thing)!r})."
    if _is_torch(thing):
        wrap = "keras.Sequential([keras.layers.TorchModuleWrapper(module)])"
        answers = " Or ask it beforehand: answers = module(torch.as_tensor(x)).detach().numpy()."
        return (
            f" It is a torch module: with KERAS_BACKEND=torch, give {argument}={wrap}."
            + answers * by_hand
        )
    if type(thing).__module__.split(".")[0] in ("tf_keras", "tensorflow") and by_hand:
        return " It is of Keras 2 or TensorFlow: ask it beforehand, answers = model.predict(x)."
    if _is_estimator(thing):
        if not by_hand:
            return f" A {name} has no gradients, so it cannot be trained or tapped here."
        asked = (
            "answers = np.log(np.clip(model.predict_proba(x), 1e-7, 1.0)).astype('float32'), which "
            "serve as logits."
            if hasattr(thing, "predict_proba")
            else "answers = model.predict(x).reshape(len(x), -1).astype('float32'), for "
            "keras_kd.recipes.regression()."
        )
        return f" An estimator cannot run inside a training step: ask it beforehand, {asked}"
    if isinstance(thing, np.ndarray):
        return " It is an array: are these the teacher's answers?" * by_hand
    if isinstance(thing, Sequence) and any(isinstance(one, keras.Model) for one in thing):
        several = f"Several have roles: {argument}={{'a': first, 'b': second}}, named by the terms."
        as_one = " Or make one teacher of them: keras_kd.teachers.Ensemble([first, second])."
        return f" {several}" + as_one * by_hand
    if callable(thing):
        wrap = f" Put it into a model: {argument}=keras.Sequential([keras.layers.Lambda(function)])"
        return wrap + (", or ask it beforehand: answers = function(x)." if by_hand else ".")
    return ""


def _is_torch(thing: Any) -> bool:
    return any(kind.__module__.startswith("torch.nn") for kind in type(thing).__mro__)


def _is_estimator(thing: Any) -> bool:
    """Whether it is used as those of scikit-learn are; a library of gradients has no such names."""
    return hasattr(thing, "fit") and hasattr(thing, "predict") and not isinstance(thing, type)


def _shown(thing: Any) -> str:
    if isinstance(thing, np.ndarray):
        return f"an array of shape {thing.shape}"
    text = " ".join(repr(thing).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
