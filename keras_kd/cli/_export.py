"""`keras-kd export`."""

import argparse
import json
from pathlib import Path
from typing import Any

from keras_kd.cli._images import images, input_shape
from keras_kd.cli._models import load
from keras_kd.cli._options import command, share, takes_data, takes_json
from keras_kd.cli._talk import bad_input, give
from keras_kd.exporting import export

_ABOUT = """\
Writes a student as a file for a device, and proves that the file answers as the student does.

FILE ends with .tflite (LiteRT) or .onnx, or is the name of a folder (SavedModel). The proof is
written beside it, as FILE.json. With --data the file is compared on the set's test images, and its
integers are chosen by training images; int8 and int16x8 need that.
"""
_EXAMPLES = """\
  keras-kd export student.keras student.tflite
  keras-kd export student.keras student.tflite --quantization int8 --data digits
  keras-kd export student.keras student.onnx --data photos/ --json

"""
_CALIBRATION = 1000


def add(commands: Any) -> None:
    made = command(
        commands, "export", run, description=_ABOUT, examples=_EXAMPLES,
        help="write a student as a file for a device",
    )  # fmt: skip
    add = made.add_argument
    add("student", type=Path, metavar="STUDENT", help="a .keras file")
    add("file", type=Path, metavar="FILE", help="where to write")
    add("--quantization", default="float32", metavar="KIND",
        help="float32, float16, dynamic, int8, int16x8 or int4 (default: float32)")  # fmt: skip
    add("--target", choices=("micro",), help="micro: for a microcontroller")
    add("--integer-io", action="store_true", help="integers in and out as well, with int8, int16x8")
    add("--min-agreement", type=share, metavar="A",
        help="share of the decisions that must agree (default: 0.99; with integers 0.97)")  # fmt: skip
    takes_data(made)
    takes_json(made)


def run(options: argparse.Namespace) -> None:
    with bad_input():
        student = load(options.student)
        inputs: dict[str, Any] = {}
        if options.data:
            data = images(options.data, input_shape(student), options.scale)
            inputs = {"examples": data.x_test, "labels": data.y_test}
            if options.quantization in ("int8", "int16x8"):
                inputs["calibration"] = data.x_train[:_CALIBRATION]
    proof = export(
        student,
        options.file,
        quantization=options.quantization,
        target=options.target,
        integer_io=options.integer_io,
        min_agreement=options.min_agreement,
        **inputs,
    )
    result = {**json.loads(proof.as_json()), "path": str(proof.path)}
    text = (
        f"{proof.path}: {proof.bytes / 1000:.1f} kB. It decides as the student on "
        f"{proof.agreement:.1%} of {proof.examples:,} images and takes {proof.milliseconds:.3f} ms "
        "for one."
    )
    give(options, result, text, *proof.notes)
