"""`load_folder`: a folder of images, with a subfolder for each class; `load_images`: of any images."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from keras_kd._core.messages import listing
from keras_kd._core.scalars import count
from keras_kd._examples._part import Part
from keras_kd.data._dataset import Amount, Dataset, Info

ColorMode = Literal["grayscale", "rgb", "rgba"]

_MODES = ("grayscale", "rgb", "rgba")
#: Images too, of kinds that are not read.
_NOT_READ = {".webp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".ppm", ".svg"}
_VALIDATION_FOLDERS = ("validation", "val")


def load_folder(
    directory: str | os.PathLike[str],
    *,
    image_size: tuple[int, int],
    color_mode: ColorMode = "rgb",
    class_names: Sequence[str] | None = None,
    validation: Amount = None,
    test: Amount = 0.2,
) -> Dataset:
    """A classification set from a folder of images, with a subfolder for each class.

    Where the folder has the subfolders `train` and `test` (and perhaps `validation` or `val`), each
    with the classes' own, these are the parts. Else the test part is held out of the whole: which
    images follows from their names alone, so it is the same on every machine. An image's id is its
    path inside the folder.

    Images are float32 in [0, 1], `(examples, height, width, channels)`, resized bilinearly to
    `image_size` without regard to their proportions; labels are int32. The whole set is held in
    memory. PNG, JPEG, GIF and BMP are read, by tensorflow.

    Args:
        directory: The folder.
        image_size: `(height, width)` of the images, in pixels.
        color_mode: `"grayscale"`, `"rgb"` or `"rgba"`: 1, 3 or 4 channels. Defaults to `"rgb"`.
        class_names: Names of the classes in the order of the labels, such as that of a teacher's
            outputs; it may name classes of which there are no images. Defaults to the subfolders
            in alphabetical order.
        validation: A fraction of the images to hold out as the validation part, or how many of
            them. Defaults to `None`: the folder's own validation part, if there is one.
        test: The same for the test part, where the folder has none of its own. Defaults to `0.2`.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: If there is no such folder, a file cannot be read as an image (the message names
            the files), or `class_names` leaves out a class.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (folder / name).mkdir()
    ...     for i in range(5):
    ...         keras.utils.save_img(folder / name / f"{i}.png", np.ones((6, 6, 3)), scale=False)
    >>> data = keras_kd.data.load_folder(folder, image_size=(4, 4))
    >>> data.x_train.shape, data.info.class_names
    ((8, 4, 4, 3), ('cat', 'dog'))
    """
    folder, size = _checked(directory, image_size, color_mode)
    split = (folder / "train").is_dir() and (folder / "test").is_dir()
    train, names = _read(folder / "train" if split else folder, size, color_mode, None)
    parts = {"train": train}
    if split:
        parts["test"], _ = _read(folder / "test", size, color_mode, names)
        for name in _VALIDATION_FOLDERS:
            if (folder / name).is_dir():
                parts["validation"], _ = _read(folder / name, size, color_mode, names)
    counts = {name: len(part) for name, part in parts.items()}
    info = Info(folder.name, len(names), tuple(names), train.x.shape[1:], counts, str(folder), "")
    data = Dataset(info, parts)
    if class_names is not None:
        data = data.with_class_names(class_names)
    if not split and test is not None:
        data = data.holding_out("test", test)
    return data if validation is None else data.holding_out("validation", validation)


def load_images(
    directory: str | os.PathLike[str],
    *,
    image_size: tuple[int, int],
    color_mode: ColorMode = "rgb",
) -> Part:
    """All images of a folder, without labels.

    For pretraining. Images are looked for in the folder and in every folder inside it, whatever
    their names; they are read as by `keras_kd.data.load_folder`.

    Args:
        directory: The folder.
        image_size: `(height, width)` of the images, in pixels.
        color_mode: `"grayscale"`, `"rgb"` or `"rgba"`: 1, 3 or 4 channels. Defaults to `"rgb"`.

    Returns:
        A `Part` of which `y` is `None`; an image's id is its path inside the folder.

    Raises:
        ValueError: If there is no such folder, no image in it, or a file that cannot be read as an
            image (the message names the files).

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("a.png", "b.png"):
    ...     keras.utils.save_img(folder / name, np.ones((6, 6, 3)), scale=False)
    >>> part = keras_kd.data.load_images(folder, image_size=(4, 4))
    >>> part.x.shape, part.y, part.ids.tolist()
    ((2, 4, 4, 3), None, ['a.png', 'b.png'])
    """
    folder, size = _checked(directory, image_size, color_mode)
    return _read(folder, size, color_mode, None, labelled=False)[0]


def _checked(
    directory: str | os.PathLike[str], image_size: tuple[int, int], color_mode: ColorMode
) -> tuple[Path, tuple[int, int]]:
    folder = Path(directory)
    if not folder.is_dir():
        raise ValueError(f"There is no folder '{folder}'.")
    if color_mode not in _MODES:
        raise ValueError(f"`color_mode` must be one of {_MODES}. Received: {color_mode!r}.")
    if not isinstance(image_size, (tuple, list)) or len(image_size) != 2:
        raise ValueError(
            "`image_size` must be the height and the width in pixels, such as (32, 32). Received: "
            f"image_size={image_size!r}."
        )
    height, width = (count(size, "image_size") for size in image_size)
    return folder, (height, width)


def _read(
    folder: Path,
    size: tuple[int, int],
    color_mode: ColorMode,
    names: list[str] | None,
    labelled: bool = True,
) -> tuple[Part, list[str]]:
    """The images of one folder, in [0, 1]; with labels, of a subfolder for each class."""
    files = folder.glob("*/**/*" if labelled else "**/*")
    others = [path for path in files if path.suffix.lower() in _NOT_READ]
    if others:
        kinds = ", ".join(sorted({path.suffix.lower() for path in others}))
        warnings.warn(
            f"{len(others):,} of the files of '{folder}' are left out, for of images only PNG, JPEG, "
            f"GIF and BMP are read, not {kinds}. Convert them to have them read.",
            stacklevel=3,
        )

    def batches(size_of_one: int | None) -> Any:
        return keras.utils.image_dataset_from_directory(
            folder,
            labels="inferred" if labelled else None,
            class_names=names,
            color_mode=color_mode,
            image_size=size,
            batch_size=size_of_one,
            shuffle=False,
            verbose=False,
        )

    found: Any = None
    try:
        found = batches(256)
        read = [keras.tree.map_structure(lambda t: t.numpy(), batch) for batch in found]
    except Exception as error:  # of tensorflow's own kinds, when a file is no image
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        damaged = [] if found is None else _damaged(batches(None))
        if damaged:
            many = "A file" if len(damaged) == 1 else f"{len(damaged):,} files"
            raise ValueError(
                f"{many} of '{folder}' cannot be read as an image (PNG, JPEG, GIF or BMP): "
                f"{listing(damaged)}. Remove such files, or put whole ones in their place."
            ) from error
        raise ValueError(f"The images of '{folder}' could not be read: {reason}") from error
    ids = np.array([Path(path).relative_to(folder).as_posix() for path in found.file_paths])
    pixels = (batch[0] if labelled else batch for batch in read)
    x = np.concatenate([batch / np.float32(255.0) for batch in pixels])
    if not labelled:
        return Part(x, None, ids), []
    y = np.concatenate([batch[1] for batch in read]).astype("int32")
    return Part(x, y, ids), list(found.class_names)


def _damaged(images: Any) -> list[str]:
    """The files of those images that cannot be had, read one by one."""
    one, found = iter(images), []
    for path in images.file_paths:
        try:
            next(one)
        except Exception:  # which ends this image, and not those after it
            found.append(path)
    return found
