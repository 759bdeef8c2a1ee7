"""LiteRT files in their interpreter, and the integers in them that stand for floats."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd.exporting._proof import ExportError
from keras_kd.exporting._running import Times, cannot_run, stacked
from keras_kd.exporting._signature import Arrays
from keras_kd.exporting._standalone_runner import quantized, timed
from keras_kd.exporting._tensors import Stored


def run(path: Path, inputs: Arrays) -> tuple[Arrays, Times]:
    """The file's outputs by the names of its signature, and how long one example takes."""
    module = importlib.import_module("ai_edge_litert.interpreter")
    try:
        interpreter = module.Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        outputs = _outputs(interpreter, inputs)
    except Exception as error:  # of whatever kind it makes of a damaged file
        raise ExportError(cannot_run(path, error)) from error
    # By now it has its runner back, without which it would not run.
    return outputs, Times.of(timed(interpreter.invoke))


def tensors(path: Path) -> dict[str, Stored]:
    """The inputs and outputs by name, as the interpreter tells."""
    module = importlib.import_module("ai_edge_litert.interpreter")
    try:
        interpreter = module.Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        runner = interpreter.get_signature_runner()
    except Exception as error:  # of whatever kind it makes of a damaged file
        raise ExportError(cannot_run(path, error)) from error
    return {
        name: _stored(detail)
        for details in (runner.get_input_details(), runner.get_output_details())
        for name, detail in details.items()
    }


def _stored(detail: dict[str, Any]) -> Stored:
    scale, zero = detail["quantization"]
    code = (float(scale), int(zero)) if scale else (None, None)
    kind = np.dtype(detail["dtype"]).name
    return Stored(kind, tuple(int(size) for size in detail["shape"]), *code)


def _outputs(interpreter: Any, inputs: Arrays) -> Arrays:
    runner = interpreter.get_signature_runner()
    taken = encoded(inputs, runner.get_input_details())
    codes = {name: d["quantization"] for name, d in runner.get_output_details().items()}
    outputs = stacked(taken, lambda example: runner(**example))
    return {name: decoded(x, codes[name]) for name, x in outputs.items()}


def encoded(inputs: Arrays, details: dict[str, Any]) -> Arrays:
    """The inputs as the integers that the file takes, where it takes integers for floats."""
    if set(inputs) != set(details):
        raise ValueError(
            f"its inputs are {', '.join(sorted(details))}, the student's "
            f"{', '.join(sorted(inputs))}"
        )
    found = {}
    for name, x in inputs.items():
        scale, zero = details[name]["quantization"]
        kind = details[name]["dtype"]
        found[name] = quantized(x, scale, zero, kind) if scale and x.dtype != kind else x
    return found


def decoded(x: np.ndarray, code: tuple[float, int]) -> np.ndarray:
    """The floats that integers stand for, by their scale and zero point; floats as they are."""
    scale, zero = code
    return (x.astype("float64") - zero) * scale if scale else x
