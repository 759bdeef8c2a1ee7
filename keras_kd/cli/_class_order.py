"""The order of the classes: checked before anything is learnt from it, and kept with the student."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd import report, stores
from keras_kd._core.messages import listing
from keras_kd._core.texts import predict
from keras_kd.cli._console import tell
from keras_kd.cli._images import images, numbered
from keras_kd.cli._run_folder import STUDENT, read_settings
from keras_kd.data import Dataset, Part
from keras_kd.report import examples_to_check


def check_count(model: keras.Model, data: Dataset) -> None:
    """An error when a model has not one output for each class."""
    classes = data.info.classes
    if tuple(model.output_shape) == (None, classes):
        return
    raise ValueError(
        f"'{model.name}' should answer with one number for each of the {classes} classes of "
        f"'{data.info.name}', {listing(data.info.class_names, 20)}. It answers with shape "
        f"{model.output_shape}. If it knows more classes than there are images of, name them all, "
        "in the order of its outputs: --classes a,b,c."
    )


def check_order(options: argparse.Namespace, model: keras.Model | None, data: Dataset) -> None:
    """An error when the teacher's outputs stand in another order than the labels.

    Some hundred training images tell, before the first epoch.
    """
    part = data["train"].take(examples_to_check(data.y_train, options.seed))
    answers = _stored(options.teacher, part) if model is None else predict(model, part.x, verbose=0)
    name, names = "teacher" if model is None else model.name, data.info.class_names
    found = report.class_order(answers, part.y)
    if found.verdict == "permuted":
        raise ValueError(
            f"{found.problem(name, names)} Give the classes in the order in which the teacher was "
            f"trained. As its answers have it: --classes {','.join(found.by_output(names))}"
        )
    if found.verdict == "chance":
        raise ValueError(
            f"{found.problem(name, names)} A student has nothing to learn from it. Was it trained "
            "on images of another scale (--scale 255), or on other classes? To train all the "
            "same: --no-check."
        )


def _stored(folder: Path, part: Part) -> np.ndarray:
    batches = stores.read(folder, part, batch_size=256)
    answers = (batches[i][0]["signals"]["teacher:output"] for i in range(len(batches)))
    return np.concatenate([keras.ops.convert_to_numpy(a) for a in answers])


def images_for(options: argparse.Namespace, students: Iterable[Path], shape: Any) -> Dataset:
    """The images, with labels that number the classes as the students of runs do."""
    data = images(options.data, shape, options.scale, options.classes)
    kept = () if options.classes else (kept_beside(path) for path in students)
    for classes in filter(None, kept):
        if set(data.info.class_names) <= set(classes):
            return numbered(data, classes)
    return data


def kept_beside(student: Path) -> list[str] | None:
    """The order in which a run kept the classes of its student."""
    kept = read_settings(student.parent) if student.name == STUDENT else None
    classes = None if kept is None else kept.get("classes")
    return [str(name) for name in classes] if isinstance(classes, list) else None


def tell_of_others(models: Mapping[str, keras.Model], data: Dataset) -> None:
    """Says which models answer in another order than the labels: their figures are not theirs."""
    part = data["test"].take(examples_to_check(data.y_test))
    for name, model in models.items():
        if tuple(model.output_shape) == (None, data.info.classes):
            found = report.class_order(predict(model, part.x, verbose=0), part.y)
            if found.verdict == "permuted":
                tell(f"keras-kd: {found.problem(name, data.info.class_names)} See --classes.")
