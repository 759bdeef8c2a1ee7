"""`keras-kd store`."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd import stores
from keras_kd.cli._images import images, input_shape
from keras_kd.cli._models import load
from keras_kd.cli._options import command, takes_data, takes_json, whole
from keras_kd.cli._talk import bad_input, give
from keras_kd.data import Dataset, Part

_ABOUT = """\
Asks a teacher once for its answers to all training (and validation) images of a set, and writes
them to a folder. `keras-kd distill` takes the folder in place of the teacher, as often as you like.

Run the same command again and it goes on where it was stopped.
"""
_EXAMPLES = """\
  keras-kd store teacher.keras --data mnist --out answers
  keras-kd store teacher.keras --data photos/ --dtype float32 --out answers
  keras-kd store teacher.keras --data digits --address output --address block3 --out answers

"""


def add(commands: Any) -> None:
    made = command(
        commands, "store", run, description=_ABOUT, examples=_EXAMPLES,
        help="write down a teacher's answers",
    )  # fmt: skip
    add = made.add_argument
    add("teacher", type=Path, metavar="TEACHER", help="a .keras file")
    takes_data(made, default="digits")
    add("--address", action="append", metavar="PATH",
        help="output, or the path of a layer; may be given several times (default: output)")  # fmt: skip
    add("--dtype", default="float16", choices=("float16", "float32", "int8"),
        help="of the stored numbers (default: float16)")  # fmt: skip
    add("--batch-size", type=whole, default=128, metavar="N",
        help="images asked about at once (default: 128)")  # fmt: skip
    add("--out", type=Path, required=True, metavar="DIR", help="where to write")
    takes_json(made)


def run(options: argparse.Namespace) -> None:
    with bad_input():
        teacher = load(options.teacher)
        data = images(options.data, input_shape(teacher), options.scale)
    manifest = stores.write(
        teacher,
        _to_learn_from(data),
        options.out,
        addresses=options.address or ("output",),
        dtype=options.dtype,
        batch_size=options.batch_size,
    )
    assert manifest is not None, "there is one writer alone"
    result = {
        "store": str(options.out),
        "examples": manifest.examples,
        "bytes_per_example": manifest.bytes_per_example(),
        "teacher": manifest.teacher["name"],
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
