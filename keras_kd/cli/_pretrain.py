"""`keras-kd pretrain`: a student learns a teacher's features from images without labels."""

import argparse
import contextlib
import json
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import keras

from keras_kd import callbacks
from keras_kd._core.files import check_folder, replacing
from keras_kd.callbacks import load_best, read_best
from keras_kd.cli import _run_folder, _students, _training
from keras_kd.cli._console import bad_input, give, tell
from keras_kd.cli._images import input_shape, unlabelled
from keras_kd.cli._load_models import load
from keras_kd.cli._recipes import chosen_settings, made
from keras_kd.cli._run_folder import if_stopped as if_stopped
from keras_kd.data import Dataset, feed
from keras_kd.distiller import Distiller
from keras_kd.projectors import TokensToMap
from keras_kd.taps import layer_paths


class _Run(NamedTuple):
    """All that is known before the first step."""

    distiller: Distiller
    data: Dataset
    train: Any
    validation: Any
    done: int


def run(options: argparse.Namespace) -> None:
    with contextlib.ExitStack() as held:
        with bad_input():
            prepared = _prepare(options, held)
        _go_on(options, prepared)


def _go_on(options: argparse.Namespace, run: _Run) -> None:
    if run.done >= options.epochs:
        tell(f"{options.out}: {run.done} epochs are done already; nothing is left to train.")
    elif run.done:
        tell(f"{options.out}: going on after epoch {run.done}.")
    else:
        for pred, target in dict.fromkeys((t.pred[0], t.target) for t in run.distiller.terms):
            tell(f"{pred} learns from {target}.")
    if run.done < options.epochs:  # what it says will not be so of the student to come
        (options.out / _run_folder.SUMMARY).unlink(missing_ok=True)
    _train(options, run)
    summary = _summary(options, run)
    with replacing(options.out / _run_folder.SUMMARY) as temporary:
        temporary.write_text(json.dumps(summary, indent=2, ensure_ascii=False), encoding="utf-8")
    give(
        options,
        summary,
        f"{summary['student']}: the student of epoch {summary['best_epoch']}, "
        f"{summary['parameters']:,} weights, learnt from {summary['images']:,} images.",
        f"Its loss on {summary['validation_images']:,} others is "
        f"{summary['validation_loss']:.4g}. To go on with labels:",
        f"  keras-kd distill {options.teacher} {summary['student']} --data SET",
    )


# Before the first step.


def _prepare(options: argparse.Namespace, held: contextlib.ExitStack) -> _Run:
    """`held` then holds the folder."""
    check_folder(options.out)
    keras.utils.set_random_seed(options.seed)
    teacher = load(options.teacher)
    student = load(Path(options.student)) if options.student.endswith(".keras") else None
    data = unlabelled(options.data, input_shape(student or teacher), options.scale)
    data = data.holding_out("validation", options.validation)
    if options.augment == ["auto"]:
        raise ValueError(
            "--augment auto asks the teacher about images with labels, and these have none. Name "
            "the changes: shift, mirror, shift,mirror or none."
        )
    _training.choose(options, len(data["train"]))
    if student is None:
        steps = math.ceil(len(data["train"]) / options.batch_size)
        student = _students.backbone(options.student, data.info.shape, options.seed, steps)
    augment, _ = _training.augmentation(options, teacher, data)
    views: dict[str, Any] = {"augment": augment, "views": _training.VIEWS} if augment else {}
    size = {"batch_size": options.batch_size}
    train = feed(data["train"], **size, shuffle=True, seed=options.seed, **views)
    validation = feed(data["validation"], **size)
    distiller = Distiller(student=student, teacher=teacher, terms=_terms(options, student, teacher))
    rate = _training.rate(options, options.epochs * len(train))
    distiller.compile(keras.optimizers.Adam(rate), loss=None)
    held.enter_context(_run_folder.held(options.out))
    _run_folder.settle(options, ())
    done = callbacks.Checkpoint(options.out / _run_folder.STATE).restore(distiller)
    for _ in range(done):
        train.on_epoch_end()  # each epoch has an order of its own
    _run_folder.trim(options.out / _run_folder.LOG, done)
    return _Run(distiller, data, train, validation, done)


def _terms(options: argparse.Namespace, student: keras.Model, teacher: keras.Model) -> list:
    """The recipe's terms, between the last feature maps if nobody says which."""
    settings = dict(options.set)
    chosen = chosen_settings(options.recipe, settings)
    if "pred" not in chosen:
        chosen["pred"] = f"student:{_students.last_map(student)}"
    if "target" not in chosen:
        path = _students.last_map(teacher)
        chosen["target"] = f"teacher:{path}"
        if len(layer_paths(teacher)[path].output.shape) == 3:
            chosen["target_projector"] = TokensToMap()
    return made(options.recipe, chosen, settings)


# Training, and after it.


def _train(options: argparse.Namespace, run: _Run) -> None:
    out = options.out
    run.distiller.fit(
        run.train,
        validation_data=run.validation,
        epochs=options.epochs,
        initial_epoch=run.done,
        shuffle=False,  # done by the data already, in an order that a later run can have again
        verbose=0,
        callbacks=[
            callbacks.Progress(monitor="val_loss", file=sys.stderr),
            keras.callbacks.CSVLogger(str(out / _run_folder.LOG), append=True),
            callbacks.BestStudent(out / _run_folder.STUDENT, monitor="val_loss"),
            callbacks.Checkpoint(out / _run_folder.STATE),
        ],
    )


def _summary(options: argparse.Namespace, run: _Run) -> dict[str, Any]:
    path = options.out / _run_folder.STUDENT
    best = read_best(path)
    if best is None:
        raise RuntimeError(
            f"No student was good enough to keep in '{options.out}'. Try a smaller --learning-rate."
        )
    student = run.distiller.student
    load_best(path, student)
    return {
        "student": str(path),
        "parameters": student.count_params(),
        "epochs": max(run.done, options.epochs),
        "best_epoch": best.epoch,
        "validation_loss": best.value,
        "images": len(run.data["train"]),
        "validation_images": len(run.data["validation"]),
        "terms": {t.name: {"pred": t.pred[0], "target": t.target} for t in run.distiller.terms},
        "recipe": options.recipe,
        "settings": dict(options.set),
        "data": options.data,
        "seed": options.seed,
    }
