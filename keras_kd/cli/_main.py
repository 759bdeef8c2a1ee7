"""The program: its options, its backend, its exit code."""

import argparse
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_kd.cli import _demo, _distill, _export, _recipes, _report, _store
from keras_kd.cli._options import EXIT_CODES, RAW
from keras_kd.cli._talk import BadInput
from keras_kd.data import NotAvailable

_COMMANDS = (_demo, _distill, _store, _report, _export, _recipes)
#: What the user can mend, and what may go wrong once work has begun; all else is a fault of ours.
_TO_MEND = (BadInput, NotAvailable, ValueError, ModuleNotFoundError)
_ON_THE_WAY = (OSError, RuntimeError)
_EPILOG = f"""\
examples:
  keras-kd demo
  keras-kd distill teacher.keras mlp-16 --data digits --set temperature=4 --out run
  keras-kd report teacher=teacher.keras distilled=run/student.keras --data digits --out report.html
  keras-kd export run/student.keras student.tflite --data digits

{EXIT_CODES}
Results go to the standard output, progress to the standard error.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code.

    Args:
        argv: The arguments. Defaults to `None`: those of the process, whose signals and messages
            are then the command's own.
    """
    options = parser().parse_args(argv)
    program = argv is None
    if options.backend not in (None, keras.config.backend()):
        _restart(options.backend, sys.argv[1:] if argv is None else list(argv))
    stopped = _stoppable() if program else []
    if program:
        _hush()
    try:
        options.run(options)
        return 0
    except BaseException as error:  # a Ctrl-C, of which C++ on the way may have made another error
        if stopped or isinstance(error, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(f"keras-kd: stopped. {options.if_stopped(options)}", file=sys.stderr, flush=True)
            if program:  # threads of C++ amid their work do not survive Python's own way out
                sys.stdout.flush()
                os._exit(130)
            return 130
        code = 2 if isinstance(error, _TO_MEND) else 1
        if code == 1 and not isinstance(error, _ON_THE_WAY):
            raise
        print(f"keras-kd {options.command}: {error}", file=sys.stderr)
        return code


def parser() -> argparse.ArgumentParser:
    """The options of all commands."""
    made = argparse.ArgumentParser(
        prog="keras-kd",
        description="Knowledge distillation for Keras 3.",
        epilog=_EPILOG,
        formatter_class=RAW,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return made


def _restart(backend: str, argv: list[str]) -> None:
    """The same command anew, in a process in which Keras has this backend from the start."""
    sys.stdout.flush()
    package = str(Path(__file__).parents[2])
    code = (
        f"import sys; sys.path.insert(0, {package!r}); "
        "from keras_kd.cli import main; sys.exit(main())"
    )
    env = {**os.environ, "KERAS_BACKEND": backend}
    os.execve(sys.executable, [sys.executable, "-P", "-c", code, *argv], env)


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
