"""Images: sets by name, and folders of them, both as a `keras_kd.data.Dataset`."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import did_you_mean, listing
from keras_kd.cli._console import tell
from keras_kd.data import Dataset, Info, NotAvailable, Part, load

_COLOURS = {1: "grayscale", 3: "rgb", 4: "rgba"}
_TEST = 0.2
#: Images too, of kinds that are not read.
_NOT_READ = {".webp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".ppm", ".svg"}
_VALIDATION_FOLDERS = ("validation", "val")


def images(
    name: str,
    shape: tuple[int | None, ...],
    scale: float = 1.0,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """The set of this name, or the images of this folder in the `shape` that the models take.

    `classes` are the names of the models' outputs, in their order: labels are numbered so.
    """
    is_folder = os.sep in name or "/" in name or (name != "digits" and Path(name).is_dir())
    data = _folder(Path(name), shape) if is_folder else _set(name)
    if classes:
        data = numbered(data, list(classes))
    if scale == 1.0:
        return data
    parts = {n: Part(p.x * np.float32(scale), p.y, p.ids) for n, p in data.parts.items()}
    return replace(data, parts=parts)


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
    number = np.array([classes.index(name) for name in names], "int32")
    parts = {n: Part(p.x, number[p.y], p.ids) for n, p in data.parts.items()}
    info = replace(data.info, classes=len(classes), class_names=tuple(classes))
    return replace(data, info=info, parts=parts)


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
    if not folder.is_dir():
        raise ValueError(f"There is no folder '{folder}'.")
    *size, channels = shape
    if None in size or channels not in _COLOURS:
        raise ValueError(
            f"The model takes images of shape {shape}, so the size to which those of '{folder}' "
            "should be brought is not known. Build it for images of one size, with 1, 3 or 4 "
            "channels."
        )
    split = (folder / "train").is_dir() and (folder / "test").is_dir()
    train, names = _read(folder / "train" if split else folder, shape, None)
    parts = {"train": train}
    if split:
        parts["test"], _ = _read(folder / "test", shape, names)
        for name in _VALIDATION_FOLDERS:
            if (folder / name).is_dir():
                parts["validation"], _ = _read(folder / name, shape, names)
    counts = {name: len(part) for name, part in parts.items()}
    info = Info(folder.name, len(names), tuple(names), train.x.shape[1:], counts, str(folder), "")
    data = Dataset(info, parts)
    return data if split else data.holding_out("test", _TEST)


def _read(
    folder: Path, shape: tuple[int | None, ...], names: list[str] | None
) -> tuple[Part, list[str]]:
    """The images of one folder with a subfolder for each class, in [0, 1]."""
    *size, channels = shape
    others = [p for p in folder.glob("*/**/*") if p.suffix.lower() in _NOT_READ]
    if others:
        kinds = ", ".join(sorted({path.suffix.lower() for path in others}))
        tell(
            f"keras-kd: {len(others):,} of the files of '{folder}' are left out, for of images only "
            f"PNG, JPEG, GIF and BMP are read, not {kinds}. Convert them to have them read."
        )

    def batches(size_of_one: int | None) -> Any:
        return keras.utils.image_dataset_from_directory(
            folder,
            class_names=names,
            color_mode=_COLOURS[channels or 0],
            image_size=tuple(size),
            batch_size=size_of_one,
            shuffle=False,
            verbose=False,
        )

    found: Any = None
    try:
        found = batches(256)
        read = [(x.numpy() / np.float32(255.0), y.numpy()) for x, y in found]
    except Exception as error:  # of tensorflow's own kinds, when a file is no image
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        damaged = [] if found is None else _damaged(batches(None))
        if damaged:
            many = "A file" if len(damaged) == 1 else f"{len(damaged):,} files"
            raise ValueError(
                f"{many} of '{folder}' cannot be read as an image (PNG, JPEG, GIF or BMP): "
                f"{listing(damaged)}. Remove such files, or put whole ones in their place."
            ) from error
        raise ValueError(f"The images of '{folder}' could not be read: {said}") from error
    x, y = (np.concatenate(column) for column in zip(*read, strict=True))
    ids = np.array([Path(path).relative_to(folder).as_posix() for path in found.file_paths])
    return Part(x, y.astype("int32"), ids), list(found.class_names)


def _damaged(images: Any) -> list[str]:
    """The files of those images that cannot be had, read one by one."""
    one, found = iter(images), []
    for path in images.file_paths:
        try:
            next(one)
        except Exception:  # which ends this image, and not those after it
            found.append(path)
    return found
