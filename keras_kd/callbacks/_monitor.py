"""The number that decides: its name in the logs, and which way is better."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import keras
import numpy as np
from keras import ops

from keras_kd._core.messages import did_you_mean, listing

Mode = Literal["auto", "min", "max"]
_SMALLER = {
    "loss", "error", "errors", "divergence", "kl", "ece", "calibration", "brier", "nll", "mse",
    "mae", "rmse", "entropy", "crossentropy", "perplexity", "distance",
}  # fmt: skip
_LARGER = {
    "accuracy", "acc", "agreement", "auc", "precision", "recall", "f1", "score", "iou", "r2",
    "similarity",
}  # fmt: skip


class Monitor:
    """One entry of the logs, and the best it has been.

    Args:
        name: Its name in the logs, such as `"val_accuracy"`.
        mode: `"max"` when larger is better, `"min"` when smaller is, `"auto"` to decide by the name.
        min_delta: By how much a value must be better to count.
    """

    def __init__(self, name: str, mode: Mode = "auto", min_delta: float = 0.0):
        if mode not in get_args(Mode):
            raise ValueError(
                f"`mode` must be one of {listing(get_args(Mode))}. Received: {mode!r}."
            )
        if not 0 <= min_delta < float("inf"):
            raise ValueError(
                f"`min_delta` must be 0 or more, and finite. Received: min_delta={min_delta!r}."
            )
        self.name, self.min_delta = name, min_delta
        self.sign = -1.0 if (_mode_of(name) if mode == "auto" else mode) == "min" else 1.0
        self.best: float | None = None

    def read(self, logs: Mapping[str, Any]) -> float | None:
        """The value in these logs; `None` when this epoch was not validated."""
        value = logs.get(self.name)
        if value is None:
            validated = any(name.startswith("val_") for name in logs)
            if validated or not self.name.startswith("val_"):
                raise ValueError(
                    f"`monitor` names '{self.name}', which is not in the logs: they hold "
                    f"{listing(logs, most=20)}." + did_you_mean(self.name, logs)
                )
            return None
        return float(value)

    def improves(self, value: float) -> bool:
        """Whether `value` is better than the best so far; NaN never is."""
        if math.isnan(value):
            return False
        return self.best is None or self.sign * (value - self.best) > self.min_delta


def finite(variables: Iterable[keras.Variable]) -> bool:
    """Whether no weight is NaN or infinite: a student that has one is past help."""
    values = (ops.convert_to_numpy(v) for v in variables if "float" in v.dtype)
    return all(np.isfinite(value.astype("float32")).all() for value in values)


def _mode_of(name: str) -> Mode:
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    if words & _LARGER and not words & {"loss", "error", "errors"}:
        return "max"
    if words & _SMALLER:
        return "min"
    raise ValueError(
        f"Whether a larger '{name}' is better is not clear from its name. Pass mode='max' or "
        "mode='min'."
    )
