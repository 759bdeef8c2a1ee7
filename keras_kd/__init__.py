"""keras_kd: distill, quantize and prune Keras 3 models, on TensorFlow, JAX and PyTorch.

Names:
    auto
        Auto: from a teacher, examples and limits to a proven file.
    callbacks
        Callbacks: what a person wants to see, keep or change while `fit` runs.
    compat
        Compat: the names and signatures of other libraries, for Keras 3, over this one.
    compression
        Compression: students that are smaller still.
    data
        Data: sets by name with an id for every example that stays its own, and seeded views of
        them.
    Distiller
        Trains a student from a teacher with `compile`, `fit` and `evaluate`.
    Ensemble
        Several models as one teacher: the mean of their probabilities.
    export
        A student written as a file for a device, proven to answer as the student does.
    exporting
        From a student to a file for a device, and the proof that the file answers like the
        student.
    Labels
        The term for the ground truth: the loss given to `compile`, on the student's output.
    losses
        Losses: each compares a target with the learner's signal, and depends on nothing else.
    metrics
        Metrics: how like its teacher a model is, and how much its confidence can be trusted.
    Momentum
        A copy of the student whose weights follow the student's slowly.
    procedures
        Procedures: what takes several trainings, or needs whole models and not just terms.
    projectors
        Projectors: layers that own every weight which is neither student nor teacher.
    recipes
        Recipes: papers as functions that return a list of terms.
    report
        Report: models compared on one test set, as numbers, tables, pictures and one sentence.
    schedules
        Schedules: numbers that follow the training step, legal wherever a float is.
    sources
        Sources: what feeds `fit` beside data sets, such as teachers of other frameworks.
    stores
        Stores: a teacher's outputs, computed once and read by every later run.
    students
        Students: small networks for images, sound, text and tables, to be taught and to be
        exported.
    teachers
        Teachers: models that wrap other models.
    Term
        One term of a distiller's loss: two signals, a loss between them, and a weight.
    testing
        Testing: what every loss of this package keeps, for losses of one's own.
    with_logits
        A model without its last softmax or sigmoid, on the same weights.
"""

import importlib
from typing import TYPE_CHECKING, Any

from keras_kd._core.command import is_the_command as _is_the_command

# The command `keras-kd` opens the rest when there is work to do: Keras takes seconds to import, and
# `keras-kd --help` none.
if TYPE_CHECKING or not _is_the_command():
    from keras_kd._public_names import *  # noqa: F403

if TYPE_CHECKING:
    from keras_kd import auto as auto
    from keras_kd import callbacks as callbacks
    from keras_kd import compat as compat
    from keras_kd import data as data
    from keras_kd import exporting as exporting
    from keras_kd import report as report
    from keras_kd import sources as sources
    from keras_kd import stores as stores
    from keras_kd import students as students
    from keras_kd import testing as testing
    from keras_kd.exporting import export as export

__version__ = "0.1.0"

# Opened when first asked for: they hold nothing that a saved file needs to find, and importing
# everything would make a user who only trains wait for it.
_LATER = (
    "auto", "callbacks", "compat", "data", "export", "exporting", "report", "sources", "stores", "students",
    "testing",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "export":
        return importlib.import_module("keras_kd.exporting").export
    if name in _LATER:
        return importlib.import_module(f"keras_kd.{name}")
    if name[:1] != "_" and _is_the_command():
        return getattr(importlib.import_module("keras_kd._public_names"), name)
    raise AttributeError(f"module 'keras_kd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


__all__ = [
    "Distiller", "Ensemble", "Labels", "Momentum", "Term", "auto", "callbacks", "compat",
    "compression", "data", "export", "exporting", "losses", "metrics", "procedures",
    "projectors", "recipes", "report", "schedules", "sources", "stores", "students",
    "teachers", "testing", "with_logits",
]  # fmt: skip
