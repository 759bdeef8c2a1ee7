"""The trainings: one teacher, and from each seed the same student twice, alone and distilled."""

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
UNLABELED = -1
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
class Trained:
    """A trained model, its predictions on the test set, and which of them are wrong."""

    model: keras.Model
    predictions: np.ndarray
    is_wrong: np.ndarray

    @property
    def errors(self) -> int:
        return int(self.is_wrong.sum())


@dataclass(frozen=True)
class Trial:
    """All that was trained: a teacher, and two students from each seed."""

    data: Dataset
    teacher: Trained
    alone: list[Trained]
    distilled: list[Trained]

    @property
    def change(self) -> Paired:
        """The change in errors, from alone to distilled."""
        return paired(errors_of(self.alone), errors_of(self.distilled))


def trial_of(settings: Settings, data: Dataset, stage: Callable[[str], None]) -> Trial:
    """One teacher; then from each seed the same student twice, alone and distilled."""
    epochs = settings.passes(data)
    stage("the teacher")
    teacher = _teacher(data, epochs)
    teacher_logits = _logits(teacher, data.x_train)  # once, for every seed
    trial = Trial(data, _evaluated(teacher, data), [], [])
    for seed in range(1, settings.seeds + 1):
        labeled = np.random.default_rng(seed).permutation(len(teacher_logits))[: settings.labels]
        stage(f"seed {seed}: the student alone")
        student = _student(data, seed)
        _train_alone(student, data, labeled, epochs)
        trial.alone.append(_evaluated(student, data))
        stage(f"seed {seed}: the distilled student")
        student = _student(data, seed)
        terms = hinton(temperature=settings.temperature, alpha=settings.alpha)
        _distil(student, data, labeled, teacher_logits, epochs, terms)
        trial.distilled.append(_evaluated(student, data))
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


def _train_alone(student: keras.Model, data: Dataset, labeled: np.ndarray, epochs: int) -> None:
    """The control: its labelled images again and again, for as many steps as the distilled student."""
    repeated = np.resize(labeled, len(data.y_train))
    student.compile(keras.optimizers.Adam(LEARNING_RATE), _cross_entropy())
    student.fit(
        data.x_train[repeated], data.y_train[repeated], batch_size=BATCH, epochs=epochs, verbose=0
    )


def _distil(
    student: keras.Model,
    data: Dataset,
    labeled: np.ndarray,
    teacher_logits: np.ndarray,
    epochs: int,
    terms: Sequence[Term | Labels],
) -> None:
    """The same labels, and the teacher's logits for every image."""
    y = np.full_like(data.y_train, UNLABELED)
    y[labeled] = data.y_train[labeled]
    distiller = Distiller(student=student, terms=terms)
    has_labels_term = any(isinstance(term, Labels) for term in terms)
    distiller.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        loss=_cross_entropy(ignore_class=UNLABELED) if has_labels_term else None,
    )
    x = {"inputs": data.x_train, "signals": {"teacher:output": teacher_logits}}
    distiller.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)


def _cross_entropy(**kwargs: int) -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **kwargs)


def _logits(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return model.predict(x, batch_size=512, verbose=0)


def _evaluated(model: keras.Model, data: Dataset) -> Trained:
    predictions = _logits(model, data.x_test).argmax(axis=1)
    return Trained(model, predictions, predictions != data.y_test)


def errors_of(runs: Sequence[Trained]) -> list[int]:
    return [run.errors for run in runs]
