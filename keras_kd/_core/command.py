"""Commands of this package: whether this process is one, and what others are started with."""

import sys
from pathlib import Path

#: Python's option that keeps a script's own folder from being looked through for modules: 3.11 has it.
SAFE_PATH = ["-P"] if sys.version_info >= (3, 11) else []


def is_the_command() -> bool:
    """Whether it was started as `keras-kd` or as `python -m keras_kd`."""
    name = Path(next(iter(getattr(sys, "argv", [])), "")).name
    # While Python looks for the package that `-m` names, that is all it knows.
    return name.partition(".")[0] == "keras-kd" or (name == "-m" and "keras_kd" in sys.orig_argv)
