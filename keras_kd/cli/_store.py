"""`keras-kd store`."""

import argparse

import numpy as np

from keras_kd import stores
from keras_kd._core.files import check_folder
from keras_kd.cli._console import bad_input, give
from keras_kd.cli._images import images, input_shape
from keras_kd.cli._load_models import load, teaching
from keras_kd.data import Dataset, Part


def run(options: argparse.Namespace) -> None:
    with bad_input():
        check_folder(options.out)
        teacher = load(options.teacher)
        data = images(options.data, input_shape(teacher), options.scale, options.classes)
    manifest = stores.write(
        teaching(teacher),
        _to_learn_from(data),
        options.out,
        addresses=options.address or ("output",),
        dtype=options.dtype,
        batch_size=options.batch_size,
        name=teacher.name,
    )
    assert manifest is not None, "there is one writer alone"
    result = {
        "store": str(options.out),
        "examples": manifest.examples,
        "bytes_per_example": manifest.bytes_per_example(),
        "teacher": manifest.teacher["name"],
        "values": manifest.values,
        "fingerprint": manifest.teacher["fingerprint"],
    }
    text = (
        f"{options.out}: what '{manifest.teacher['name']}' says of {manifest.examples:,} images, "
        f"{manifest.bytes_per_example():,} bytes each."
    )
    give(options, result, text)


def _to_learn_from(data: Dataset) -> Part:
    """All but the test images."""
    parts = [data[name] for name in ("train", "validation") if name in data]
    columns = zip(*((part.x, part.y, part.ids) for part in parts), strict=True)
    return parts[0] if len(parts) == 1 else Part(*map(np.concatenate, columns))
