"""`keras-kd doctor`: why distilling will not help, before anything is trained."""

import argparse
import json
from pathlib import Path

from keras_kd import auto
from keras_kd._core.files import check_page
from keras_kd.cli import _class_order, _students, _training
from keras_kd.cli._console import bad_input, give
from keras_kd.cli._images import images, input_shape
from keras_kd.cli._load_models import load, teaching
from keras_kd.data import feed


def run(options: argparse.Namespace) -> None:
    with bad_input():
        if options.out is not None:
            check_page(options.out)
        teacher = teaching(load(options.teacher))
        data = images(options.data, input_shape(teacher), options.scale, options.classes)
        if "validation" not in data:
            data = data.holding_out("validation", options.validation)
        _class_order.check_count(teacher, data)
        train = data["train"]
        options.student = options.student or ""
        _training.choose(options, len(train))
        student = None
        if options.student:
            student = _student(options, data.info.shape, data.info.classes, len(train))
        batches = feed(train, batch_size=options.batch_size, shuffle=True, seed=options.seed)
        found = auto.examine(
            teacher,
            student,
            train,
            validation=data["validation"],
            store=options.store,
            batches=batches,
            batch_size=options.batch_size,
            epochs=options.epochs,
            learning_rate=options.learning_rate,
            seed=options.seed,
        )
    if options.out is not None:
        found.save(options.out)
    give(options, json.loads(json.dumps(found.as_dict(), default=float)), str(found))
    if any(one.severity == "error" for one in found.findings):
        raise RuntimeError(found.verdict)


def _student(options: argparse.Namespace, shape: tuple, classes: int, examples: int):
    """The student of a file, or the one of this name."""
    if options.student.endswith(".keras"):
        return _students.with_head(load(Path(options.student)), classes)
    steps = -(-examples // options.batch_size)
    return _students.build(options.student, shape, classes, options.seed, steps)
