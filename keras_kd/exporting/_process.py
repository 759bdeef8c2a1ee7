"""Work in a process of its own: it serves students of every backend, and a crash is an error."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from keras_kd.exporting._proof import ExportError

_LAST_LINES = 12

#: What is known to stand behind what a converter says, and what helps.
_HINTS = {
    "StringLower": "It has string operations, which no device file has: keep what turns text into "
    "numbers outside of the student, and give it as `text`.",
    "StringSplit": "It has string operations, which no device file has: keep what turns text into "
    "numbers outside of the student, and give it as `text`.",
    "Erfc": "tf2onnx has no exact gelu: use keras.activations.gelu with approximate=True, or "
    "export from the jax or torch backend.",
    "must be static": "It has a shape that depends on the data, which the format does not have.",
    "from_config": "A layer of your own must give all arguments of its constructor in `get_config`.",
    "deserialized properly": "A layer of your own must give all arguments of its constructor in "
    "`get_config`.",
    "SIGSEGV": "A loop inside the student, other than that of a recurrent layer, cannot be "
    "calibrated: use quantization='dynamic'.",
    "BOOL": "tflite-micro does not run masks: use an Embedding without mask_zero.",
    "GELU": "tflite-micro has no gelu: use relu.",
    "Hybrid models": "tflite-micro needs integers throughout: use quantization='int8'.",
}


def run_python(
    arguments: Sequence[str], what: str, *, backend: str = "tensorflow"
) -> tuple[str, str]:
    """Runs Python with `arguments`; what it wrote to its two outputs, or an error that starts
    with `what`."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",  # the accelerator may be the student's
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise ExportError(_explained(what, done.returncode, f"{done.stdout}\n{done.stderr}"))
    return done.stdout, done.stderr


def _explained(what: str, code: int, said: str) -> str:
    how = f"died of {signal.Signals(-code).name}" if code < 0 else "failed"
    hint = hint_on(f"{how} {said}")
    lines = [line for line in said.splitlines() if line.strip()]
    return f"{what} {how}.{hint} It said:\n" + "\n".join(lines[-_LAST_LINES:])


def hint_on(said: str) -> str:
    """What helps, where that is known."""
    return next((f" {hint}" for sign, hint in _HINTS.items() if sign in said), "")
