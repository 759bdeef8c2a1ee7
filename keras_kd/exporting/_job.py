"""What the process that converts gets: a job, and the student with the job's names."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

#: The name of the model around the student; the names of a LiteRT file's tensors begin with it.
ROOT = "exported"


@dataclass(frozen=True)
class Job:
    """One conversion.

    Args:
        student: The saved student.
        path: Where to write.
        format: The class of the format, as `"module:Class"`.
        quantization: How numbers are stored.
        integer_io: Whether inputs and outputs are integers too.
        unroll: Whether loops over steps are written out.
        modules: What to import first: the modules of the student's own classes.
        inputs: Name, shape and type of each input.
        structure: How the student takes them.
        outputs: Names of the outputs.
        calibration: Where the calibration inputs are, if any.
        softmax: Names of the outputs that end in a softmax of the file's own.
    """

    student: str
    path: str
    format: str
    quantization: str
    integer_io: bool
    unroll: bool
    modules: list[str]
    inputs: list[tuple[str, list[int | None], str]]
    structure: Any
    outputs: list[str]
    calibration: str | None
    softmax: list[str]

    @classmethod
    def read(cls, path: str) -> "Job":
        return cls(**json.loads(Path(path).read_text()))

    @property
    def tokens(self) -> bool:
        """Whether the student has inputs of integers."""
        return any(np.dtype(dtype).kind in "iu" for _, _, dtype in self.inputs)

    def tensors(self) -> dict[str, Any]:
        """The symbolic inputs by name."""
        return {n: keras.Input(batch_shape=s, dtype=d, name=n) for n, s, d in self.inputs}

    def specs(self) -> dict[str, keras.InputSpec]:
        """The shapes and types of the inputs by name."""
        return {n: keras.InputSpec(shape=s, dtype=d, name=n) for n, s, d in self.inputs}

    def outputs_of(self, student: keras.Model, tensors: dict[str, Any]) -> list[Any]:
        """The file's outputs on `tensors`, which go to where the student takes them."""
        values = list(tensors.values())
        arranged = keras.tree.map_structure(lambda place: values[place], self.structure)
        outputs = zip(
            self.outputs, keras.tree.flatten(student(arranged, training=False)), strict=True
        )
        return [keras.ops.softmax(y) if name in self.softmax else y for name, y in outputs]

    def with_names(self, student: keras.Model) -> keras.Model:
        """The student with named inputs and outputs."""
        tensors = self.tensors()
        outputs = dict(zip(self.outputs, self.outputs_of(student, tensors), strict=True))
        return keras.Model(tensors, outputs, name=ROOT)

    def calibration_examples(self) -> Iterator[dict[str, np.ndarray]]:
        """The calibration inputs, one example after the other, by the names of the inputs."""
        with np.load(str(self.calibration)) as arrays:
            inputs = {name: arrays[name] for name, _, _ in self.inputs}
        for place in range(len(inputs[self.inputs[0][0]])):
            yield {name: x[place : place + 1] for name, x in inputs.items()}
