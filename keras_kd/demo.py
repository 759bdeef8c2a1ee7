"""The demo: what distillation is worth to a small network that has few labels.

`keras-kd demo` runs it. Read it from `run` on.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from keras_kd._core.files import replacing
from keras_kd.data import Dataset, load
from keras_kd.distiller import Distiller
from keras_kd.exporting import export
from keras_kd.recipes import hinton
from keras_kd.report import Example, Paired, Row, draw_pairs, paired, table
from keras_kd.terms import Labels, Term

layers = keras.layers

BATCH = 64
LEARNING_RATE = 1e-2
STUDENT_UNITS = 16
UNLABELLED = -1
#: Without `--epochs`: 40 passes over the digits, 3 over a set of mnist's size.
EXAMPLES_SEEN, FEWEST_EPOCHS = 46_000, 3
#: The pair whose student is written and whose images are shown: chosen before anything is known.
KEPT = 0
_LEGEND = (
    "errors: mean ± standard deviation over the seeds. as teacher: test images answered as the "
    "teacher does. kB: the weights in float32. ms: one image, median of compiled calls from Python."
)


@dataclass(frozen=True)
class Settings:
    """What the command line may choose; see `keras-kd demo --help`."""

    data: str
    labels: int
    epochs: int | None
    seeds: int
    temperature: float
    alpha: float
    out: Path

    def passes(self, data: Dataset) -> int:
        """Passes over the training images."""
        return self.epochs or max(FEWEST_EPOCHS, round(EXAMPLES_SEEN / len(data.y_train)))


@dataclass(frozen=True)
class Judged:
    """A trained model, and where it answers as it should."""

    model: keras.Model
    answers: np.ndarray
    wrong: np.ndarray

    @property
    def errors(self) -> int:
        return int(self.wrong.sum())


@dataclass(frozen=True)
class Trial:
    """All that was trained: a teacher, and two students from each seed."""

    data: Dataset
    teacher: Judged
    alone: list[Judged]
    distilled: list[Judged]

    @property
    def change(self) -> Paired:
        """In errors, from alone to distilled."""
        return paired(_errors(self.alone), _errors(self.distilled))


def prepare(settings: Settings) -> Dataset:
    """The data set, and the folder to write to; or an error that says what is wrong."""
    data = load(settings.data)
    if settings.labels > len(data.y_train):
        raise ValueError(
            f"--labels must be at most {len(data.y_train)}, the number of training images of "
            f"'{settings.data}'. Received: {settings.labels}."
        )
    settings.out.mkdir(parents=True, exist_ok=True)
    return data


def run(settings: Settings, data: Dataset) -> None:
    """Trains, compares, writes the files, prints the table."""
    show = Console(highlight=False, markup=False).print
    show(task(settings, data))
    with _progress(stages=2 * settings.seeds + 2) as stage:
        trial = _trial(settings, data, stage)
        stage("the files")
        written = _write(settings, trial)
        rows = _rows(trial)
    show(table(rows, len(data.y_test)))
    show(_LEGEND)
    show(f"\n{verdict(trial.change, len(data.y_test))}\n")
    for line in written:
        show(line, soft_wrap=True)


def _trial(settings: Settings, data: Dataset, stage: Callable[[str], None]) -> Trial:
    """One teacher; then from each seed the same student twice, alone and distilled."""
    epochs = settings.passes(data)
    stage("the teacher")
    teacher = _teacher(data, epochs)
    answers = _logits(teacher, data.x_train)  # once: they serve every seed
    trial = Trial(data, _judged(teacher, data), [], [])
    for seed in range(1, settings.seeds + 1):
        labelled = np.random.default_rng(seed).permutation(len(answers))[: settings.labels]
        stage(f"seed {seed}: the student alone")
        student = _student(data, seed)
        _train_alone(student, data, labelled, epochs)
        trial.alone.append(_judged(student, data))
        stage(f"seed {seed}: the distilled student")
        student = _student(data, seed)
        terms = hinton(temperature=settings.temperature, alpha=settings.alpha)
        _distil(student, data, labelled, answers, epochs, terms)
        trial.distilled.append(_judged(student, data))
    return trial


# What is said.


def task(settings: Settings, data: Dataset) -> str:
    """What the demo is about to do."""
    images, labels = len(data.y_train), settings.labels
    steps = settings.passes(data) * -(-images // BATCH)
    return (
        f"The task: '{settings.data}' with {labels:,} labels. The teacher has learnt from all "
        f"{images:,}. The student alone has {labels:,} labelled images. The distilled student has "
        f"the same labels, and the teacher's answers to all {images:,} images. Both start from "
        f"the same weights and train for {steps:,} steps."
    )


def verdict(change: Paired, images: int) -> str:
    """Whether distillation helped, in one sentence. `change` is in errors, after less before."""
    many = f"{abs(change.mean):.1f} {'fewer' if change.mean <= 0 else 'more'} errors"
    of = f"on the {images:,} test images"
    if change.pairs == 1:
        return f"One seed cannot tell whether distillation helps: {many} {of}. Try --seeds 5."
    over = f"{of}, the mean of {change.pairs} seeds"
    if change.direction == "unclear":
        if change.too_few:
            reach = "and so few, or such as are all alike, have no interval. Try --seeds 5 or more"
        else:
            reach = f"and the 95 % interval reaches from {abs(change.low):.1f} fewer to {abs(change.high):.1f} more"
        return f"This run cannot tell whether distillation helps: {many} {over}, {reach}."
    low, high = (
        f"{end:.1f}" if end >= 0.05 else f"{end:.1g}"
        for end in sorted((abs(change.low), abs(change.high)))
    )
    helped = "helped" if change.direction == "less" else "did not help"
    return f"Distillation {helped}: {many} {over} (95 % interval {low} to {high})."


# The three ways to train.


def _teacher(data: Dataset, epochs: int) -> keras.Model:
    """A convolutional network, trained on every label."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input(data.info.shape)
    width = 32
    while min(x.shape[1:3]) > 4:  # 8x8 digits: once; 28x28: three times
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
        width *= 2
    x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    teacher = keras.Model(inputs, layers.Dense(data.info.classes)(x), name="teacher")
    teacher.compile(keras.optimizers.Adam(LEARNING_RATE / 4), _cross_entropy())
    teacher.fit(*data.train, batch_size=BATCH, epochs=epochs, verbose=0)
    return teacher


