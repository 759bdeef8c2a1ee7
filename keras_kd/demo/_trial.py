"""The trial: one teacher, and from each seed the same student twice, alone and distilled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_kd.data import Dataset
from keras_kd.distiller import Distiller
from keras_kd.recipes import hinton
from keras_kd.report import Paired, paired
from keras_kd.terms import Labels, Term

layers = keras.layers

BATCH = 64
LEARNING_RATE = 1e-2
STUDENT_UNITS = 16
UNLABELLED = -1
#: Without `--epochs`: 40 passes over the digits, 3 over a set of mnist's size.
EXAMPLES_SEEN, FEWEST_EPOCHS = 46_000, 3


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
        return paired(errors_of(self.alone), errors_of(self.distilled))


def trial_of(settings: Settings, data: Dataset, stage: Callable[[str], None]) -> Trial:
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


def _logits(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return model.predict(x, batch_size=512, verbose=0)


def _judged(model: keras.Model, data: Dataset) -> Judged:
    answers = _logits(model, data.x_test).argmax(axis=1)
    return Judged(model, answers, answers != data.y_test)


def errors_of(runs: Sequence[Judged]) -> list[int]:
    return [run.errors for run in runs]
