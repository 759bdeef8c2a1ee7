"""Will training do what is planned? Stored answers, the order of the batches, running averages."""

import itertools
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd import stores
from keras_kd._core.keras_private import layers_of
from keras_kd._training_choices import momentum_for
from keras_kd.auto._doctor._facts import Facts, percent
from keras_kd.auto._doctor._findings import Finding
from keras_kd.auto._task import as_array
from keras_kd.report import bootstrap

_BATCHES = 30  # of which the labels are looked at
_LAGS = 0.05  # of where running averages began, left in them at the end of training
_TRAINED = 256  # examples that the teacher sees as in training
_CROSS_FIT = "cross_fit.json"


def store(facts: Facts) -> Finding | None:
    """Whether stored answers are of this teacher, these examples and these views."""
    if facts.store is None:
        return None
    path, part = facts.store, facts.data.train
    # Of out-of-fold answers there is no one teacher.
    teacher = None if (Path(path) / _CROSS_FIT).exists() else facts.given
    if teacher is not None and facts.teacher.is_keras:
        known = stores.Store(path).manifest.teacher["fingerprint"] if _is_store(path) else None
        if known == stores.fingerprint(facts.teacher.model):
            teacher = facts.teacher.model  # written without the softmax, as the command line does
    try:
        stores.read(path, part, teacher=teacher, augment=facts.augment)
        held = stores.Store(path)
        held.rows(part.ids)
        views = np.zeros(len(facts.sample), "int64")
        address = next(a for a in held.signature() if a.endswith(":output"))
        found = held(facts.sample.ids, views)[address]
        if facts.augment is None and held.manifest.augment is not None:
            raise stores.StoreError(
                f"The answers in '{path}' are for views, and training is planned without them: give "
                "the view that each answer is for, as `read` draws it."
            )
    except stores.StoreError as error:
        changed = "" if facts.augment is None else ", augment=augment, views=4"
        return Finding(
            "store",
            "error",
            f"The stored answers do not go with what is given: {error}",
            f'kd.stores.write(teacher, train, "answers"{changed})',
        )
    if isinstance(found, np.ndarray) and found.ndim == 2:
        facts.stored = found.astype("float32")
    return Finding(
        "store",
        "fine",
        f"The stored answers are of this teacher, and for all {len(part):,} examples.",
    )


def _is_store(path: Any) -> bool:
    return (Path(path) / "manifest.json").exists()


def data_order(facts: Facts) -> Finding | None:
    """Whether a batch holds as many classes as a batch in random order would."""
    if not facts.classes or facts.task.outputs < 2:
        return None
    size, y = facts.batch_size, facts.data.train.y
    if facts.batches is None:
        found = [y[place : place + size] for place in range(0, len(y), size)]
        rng = np.random.default_rng(facts.seed)
        rng.shuffle(found)
        found = found[:_BATCHES]
        what = "In the order in which the training examples are given"
    else:
        found = [_labels(batch) for batch in itertools.islice(_each(facts.batches), _BATCHES)]
        what = "In the batches given"
    pooled = np.concatenate(found)
    mixed = np.random.default_rng(facts.seed).permutation(
        pooled if facts.batches is not None else y
    )
    wanted, place = [], 0
    for labels in found:
        take = np.take(mixed, range(place, place + len(labels)), mode="wrap")
        wanted.append(len(np.unique(take)))
        place += len(labels)
    held, expected = float(np.mean([len(np.unique(b)) for b in found])), float(np.mean(wanted))
    told = f"a batch holds {held:.1f} classes on average, in random order {expected:.1f}"
    if held < 0.5 * expected:
        return Finding(
            "data_order",
            "warning",
            f"{what} {told}. Each step forgets what the one before learned; `fit` shuffles arrays "
            "by itself, and no other data.",
            f"batches = kd.data.feed(train, batch_size={size}, shuffle=True, seed=0)",
        )
    return Finding("data_order", "fine", f"{what} {told}.")


