"""Paths: how an address leads to a layer of a model, and to what of it.

A path is the names of layers, outermost first, joined by `/`. Where a name is made by Keras
(`gpt2_backbone_1`) it changes with what was made before it, and so each step may also be what Python
would write: `model.backbone.layers[3]` is `backbone/layers/3`.
"""

import re
from typing import Any, NamedTuple

import keras

from keras_kd._core.addresses import JVP, OUTPUT, OWN
from keras_kd._core.attention import SCORES, is_attention
from keras_kd._core.keras_private import layers_of
from keras_kd._core.messages import did_you_mean, listing, see, snake_case

#: `layer#1` is the second call of a layer that runs several times in one pass.
_CALL = re.compile(r"(.+)#(\d+)")


class Place(NamedTuple):
    """Where a path leads."""

    layer: keras.layers.Layer | None  #: The layer; none: the model itself.
    keys: tuple[str, ...] = ()  #: The keys into what it returns.
    call: int | None = None  #: Which of its calls; none: the only one.
    scores: bool = False  #: Whether its attention scores are meant, and not what it returns.
    jvp: bool = False  #: Whether the derivative of the model's output is meant.


def layer_paths(layer: keras.layers.Layer, prefix: str = "") -> dict[str, keras.layers.Layer]:
    """Every layer inside `layer` by its path: names joined by `/`, outermost first.

    `output` and `jvp` are the model's own, so a path that would begin so is written `./output`.
    """
    paths: dict[str, keras.layers.Layer] = {}
    for child in _children(layer):
        if isinstance(child, keras.layers.InputLayer):
            continue  # never called, so there is nothing to record
        path = prefix + child.name
        if path in OWN:
            path = f"./{path}"
        if path not in paths:
            paths[path] = child
            paths.update(layer_paths(child, path + "/"))
    return paths


def place_of(path: str, model: keras.Model, layers: dict[str, keras.layers.Layer]) -> Place | None:
    """Where `path` leads within `model`, of which `layers` are all by their names; `None` when it
    leads nowhere."""
    parts = path.split("/")
    if parts[0] in (OUTPUT, JVP):
        return Place(None, tuple(parts[1:]), jvp=parts[0] == JVP)
    for end in range(len(parts), 0, -1):
        head, keys = "/".join(parts[:end]), tuple(parts[end:])
        layer, call = layers.get(head), None
        if layer is None:
            called = _CALL.fullmatch(head)
            head, call = (called[1], int(called[2])) if called else (head, None)
            layer = layers.get(head) or _by_steps(model, head.split("/"))
        if isinstance(layer, (list, tuple)):
            return None
        if layer is not None:
            if keys == (SCORES,) and is_attention(layer):
                return Place(layer, (), call, scores=True)
            return Place(layer, keys, call)
    return None


def no_place(path: str, role: str, model: keras.Model, layers: Any, reader: str) -> ValueError:
    """The error of a path that leads nowhere."""
    parts = path.split("/")
    for end in range(len(parts), 0, -1):
        there = _by_steps(model, parts[:end])
        if isinstance(there, (list, tuple)):
            head = f"{role}:{'/'.join(parts[:end])}"
            return ValueError(
                f"No layer '{path}' in {role} '{model.name}', named by {reader}. '{head}' are "
                f"{len(there)} layers; name one by its number, '{head}/0' to "
                f"'{head}/{len(there) - 1}'." + see("no-layer")
            )
    return ValueError(
        f"No layer '{path}' in {role} '{model.name}', named by {reader}. "
        f"Expected 'output' or one of its {len(layers)} layers: {listing(layers)}."
        + did_you_mean(path, [OUTPUT, *layers, *_attributes(model)], prefix=f"{role}:")
        + see("no-layer")
    )


def lasting_path(path: str, model: keras.Model) -> str:
    """A path by names, with what stays where Keras made a name: of a backbone `backbone`, of other
    layers their place, `layers/3`."""
    here: Any = model
    steps: list[str] = []
    for name in path.split("/"):
        child = _by_steps(here, [name])
        if not re.fullmatch(rf"{snake_case(type(child).__name__)}(_\d+)?", name):
            steps.append(name)
        elif getattr(here, "backbone", None) is child:
            steps.append("backbone")
        elif child in (within := getattr(here, "layers", [])):
            steps += ["layers", str(within.index(child))]
        else:
            steps.append(name)
        here = child
    return "/".join(steps)


def _children(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    if isinstance(layer, keras.Model):
        return layer.layers
    return layers_of(layer, include_self=False, recursive=False)


def _by_steps(here: Any, steps: list[str]) -> Any:
    """What Python would find: of a layer the one inside it of that name, or its attribute; of a
    list the one at that place. `None` when there is none."""
    for step in steps:
        if isinstance(here, (list, tuple)):
            place = int(step) if re.fullmatch(r"-?\d+", step) else len(here)
            here = here[place] if -len(here) <= place < len(here) else None
        else:
            named = (child for child in _children(here) if child.name == step)
            here = next(named, None) or _attribute(here, step)
        if here is None:
            return None
    return here


def _attribute(layer: keras.layers.Layer, name: str) -> Any:
    """The layer, or the layers, that `layer` keeps under a public name."""
    if not name.isidentifier() or name.startswith("_"):
        return None
    try:
        found = getattr(layer, name, None)
    except Exception:  # a property that is not there yet
        return None
    kept: Any = found if isinstance(found, (list, tuple)) and found else [found]
    return found if all(isinstance(one, keras.layers.Layer) for one in kept) else None


def _attributes(model: keras.Model) -> list[str]:
    """Paths that begin with an attribute, to suggest."""
    backbone = _attribute(model, "backbone")
    if not isinstance(backbone, keras.layers.Layer):
        return []
    return ["backbone", *(f"backbone/{path}" for path in layer_paths(backbone))]
