"""ONNX files as teachers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.messages import listing
from keras_kd._core.optional import require
from keras_kd._core.output_kinds import FLOOR
from keras_kd.sources._files import Arrays, FileTeacher, by_name, check_shape, choose, in_batches_of

FORMATS = ("channels_last", "channels_first")


class ONNXTeacher(FileTeacher):
    """An ONNX file as a teacher, run by onnxruntime (extra `onnx`).

    Its outputs are signals by their names.

    Args:
        path: The `.onnx` file.
        name: What stores and messages call it. Defaults to the file's name.
        kind: What it gives: see `keras_kd.sources.FunctionTeacher`. Defaults to `"logits"`.
        floor: The probability that 0 counts as. Defaults to `1e-7`.
        data_format: `"channels_first"` where the file has its images so, as those from torch do:
            inputs of four axes, which Keras has channels last, are transposed, and signals of four
            axes are transposed back. Defaults to `"channels_last"`.
        output: Which of several outputs is the output. Defaults to `None`: the only one, or the
            one called `"logits"`.
        providers: What onnxruntime runs it on. Defaults to `("CPUExecutionProvider",)`.

    Raises:
        ModuleNotFoundError: If onnxruntime is not installed.
        ValueError: If the file is none, or inputs do not fit it.
    """

    def __init__(
        self,
        path: Any,
        *,
        name: str | None = None,
        kind: str = "logits",
        floor: float = FLOOR,
        data_format: str = "channels_last",
        output: str | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ):
        runtime = require("onnxruntime", extra="onnx", purpose="ONNXTeacher runs a file")
        super().__init__(path, name, kind=kind, floor=floor)
        if data_format not in FORMATS:
            raise ValueError(
                f"`data_format` must be one of {listing(FORMATS)}. Received: {data_format!r}."
            )
        self.data_format = data_format
        try:
            self._session = runtime.InferenceSession(str(self.path), providers=list(providers))
        except Exception as error:  # of whatever kind it makes of a damaged file
            raise ValueError(f"onnxruntime cannot read '{self.path}': {error}") from error
        self._inputs = {each.name: each for each in self._session.get_inputs()}
        names = {each.name: np.empty(0) for each in self._session.get_outputs()}
        self.output = choose(names, output, f"The file '{self.path}'")

    def run(self, x: Any, paths: Sequence[str]) -> Arrays:
        whose = f"The file '{self.path}'"
        given = by_name(x, list(self._inputs), whose)
        inputs, size = {}, None
        for name, array in given.items():
            shape, kind = self._inputs[name].shape, _dtype(self._inputs[name].type)
            array = self._turned(array, (0, 3, 1, 2))
            check_shape(array, shape, name, whose)
            inputs[name] = array.astype(kind, copy=False) if kind else array
            if shape and isinstance(shape[0], int) and shape[0] > 0:
                size = shape[0]
        wanted = [path for path in paths if path != OUTPUT]
        known = [each.name for each in self._session.get_outputs()]
        names = [self.output, *(path for path in wanted if path in known and path != self.output)]
        outputs = in_batches_of(
            size, inputs, lambda x: dict(zip(names, self._session.run(names, x), strict=True))
        )
        found = {name: self._turned(array, (0, 2, 3, 1)) for name, array in outputs.items()}
        return {OUTPUT: found[self.output], **found}

    def _turned(self, array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        turn = array.ndim == 4 and self.data_format == "channels_first"
        return np.ascontiguousarray(array.transpose(axes)) if turn else array

    def shapes(self) -> list[Sequence[Any]]:
        return [each.shape for each in self._inputs.values()]

    def settings(self) -> dict[str, Any]:
        return {"data_format": self.data_format, "output": self.output}


def _dtype(kind: str) -> str | None:
    """NumPy's name of a type as `tensor(float)` writes it; `None` for texts."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64", "string": None}.get(name, name)
