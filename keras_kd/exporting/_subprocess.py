"""Work in a process of its own: it serves students of every backend; a crash is an error, and so is
work without an end."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from keras_kd._core.messages import listing
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


#: Set in the environment of each such process.
_MARK = "KERAS_KD_EXPORT_PROCESS"

#: How converters call the operators that they cannot convert.
_UNKNOWN = re.compile(
    r"(?:Custom|Flex) ops: ([\w, ]+)|'tf\.(\w+)' op|Tensorflow op \[[^\]]*: (\w+)\]"
    r"|operator '?(\w+::\w+)'?|primitive '(\w+)'"
)


def check_is_no_conversion() -> None:
    """An error in a process that converts: each would start the next one, without an end."""
    if _MARK in os.environ:
        raise ExportError(
            "export() was called by the process of another conversion, which imports your modules: "
            "one of them exports when it is imported, or your script has the name of a package, as "
            "'onnx.py' has. Export below `if __name__ == \"__main__\":`, or rename the script."
        )


def run_python(
    arguments: Sequence[str], what: str, *, timeout: float | None, backend: str = "tensorflow"
) -> tuple[str, str]:
    """Runs Python with `arguments`; what it wrote to its two outputs, or an error that starts
    with `what`, after `timeout` seconds too."""
    env = {
        **os.environ,
        _MARK: "1",
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",  # the accelerator may be the student's
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
    }
    code, out, err = ended([sys.executable, *arguments], env, timeout)
    if code:
        how = f"died of {signal.Signals(-code).name}" if code and code < 0 else "failed"
        raise ExportError(_explained(what, f"{how}.", f"{out}\n{err}"))
    if code is None:
        how = (
            f"was not done after {timeout:g} seconds and was ended. Give it longer by `timeout` "
            "(--timeout), or use other operators."
        )
        raise ExportError(_explained(what, how, f"{out}\n{err}"))
    return out, err


def ended(
    command: Sequence[str], env: Mapping[str, str], timeout: float | None
) -> tuple[int | None, str, str]:
    """The exit code of a command, `None` when it was ended by force, and what it wrote.

    However this ends, by an interrupt too, the command and all that it started are gone.
    """
    process = subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.PIPE,  # by whose end it knows that this process is no more
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    held, process.stdin = process.stdin, None  # which `communicate` would close at once
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _kill(process)
        return None, *process.communicate()
    except BaseException:
        _kill(process)
        process.communicate()
        raise
    finally:
        held.close()  # type: ignore[union-attr]
    return process.returncode, out, err


def _kill(process: subprocess.Popen[str]) -> None:
    """Ends a process, and on POSIX all that it started."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _explained(what: str, how: str, printed: str) -> str:
    hint = hint_on(f"{how} {printed}")
    found = (part for groups in _UNKNOWN.findall(printed) for part in ", ".join(groups).split(", "))
    if names := sorted({name.strip() for name in found if name.strip()}):
        hint = f" The operators in question: {listing(names)}.{hint}"
    lines = [line for line in printed.splitlines() if line.strip()]
    return f"{what} {how}{hint} It said:\n" + "\n".join(lines[-_LAST_LINES:])


def hint_on(printed: str) -> str:
    """What helps, where that is known."""
    return next((f" {hint}" for sign, hint in _HINTS.items() if sign in printed), "")
