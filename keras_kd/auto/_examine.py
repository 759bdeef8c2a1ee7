"""Why distilling will not help, and what to do, before anything is trained."""

import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.probabilities import looks, read
from keras_kd._core.scalars import count, positive
from keras_kd._training_choices import batch_size as usual_batch
from keras_kd.auto._data import data_of
from keras_kd.auto._doctor import CHECKS
from keras_kd.auto._doctor._facts import Facts, as_logits
from keras_kd.auto._doctor._findings import Examination, Finding
from keras_kd.auto._task import task_of
from keras_kd.auto._teacher import check_outputs, teacher_of
from keras_kd.data import Augment

_MOST = 2000  # examples of a kind that are looked at
_LOOKED_AT = 64


def examine(
    teacher: Any,
    student: keras.Model | None = None,
    train: Any = None,
    *,
    validation: Any = None,
    store: Any = None,
    augment: Augment | None = None,
    batches: Any = None,
    batch_size: int | None = None,
    epochs: int = 10,
    learning_rate: float | None = None,
    seed: int = 0,
) -> Examination:
    """Finds in seconds why distilling will not help, and what to do about it.

    Ask it before a long training. It looks at teacher, student and examples and tells what it
    measured, how bad that is, and a line of Python that mends it:

    | name | what is wrong when it is not fine |
    |---|---|
    | `outputs` | the teacher gives NaN or infinity |
    | `logits` | it gives probabilities, seen or in disguise, where losses read logits |
    | `input_scale` | it is better under another preprocessing: 0 to 255, -1 to 1, ImageNet's mean and deviation, blue-green-red; columns standardized |
    | `class_order` | its classes are in another order, or it guesses |
    | `teacher_averages` | it is better by the statistics of a batch than by its running averages |
    | `worth_it` | it is below a linear model |
    | `store` | stored answers are of another teacher, of other examples, of other views |
    | `memorised` | its answers for training examples are the labels again |
    | `calibration` | it is surer than it is right, or less sure; which temperature helps |
    | `noisy_labels` | labels are contradicted where it is sure, and by a linear model too |
    | `enough_examples` | there are few to learn from, or to see a difference by |
    | `leak` | validation examples are among the training examples |
    | `data_order` | a batch holds one class, or few |
    | `gap` | it has more than 100 times the student's weights |
    | `student_averages` | the student's running averages will not have forgotten where they began |
    | `student_logits`, `student_learns` | the student ends in probabilities; it cannot learn 100 examples by heart |
    | `learning_rate` | at the one given it does not, at another it does |

    Neither teacher nor student is changed: a copy of the student is trained, and what the teacher
    updates in training mode is put back. Each kind of examples is looked at up to 2,000.

    Args:
        teacher: A `keras.Model`, a teacher of `keras_kd.sources`, or a function of a batch.
        student: The student; its own checks are left out without one. Defaults to `None`.
        train: The training examples: a pair `(x, y)`, a `keras_kd.data.Part`, or a
            `keras_kd.data.Dataset` with further parts.
        validation: Examples that the teacher was not trained on. Defaults to `None`: those of the
            `Dataset`, else 15 % of the training examples are held out. Of examples that the teacher
            was trained on, `memorised` and `calibration` say nothing.
        store: The folder of stored answers that training will read. Defaults to `None`.
        augment: The views that training will draw. Defaults to `None`: none.
        batches: What `fit` will get; the labels of the first 30 batches are looked at. Defaults to
            `None`: the examples in the order in which they are given.
        batch_size: Examples in a step. Defaults to `None`: 32 of fewer than 4,000, otherwise 64.
        epochs: How long training is planned. Defaults to `10`.
        learning_rate: The highest of Adam. Defaults to `None`: one that works is looked for.
        seed: Of draws and short trainings. Defaults to `0`.

    Returns:
        An `Examination`.

    Raises:
        TypeError: If `teacher`, `student` or the examples are of another kind.
        ValueError: If labels and outputs go with no task (classification, multi-label, regression),
            the student is not built, or a number is out of its range.

    Example:

    >>> data = keras_kd.data.load("digits")
    >>> x = data.x_train.reshape(-1, 64)
    >>> means = np.stack([x[data.y_train == c].mean(axis=0) for c in range(10)])
    >>> teacher = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255),
    ...                             keras.layers.Flatten(), keras.layers.Dense(10)])
    >>> teacher.layers[-1].set_weights([means.T, -0.5 * (means**2).sum(axis=1)])  # the nearest mean
    >>> found = keras_kd.auto.examine(teacher, train=data)
    >>> found["input_scale"].severity, found["input_scale"].remedy
    ('error', 'teacher = kd.teachers.ConvertInput(teacher, given=(0, 1), wanted=(0, 255))')
    """
    return made(
        CHECKS, teacher, student, train, validation=validation, store=store, augment=augment,
        batches=batches, batch_size=batch_size, epochs=epochs, learning_rate=learning_rate, seed=seed,
    )  # fmt: skip


