"""What people give in place of a `keras.Model`, and what to write instead."""

import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.external import ExternalTeacher


def no_model(thing: Any, argument: str, expected: str = "a keras.Model") -> TypeError:
    """The error that `thing` is no model.

    Args:
        thing: What was given.
        argument: The argument's name. A `"teacher"` may be of another framework.
        expected: What it must be.
    """
    advice = _advice(thing, argument, argument == "teacher")
    return TypeError(
        f"`{argument}` must be {expected}. Received: {_shown(thing)} of type "
        f"{type(thing).__name__}.{advice}"
    )


_OUTSIDE = (
    " It runs outside the training step: keras_kd.stores.write stores its outputs once, "
    "keras_kd.sources.live brings them with each batch, and keras_kd.teachers.FromFunction makes a "
    "model of it."
)


def looks_like_a_model(thing: Any) -> bool:
    """Whether it is a model of another framework, a class or a layer: no plain function."""
    return (
        isinstance(thing, (type, keras.layers.Layer)) or _is_torch(thing) or _is_estimator(thing)
        or type(thing).__module__.split(".")[0] in ("tf_keras", "onnxruntime")
    )  # fmt: skip


def _advice(thing: Any, argument: str, as_teacher: bool) -> str:
    name = type(thing).__name__
    if isinstance(thing, keras.layers.Layer):
        return f" It is a layer: wrap it, {argument}=keras.Sequential([layer])."
    if isinstance(thing, type):
        return f" It is a class: give an instance of it, {thing.__name__}(...)."
    if isinstance(thing, (str, os.PathLike)):
        return f" Load it first: {argument}=keras.saving.load_model({str(thing)!r})."
    if isinstance(thing, ExternalTeacher):
        return _OUTSIDE
    if _is_torch(thing):
        wrap = "keras.Sequential([keras.layers.TorchModuleWrapper(module)])"
        with_torch = f" It is a torch module: with KERAS_BACKEND=torch, give {argument}={wrap}."
        return with_torch + _teacher_of("TorchTeacher(module)", as_teacher, " On any backend: ")
    if type(thing).__module__.split(".")[0] in ("tf_keras", "tensorflow") and as_teacher:
        call = "FunctionTeacher(model.predict, name='...')"
        return " It is of Keras 2 or TensorFlow." + _teacher_of(call, as_teacher)
    if _is_estimator(thing):
        if not as_teacher:
            return f" A {name} has no gradients, so it cannot be trained or tapped here."
        return f" A {name} is an estimator." + _teacher_of("SklearnTeacher(estimator)", as_teacher)
    if isinstance(thing, np.ndarray):
        return _ARRAY * as_teacher
    if isinstance(thing, Sequence) and any(isinstance(one, keras.Model) for one in thing):
        several = f"Several have roles: {argument}={{'a': first, 'b': second}}, named by the terms."
        as_one = " Or make one teacher of them: keras_kd.teachers.Ensemble([first, second])."
        return f" {several}" + as_one * as_teacher
    if callable(thing):
        wrap = f" Put it into a model: {argument}=keras.Sequential([keras.layers.Lambda(function)])"
        call = "FunctionTeacher(function, name='...')"
        return wrap + "." + _teacher_of(call, as_teacher, " If it is of NumPy: ")
    return ""


def _teacher_of(call: str, as_teacher: bool, begin: str = " ") -> str:
    made = f"Make a teacher of it: keras_kd.sources.{call}.{_OUTSIDE}"
    return f"{begin}{made[0].lower() if begin[-2:] == ': ' else made[0]}{made[1:]}" * as_teacher


_ARRAY = (
    " It is an array. If it holds the teacher's outputs: they come with the batch, {'inputs': x, "
    "'signals': {'teacher:output': outputs}} in place of x, to a Distiller without `teacher`; or "
    "keras_kd.stores.from_answers stores them by the examples' ids."
)


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