def _student(data: Dataset, seed: int) -> keras.Model:
    """One hidden layer. A seed gives the same weights each time."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input(data.info.shape),
            layers.Flatten(),
            layers.Dense(STUDENT_UNITS, activation="relu"),
            layers.Dense(data.info.classes),
        ],
        name="student",
    )


def _train_alone(student: keras.Model, data: Dataset, labelled: np.ndarray, epochs: int) -> None:
    """The control: its few images over and over, for as many steps as the distilled one."""
    over = np.resize(labelled, len(data.y_train))
    student.compile(keras.optimizers.Adam(LEARNING_RATE), _cross_entropy())
    student.fit(data.x_train[over], data.y_train[over], batch_size=BATCH, epochs=epochs, verbose=0)


def _distil(
    student: keras.Model,
    data: Dataset,
    labelled: np.ndarray,
    answers: np.ndarray,
    epochs: int,
    terms: Sequence[Term | Labels],
) -> None:
    """The same few labels, and the teacher's answers to every image."""
    y = np.full_like(data.y_train, UNLABELLED)
    y[labelled] = data.y_train[labelled]
    distiller = Distiller(student=student, terms=terms)
    asks_for_labels = any(isinstance(term, Labels) for term in terms)
    distiller.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        loss=_cross_entropy(ignore_class=UNLABELLED) if asks_for_labels else None,
    )
    x = {"inputs": data.x_train, "signals": {"teacher:output": answers}}
    distiller.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)


