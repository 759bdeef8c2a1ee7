"""Estimators as teachers: forests, boosted trees, kernel machines."""

import hashlib
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_kd._core.external import ExternalTeacher
from keras_kd._core.messages import listing
from keras_kd._core.output_kinds import FLOOR


class SklearnTeacher(ExternalTeacher):
    """An estimator of scikit-learn, or one that is used like these: XGBoost, LightGBM, CatBoost.

    Of `predict_proba`, logits are made: `log max(p, floor)`. Without it, `decision_function` gives
    the scores of several classes, or that of the second of two: logits `(0, score)`. A regressor's
    `predict` gives values, `(examples, targets)`, as `keras_kd.recipes.regression()` wants them.

    Inputs of more than two axes are flattened.

    Args:
        estimator: A fitted estimator.
        classes: The student's classes in the order of its outputs, as the estimator calls them.
            Columns are put into this order; a class that the estimator never met gets the
            probability `floor`. Defaults to `None`: the estimator's own order, which must then be
            `0, 1, 2, ...` where classes are numbers, for labels are read as places.
        name: What stores and messages call it. Defaults to the estimator's class.
        floor: The probability that 0 counts as: forests give many zeros. Defaults to `1e-7`.

    Raises:
        TypeError: If it has none of these methods.
        ValueError: If it is not fitted, or its classes are not those expected.

    Example:

    >>> from sklearn.tree import DecisionTreeClassifier
    >>> x, y = np.array([[0.0], [1.0], [1.0], [1.0]]), np.array(["no", "yes", "yes", "no"])
    >>> tree = DecisionTreeClassifier(max_depth=1).fit(x, y)
    >>> teacher = keras_kd.sources.SklearnTeacher(tree, classes=["no", "yes"])
    >>> [round(float(logit), 4) for logit in teacher(np.array([[1.0]]))[0]]
    [-1.0986, -0.4055]
    """

    def __init__(
        self,
        estimator: Any,
        *,
        classes: Sequence[Any] | None = None,
        name: str | None = None,
        floor: float = FLOOR,
    ):
        method = next((m for m in _METHODS if hasattr(estimator, m)), None)
        if method is None or isinstance(estimator, type):
            raise TypeError(
                f"`estimator` must be fitted and have one of {listing(_METHODS)}. Received: "
                f"{estimator!r}."
            )
        known = getattr(estimator, "classes_", None)
        regression = method == "predict" and known is None
        super().__init__(
            name or type(estimator).__name__,
            kind="values" if regression else _METHODS[method],
            floor=floor,
        )
        self.estimator, self._method = estimator, method
        if method == "predict" and known is not None:
            raise TypeError(
                f"The classifier '{self.name}' gives labels alone: it has neither predict_proba nor "
                "decision_function. Make it give probabilities (of scikit-learn's SVC: "
                "probability=True; or CalibratedClassifierCV around it), or use its labels as `y`."
            )
        #: For each class of the student, the estimator's column; -1 where it has none.
        self._columns = None if regression else _columns(self.name, known, classes)

    def run(self, x: Any, paths: Sequence[str]) -> np.ndarray:
        rows = np.asarray(x)
        rows = rows.reshape(len(rows), -1)
        outputs = getattr(self.estimator, self._method)(rows)
        if isinstance(outputs, list):
            raise ValueError(
                f"The estimator '{self.name}' predicts {len(outputs)} targets at once: give one "
                "teacher for each, around an estimator of one target."
            )
        outputs = np.asarray(outputs)
        if self._method == "decision_function" and outputs.ndim == 1:
            outputs = np.stack([np.zeros_like(outputs), outputs], axis=1)
        if self._columns is None:
            return outputs
        missing = 0.0 if self.kind == "probabilities" else float(np.log(self.floor))
        padded = np.concatenate([outputs, np.full((len(outputs), 1), missing)], axis=1)
        aligned = padded[:, self._columns]
        if self.kind == "probabilities":  # of the student's classes alone
            total = aligned.sum(axis=1, keepdims=True)
            aligned = np.where(
                total > 0, aligned / np.where(total > 0, total, 1), 1 / aligned.shape[1]
            )
        return aligned

    def weights_hash(self) -> str:
        return hashlib.sha256(pickle.dumps(self.estimator)).hexdigest()[:32]

    def settings(self) -> dict[str, Any]:
        columns = None if self._columns is None else self._columns.tolist()
        return {"method": self._method, "columns": columns}


#: What an estimator may have, the best first, and what it gives.
_METHODS = {"predict_proba": "probabilities", "decision_function": "logits", "predict": "values"}


def _columns(name: str, known: Any, classes: Sequence[Any] | None) -> np.ndarray:
    if known is None:
        raise ValueError(
            f"The estimator '{name}' has no `classes_`: fit it first, estimator.fit(x, y)."
        )
    if isinstance(known, list):  # of several targets
        raise ValueError(f"The estimator '{name}' predicts {len(known)} targets: give one of one.")
    known = np.asarray(known)
    if classes is None:
        if known.dtype.kind in "iufb" and not np.array_equal(known, np.arange(len(known))):
            raise ValueError(
                f"The classes of '{name}' are {known.tolist()}, and its columns would be read as the "
                f"labels 0 to {len(known) - 1}. Give the student's order: classes=[...]."
            )
        return np.arange(len(known))
    places = {value: place for place, value in enumerate(known.tolist())}
    wanted = np.asarray(classes).tolist()
    if not set(places) & set(wanted) or len(set(wanted)) < len(wanted):
        raise ValueError(
            f"`classes` must name each class of the student once, as '{name}' calls them: "
            f"{known.tolist()}. Received: {wanted}."
        )
    return np.array([places.get(value, -1) for value in wanted])
