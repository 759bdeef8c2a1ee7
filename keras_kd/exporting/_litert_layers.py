"""Which layers of a student lose most in a LiteRT file: its tensors beside the layers' outputs."""

import contextlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_kd.exporting._job import ROOT
from keras_kd.exporting._litert_interpreter import decoded, encoded
from keras_kd.exporting._signature import Arrays, Signature, count, outputs_of
from keras_kd.taps import layer_paths, recording

_MAX_EXAMPLES = 16
_WORTH_NAMING = 0.001


class LayerLoss(NamedTuple):
    """How far a layer's output in the file is from the student's.

    Args:
        path: The layer's path in the student.
        difference: Mean difference, as a share of how large the student's numbers are.
        grown: By how much more than at the layer before it.
    """

    path: str
    difference: float
    grown: float


def layer_losses(
    path: Path,
    student: keras.Model,
    signature: Signature,
    inputs: Arrays,
    softmax: Sequence[str] = (),
) -> list[LayerLoss]:
    """The layers that the file keeps a tensor of, the one that loses most first.

    The outputs `softmax` have one that the student has not, so they are no layer's.
    """
    few = {name: x[:_MAX_EXAMPLES] for name, x in inputs.items()}
    layer_outputs = _layer_outputs(student, signature, few)
    outputs, tensors = _tensors(path, few)
    # The names of the file's last tensors are its outputs' and not their layers'.
    last = {
        layer: outputs[name]
        for name, wanted in outputs_of(student, signature, few).items()
        for layer, recorded in layer_outputs.items()
        if name not in softmax
        and recorded.shape == wanted.shape
        and np.allclose(recorded, wanted, rtol=1e-4, atol=1e-4)
    }
    found, before = [], 0.0
    for layer, wanted in layer_outputs.items():
        came = (
            _matching(layer, wanted, tensors, list(layer_outputs))
            if layer not in last
            else last[layer]
        )
        if came is None:
            continue
        size = np.abs(wanted).mean() or 1.0
        difference = float(np.abs(came - wanted).mean() / size)
        found.append(LayerLoss(layer, difference, difference - before))
        before = difference
    return sorted(found, key=lambda loss: -loss.grown)


def worst_layers(
    path: Path,
    student: keras.Model,
    signature: Signature,
    inputs: Arrays,
    softmax: Sequence[str] = (),
) -> str:
    """The three layers that lose most, as the end of an error."""
    try:
        losses = layer_losses(path, student, signature, inputs, softmax)
    except (ValueError, RuntimeError, KeyError):  # this only adds to another error
        return ""
    largest = [loss for loss in losses if loss.grown > _WORTH_NAMING][:3]
    shown = ", ".join(f"'{loss.path}' (off by {loss.difference:.1%})" for loss in largest)
    return f" The layers that lose most: {shown}." if largest else ""


def _layer_outputs(
    student: keras.Model, signature: Signature, inputs: Arrays
) -> dict[str, np.ndarray]:
    """The output of each layer that runs once, in the order in which they run."""
    layers = layer_paths(student)
    order: dict[int, list[Any]] = {}
    with recording(layers.values()) as recorded:
        for place in range(count(inputs)):
            batch = [x[place : place + 1] for x in inputs.values()]
            student(signature.arranged(batch), training=False)
            order = recorded
    length, layer_outputs = count(inputs), {}
    for path, layer in layers.items():
        calls = order[id(layer)]
        if len(calls) == length and keras.ops.is_tensor(calls[0]):
            layer_outputs[path] = np.concatenate([keras.ops.convert_to_numpy(x) for x in calls])
    return layer_outputs


def _tensors(path: Path, inputs: Arrays) -> tuple[Arrays, list[tuple[str, np.ndarray]]]:
    """The file's outputs by name, and every tensor of it by its own, over the examples."""
    module = importlib.import_module("ai_edge_litert.interpreter")
    interpreter = module.Interpreter(
        str(path),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    taken = encoded(inputs, runner.get_input_details())
    details = [d for d in interpreter.get_tensor_details() if d["name"] and len(d["shape"]) > 1]
    rows: list[list[np.ndarray]] = [[] for _ in details]
    rows_of_outputs = []
    for place in range(count(inputs)):
        rows_of_outputs.append(runner(**{name: x[place : place + 1] for name, x in taken.items()}))
        for row, detail in zip(rows, details, strict=True):
            with contextlib.suppress(ValueError):  # of a tensor that was never filled
                row.append(decoded(interpreter.get_tensor(detail["index"]), detail["quantization"]))
    codes = {name: d["quantization"] for name, d in runner.get_output_details().items()}
    outputs = {
        name: decoded(np.concatenate([row[name] for row in rows_of_outputs]), codes[name])
        for name in codes
    }
    return outputs, [
        (detail["name"], np.concatenate(row))
        for detail, row in zip(details, rows, strict=True)
        if len(row) == count(inputs) and row[0].shape[0] == 1
    ]


def _matching(
    layer: str, wanted: np.ndarray, tensors: list[tuple[str, np.ndarray]], layers: list[str]
) -> np.ndarray | None:
    """The tensor of `layer`: named after it and no later layer, of its shape; the last of these."""
    later = [o for o in layers[layers.index(layer) + 1 :] if not o.startswith(f"{layer}/")]
    numbered = any(name.startswith(f"{ROOT}_1/") for name, _ in tensors)
    found = None
    for name, came in tensors:
        parts = [_scopes(part, numbered) for part in name.split(";")]
        mine = came.shape == wanted.shape and any(_within(layer, part) for part in parts)
        if mine and not any(_within(other, part) for part in parts for other in later):
            found = came
    return found


def _scopes(tensor: str, numbered: bool) -> list[str]:
    """The scopes in a tensor's name, without the number that a second tracing gave each of them."""
    scopes = tensor.split("/")
    return [scope.removesuffix("_1") for scope in scopes] if numbered else scopes


def _within(layer: str, scopes: list[str]) -> bool:
    """Whether `scopes` hold those of `layer`, one after the other."""
    left = iter(scopes)
    return all(step in left for step in layer.split("/"))
