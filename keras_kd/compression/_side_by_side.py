"""Blocks of a rounded model beside the same blocks in float, in one model that runs once.

The float model runs from its input to its output. Every rounded block takes what the float model
gives at its place, so no block sees what another one got wrong, and all of them can learn in the
same step. Blocks begin where a rounded model rounds the one tensor that carries everything.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras

from keras_kd.compression._blocks import carriers
from keras_kd.compression._fake_quantization import FakeQuant
from keras_kd.compression._graph import Graph, Step, tensors
from keras_kd.compression._learned_steps import LearnedQuant
from keras_kd.compression._still import NOISE

_RANGES = (FakeQuant, LearnedQuant)
_RANGE = "_range"  # how their names end


class SideBySide(NamedTuple):
    model: keras.Model  # gives, for each block, the rounded output and the float one
    pairs: list[tuple[str, str]]  # their names among the model's outputs


def without_noise(model: keras.Model) -> keras.Model:
    """The same layers as in `model`, less dropout, and less the rounding of probabilities."""
    graph = Graph(model, "recover() reads")
    ends = {id(x) for x in tensors(graph.outputs)}

    def build(step: Step, args: tuple, kwargs: dict[str, Any]) -> Any:
        layer = step.operation
        last = isinstance(layer, FakeQuant) and layer.fixed and id(step.output) in ends
        return args[0] if last or isinstance(layer, NOISE) else layer(*args, **kwargs)

    return graph.assemble(build, name=model.name)


def side_by_side(rounded: keras.Model, teacher: keras.Model, prefix: str) -> SideBySide:
    """Both models as one, the blocks of `rounded` fed by `teacher`, whose names have `prefix`."""
    ours, theirs = Graph(rounded, "recover() reads"), Graph(teacher, "recover() reads")
    cuts = _cuts(ours, theirs, prefix)
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), theirs.inputs
    )
    entries = list(zip(tensors(ours.inputs), tensors(inputs), strict=True))
    floats = _run(theirs.steps, zip(tensors(theirs.inputs), tensors(inputs), strict=True))
    outputs: dict[str, Any] = {}
    pairs: list[tuple[str, str]] = []
    starts = [0, *(place for place, _, _ in cuts)]
    ends = [*starts[1:], len(ours.steps)]
    for number, (first, last) in enumerate(zip(starts, ends, strict=True)):
        fed = entries if not number else [(cuts[number - 1][1], floats[id(cuts[number - 1][2])])]
        found = _run(ours.steps[first:last], fed)
        both = (
            [cuts[number][1:]]
            if number < len(cuts)
            else zip(tensors(ours.outputs), tensors(theirs.outputs), strict=True)
        )
        for mine, wanted in both:
            names = f"block_{len(pairs) + 1}", f"block_{len(pairs) + 1}_float"
            outputs[names[0]], outputs[names[1]] = found[id(mine)], floats[id(wanted)]
            pairs.append(names)
    return SideBySide(keras.Model(inputs, outputs, name=rounded.name), pairs)


def _cuts(
    ours: Graph, theirs: Graph, prefix: str
) -> list[tuple[int, keras.KerasTensor, keras.KerasTensor]]:
    """Where blocks begin: after how many steps, the tensor there, and the float model's."""
    named = {step.name: step for step in theirs.steps if theirs.calls(step.operation) == 1}
    names = {step.name for step in ours.steps}
    cuts: list[tuple[int, keras.KerasTensor, keras.KerasTensor]] = []
    weighs = False  # whether there is a layer that learns since the last cut
    at = dict(carriers(ours))
    for place, step in enumerate(ours.steps):
        # A layer with two ranges is two layers by now, and the first one is in its middle.
        own = step.name.removesuffix("_2").removesuffix(_RANGE)
        last = f"{own}{_RANGE}_2" if f"{own}{_RANGE}_2" in names else f"{own}{_RANGE}"
        same = named.get(prefix + own)
        if (
            weighs
            and isinstance(step.operation, _RANGES)
            and place in at
            and step.inputs[0] is at[place]
            and same is not None
            and step.name == last
            and same.output.shape == at[place].shape
        ):
            cuts.append((place, at[place], same.output))
            weighs = False
        if not isinstance(step.operation, _RANGES):
            weighs = weighs or bool(getattr(step.operation, "trainable_weights", ()))
    if cuts and not weighs:
        cuts.pop()  # nothing after it learns
    return cuts


def _run(steps: list[Step], fed: Iterable[tuple[Any, Any]]) -> dict[int, keras.KerasTensor]:
    """What the steps give for the tensors they are fed, by the `id` of what they gave before."""
    new = {id(old): made for old, made in fed}
    for step in steps:
        args, kwargs = keras.tree.map_structure(
            lambda x: new[id(x)] if isinstance(x, keras.KerasTensor) else x,
            (step.args, step.kwargs),
        )
        output = step.operation(*args, **kwargs)
        new.update(zip(map(id, step.outputs), tensors(output), strict=True))
    return new