def _each(batches: Any) -> Any:
    if isinstance(batches, keras.utils.PyDataset):
        return (batches[place] for place in range(len(batches)))
    return iter(batches)


def _labels(batch: Any) -> np.ndarray:
    y = as_array(batch[1] if isinstance(batch, (tuple, list)) else batch["y"])
    y = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y
    return y.reshape(-1)


def teacher_averages(facts: Facts) -> Finding | None:
    """Whether the teacher is better in training mode: its running averages lag then."""
    norms = _norms(facts.teacher.model) if facts.teacher.is_keras else []
    if not norms:
        return None
    model: Any = facts.teacher.model
    part = facts.data.validation
    part = part.take(np.arange(min(len(part), _TRAINED)))
    kept = [keras.ops.convert_to_numpy(v) for v in model.variables]
    try:
        x = keras.ops.convert_to_tensor(facts.convert(part.x))
        trained = keras.ops.convert_to_numpy(model(x, training=True))
    finally:
        for variable, value in zip(model.variables, kept, strict=True):
            variable.assign(value)
    trained = trained if facts.order is None else trained[:, facts.order]
    before = facts.task.judge(facts.outputs[: len(part)], part.y)
    after = facts.task.judge(trained, part.y)
    change = bootstrap(list(before.wrong), list(after.wrong))
    of = facts.task.score_name
    told = f"{of} {after.score:.3f} by the statistics of the batch, {before.score:.3f} by its running averages"
    if after.score - before.score > 0.05 and not change.too_few and change.direction == "less":
        slowest = max(n.momentum for n in norms)
        steps = math.ceil(math.log(0.01) / math.log(slowest)) if 0 < slowest < 1 else 100
        return Finding(
            "teacher_averages",
            "error",
            f"The running averages of the teacher's BatchNormalization are not those of these "
            f"examples: {told}. They lag behind, or are of other data.",
            f"[teacher(train.x[i * 64 % len(train) :][:64], training=True) for i in range({steps})]",
            "Ioffe, Szegedy, Batch Normalization, 2015, section 3.1.",
        )
    return Finding(
        "teacher_averages", "fine", f"The teacher's running averages are up to date: {told}."
    )


def student_averages(facts: Facts) -> Finding | None:
    """Whether the student's running averages will have forgotten where they began."""
    norms = [] if facts.student is None else _norms(facts.student)
    fresh = [n for n in norms if n.trainable and _is_fresh(n)]
    if not fresh:
        return None
    each = math.ceil(len(facts.data.train) / facts.batch_size)
    steps = each * facts.epochs
    slowest = max(n.momentum for n in fresh)
    left = slowest**steps
    told = (
        f"BatchNormalization with momentum={slowest:g} keeps {percent(left)} of where its averages began "
        f"after {steps:,} steps ({facts.epochs} epochs of {each})"
    )
    if left > _LAGS:
        good = momentum_for(each)
        return Finding(
            "student_averages",
            "warning",
            f"{told}: validation will look worse than the student is, and so will the student afterwards.",
            "for layer in student.layers: isinstance(layer, keras.layers.BatchNormalization) and "
            f'setattr(layer, "momentum", {good:g})',
            "Ioffe, Szegedy, Batch Normalization, 2015, section 3.1; keras_kd.callbacks.LaggingAverages "
            "looks at it while training.",
        )
    return Finding("student_averages", "fine", f"{told}.")


def _norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    found = (n for n in layers_of(model) if isinstance(n, keras.layers.BatchNormalization))
    return [n for n in found if n.built]


def _is_fresh(norm: keras.layers.BatchNormalization) -> bool:
    mean, variance = (
        keras.ops.convert_to_numpy(v) for v in (norm.moving_mean, norm.moving_variance)
    )
    return bool((mean == 0).all() and (variance == 1).all())
