"""The conversion: a job for a fresh process, and its result."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np

from keras_kd.exporting._data import Examples
from keras_kd.exporting._format import Format
from keras_kd.exporting._job import Job
from keras_kd.exporting._prepare import save_portable
from keras_kd.exporting._proof import ExportError
from keras_kd.exporting._signature import Arrays
from keras_kd.exporting._subprocess import run_python


def convert(
    student: keras.Model,
    path: Path,
    form: Format,
    quantization: str,
    examples: Examples,
    outputs: list[str],
    *,
    backend: str,
    timeout: float | None,
    calibration: Arrays | None = None,
    integer_io: bool = False,
    unroll: bool = False,
    free_batch: bool = False,
    softmax: Sequence[str] = (),
) -> None:
    """Has `form` write `student` to `path`, in a process of its own on `backend`.

    The file takes inputs of the shapes and types of `examples`, any number at a time where
    `free_batch`. The rest is as in `Job`.
    """
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
            format=f"{type(form).__module__}:{type(form).__qualname__}",
            quantization=quantization,
            integer_io=integer_io,
            unroll=unroll,
            modules=modules,
            inputs=[
                (name, [None if free_batch else 1, *x.shape[1:]], str(x.dtype))
                for name, x in examples.inputs.items()
            ],
            structure=examples.signature.structure,
            outputs=outputs,
            calibration=None if calibration is None else str(ranges),
            softmax=list(softmax),
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
