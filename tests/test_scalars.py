"""No argument that is a number takes infinity or NaN, whatever it is an argument of."""

import functools
import inspect
import math
import types

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import (
    callbacks,
    compression,
    losses,
    projectors,
    recipes,
    schedules,
    students,
    teachers,
)
from tests.models import mlp

ROOMS = {
    "losses": losses, "recipes": recipes, "projectors": projectors, "schedules": schedules,
    "callbacks": callbacks, "teachers": teachers, "students": students, "compression": compression,
}  # fmt: skip
IMAGES = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
LETTERS = types.SimpleNamespace(id_to_token="ab".__getitem__, vocabulary_size=lambda: 2)
#: What arguments without a default are given.
GIVEN = {
    "loss": losses.SoftTarget, "student": lambda: mlp("s"), "teacher": lambda: mlp("t"),
    "members": lambda: [mlp("m")], "model": lambda: mlp("m"), "head": lambda: mlp("h", features=3),
    "units": lambda: 4, "filters": lambda: 4, "channels": lambda: 4, "features": lambda: 8,
    "size": lambda: (4, 4), "value": lambda: 1.0, "steps": lambda: 10, "examples": lambda: 10,
    "heads": lambda: 2, "margins": lambda: -1.0, "pred": lambda: "student:hidden",
    "target": lambda: "teacher:hidden", "term": lambda: "soft_target", "key": lambda: "a",
    "levels": lambda: (4, 2), "classes": lambda: [0, 1, 2], "path": lambda: "s.keras",
    "student_groups": lambda: [0, 1, -1], "teacher_groups": lambda: [1, 0],
    "student_tokenizer": lambda: LETTERS, "teacher_tokenizer": lambda: LETTERS,
    "start": lambda: 0.0, "end": lambda: 1.0, "function": lambda: np.tanh, "output_shape": lambda: (4,),
}  # fmt: skip
#: The same for a package in which they mean something else.
GIVEN_IN = {
    "students": {
        "name": lambda: "tiny", "shape": lambda: (32, 32, 3), "classes": lambda: 3,
        "vocabulary": lambda: 20,
    },
    "students.text_cnn": {"shape": lambda: (12,)},
    "compression": {
        "weights": lambda: np.arange(8.0), "kernel": lambda: np.eye(4, dtype="float32"),
        "members": lambda: np.arange(16).reshape(4, 4) % 3, "clusters": lambda: 3,
        "pattern": compression.Magnitude, "max_bytes": lambda: 2000,
        "images": lambda: IMAGES, "inputs": lambda: IMAGES,
    },
}  # fmt: skip
#: Other values than their functions know to take, and those that read a file or train.
LEFT_OUT = {
    "recipes.assistant", "recipes.born_again", "recipes.ca_mkd", "recipes.fsp", "recipes.minilm",
    "recipes.mutual", "recipes.ofd", "recipes.tinybert", "recipes.reused_classifier", "callbacks.Checkpoint",
    "callbacks.Best", "callbacks.load_best", "compression.plain",
    "compression.FoundBits", "compression.LayerBits",
}  # fmt: skip


#: Defaults that would take long.
QUICK = {"compression.recover": {"whole_steps": 1, "batch_size": 8}}


def public():
    yield "Term", keras_kd.Term
    yield "Labels", keras_kd.Labels
    for room, module in ROOMS.items():
        for name, thing in vars(module).items():
            ours = getattr(thing, "__module__", "").startswith(f"keras_kd.{room}")
            made = inspect.isclass(thing) or inspect.isfunction(thing)
            if name[0] == "_" or not (ours and made) or f"{room}.{name}" in LEFT_OUT:
                continue
            if not name.startswith("Grid"):  # Keras's own layers, with its arguments
                yield f"{room}.{name}", functools.partial(thing, **QUICK.get(f"{room}.{name}", {}))


def parameters(thing):
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    made = (
        thing.__init__ if inspect.isclass(thing) else thing
    )  # of a class on TensorFlow: `__new__`
    found = inspect.signature(made).parameters.values()
    return [p for p in found if p.kind in kinds and p.name not in ("self", "verbose")]


def required(name, asked):
    """What the arguments without a default are given."""
    given = {**GIVEN, **GIVEN_IN.get(name.split(".")[0], {}), **GIVEN_IN.get(name, {})}
    return {p.name: given[p.name]() for p in asked if p.default is inspect.Parameter.empty}


def is_number(parameter):
    kinds = str(parameter.annotation)
    return any(kind in kinds for kind in ("float", "int", "LearningRateSchedule"))


@pytest.mark.parametrize("name, thing", list(public()), ids=[name for name, _ in public()])
def test_numbers_are_finite(name, thing):
    asked = parameters(thing)
    needed = required(name, asked)
    thing(**needed)  # else the errors below would say nothing
    for parameter in filter(is_number, asked):
        for value in (math.inf, -math.inf, math.nan):
            with pytest.raises((ValueError, TypeError)):
                thing(**{**needed, parameter.name: value})
                pytest.fail(f"{name} takes {parameter.name}={value}")


def is_whole(parameter):
    return str(parameter.annotation) in ("int", "int | None", "<class 'int'>")


@pytest.mark.parametrize("name, thing", list(public()), ids=[name for name, _ in public()])
def test_whole_numbers_are_numpys_too_and_no_flags(name, thing):
    asked = [p for p in parameters(thing) if p.name != "seed"]
    needed = required(name, asked)
    whole = [p for p in asked if is_whole(p)]
    if not whole:
        pytest.skip("it takes none")
    for parameter in whole:
        usual = needed.get(parameter.name, parameter.default)
        thing(**{**needed, parameter.name: np.int64(2 if usual is None else usual)})
        with pytest.raises((ValueError, TypeError)):
            thing(**{**needed, parameter.name: True})
            pytest.fail(f"{name} takes {parameter.name}=True")


def test_numpys_numbers_are_kept_as_pythons():
    assert type(losses.SoftTarget(np.float32(4.0)).get_config()["temperature"]) is float
    assert type(keras_kd.Labels(np.float32(0.5)).weight) is float


def test_it_finds_the_numbers_there_are():
    found = {name: [p.name for p in parameters(t) if is_number(p)] for name, t in public()}
    assert found["losses.SoftTarget"] == ["temperature"]
    assert found["Term"] == ["weight"] and found["schedules.LinearWarmup"] == ["value", "steps"]
    assert sum(map(len, found.values())) > 100


def test_what_is_infinite_says_so():
    with pytest.raises(ValueError, match=r"`temperature` must be a number above 0 \(and finite\)"):
        losses.SoftTarget(temperature=math.inf)
    assert isinstance(
        losses.SoftTarget(keras.optimizers.schedules.CosineDecay(4.0, 9)), losses.Loss
    )
