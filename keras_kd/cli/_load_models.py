"""Models from files, and never code from files."""

import json
import zipfile
from pathlib import Path

import keras

from keras_kd._training_choices import teaching as teaching


def load(path: Path) -> keras.Model:
    """The model of a `.keras` file, which may come from a stranger: no code in it is run."""
    if path.suffix != ".keras":
        raise ValueError(f"'{path}' should be a model's file that ends with .keras.")
    if not path.is_file():
        raise ValueError(f"There is no file '{path}'.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # of whatever kind Keras makes of a file that will not do
        raise ValueError(_why(path, error)) from error


def _why(path: Path, error: Exception) -> str:
    if not zipfile.is_zipfile(path):
        return f"'{path}' is no .keras file, or only a part of one."
    if "Lambda" in str(error) or "lambda" in str(error):
        return (
            f"'{path}' holds code of its own (a Lambda layer), which could do anything on this "
            "machine, so it was not loaded. Ask for a file in which a layer of Keras, such as "
            "keras.layers.Rescaling, does its work. If you know who made it and trust them, load "
            "it in Python with keras.saving.load_model(path, safe_mode=False), and give the model "
            "to keras_kd there."
        )
    if own := _own_classes(path):
        return (
            f"'{path}' has classes of its own, {', '.join(own)}, which the command line does not "
            "know. Load it in Python, where they are defined and registered with "
            "keras.saving.register_keras_serializable, and use keras_kd there."
        )
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"'{path}' could not be loaded: {lines[0]}"


def _own_classes(path: Path) -> list[str]:
    """The classes that a file names and Keras does not have."""
    found: set[str] = set()
    try:
        with zipfile.ZipFile(path) as archive:
            _walk(json.loads(archive.read("config.json")), found)
    except Exception:  # a damaged file names none
        return []
    return sorted(found)


def _walk(node: object, found: set[str]) -> None:
    if isinstance(node, dict):
        name = node.get("registered_name")
        foreign = not str(node.get("module") or "keras").startswith("keras")
        if name and (foreign or ">" in name) and keras.saving.get_registered_object(name) is None:
            found.add(str(name))
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            _walk(inner, found)
