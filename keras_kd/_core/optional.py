"""Optional packages, and what newer Keras alone has, imported where they are used."""

import importlib
from types import ModuleType
from typing import Any

import keras


def require(module: str, *, extra: str | None = None, purpose: str) -> ModuleType:
    """`module`, imported; or an error with what to install.

    Args:
        module: Name to import, such as `"matplotlib"`.
        extra: The extra of this package that brings it, such as `"report"`. Defaults to `None`:
            it is a package of its own.
        purpose: What needs it and for what, as the start of a sentence: `"keras_kd.report draws"`.
    """
    package = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package:
            raise
        install = f'"keras-kd[{extra}]"' if extra else package
        raise ModuleNotFoundError(
            f"{purpose} with {package}, which is not installed. Run: pip install {install}.",
            name=error.name,
        ) from None


def require_keras(version: str, *, purpose: str) -> None:
    """Raises on a Keras older than `version`, which is written as in `"3.9"`."""
    have, need = (tuple(map(int, v.split(".")[:2])) for v in (keras.__version__, version))
    if have < need:
        raise ImportError(
            f"{purpose}, for which Keras {version} or newer is needed. Installed is Keras "
            f'{keras.__version__}. Run: pip install "keras>={version}".'
        )


def require_tensorflow(purpose: str) -> Any:
    """The package, or an error that names what needs it."""
    return require("tensorflow", purpose=purpose)