def made(
    checks: Sequence[Any],
    teacher: Any,
    student: keras.Model | None = None,
    train: Any = None,
    *,
    validation: Any = None,
    store: Any = None,
    augment: Augment | None = None,
    batches: Any = None,
    batch_size: int | None = None,
    epochs: int = 10,
    learning_rate: float | None = None,
    seed: int = 0,
) -> Examination:
    """An examination of some checks; the other arguments are those of `examine`."""
    began = time.perf_counter()
    if train is None:
        raise ValueError(
            "`train` is missing: give the training examples, examine(teacher, student, (x, y)) or "
            "examine(teacher, train=(x, y))."
        )
    if student is not None and not isinstance(student, keras.Model):
        raise TypeError(
            f"`student` must be a keras.Model or None. Received: {type(student).__name__}."
        )
    if student is not None and not student.built:
        raise ValueError(
            f"The student '{student.name}' has no weights yet: begin it with keras.Input(...), or call "
            "student.build((None, ...)), so that it can be looked at."
        )
    epochs, seed = count(epochs, "epochs"), count(seed, "seed", least=0)
    if batch_size is not None:
        count(batch_size, "batch_size")
    if learning_rate is not None:
        positive(learning_rate, "learning_rate")
    model = teacher_of(teacher)
    data = data_of(train, validation, None)
    notes = tuple(note for note in data.notes if not note.startswith("No test data"))
    held = data.validation
    data = type(data)(data.train, held.take(_some(len(held), seed)), None, notes)
    raw = model.predict(data.validation.x)
    try:
        check_outputs(raw, model.name)
    except ValueError as error:
        found = Finding(
            "outputs", "error", str(error), "np.isfinite(teacher.predict(train.x)).all()"
        )
        return Examination((found,), None, notes, time.perf_counter() - began)
    task, _ = task_of(data.validation.y, raw)
    data = data.relabelled(lambda y: task_of(y, np.zeros((len(y), task.outputs)))[1])
    tensor = keras.ops.convert_to_tensor(raw[:_LOOKED_AT].astype("float32"))
    disguised = task.name == "classification" and read(
        keras.ops.convert_to_numpy(looks(tensor))
    ).softmax  # fmt: skip
    facts = Facts(
        given=teacher, teacher=model, student=student, data=data, task=task,
        outputs=as_logits(raw, disguised), sample=data.train.take(_some(len(data.train), seed)),
        disguised=disguised, store=store, augment=augment, batches=batches,
        batch_size=batch_size or usual_batch(len(data.train)), epochs=epochs,
        learning_rate=learning_rate, seed=seed,
    )  # fmt: skip
    findings: list[Finding] = []
    for check in checks:
        found = check(facts)
        if found is not None:
            findings += found if isinstance(found, list) else [found]
    notes += tuple(facts.notes)
    return Examination(tuple(findings), facts, notes, time.perf_counter() - began)


def _some(size: int, seed: int) -> np.ndarray:
    """Places of some examples, in their order."""
    return np.sort(np.random.default_rng(seed).permutation(size)[:_MOST])