def _cross_entropy(**kwargs: int) -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **kwargs)


# The judgement.


def _logits(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return model.predict(x, batch_size=512, verbose=0)


def _judged(model: keras.Model, data: Dataset) -> Judged:
    answers = _logits(model, data.x_test).argmax(axis=1)
    return Judged(model, answers, answers != data.y_test)


def _errors(runs: Sequence[Judged]) -> list[int]:
    return [run.errors for run in runs]


def _rows(trial: Trial) -> list[Row]:
    def row(name: str, runs: Sequence[Judged]) -> Row:
        return Row(
            name=name,
            errors=_errors(runs),
            agreement=float(np.mean([run.answers == trial.teacher.answers for run in runs])),
            parameters=runs[KEPT].model.count_params(),
            milliseconds=_milliseconds(runs[KEPT].model, trial.data.x_test[:1]),
        )

    return [
        row("teacher", [trial.teacher]),
        row("student alone", trial.alone),
        row("student distilled", trial.distilled),
    ]


def _milliseconds(model: keras.Model, image: np.ndarray, calls: int = 200) -> float:
    """Median time of a compiled call with one image, from Python."""
    took = []
    for _ in range(calls + 5):  # the first are slower
        began = time.perf_counter()
        model.predict_on_batch(image)
        took.append(time.perf_counter() - began)
    return 1e3 * float(np.median(took[5:]))


# The files.


def _write(settings: Settings, trial: Trial) -> list[str]:
    """Writes the files; returns a line about each, or about what it would have needed."""
    lines = []
    for write in (_write_student, _write_for_devices, _write_picture):
        try:
            lines.append(write(settings, trial))
        except ModuleNotFoundError as error:
            lines.append(f"Left out: {error}")
    return lines


def _write_student(settings: Settings, trial: Trial) -> str:
    path = settings.out / "student.keras"
    with replacing(path) as unfinished:
        trial.distilled[KEPT].model.save(unfinished)
    return f"{path}: the distilled student of seed {KEPT + 1}."


def _write_for_devices(settings: Settings, trial: Trial) -> str:
    file = export(
        trial.distilled[KEPT].model,
        settings.out / "student.tflite",
        examples=trial.data.x_test[:1000],
        labels=trial.data.y_test[:1000],
    )
    return (
        f"{file.path}: the same for a device, {file.bytes / 1000:.1f} kB. It decides as the student "
        f"on {file.agreement:.1%} of {file.examples:,} test images and takes "
        f"{file.milliseconds:.4f} ms for one, on one thread."
    )


def _write_picture(settings: Settings, trial: Trial) -> str:
    path = settings.out / "demo.png"
    before, after, names = trial.alone[KEPT], trial.distilled[KEPT], trial.data.info.class_names
    percent = 100 / len(after.wrong)
    with replacing(path) as unfinished:
        draw_pairs(
            unfinished,
            title=f"{settings.data}, {settings.labels:,} labels: one student, alone and distilled",
            names=("alone", "distilled"),
            before=[percent * errors for errors in _errors(trial.alone)],
            after=[percent * errors for errors in _errors(trial.distilled)],
            reference=("teacher", percent * trial.teacher.errors),
            examples=[
                Example(trial.data.x_test[i], names[before.answers[i]], names[after.answers[i]])
                for i in np.flatnonzero(before.wrong & ~after.wrong)
            ],
        )
    return (
        f"{path}: the errors of every seed, and images that only the distilled student gets right."
    )


# The progress, on the standard error.


@contextlib.contextmanager
def _progress(stages: int) -> Iterator[Callable[[str], None]]:
    """A function to call as each stage begins: a bar on a terminal, else one plain line each."""
    done = iter(range(stages))
    if not sys.stderr.isatty():
        yield lambda text: print(f"[{next(done) + 1}/{stages}] {text}", file=sys.stderr, flush=True)
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        work = bar.add_task("", total=stages)
        yield lambda text: bar.update(work, description=text, completed=next(done))
