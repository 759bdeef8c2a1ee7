"""`keras-kd export`."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd.cli._class_order import images_for, kept_beside, tell_of_others
from keras_kd.cli._console import BadInput, bad_input, give
from keras_kd.cli._images import input_shape
from keras_kd.cli._load_models import load
from keras_kd.cli._run_folder import SUMMARY
from keras_kd.exporting import export, page

_CALIBRATION = 1000
#: What of a run's summary belongs on its student's card.
_FROM_RUN = (
    "data", "teacher", "teacher_fingerprint", "teacher_test_accuracy", "recipe", "settings",
    "epochs", "best_epoch", "seed", "test_accuracy", "test_accuracy_interval", "test_examples",
)  # fmt: skip


def run(options: argparse.Namespace) -> None:
    with bad_input():
        card = {**_of_run(options.student), **(_card(options.card) if options.card else {})} or None
        if options.page and options.file.suffix != ".tflite":
            raise BadInput(f"--page runs a .tflite file, not '{options.file}'")
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
        softmax=options.softmax,
        preprocessing=options.preprocessing,
        card=card,
        readme=options.readme,
        timeout=options.timeout,
        **inputs,
    )
    made = page(proof.path) if options.page else None
    result = {**json.loads(proof.as_json()), "path": str(proof.path)}
    if made:
        result["page"] = str(made)
    give(options, result, str(proof), *([f"{made}: the student in a browser."] if made else []))


def _of_run(student: Path) -> dict[str, Any]:
    """The card of a student that `keras-kd distill` made: what the summary beside it holds."""
    path = student.with_name(SUMMARY)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict) or Path(str(found.get("student", ""))).name != student.name:
        return {}
    card = {name: found[name] for name in _FROM_RUN if found.get(name) is not None}
    if "teacher" in card:
        card["teacher"] = Path(card["teacher"]).name
    return card


def _card(path: Path) -> dict[str, Any]:
    """What the file of a card says."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"the card '{path}' cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadInput(f"the card '{path}' must be a JSON object: {{\"author\": ...}}")
    return found
