"""`keras-kd export`."""

import argparse
import json
from typing import Any

import numpy as np

from keras_kd.cli._class_order import images_for, kept_beside, tell_of_others
from keras_kd.cli._console import bad_input, give
from keras_kd.cli._images import input_shape
from keras_kd.cli._load_models import load
from keras_kd.exporting import export

_CALIBRATION = 1000


def run(options: argparse.Namespace) -> None:
    with bad_input():
        student = load(options.student)
        inputs: dict[str, Any] = {}
        if options.data:
            data = images_for(options, [options.student], input_shape(student))
            tell_of_others({student.name: student}, data)
            inputs = {"examples": data.x_test, "labels": data.y_test}
            if tuple(student.output_shape) == (None, data.info.classes):
                inputs["class_names"] = data.info.class_names
            if options.quantization in ("int8", "int16x8"):
                # Of all: a folder's images are in the order of their classes.
                drawn = np.random.default_rng(0).permutation(len(data.x_train))[:_CALIBRATION]
                inputs["calibration"] = data.x_train[drawn]
        elif kept := options.classes or kept_beside(options.student):
            inputs["class_names"] = kept
    proof = export(
        student,
        options.file,
        quantization=options.quantization,
        target=options.target,
        integer_io=options.integer_io,
        min_agreement=options.min_agreement,
        timeout=options.timeout,
        **inputs,
    )
    result = {**json.loads(proof.as_json()), "path": str(proof.path)}
    give(options, result, str(proof))
