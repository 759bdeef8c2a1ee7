"""What a file says of itself, read again: the names of its classes, and its card."""

import os
from collections.abc import Sequence
from typing import Any

from keras_kd._core.files import named
from keras_kd._core.messages import listing
from keras_kd.exporting._formats import format_of
from keras_kd.exporting._signature import Arrays

_BREAKS = {"\n", "\r"}


def check_class_names(names: Any, outputs: Arrays) -> tuple[str, ...]:
    """`names` when they are those of an output's classes."""
    if names is None:
        return ()
    names = tuple(names) if isinstance(names, Sequence) and not isinstance(names, str) else ()
    fit = all(isinstance(name, str) and name.strip() and not _BREAKS & {*name} for name in names)
    if not names or not fit:
        raise ValueError(
            "`class_names` must list the names of the classes, texts of one line each, in the "
            f"order of the outputs. Received: {listing(map(str, names)) or 'none'}."
        )
    sizes = {name: x.shape[-1] for name, x in outputs.items() if x.ndim > 1}
    if len(names) not in sizes.values():
        raise ValueError(
            f"`class_names` has {len(names)} names, {listing(names)}, and no output has as many "
            f"classes: {sizes}."
        )
    return names


def class_names(
    path: str | os.PathLike[str], *, format: str | None = None
) -> tuple[str, ...] | None:
    """The names of the classes in a file that `export` wrote with `class_names`.

    They are where other programs find them too: `labels.txt` in the archive at the end of a LiteRT
    file (any program that opens zip files reads it), to which TensorFlow Lite's metadata point, or in the folder `assets.extra` of a
    SavedModel, and the metadata `"class_names"`, as JSON, of an ONNX file.

    Args:
        path: The file, or the folder of a SavedModel.
        format: `"litert"`, `"onnx"` or `"tf_saved_model"`. Defaults to what the suffix says.

    Returns:
        The names, in the order of the outputs; `None` when the file has none.

    Raises:
        ValueError: If there is no such file.
        keras_kd.exporting.ExportError: If it is damaged.

    Example:

    ```python
    keras_kd.export(student, "student.tflite", class_names=["cat", "dog"])
    keras_kd.exporting.class_names("student.tflite")  # ("cat", "dog")
    ```
    """
    path = named(path)
    if not path.exists():
        raise ValueError(f"There is no file '{path}'.")
    return format_of(path, format).class_names(path)


def card(path: str | os.PathLike[str], *, format: str | None = None) -> dict[str, Any] | None:
    """What a file that `export` wrote says of itself and of its student.

    The student's name and fingerprint, what it takes and gives, the classes, and under `"card"`
    what its maker gave to `export(card=)`. It is `student.json` in the archive at the end of a
    LiteRT file or in the folder `assets.extra` of a SavedModel, and the metadata of that name of an
    ONNX file. Author, licence, description and version stand where the format itself has places for
    them, too.

    Args:
        path: The file, or the folder of a SavedModel.
        format: `"litert"`, `"onnx"` or `"tf_saved_model"`. Defaults to what the suffix says.

    Returns:
        A dict; `None` when the file has none (a file for a microcontroller has none).

    Raises:
        ValueError: If there is no such file.
        keras_kd.exporting.ExportError: If it is damaged.

    Example:

    ```python
    keras_kd.export(student, "student.tflite", card={"author": "A. Person", "data": "digits"})
    keras_kd.exporting.card("student.tflite")["card"]["data"]  # "digits"
    ```
    """
    path = named(path)
    if not path.exists():
        raise ValueError(f"There is no file '{path}'.")
    return format_of(path, format).card(path)
