"""`keras-kd distill`: a teacher, a student, a set and a recipe; a folder with all that came of it."""

import argparse
import contextlib
import json
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_kd import auto, callbacks, metrics, stores
from keras_kd._core.files import check_folder, replacing
from keras_kd._core.last_activation import last_activation
from keras_kd._core.messages import listing
from keras_kd._core.texts import predict
from keras_kd.callbacks import load_best, read_best
from keras_kd.cli import _class_order, _run_folder, _students, _training
from keras_kd.cli._console import bad_input, give, tell
from keras_kd.cli._images import images, input_shape
from keras_kd.cli._load_models import load, teaching
from keras_kd.cli._recipes import terms_of
from keras_kd.cli._run_folder import if_stopped as if_stopped
from keras_kd.data import Augment, Dataset, feed
from keras_kd.distiller import Distiller
from keras_kd.report import proportion
from keras_kd.terms import Labels

#: The recipe when nobody says, and how many images of a kind its settings follow from.
_DEFAULT, _ASKED = "hinton", 500


class _Run(NamedTuple):
    """All that is known before the first step."""

    data: Dataset
    teacher: keras.Model | None
    distiller: Distiller
    train: Any
    validation: Any
    done: int
    why: str


def run(options: argparse.Namespace) -> None:
    with contextlib.ExitStack() as held:
        with bad_input():
            prepared = _prepare(options, held)
        _go_on(options, prepared)


def _go_on(options: argparse.Namespace, prepared: _Run) -> None:
    if prepared.done >= options.epochs:
        tell(f"{options.out}: {prepared.done} epochs are done already; nothing is left to train.")
    elif prepared.done:
        tell(f"{options.out}: going on after epoch {prepared.done}.")
    else:
        names = listing(prepared.data.info.class_names, 20)
        tell(f"The classes, in the order of the outputs: {names}")
        if prepared.why:
            tell(prepared.why)
    if prepared.done < options.epochs:  # what it says will not be so of the student to come
        (options.out / _run_folder.SUMMARY).unlink(missing_ok=True)
    _train(options, prepared)
    summary = _summary(options, prepared)
    with replacing(options.out / _run_folder.SUMMARY) as temporary:
        temporary.write_text(json.dumps(summary, indent=2, ensure_ascii=False), encoding="utf-8")
    give(options, summary, *_told(options, prepared, summary))


# Before the first step.


def _prepare(options: argparse.Namespace, held: contextlib.ExitStack) -> _Run:
    """`held` then holds the folder."""
    check_folder(options.out)
    keras.utils.set_random_seed(options.seed)
    teacher = None if options.teacher.is_dir() else load(options.teacher)
    student = load(Path(options.student)) if options.student.endswith(".keras") else None
    shape = _shape(options.teacher, teacher, student)
    data = images(options.data, shape, options.scale, options.classes)
    if "validation" not in data:
        data = data.holding_out("validation", options.validation)
    classes = data.info.classes
    _training.choose(options, len(data["train"]))
    if student is None:
        steps = math.ceil(len(data["train"]) / options.batch_size)
        student = _students.build(options.student, data.info.shape, classes, options.seed, steps)
    student = _students.with_head(student, classes)
    for model in (m for m in (student, teacher) if m is not None):
        _class_order.check_count(model, data)
    if not options.no_check:
        _class_order.check_order(options, teacher, data)
    augment, why = _training.augmentation(options, teacher, data)
    train, validation = _batches(options, data, augment)
    suggested = _suggest(options, teacher, data)
    terms = terms_of(
        options.recipe, dict(options.set), student=student, teacher=teacher, classes=classes,
        steps=len(train),
    )  # fmt: skip
    rate = _training.rate(options, options.epochs * len(train))
    distiller = _compiled(student, teacher, terms, rate)
    held.enter_context(_run_folder.held(options.out))
    _run_folder.settle(options, data.info.class_names)
    done = callbacks.Checkpoint(options.out / _run_folder.STATE).restore(distiller)
    for _ in range(done):
        train.on_epoch_end()  # each epoch has an order of its own
    _run_folder.trim(options.out / _run_folder.LOG, done)
    return _Run(
        data, teacher, distiller, train, validation, done, "\n".join(filter(None, (why, suggested)))
    )


def _suggest(options: argparse.Namespace, teacher: keras.Model | None, data: Dataset) -> str:
    """Puts a recipe into options that name none; returns why it is this one."""
    if options.recipe is not None:
        return ""
    options.recipe = _DEFAULT
    if teacher is None:  # of stored answers alone less is known
        return ""
    some = (
        part.take(np.sort(np.random.default_rng(0).permutation(len(part))[:_ASKED]))
        for part in (data["train"], data["validation"])
    )
    train, validation = some
    try:
        found = auto.suggest(teaching(teacher), train=train, validation=validation)
    except ValueError:  # said in its own words when it trains
        return ""
    options.recipe, asked = found.recipe, dict(options.set)
    settings = {name: f"{value:g}" for name, value in found.settings.items()} | asked
    options.set = list(settings.items())
    return f"No --recipe was given: {found}"


