"""Metrics that read probabilities, where the student gives logits."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_kd._compiled._losses import TOLD, is_of_keras, leaves, name_of
from keras_kd._compiled._outputs import Outputs
from keras_kd._compiled._own import Own

#: Metrics of Keras that read logits when they are told so; those with one threshold, and with
#: several; those that never do.
_METRICS_TOLD = ("AUC", "BinaryCrossentropy", "CategoricalCrossentropy",
                 "SparseCategoricalCrossentropy")  # fmt: skip
_THRESHOLD = ("BinaryAccuracy", "BinaryIoU")
_THRESHOLDS = ("FalseNegatives", "FalsePositives", "Precision", "Recall", "TrueNegatives",
               "TruePositives")  # fmt: skip
_METRICS_NEVER = ("KLDivergence", "PrecisionAtRecall", "RecallAtPrecision",
                  "SensitivityAtSpecificity", "SpecificityAtSensitivity")  # fmt: skip
_F_SCORES = ("F1Score", "FBetaScore")


def warn_of_metrics(
    students: Mapping[str, keras.Model],
    logits: Mapping[str, bool],
    terms: Sequence[Any],
    given: Any,
) -> None:
    """Warns when a metric reads probabilities from an output that gives logits."""
    outputs = Outputs(terms, students)
    for role, model in students.items():
        metrics = (given or {}).get(role) if len(students) > 1 else given
        part = Own(model, role, (), "")
        for keys in outputs.inside(role, ()):
            output = outputs.at(role, keys)
            if output.term is None and not logits.get(output.address):
                continue
            for metric in leaves(part.of(keys).find(metrics)):
                misread = _misread(metric, output.width)
                if misread is not None:
                    shown, remedy = misread
                    warnings.warn(
                        f"Metric {shown} reads probabilities, and '{output.address}' gives logits, "
                        f"so its numbers would mean little. {remedy}",
                        stacklevel=4,
                    )


def _misread(metric: Any, width: int | None) -> tuple[str, str] | None:
    """The metric as shown, and the remedy, when it reads probabilities; else `None`."""
    if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
        if width != 1:
            return None
        remedy = f"Write keras.metrics.BinaryAccuracy({metric!r}, threshold=0.0): the same at .5."
        return repr(metric), remedy
    try:
        found = keras.metrics.get(metric)
    except (ValueError, TypeError):
        return None  # Keras tells of it by itself
    if not isinstance(found, keras.metrics.Metric):
        return _misread_by(found, repr(metric) if isinstance(metric, str) else str(name_of(found)))
    shown = repr(metric) if isinstance(metric, str) else repr(found.name)
    name = type(found).__name__
    if not is_of_keras(type(found)):
        own = getattr(found, "from_logits", None)  # the convention
        return (shown, "Give it from_logits=True.") if own is False else None
    config = found.get_config()
    if name in _METRICS_TOLD and config.get("from_logits") is False:
        return shown, f"Write keras.metrics.{name}(from_logits=True)."
    if name in _THRESHOLD and 0 < config["threshold"] < 1:
        return shown, f"Write keras.metrics.{name}(threshold=0.0): a logit of 0 is a probability of .5."  # fmt: skip
    if name in _THRESHOLDS and config.get("top_k") is None and config["thresholds"] != 0.0:
        among = ", or top_k=1 among classes" if name in ("Precision", "Recall") else ""
        return shown, (
            f"Write keras.metrics.{name}(thresholds=0.0): a logit of 0 is a probability of .5"
            f"{among}."
        )
    if name in _METRICS_NEVER or (name in _F_SCORES and config["threshold"] is not None):
        return shown, (
            f"It has no argument for logits: give a subclass of keras.metrics.{name} whose "
            "update_state reads keras.ops.sigmoid(y_pred)."
        )
    return None


def _misread_by(function: Any, shown: str) -> tuple[str, str] | None:
    name = name_of(function)
    if name == "binary_accuracy":
        return shown, "Write keras.metrics.BinaryAccuracy(threshold=0.0): the same at .5."
    kind = TOLD.get(name or "", "")
    if kind in _METRICS_TOLD:
        return shown, f"Write keras.metrics.{kind}(from_logits=True)."
    return None
