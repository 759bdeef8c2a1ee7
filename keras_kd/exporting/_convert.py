"""The conversion: a job for a fresh process, and its result."""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd.exporting._data import Examples
from keras_kd.exporting._prepare import save_portable
from keras_kd.exporting._proof import ExportError
from keras_kd.exporting._signature import Arrays
from keras_kd.exporting._subprocess import run_python

#: The name of the model around the student; the names of a LiteRT file's tensors begin with it.
ROOT = "exported"


@dataclass(frozen=True)
class Job:
    """What the process that converts is told.

    Args:
        student: The saved student.
        path: Where to write.
        format: As Keras names it.
        quantization: How numbers are stored.
        ai_edge: Whether ai-edge-quantizer does that.
        integer_io: Whether inputs and outputs are integers too.
        micro: Whether the file is for microcontrollers.
        unroll: Whether loops over steps are written out.
        free_batch: Whether the file takes any number of examples at a time.
        modules: What to import first: the modules of the student's own classes.
        inputs: Name, shape and type of each input.
        structure: How the student takes them.
        outputs: Names of the outputs.
        calibration: Where the calibration inputs are, if any.
    """

    student: str
    path: str
    format: str
    quantization: str
    ai_edge: bool
    integer_io: bool
    micro: bool
    unroll: bool
    free_batch: bool
    modules: list[str]
    inputs: list[tuple[str, list[int | None], str]]
    structure: Any
    outputs: list[str]
    calibration: str | None

    @classmethod
    def read(cls, path: str) -> "Job":
        return cls(**json.loads(Path(path).read_text()))


def convert(
    student: keras.Model,
    path: Path,
    examples: Examples,
    outputs: list[str],
    *,
    backend: str,
    timeout: float | None,
    calibration: Arrays | None = None,
    **settings: Any,
) -> None:
    """Writes `student` to `path`. `settings` are those of a `Job`."""
    free = settings["free_batch"]
    with tempfile.TemporaryDirectory() as folder:
        saved, described, ranges = (
            Path(folder, n) for n in ("student.keras", "job.json", "ranges.npz")
        )
        modules = save_portable(student, saved)
        if calibration is not None:
            np.savez(ranges, **calibration)  # type: ignore[arg-type]
        job = Job(
            student=str(saved),
            path=str(path.absolute()),
            modules=modules,
            inputs=[
                (name, [None if free else 1, *x.shape[1:]], str(x.dtype))
                for name, x in examples.inputs.items()
            ],
            structure=examples.signature.structure,
            outputs=outputs,
            calibration=None if calibration is None else str(ranges),
            **settings,
        )
        described.write_text(json.dumps(asdict(job)))
        what = f"The conversion of the student '{student.name}' to {path.suffix or 'a SavedModel'}"
        _, printed = run_python(
            [
                "-c",
                "from keras_kd.exporting._conversion_worker import work; work()",
                str(described),
            ],
            what,
            timeout=timeout,
            backend=backend,
        )
    if not path.exists():
        raise ExportError(f"{what} wrote nothing. It said:\n{printed[-2000:]}")
