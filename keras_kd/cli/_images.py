"""Images: sets by name, and folders of them, both as a `keras_kd.data.Dataset`."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import did_you_mean, listing
from keras_kd.cli._console import tell
from keras_kd.data import Dataset, Info, NotAvailable, Part, load, load_folder, load_images

_MODES: dict[int | None, Any] = {1: "grayscale", 3: "rgb", 4: "rgba"}


def images(
    name: str,
    shape: tuple[int | None, ...],
    scale: float = 1.0,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """The set of this name, or the images of this folder in the `shape` that the models take.

    `classes` are the names of the models' outputs, in their order: labels are numbered so.
    """
    data = _folder(Path(name), shape) if _is_folder(name) else _set(name)
    if classes:
        data = numbered(data, list(classes))
    if scale == 1.0:
        return data
    parts = {n: Part(p.x * np.float32(scale), p.y, p.ids) for n, p in data.parts.items()}
    return replace(data, parts=parts)


def unlabelled(name: str, shape: tuple[int | None, ...], scale: float = 1.0) -> Dataset:
    """The training images of this set, or all images of this folder, without labels.

    Of a folder with `train` and `test`, those of `train`.
    """
    if _is_folder(name):
        folder = Path(name)
        split = (folder / "train").is_dir() and (folder / "test").is_dir()
        part = _read(load_images, folder / "train" if split else folder, shape)
    else:
        part = _set(name)["train"]
    part = Part(part.x if scale == 1.0 else part.x * np.float32(scale), None, part.ids)
    info = Info(Path(name).name, 0, (), part.x.shape[1:], {"train": len(part)}, name, "")
    return Dataset(info, {"train": part})


def _is_folder(name: str) -> bool:
    return os.sep in name or "/" in name or (name != "digits" and Path(name).is_dir())


def _set(name: str) -> Dataset:
    try:
        return load(name)
    except (ValueError, NotAvailable) as error:
        folders = [path.name for path in Path().iterdir() if path.is_dir()]
        raise type(error)(
            f"{error} If a folder is meant: there is none of the name '{name}' in '{Path.cwd()}'."
            + did_you_mean(name, folders)
        ) from error


def numbered(data: Dataset, classes: list[str]) -> Dataset:
    """The same images, with labels that number `classes`."""
    names = data.info.class_names
    for name in names:
        if name not in classes:
            raise ValueError(
                f"--classes must name every class of '{data.info.name}', and leaves out '{name}'. "
                f"It names {listing(classes, 20)}; the images are of {listing(names, 20)}."
                + did_you_mean(name, classes)
            )
    return data.with_class_names(classes)


def input_shape(model: keras.Model) -> tuple[int | None, ...]:
    """The shape of one image, as the model takes it."""
    shapes = [tuple(x.shape[1:]) for x in model.inputs or ()]
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise ValueError(
            f"The command line has models of one image (height, width, channels). '{model.name}' "
            f"takes {shapes or 'inputs that it does not tell'}."
        )
    return shapes[0]


def _folder(folder: Path, shape: tuple[int | None, ...]) -> Dataset:
    return _read(load_folder, folder, shape)


def _read(read: Callable[..., Any], folder: Path, shape: tuple[int | None, ...]) -> Any:
    """What `read` makes of a folder, its images in the shape that the model takes."""
    height, width, channels = shape
    if folder.is_dir() and (height is None or width is None or channels not in _MODES):
        raise ValueError(
            f"The model takes images of shape {shape}, so the size to which those of '{folder}' "
            "should be brought is not known. Build it for images of one size, with 1, 3 or 4 "
            "channels."
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = read(
            folder, image_size=(height or 1, width or 1), color_mode=_MODES.get(channels, "rgb")
        )
    for one in caught:
        if issubclass(one.category, UserWarning):
            tell(f"keras-kd: {one.message}")
    return found
