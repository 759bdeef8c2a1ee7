"""Files at work: each gives the outputs of many examples, and the time of one call."""

import importlib
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_kd._core.command import SAFE_PATH
from keras_kd.exporting import _standalone_runner
from keras_kd.exporting._proof import ExportError
from keras_kd.exporting._signature import Arrays, count
from keras_kd.exporting._subprocess import hint_on, run_python


class Times(NamedTuple):
    """Median and quartiles of the time of a call, in milliseconds."""

    median: float
    spread: tuple[float, float]


def times(seconds: Any) -> Times:
    low, median, high = np.percentile(seconds, (25, 50, 75)) * 1e3
    return Times(float(median), (float(low), float(high)))


def run(path: Path, format: str, inputs: Arrays, timeout: float | None) -> tuple[Arrays, Times]:
    """The file's outputs on `inputs` by name, and how long one example takes on one thread.

    `timeout` is for a process of its own.
    """
    if format == "tf_saved_model":
        return _saved_model(path, inputs, timeout)
    return (_litert if format == "litert" else _onnx)(path, inputs)


def _rows(inputs: Arrays, call: Any) -> Arrays:
    """`call` on each example, its answers stacked."""
    rows = [
        call({name: x[place : place + 1] for name, x in inputs.items()})
        for place in range(count(inputs))
    ]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _onnx(path: Path, inputs: Arrays) -> tuple[Arrays, Times]:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(
            str(path),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=False,  # which prints, and tries the same again
        )
        names = [output.name for output in session.get_outputs()]

        def call(example: Arrays) -> Arrays:
            return dict(zip(names, session.run(None, example), strict=True))

        answers = _rows(inputs, call)
    except Exception as error:  # onnxruntime's own classes share no other parent
        raise ExportError(_unreadable(path, error)) from error
    one = {name: x[-1:] for name, x in inputs.items()}
    return answers, times(_standalone_runner.timed(lambda: session.run(None, one)))


def _saved_model(path: Path, inputs: Arrays, timeout: float | None) -> tuple[Arrays, Times]:
    outputs, _ = run_alone("saved_model", path, inputs, f"Running '{path.name}'", timeout)
    seconds = outputs.pop("_seconds")
    return outputs, times(seconds)


def run_alone(
    kind: str, path: Path, inputs: Arrays, what: str, timeout: float | None
) -> tuple[Arrays, str]:
    """The outputs that a process of its own saw, and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "inputs.npz"), **inputs)  # type: ignore[arg-type]
        command = [*SAFE_PATH, _standalone_runner.__file__, kind, str(path.absolute()), folder]
        printed = run_python(command, what, timeout=timeout)
        with np.load(Path(folder, "outputs.npz")) as arrays:
            return {name: arrays[name] for name in arrays.files}, "\n".join(printed)


def _unreadable(path: Path, error: Exception) -> str:
    return f"The file '{path.name}' cannot be run: {error}{hint_on(str(error))}"


# LiteRT.


def _litert(path: Path, inputs: Arrays) -> tuple[Arrays, Times]:
    module = importlib.import_module("ai_edge_litert.interpreter")
    try:
        interpreter = module.Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        answers = _signature_answers(interpreter, inputs)
    except Exception as error:  # of whatever kind it makes of a damaged file
        raise ExportError(_unreadable(path, error)) from error
    # By now it has its runner back, without which it would not run.
    return answers, times(_standalone_runner.timed(interpreter.invoke))


def _signature_answers(interpreter: Any, inputs: Arrays) -> Arrays:
    """All answers, by the names of the file's signature."""
    runner = interpreter.get_signature_runner()
    taken = coded(inputs, runner.get_input_details())
    codes = {name: d["quantization"] for name, d in runner.get_output_details().items()}
    answers = _rows(taken, lambda example: runner(**example))
    return {name: decoded(x, codes[name]) for name, x in answers.items()}


def coded(inputs: Arrays, details: dict[str, Any]) -> Arrays:
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
        found[name] = (
            _standalone_runner.quantized(x, scale, zero, kind) if scale and x.dtype != kind else x
        )
    return found


def decoded(x: np.ndarray, code: tuple[float, int]) -> np.ndarray:
    """The floats that integers stand for, by their scale and zero point; floats as they are."""
    scale, zero = code
    return (x.astype("float64") - zero) * scale if scale else x
