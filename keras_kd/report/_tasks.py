"""What the answers mean: one class of several, several yes-no questions, or numbers.

Each kind of task turns raw outputs into answers, says where an answer errs, and scores it.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from keras_kd.report import _scores

Scores = dict[str, float | None]


class Task:
    """The labels of a test set, and what they are labels of."""

    name: ClassVar[str]
    #: Whether answers are right or wrong; else they are near or far.
    counts_errors: ClassVar[bool] = True

    def __init__(self, y: np.ndarray, names: Sequence[str] = ()):
        self.y, self.names = y, names

    def __len__(self) -> int:
        return len(self.y)

    def answers(self, outputs: np.ndarray, logits: bool) -> np.ndarray:
        """The outputs in the form that the other methods take."""
        raise NotImplementedError

    def decisions(self, answers: np.ndarray) -> np.ndarray:
        """What was decided."""
        return answers.argmax(axis=-1)

    def wrong(self, answers: np.ndarray) -> np.ndarray:
        """Per example, 1 for an error and 0 for none; for numbers, the distance."""
        raise NotImplementedError

    def scores(self, answers: np.ndarray) -> Scores:
        raise NotImplementedError

    def likeness(self, answers: np.ndarray, teacher: np.ndarray, temperature: float) -> Scores:
        """How like the teacher's."""
        raise NotImplementedError

    def confidence(self, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """How sure each decision was, and whether it was right."""
        return None


class Classes(Task):
    """One class of several; a single logit is one of two."""

    name = "classification"

    def __init__(self, y: np.ndarray, classes: int, names: Sequence[str] | None = None):
        if names is not None and len(names) != classes:
            raise ValueError(
                f"`class_names` must name {classes} classes. Received: {len(names)} names."
            )
        if y.min() < 0 or y.max() >= classes:
            raise ValueError(
                f"The models answer for {classes} classes, so labels must be from 0 to "
                f"{classes - 1}. Received labels from {y.min()} to {y.max()}."
            )
        super().__init__(y, names or [str(c) for c in range(classes)])
        self.classes = classes

    def answers(self, outputs: np.ndarray, logits: bool) -> np.ndarray:
        if outputs.shape[1] == 1:
            yes = outputs[:, 0]
            return (
                _scores.two_classes(yes)
                if logits
                else _scores.log_of(np.stack([1 - yes, yes], axis=-1))
            )
        return _scores.log_softmax(outputs) if logits else _scores.log_of(outputs)

    def wrong(self, answers: np.ndarray) -> np.ndarray:
        return (self.decisions(answers) != self.y).astype("float64")

    def confusion(self, answers: np.ndarray) -> np.ndarray:
        """How many of class `i` were answered `j`."""
        places = self.y * self.classes + self.decisions(answers)
        counted = np.bincount(places, minlength=self.classes**2)
        return counted.reshape(self.classes, self.classes)

    def scores(self, answers: np.ndarray) -> Scores:
        p = np.exp(answers)
        true = self.y[:, None] == np.arange(self.classes)
        precision, recall, f1 = _scores.macro(self.confusion(answers))
        confidence, right = self.confidence(answers)
        odds = _scores.log_odds(answers)
        auc = (
            _scores.roc_auc(odds[:, 1], self.y == 1)
            if self.classes == 2
            else _scores.mean_auc(odds, true)
        )
        return {
            "accuracy": float(1 - self.wrong(answers).mean()),
            "top_5": float(_scores.in_top(answers, self.y, 5).mean()) if self.classes > 5 else None,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "roc_auc": auc,
            "log_loss": float(-answers[np.arange(len(self)), self.y].mean()),
            "brier": float(((p - true) ** 2).sum(axis=1).mean()) / (2 if self.classes == 2 else 1),
            "ece": _scores.calibration_error(confidence, right),
            "ece_equal_mass": _scores.equal_mass_error(confidence, right),
        }

    def likeness(self, answers: np.ndarray, teacher: np.ndarray, temperature: float) -> Scores:
        same = self.decisions(answers) == self.decisions(teacher)
        return {
            "agreement": float(same.mean()),
            "kl": _scores.divergence(teacher, answers, temperature),
        }

    def confidence(self, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.exp(answers.max(axis=1)), 1 - self.wrong(answers)


class ManyLabels(Task):
    """Several yes-no questions about each example; right when all of them are."""

    name = "multi_label"

    def answers(self, outputs: np.ndarray, logits: bool) -> np.ndarray:
        if logits:
            return _scores.two_classes(outputs)
        return _scores.log_of(np.stack([1 - outputs, outputs], axis=-1))

    def wrong(self, answers: np.ndarray) -> np.ndarray:
        return (self.decisions(answers) != self.y).any(axis=1).astype("float64")

    def scores(self, answers: np.ndarray) -> Scores:
        predicted, p = self.decisions(answers), np.exp(answers[..., 1])
        both = ((predicted == 1) & (self.y == 1)).sum(axis=0)
        f1, precision, recall = (
            np.divide(times * both, of, out=np.zeros(len(both)), where=of > 0).mean()
            for times, of in (
                (2, predicted.sum(axis=0) + self.y.sum(axis=0)),
                (1, predicted.sum(axis=0)),
                (1, self.y.sum(axis=0)),
            )
        )
        given = np.take_along_axis(answers, self.y[..., None], axis=-1)
        confidence, right = self.confidence(answers)
        return {
            "accuracy": float(1 - self.wrong(answers).mean()),
            "label_accuracy": float((predicted == self.y).mean()),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "roc_auc": _scores.mean_auc(answers[..., 1] - answers[..., 0], self.y == 1),
            "log_loss": float(-given.mean()),
            "brier": float(((p - self.y) ** 2).mean()),
            "ece": _scores.calibration_error(confidence, right),
            "ece_equal_mass": _scores.equal_mass_error(confidence, right),
        }

    def likeness(self, answers: np.ndarray, teacher: np.ndarray, temperature: float) -> Scores:
        return {
            "agreement": float((self.decisions(answers) == self.decisions(teacher)).mean()),
            "kl": _scores.divergence(teacher, answers, temperature),
        }

    def confidence(self, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        right = self.decisions(answers) == self.y
        return np.exp(answers.max(axis=-1)).ravel(), right.astype("float64").ravel()


class Regression(Task):
    """Numbers; an answer is judged by its mean absolute distance from the truth."""

    name = "regression"
    counts_errors = False

    def answers(self, outputs: np.ndarray, logits: bool) -> np.ndarray:
        return outputs

    def wrong(self, answers: np.ndarray) -> np.ndarray:
        return np.abs(answers - self.y).mean(axis=1)

    def scores(self, answers: np.ndarray) -> Scores:
        squares = ((answers - self.y) ** 2).sum(axis=0)
        spread = ((self.y - self.y.mean(axis=0)) ** 2).sum(axis=0)
        return {
            "mae": float(np.abs(answers - self.y).mean()),
            "rmse": float(np.sqrt(((answers - self.y) ** 2).mean(axis=0)).mean()),
            "r2": float(np.mean(1 - squares / spread)) if (spread > 0).all() else None,
        }

    def likeness(self, answers: np.ndarray, teacher: np.ndarray, temperature: float) -> Scores:
        return {"distance": float(np.abs(answers - teacher).mean())}


KINDS = ("classification", "multi_label", "regression")


def task_of(
    y: np.ndarray, width: int, kind: str | None, names: Sequence[str] | None, sigmoid: bool
) -> Task:
    """The task that labels of this form and answers of this width belong to."""
    if kind not in (None, *KINDS):
        raise ValueError(f"`task` must be one of {', '.join(KINDS)}. Received: task={kind!r}.")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    whole = bool(np.isfinite(y).all() and (y == np.round(y)).all())
    if kind is None:
        kind = _kind_of(y, width, whole, sigmoid)
    if kind == "regression":
        return Regression(_as_rows(y, width, "numbers").astype("float64"))
    if not whole:
        raise ValueError(
            f"task={kind!r} needs labels that are whole numbers; mixed or smoothed labels are not "
            "judged. Give the hard labels, or task='regression'."
        )
    if kind == "multi_label":
        rows = _as_rows(y, width, "labels").astype(int)
        if not np.isin(rows, (0, 1)).all():
            raise ValueError("task='multi_label' needs labels that are 0 or 1.")
        return ManyLabels(rows, names or ())
    if y.ndim == 2:
        y = _as_rows(y, width, "labels").argmax(axis=1)
    return Classes(y.astype(int), max(width, 2), names)


def _kind_of(y: np.ndarray, width: int, whole: bool, sigmoid: bool) -> str:
    if not whole:
        return "regression"
    if y.ndim == 1:
        if width > 1 or np.isin(y, (0, 1)).all():
            return "classification"
        raise ValueError(
            f"The models give one number, and the labels are whole numbers from {y.min()} to "
            f"{y.max()}. Say what they are: task='regression', or give models with one output for "
            "each class."
        )
    one_of_each = np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()
    if one_of_each and not sigmoid:
        return "classification"
    return "multi_label" if np.isin(y, (0, 1)).all() else "regression"


def _as_rows(y: np.ndarray, width: int, what: str) -> np.ndarray:
    rows = y[:, None] if y.ndim == 1 else y
    if rows.shape[1:] != (width,):
        raise ValueError(
            f"The models answer with {width} numbers for each example, so {what} have the shape "
            f"({len(y)}, {width}). Received: {y.shape}."
        )
    return rows
