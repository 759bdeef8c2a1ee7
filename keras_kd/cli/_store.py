"""`keras-kd store`."""

import argparse
from pathlib import Path

import numpy as np

from keras_kd import stores
from keras_kd._core.files import check_folder
from keras_kd.cli._console import bad_input, give
from keras_kd.cli._external_teachers import ANSWERS, image_shape, is_external, open_teacher
from keras_kd.cli._images import images, input_shape
from keras_kd.cli._load_models import load, teaching
from keras_kd.data import Dataset, Part
from keras_kd.stores import Manifest


def run(options: argparse.Namespace) -> None:
    with bad_input():
        check_folder(options.out)
    manifest = _of_answers(options) if _are_answers(options.teacher) else _of_teacher(options)
    assert manifest is not None, "there is one writer alone"
    result = {
        "store": str(options.out),
        "examples": manifest.examples,
        "bytes_per_example": manifest.bytes_per_example(),
        "teacher": manifest.teacher["name"],
        "values": manifest.values,
        "fingerprint": manifest.teacher["fingerprint"],
    }
    if (each := manifest.bytes_per_token()) is not None:
        result["bytes_per_token"] = each
    text = (
        f"{options.out}: what '{manifest.teacher['name']}' says of {manifest.examples:,} images, "
        f"{manifest.bytes_per_example():,} bytes each."
        + (f" A position takes {each:.3g} bytes." if each is not None else "")
    )
    give(options, result, text)


def _of_teacher(options: argparse.Namespace) -> Manifest | None:
    with bad_input():
        if is_external(options.teacher):
            teacher = open_teacher(options)
            shape = image_shape(teacher, options)
        else:
            teacher = load(options.teacher)
            shape = input_shape(teacher)
        data = images(options.data, shape, options.scale, options.classes)
    return stores.write(
        teacher if is_external(options.teacher) else teaching(teacher),
        _to_learn_from(data),
        options.out,
        addresses=options.address or ("output",),
        dtype=options.dtype,
        batch_size=options.batch_size,
        name=teacher.name,
    )


def _of_answers(options: argparse.Namespace) -> Manifest | None:
    with bad_input():
        shape = options.image_shape or (None, None, None)
        data = images(options.data, shape, options.scale, options.classes)
    return stores.from_answers(
        options.teacher,
        options.ids,
        options.out,
        kind=options.kind,
        data=_to_learn_from(data),
        classes=options.classes or data.info.class_names or None,
        dtype=options.dtype,
    )


def _are_answers(teacher: Path | str) -> bool:
    return isinstance(teacher, Path) and teacher.suffix in ANSWERS


def _to_learn_from(data: Dataset) -> Part:
    """All but the test images."""
    parts = [data[name] for name in ("train", "validation") if name in data]
    columns = zip(*((part.x, part.y, part.ids) for part in parts), strict=True)
    return parts[0] if len(parts) == 1 else Part(*map(np.concatenate, columns))
