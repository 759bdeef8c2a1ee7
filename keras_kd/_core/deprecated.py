"""Old names, which work for one more version and warn with what to write instead."""

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from keras_kd._core.messages import did_you_mean


def warn(old: str, new: str, stacklevel: int = 3) -> None:
    """Warns that `old` goes, and that `new` is what to write."""
    warnings.warn(
        f"{old} is deprecated and goes with the next version. Write {new}.",
        FutureWarning,
        stacklevel=stacklevel + 1,
    )


def moved(module: str, new: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for `module`, by which its old names, the keys of `new`, lead to the public
    dotted names that replace them."""

    def find(name: str) -> Any:
        if name not in new:
            known = getattr(sys.modules[module], "__all__", ())
            nearest = did_you_mean(name, known) or did_you_mean(name.lower(), known)
            raise AttributeError(f"module {module!r} has no attribute {name!r}.{nearest}")
        warn(f"{module}.{name}", new[name], stacklevel=2)
        home, _, attribute = new[name].rpartition(".")
        return getattr(importlib.import_module(home), attribute)

    return find
