"""LiteRT files as teachers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.optional import require
from keras_kd._core.output_kinds import FLOOR
from keras_kd.sources._files import Arrays, FileTeacher, by_name, check_shape, choose, in_batches_of


class LiteRTTeacher(FileTeacher):
    """A LiteRT (TensorFlow Lite) file as a teacher (extra `export`).

    Where the file takes or gives integers in the place of floats, they are scaled by the numbers in
    the file. Its outputs are signals by their names.

    Args:
        path: The `.tflite` file.
        name: What stores and messages call it. Defaults to the file's name.
        kind: What it gives: see `keras_kd.sources.FunctionTeacher`. Defaults to `"logits"`.
        floor: The probability that 0 counts as. Defaults to `1e-7`.
        output: Which of several outputs is the output. Defaults to `None`: the only one, or the
            one called `"logits"`.
        num_threads: Threads of the interpreter. Defaults to `None`: its own choice.

    Raises:
        ModuleNotFoundError: If ai-edge-litert is not installed.
        ValueError: If the file is none, or inputs do not fit it.
    """

    def __init__(
        self,
        path: Any,
        *,
        name: str | None = None,
        kind: str = "logits",
        floor: float = FLOOR,
        output: str | None = None,
        num_threads: int | None = None,
    ):
        module = require(
            "ai_edge_litert.interpreter", extra="export", purpose="LiteRTTeacher runs a file"
        )
        super().__init__(path, name, kind=kind, floor=floor)
        try:
            self._interpreter = module.Interpreter(str(self.path), num_threads=num_threads)
            self._interpreter.allocate_tensors()
        except Exception as error:  # of whatever kind it makes of a damaged file
            raise ValueError(f"The interpreter cannot read '{self.path}': {error}") from error
        self._inputs, self._outputs, self._run = self._program()
        names = dict.fromkeys(self._outputs, np.empty(0))
        self.output = choose(names, output, f"The file '{self.path}'")

    def _program(self) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Inputs and outputs by name, and what runs them: the signature, where there is one."""
        interpreter = self._interpreter
        if interpreter.get_signature_list():
            runner = interpreter.get_signature_runner()
            return runner.get_input_details(), runner.get_output_details(), lambda x: runner(**x)
        inputs = {each["name"]: each for each in interpreter.get_input_details()}
        outputs = {each["name"]: each for each in interpreter.get_output_details()}

        def run(x: Arrays) -> Arrays:
            for name, array in x.items():
                interpreter.set_tensor(inputs[name]["index"], array)
            interpreter.invoke()
            return {n: interpreter.get_tensor(each["index"]) for n, each in outputs.items()}

        return inputs, outputs, run

    def run(self, x: Any, paths: Sequence[str]) -> Arrays:
        whose = f"The file '{self.path}'"
        inputs = by_name(x, list(self._inputs), whose)
        for name, array in inputs.items():
            check_shape(array, self._inputs[name]["shape"], name, whose)
        size = int(next(iter(self._inputs.values()))["shape"][0])
        taken = {name: _encoded(array, self._inputs[name]) for name, array in inputs.items()}
        outputs = in_batches_of(size, taken, self._run)
        found = {name: _decoded(array, self._outputs[name]) for name, array in outputs.items()}
        return {OUTPUT: found[self.output], **found}

    def shapes(self) -> list[Sequence[Any]]:
        return [each["shape"] for each in self._inputs.values()]

    def settings(self) -> dict[str, Any]:
        return {"output": self.output}


def _encoded(x: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Floats as the integers that stand for them, where the file takes such."""
    (scale, zero), kind = details["quantization"], details["dtype"]
    if not scale or x.dtype == kind:
        return x.astype(kind, copy=False)
    info = np.iinfo(kind)
    return np.clip(np.rint(x.astype("float64") / scale) + zero, info.min, info.max).astype(kind)


def _decoded(x: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    scale, zero = details["quantization"]
    return ((x.astype("float64") - zero) * scale).astype("float32") if scale else x
