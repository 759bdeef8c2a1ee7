"""The tasks of a report: classification, multi-label classification, regression.

A task holds the labels of a test set. It turns raw outputs into predictions, finds their errors, and
scores them.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from keras_kd.report import _scores

Scores = dict[str, float | None]


class Task:
    """The labels of a test set, and how predictions of them are scored."""

    name: ClassVar[str]
    #: Whether predictions are right or wrong; otherwise they have a distance from the labels.
    counts_errors: ClassVar[bool] = True

    def __init__(self, y: np.ndarray, class_names: Sequence[str] = ()):
        self.y, self.class_names = y, class_names

    def __len__(self) -> int:
        return len(self.y)

    def predictions(self, outputs: np.ndarray, from_logits: bool) -> np.ndarray:
        """From raw outputs: log-probabilities, or numbers; what the other methods take."""
        raise NotImplementedError

    def decisions(self, predictions: np.ndarray) -> np.ndarray:
        """The predicted classes."""
        return predictions.argmax(axis=-1)

    def errors(self, predictions: np.ndarray) -> np.ndarray:
        """Per example, 1 for an error and 0 for none; in a regression, the distance."""
        raise NotImplementedError

    def scores(self, predictions: np.ndarray) -> Scores:
        raise NotImplementedError

    def teacher_scores(
        self, predictions: np.ndarray, teacher: np.ndarray, temperature: float
    ) -> Scores:
        """How close the predictions are to the teacher's."""
        raise NotImplementedError

    def confidence(self, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The probability of each predicted class, and whether it was right."""
        return None


class Classification(Task):
    """One class of several; a single output is that of two classes."""

    name = "classification"

    def __init__(self, y: np.ndarray, classes: int, class_names: Sequence[str] | None = None):
        if class_names is not None and len(class_names) != classes:
            raise ValueError(
                f"`class_names` must name {classes} classes. Received: {len(class_names)} names."
            )
        if y.min() < 0 or y.max() >= classes:
            raise ValueError(
                f"The models predict {classes} classes, so labels must be from 0 to "
                f"{classes - 1}. Received labels from {y.min()} to {y.max()}."
            )
        super().__init__(y, class_names or [str(c) for c in range(classes)])
        self.classes = classes

    def predictions(self, outputs: np.ndarray, from_logits: bool) -> np.ndarray:
        if outputs.shape[1] == 1:
            positive = outputs[:, 0]
            return (
                _scores.binary_log_probabilities(positive)
                if from_logits
                else _scores.log_probabilities(np.stack([1 - positive, positive], axis=-1))
            )
        return _scores.log_softmax(outputs) if from_logits else _scores.log_probabilities(outputs)

    def errors(self, predictions: np.ndarray) -> np.ndarray:
        return (self.decisions(predictions) != self.y).astype("float64")

    def confusion(self, predictions: np.ndarray) -> np.ndarray:
        """`[i, j]`: how many examples of class `i` are predicted as `j`."""
        cells = self.y * self.classes + self.decisions(predictions)
        counted = np.bincount(cells, minlength=self.classes**2)
        return counted.reshape(self.classes, self.classes)

    def scores(self, predictions: np.ndarray) -> Scores:
        p = np.exp(predictions)
        true = self.y[:, None] == np.arange(self.classes)
        precision, recall, f1 = _scores.macro_precision_recall_f1(self.confusion(predictions))
        confidence, right = self.confidence(predictions)
        odds = _scores.log_odds(predictions)
        auc = (
            _scores.roc_auc(odds[:, 1], self.y == 1)
            if self.classes == 2
            else _scores.mean_auc(odds, true)
        )
        return {
            "accuracy": float(1 - self.errors(predictions).mean()),
            "top_5": float(_scores.in_top_k(predictions, self.y, 5).mean())
            if self.classes > 5
            else None,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "roc_auc": auc,
            "log_loss": float(-predictions[np.arange(len(self)), self.y].mean()),
            "brier": float(((p - true) ** 2).sum(axis=1).mean()) / (2 if self.classes == 2 else 1),
            "ece": _scores.calibration_error(confidence, right),
            "ece_equal_mass": _scores.equal_mass_error(confidence, right),
        }

    def teacher_scores(
        self, predictions: np.ndarray, teacher: np.ndarray, temperature: float
    ) -> Scores:
        agrees = self.decisions(predictions) == self.decisions(teacher)
        return {
            "agreement": float(agrees.mean()),
            "kl": _scores.kl_divergence(teacher, predictions, temperature),
        }

    def confidence(self, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.exp(predictions.max(axis=1)), 1 - self.errors(predictions)


class MultiLabel(Task):
    """Several labels of 0 or 1 for each example, which is right when all of them are."""

    name = "multi_label"

    def predictions(self, outputs: np.ndarray, from_logits: bool) -> np.ndarray:
        if from_logits:
            return _scores.binary_log_probabilities(outputs)
        return _scores.log_probabilities(np.stack([1 - outputs, outputs], axis=-1))

    def errors(self, predictions: np.ndarray) -> np.ndarray:
        return (self.decisions(predictions) != self.y).any(axis=1).astype("float64")

    def scores(self, predictions: np.ndarray) -> Scores:
        predicted, p = self.decisions(predictions), np.exp(predictions[..., 1])
        true_positives = ((predicted == 1) & (self.y == 1)).sum(axis=0)
        f1, precision, recall = (
            np.divide(
                times * true_positives, of, out=np.zeros(len(true_positives)), where=of > 0
            ).mean()
            for times, of in (
                (2, predicted.sum(axis=0) + self.y.sum(axis=0)),
                (1, predicted.sum(axis=0)),
                (1, self.y.sum(axis=0)),
            )
        )
        of_labels = np.take_along_axis(predictions, self.y[..., None], axis=-1)
        confidence, right = self.confidence(predictions)
        return {
            "accuracy": float(1 - self.errors(predictions).mean()),
            "label_accuracy": float((predicted == self.y).mean()),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "roc_auc": _scores.mean_auc(predictions[..., 1] - predictions[..., 0], self.y == 1),
            "log_loss": float(-of_labels.mean()),
            "brier": float(((p - self.y) ** 2).mean()),
            "ece": _scores.calibration_error(confidence, right),
            "ece_equal_mass": _scores.equal_mass_error(confidence, right),
        }

    def teacher_scores(
        self, predictions: np.ndarray, teacher: np.ndarray, temperature: float
    ) -> Scores:
        return {
            "agreement": float((self.decisions(predictions) == self.decisions(teacher)).mean()),
            "kl": _scores.kl_divergence(teacher, predictions, temperature),
        }

    def confidence(self, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        right = self.decisions(predictions) == self.y
        return np.exp(predictions.max(axis=-1)).ravel(), right.astype("float64").ravel()


class Regression(Task):
    """Numbers; the error is the mean absolute distance from the label."""

    name = "regression"
    counts_errors = False

    def predictions(self, outputs: np.ndarray, from_logits: bool) -> np.ndarray:
        return outputs

    def errors(self, predictions: np.ndarray) -> np.ndarray:
        return np.abs(predictions - self.y).mean(axis=1)

    def scores(self, predictions: np.ndarray) -> Scores:
        squares = ((predictions - self.y) ** 2).sum(axis=0)
        spread = ((self.y - self.y.mean(axis=0)) ** 2).sum(axis=0)
        return {
            "mae": float(np.abs(predictions - self.y).mean()),
            "rmse": float(np.sqrt(((predictions - self.y) ** 2).mean(axis=0)).mean()),
            "r2": float(np.mean(1 - squares / spread)) if (spread > 0).all() else None,
        }

    def teacher_scores(
        self, predictions: np.ndarray, teacher: np.ndarray, temperature: float
    ) -> Scores:
        return {"distance": float(np.abs(predictions - teacher).mean())}
