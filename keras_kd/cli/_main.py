"""The program: its options, its backend, its exit code."""

import argparse
import importlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_kd._core.command import SAFE_PATH
from keras_kd.cli._commands import parser
from keras_kd.cli._console import BadInput

#: What the user can mend, and what may go wrong once work has begun; all else is a fault of ours.
_TO_MEND = (BadInput, ValueError, ModuleNotFoundError)
_ON_THE_WAY = (OSError, RuntimeError)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code.

    Args:
        argv: The arguments. Defaults to `None`: those of the process, whose signals and messages
            are then the command's own.
    """
    options = parser().parse_args(argv)
    program = argv is None
    _set_backend(options.backend, sys.argv[1:] if argv is None else list(argv))
    stopped = _stoppable() if program else []
    if program:
        _hush()
    try:
        importlib.import_module(
            "keras_kd._public_names"
        )  # files need to find all that may be in them
        _module_of(options.command).run(options)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:  # as after `| head`: what is left to say goes nowhere
        for number in (1, 2) if program else ():
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        return 141
    except BaseException as error:  # a Ctrl-C, of which C++ on the way may have made another error
        if stopped or isinstance(error, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(f"keras-kd: stopped. {_if_stopped(options)}", file=sys.stderr, flush=True)
            if program:  # threads of C++ amid their work do not survive Python's own way out
                sys.stdout.flush()
                os._exit(130)
            return 130
        code = 2 if isinstance(error, _TO_MEND) or _is_not_available(error) else 1
        if code == 1 and not isinstance(error, _ON_THE_WAY):
            raise
        print(f"keras-kd {options.command}: {error}", file=sys.stderr)
        return code


def _module_of(command: str) -> Any:
    return importlib.import_module(f"keras_kd.cli._{command}")


def _if_stopped(options: argparse.Namespace) -> str:
    """What there is to say when the command was stopped."""
    module = sys.modules.get(f"keras_kd.cli._{options.command}")
    if module is not None and hasattr(module, "if_stopped"):
        return module.if_stopped(options)
    return "No file was left half written."


def _is_not_available(error: BaseException) -> bool:
    """Whether a set cannot be had here; nobody has said so before `data` was imported."""
    return isinstance(error, getattr(sys.modules.get("keras_kd.data"), "NotAvailable", ()))


def _set_backend(backend: str | None, argv: list[str]) -> None:
    """Keras with this backend: it has it from the start, so perhaps in another process."""
    if backend is None:
        return
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = backend
    elif backend != sys.modules["keras"].config.backend():
        _restart(backend, argv)


def _restart(backend: str, argv: list[str]) -> None:
    """The same command anew, in a process in which Keras has this backend from the start."""
    sys.stdout.flush()
    package = str(Path(__file__).parents[2])
    code = (
        f"import sys; sys.path[:] = [{package!r}, *filter(None, sys.path)]; "
        "from keras_kd.cli import main; sys.exit(main())"
    )
    env = {**os.environ, "KERAS_BACKEND": backend}
    os.execve(sys.executable, [sys.executable, *SAFE_PATH, "-c", code, *argv], env)


def _stoppable() -> list[int]:
    """Ctrl-C stops, wherever it comes; returns a list that is empty until then.

    Libraries in C++ may swallow the interrupt. So it is raised again, until the program is out.
    """
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        stopped.append(number)
        sys.unraisablehook = lambda swallowed: None
        signal.setitimer(signal.ITIMER_REAL, 2.0)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGALRM, stop)
    return stopped


def _hush() -> None:
    """Keeps what TensorFlow says off the terminal, and says warnings in plain words.

    Some of TensorFlow's messages obey no log level. So C++ is given another standard error than
    Python.
    """
    warnings.showwarning = lambda message, *about: print(f"keras-kd: {message}", file=sys.stderr)
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
