"""A Functional or Sequential model as a list of steps, and models made of such a list.

Nested models are laid out flat, so that what follows what can be read off the list.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_kd._core.keras_private import is_wired, run_wires

Build = Callable[["Step", tuple, dict[str, Any]], Any]


@dataclasses.dataclass(eq=False)
class Step:
    """One call of one operation, on symbolic tensors.

    `name` is the operation's in a model laid out flat; `path` has the models it is inside of.
    """

    operation: keras.Operation
    name: str
    path: str
    args: tuple
    kwargs: dict[str, Any]
    output: Any

    @property
    def inputs(self) -> list[keras.KerasTensor]:
        return tensors((self.args, self.kwargs))

    @property
    def outputs(self) -> list[keras.KerasTensor]:
        return tensors(self.output)


class Graph:
    """The steps of a model in the order in which they run.

    Args:
        model: A built Functional or Sequential model.
        purpose: Who asks, as the start of an error: `"shrink() reads"`.
    """

    def __init__(self, model: keras.Model, purpose: str):
        self.model, self.steps = model, list[Step]()
        self._names: dict[int, str] = {}
        top = _functional(model, purpose)
        self.inputs = keras.tree.map_structure(_alike, top.input_structure)
        self.outputs = self._run(top, self.inputs, within="", purpose=purpose)

    def _run(self, model: "_Functional", inputs: Any, within: str, purpose: str) -> Any:
        def call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
            if isinstance(operation, keras.Model):
                inner = _functional(operation, purpose)
                return self._run(inner, args[0], f"{within}{operation.name}/", purpose)
            output = operation.compute_output_spec(*args, **kwargs)
            name, path = self._name(operation, within), within + operation.name
            self.steps.append(Step(operation, name, path, args, kwargs, output))
            return output

        return model.run(inputs, call)

    def _name(self, operation: keras.Operation, within: str) -> str:
        """The operation's own name; with its model's in front, when another has it already."""
        if id(operation) not in self._names:
            taken = self._names.values()
            name = operation.name
            if name in taken:
                name = within.replace("/", "_") + name
            self._names[id(operation)] = name
        return self._names[id(operation)]

    def users(self, tensor: keras.KerasTensor) -> list[Step | None]:
        """The steps that take `tensor`; `None` stands for the model's caller."""
        steps: list[Step | None] = [s for s in self.steps for x in s.inputs if x is tensor]
        return steps + [None for x in tensors(self.outputs) if x is tensor]

    def calls(self, operation: keras.Operation) -> int:
        return sum(step.operation is operation for step in self.steps)

    def without(self, dropped: Iterable[Step], now: dict[int, keras.KerasTensor]) -> "Graph":
        """The graph less some steps; for each tensor of theirs that others take, the one `now`."""
        gone = {id(step) for step in dropped}

        def kept(x: keras.KerasTensor) -> keras.KerasTensor:
            while id(x) in now:
                x = now[id(x)]
            return x

        graph = copy.copy(self)
        graph.steps = [
            dataclasses.replace(s, args=_with(s.args, kept), kwargs=_with(s.kwargs, kept))
            for s in self.steps
            if id(s) not in gone
        ]
        graph.outputs = _with(self.outputs, kept)
        return graph

    def assemble(
        self,
        build: Build,
        *,
        name: str,
        entry: Callable[[keras.KerasTensor], keras.KerasTensor] = lambda x: x,
    ) -> keras.Model:
        """A model in which `build` made each step anew from what the steps before gave.

        `entry` is put behind every input.
        """
        new: dict[int, Any] = {}

        def translated(tree: Any) -> Any:
            return _with(tree, lambda x: new[id(x)])

        inputs = keras.tree.map_structure(
            lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), self.inputs
        )
        for old, made in zip(tensors(self.inputs), tensors(inputs), strict=True):
            new[id(old)] = entry(made)
        for step in self.steps:
            output = build(step, translated(step.args), translated(step.kwargs))
            for old, made in zip(step.outputs, tensors(output), strict=True):
                new[id(old)] = made
        return keras.Model(inputs, translated(self.outputs), name=name)


class _Functional:
    """A model whose layers are wired by tensors, and how to run along the wires."""

    def __init__(self, model: keras.Model, input_structure: Any):
        self.model, self.input_structure = model, input_structure

    def run(self, inputs: Any, call: Callable[..., Any]) -> Any:
        return run_wires(self.model, inputs, call)


def _functional(model: keras.Model, purpose: str) -> _Functional:
    if isinstance(model, keras.Sequential) and model.built:
        wired = keras.Model(model.inputs, model.outputs)
        return _Functional(wired, model.inputs[0])
    if not isinstance(model, keras.Model):
        raise TypeError(f"{purpose} a keras.Model. Received: {model!r}.")
    if not is_wired(model):
        what = "is not built" if isinstance(model, keras.Sequential) else "is written as a class"
        raise ValueError(
            f"{purpose} how layers follow one another in a Functional or a built Sequential model. "
            f"Model '{model.name}' of class {type(model).__name__} {what}. Start a Sequential with "
            "keras.Input(...); of a class, x = keras.Input(...) and keras.Model(x, student.call(x)) "
            "make a model of the same layers and weights, where `call` is made of layers alone."
        )
    return _Functional(model, model.input)


def _alike(tensor: keras.KerasTensor) -> keras.KerasTensor:
    return keras.KerasTensor(tensor.shape, tensor.dtype, name=tensor.name)


def _with(tree: Any, replacement: Callable[[keras.KerasTensor], Any]) -> Any:
    return keras.tree.map_structure(
        lambda x: replacement(x) if isinstance(x, keras.KerasTensor) else x, tree
    )


def tensors(tree: Any) -> list[keras.KerasTensor]:
    return [x for x in keras.tree.flatten(tree) if isinstance(x, keras.KerasTensor)]


def again(layer: keras.Operation, name: str, **changed: Any) -> keras.Operation:
    """A new layer of the same class and settings; an operation that is no layer is kept."""
    if not isinstance(layer, keras.Layer):
        return layer
    return type(layer).from_config({**layer.get_config(), "name": name, **changed})


def activation_name(function: Any) -> str:
    """`relu` for the function of that name; the name of a class for any other."""
    name = keras.activations.serialize(function)
    return name if isinstance(name, str) else type(function).__name__
