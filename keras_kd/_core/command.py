"""Whether this process is the command `keras-kd`."""

import sys
from pathlib import Path


def is_the_command() -> bool:
    """Whether it was started as `keras-kd` or as `python -m keras_kd`."""
    name = Path(next(iter(getattr(sys, "argv", [])), "")).name
    # While Python looks for the package that `-m` names, that is all it knows.
    return name.partition(".")[0] == "keras-kd" or (name == "-m" and "keras_kd" in sys.orig_argv)
