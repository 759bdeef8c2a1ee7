"""The command `keras-kd`.

It chooses the backend before Keras is imported, so nothing but the standard library is imported at
the top, and the file also runs by itself, outside the package.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

_EXIT = """\
exit codes: 0 done, 1 failed on the way, 2 a bad option or data that cannot be had, 130 stopped"""
_DEMO = """\
A teacher learns from every label of an image set. Two small students that start from the same
weights then learn from few labels: one alone, one distilled, which also learns from what the
teacher says about the images without labels. Both take the same number of steps. This is repeated
from several seeds, and the errors on the test set are compared pair by pair.

Writes student.keras, student.tflite and demo.png (the last two need the extras "export" and
"report"). On the digits that come with the package it takes about a minute; on mnist, some minutes.
"""
_DEMO_EXAMPLES = f"""\
examples:
  keras-kd demo
  keras-kd demo --labels 50 --seeds 10
  keras-kd demo --temperature 4 --alpha 0.5 --backend jax
  keras-kd demo --data fashion_mnist --labels 500 --out fashion

{_EXIT}
Set TF_CPP_MIN_LOG_LEVEL=0 to see what TensorFlow itself has to say.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv`; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = _parser().parse_args(argv)
    if options.backend:
        os.environ["KERAS_BACKEND"] = options.backend
    if "keras" in sys.modules:  # its backend is chosen already: start anew, as a file by itself
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-P", __file__, *argv])
    _hush()
    stopped = _stoppable()
    try:
        return _demo(options)
    except BaseException:  # C++ on the way may have made another error of it
        if not stopped:
            raise
        signal.setitimer(signal.ITIMER_REAL, 0)
        print("keras-kd: stopped. No file was left half written.", file=sys.stderr)
        return 130


def _demo(options: argparse.Namespace) -> int:
    from keras_kd import demo
    from keras_kd.data import NotAvailable
    from keras_kd.exporting import ExportError

    settings = demo.Settings(
        data=options.data,
        labels=options.labels,
        epochs=options.epochs,
        seeds=options.seeds,
        temperature=options.temperature,
        alpha=options.alpha,
        out=options.out,
    )
    try:
        data = demo.prepare(settings)
    except (ValueError, NotAvailable, OSError) as error:
        print(f"keras-kd demo: {error}", file=sys.stderr)
        return 2
    try:
        demo.run(settings, data)
    except (ExportError, OSError) as error:
        print(f"keras-kd demo: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="keras-kd",
        description="Knowledge distillation for Keras 3.",
        epilog=f"example: keras-kd demo\n\n{_EXIT}",
        formatter_class=raw,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="see what distillation does for a small network, in about a minute",
        description=_DEMO,
        epilog=_DEMO_EXAMPLES,
        formatter_class=raw,
    )
    add = demo.add_argument
    add("--data", default="digits", metavar="NAME",
        help="digits, or an image classification set of TensorFlow Datasets (default: digits)")  # fmt: skip
    add("--labels", type=_whole, default=100, metavar="N",
        help="labelled images that the students have (default: 100)")  # fmt: skip
    add("--epochs", type=_whole, metavar="N",
        help="passes over the training images (default: 40 for digits, 3 for a set as large as mnist)")  # fmt: skip
    add("--seeds", type=_whole, default=5, metavar="N",
        help="pairs of students to train (default: 5)")  # fmt: skip
    add("--temperature", type=_above_zero, default=4.0, metavar="T",
        help="softening of the answers (default: 4)")  # fmt: skip
    add("--alpha", type=_share, default=0.9, metavar="A",
        help="the teacher's share of the loss, 0 to 1 (default: 0.9)")  # fmt: skip
    add("--out", type=Path, default=Path("keras_kd_demo"), metavar="DIR",
        help="where to write (default: keras_kd_demo)")  # fmt: skip
    add("--backend", type=_backend, metavar="NAME",
        help="tensorflow, jax or torch (default: Keras's own choice)")  # fmt: skip
    return parser


def _number(text: str, kind: Callable[[str], float], good: Callable[[float], bool], what: str):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not good(value):
        raise argparse.ArgumentTypeError(f"must be {what}, not {text!r}")
    return value


def _whole(text: str) -> int:
    return _number(text, int, lambda n: n >= 1, "a whole number from 1 up")


def _above_zero(text: str) -> float:
    return _number(text, float, lambda t: 0 < t < float("inf"), "a number above 0")


def _share(text: str) -> float:
    return _number(text, float, lambda a: 0 <= a <= 1, "a number from 0 to 1")


def _backend(name: str) -> str:
    if name not in ("tensorflow", "jax", "torch"):
        raise argparse.ArgumentTypeError(f"must be tensorflow, jax or torch, not {name!r}")
    if find_spec(name) is None:
        extra = "tensorflow" if name == "tensorflow" else f'"keras-kd[{name}]"'
        raise argparse.ArgumentTypeError(f"{name} is not installed. Run: pip install {extra}")
    return name


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
    """Keeps TensorFlow's messages off the terminal.

    Those of its import obey no log level. So C++ is given another standard error than Python.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "0":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        for name in ("tensorflow", "absl"):
            logging.getLogger(name).setLevel(logging.ERROR)
        sys.stderr.flush()
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    sys.exit(main())