def _shape(path: Path, teacher: keras.Model | None, student: keras.Model | None) -> Any:
    """The shape of one image."""
    model = teacher or student
    if model is not None:
        return input_shape(model)
    settings = stores.Store(path).manifest.settings
    if any(signal["codec"] in ("top_k", "sampled") for signal in settings["signals"]):
        raise ValueError(
            f"'{path}' holds some of the classes alone, which the recipes of the command line do not "
            "read. Use keras_kd.losses.SparseSoftTarget or SampledSoftTarget in Python, or store all "
            "logits."
        )
    return tuple(settings["data"]["inputs"][0]["shape"])


def _batches(
    options: argparse.Namespace, data: Dataset, augment: Augment | None
) -> tuple[Any, Any]:
    """Training and validation, with the teacher's answers where these were stored."""
    size = {"batch_size": options.batch_size}
    order: dict[str, Any] = {"shuffle": True, "seed": options.seed}
    if not options.teacher.is_dir():
        views: dict[str, Any] = {"augment": augment, "views": _training.VIEWS} if augment else {}
        return feed(data["train"], **size, **order, **views), feed(data["validation"], **size)
    stored = options.teacher
    train = stores.read(stored, data["train"], **size, **order)
    validation = stores.read(stored, data["validation"], **size)
    for index in range(len(validation)):
        validation[index]  # an image without an answer is found now, not after an epoch
    return train, validation


def _compiled(
    student: keras.Model, teacher: keras.Model | None, terms: Any, rate: Any
) -> Distiller:
    teacher = None if teacher is None else teaching(teacher)
    distiller = Distiller(student=student, teacher=teacher, terms=terms)
    logits = last_activation(student) is None
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    asks = any(isinstance(term, Labels) for term in distiller.terms)
    judged: list[Any] = [keras.metrics.SparseCategoricalAccuracy("accuracy")]
    if logits:
        judged.append(metrics.Agreement(name="agreement"))
    distiller.compile(keras.optimizers.Adam(rate), loss=loss if asks else None, metrics=judged)
    return distiller


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
            callbacks.Schedules(),
            callbacks.Progress(options.baseline, file=sys.stderr),
            keras.callbacks.CSVLogger(str(out / _run_folder.LOG), append=True),
            callbacks.BestStudent(out / _run_folder.STUDENT),
            callbacks.Checkpoint(out / _run_folder.STATE),
        ],
    )


def _summary(options: argparse.Namespace, run: _Run) -> dict[str, Any]:
    """How good the best student is on the test images."""
    path = options.out / _run_folder.STUDENT
    best = read_best(path)
    if best is None:
        raise RuntimeError(
            f"No student was good enough to keep in '{options.out}'. Try a smaller --learning-rate."
        )
    student = run.distiller.student
    load_best(path, student)
    x, y = run.data.test
    ours = _decisions(student, x)
    theirs = None if run.teacher is None else _decisions(run.teacher, x)
    return {
        "student": str(path),
        "parameters": student.count_params(),
        "epochs": max(run.done, options.epochs),
        "best_epoch": best.epoch,
        "validation_accuracy": best.value,
        "test_examples": len(y),
        "test_accuracy": float((ours == y).mean()),
        "test_accuracy_interval": list(proportion(int((ours == y).sum()), len(y))),
        "teacher_test_accuracy": None if theirs is None else float((theirs == y).mean()),
        "test_agreement": None if theirs is None else float((ours == theirs).mean()),
        "teacher": str(options.teacher),
        "teacher_fingerprint": None if run.teacher is None else stores.fingerprint(run.teacher),
        "recipe": options.recipe,
        "settings": dict(options.set),
        "data": options.data,
        "classes": list(run.data.info.class_names),
        "seed": options.seed,
    }


def _decisions(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return predict(model, x, batch_size=512, verbose=0).argmax(axis=-1)


def _told(options: argparse.Namespace, run: _Run, summary: dict[str, Any]) -> list[str]:
    lines = [
        f"{summary['student']}: the student of epoch {summary['best_epoch']}, "
        f"{summary['parameters']:,} weights.",
        f"It is right about {summary['test_accuracy']:.1%} of {summary['test_examples']:,} test "
        f"images ({summary['validation_accuracy']:.1%} in the validation that chose it).",
    ]
    if run.teacher is not None:
        lines.append(
            f"Its teacher is right about {summary['teacher_test_accuracy']:.1%}; the student "
            f"answers as the teacher does on {summary['test_agreement']:.1%}."
        )
    return [*lines, f"{options.out / 'log.csv'}, {options.out / _run_folder.SUMMARY}: the figures."]
