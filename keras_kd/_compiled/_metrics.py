"""Metrics that read probabilities, where the student gives logits."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_kd import metrics as package_metrics
from keras_kd._compiled._label_assignment import LabelPart
from keras_kd._compiled._labelled import labelled
from keras_kd._compiled._losses import FUNCTIONS, Applied, is_of_keras, leaves, name_of
from keras_kd._compiled._outputs import Outputs
from keras_kd._core.messages import snake_case

#: Metrics of Keras that have `from_logits`; those with one threshold, and with several; those that
#: never read logits.
_METRICS_FROM_LOGITS = ("AUC", "BinaryCrossentropy", "CategoricalCrossentropy",
                 "SparseCategoricalCrossentropy")  # fmt: skip
_THRESHOLD = ("BinaryAccuracy", "BinaryIoU")
_THRESHOLDS = ("FalseNegatives", "FalsePositives", "Precision", "Recall", "TrueNegatives",
               "TruePositives")  # fmt: skip
_METRICS_NEVER = ("KLDivergence", "PrecisionAtRecall", "RecallAtPrecision",
                  "SensitivityAtSpecificity", "SpecificityAtSensitivity")  # fmt: skip
_F_SCORES = ("F1Score", "FBetaScore")


def warn_of_metrics(
    students: Mapping[str, keras.Model],
    applied: Sequence[Applied],
    terms: Sequence[Any],
    given: Any,
) -> None:
    """Warns when a metric reads probabilities from an output that gives logits."""
    outputs = Outputs(terms, students)
    logits = {one.output.address for one in applied if one.read_as_logits()}
    for role, model in students.items():
        metrics = (given or {}).get(role) if len(students) > 1 else given
        part = LabelPart(model, role, (), "")
        for keys in outputs.inside(role, ()):
            output = outputs.at(role, keys)
            if output.term is None and output.address not in logits:
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


def on_labelled_rows(
    students: Mapping[str, keras.Model], applied: Sequence[Applied], given: Any
) -> Any:
    """The metrics as `compile` takes them; those of an output whose loss leaves out rows without
    a label leave them out too."""
    ignored = {one.output.address: one.ignored() for one in applied if one.ignored() is not None}
    if not ignored or not given:
        return given
    outputs = Outputs((), students)
    if len(students) > 1:
        return {
            role: _leaving_out(outputs, LabelPart(students[role], role, (), ""), ignored, metrics)
            for role, metrics in given.items()
        }
    role, model = next(iter(students.items()))
    return _leaving_out(outputs, LabelPart(model, role, (), ""), ignored, given)


def _leaving_out(outputs: Outputs, whole: LabelPart, ignored: Mapping[str, Any], given: Any) -> Any:
    places = outputs.inside(whole.role, ())
    marks: dict[Any, Any] = {}  # by the name or the place of an output, the label left out
    for keys in places:
        mark = ignored.get(outputs.at(whole.role, keys).address)
        marks.update(dict.fromkeys(whole.called(keys), mark))

    def walk(metrics: Any, key: Any) -> Any:
        if isinstance(metrics, Mapping):
            return {name: walk(inner, name) for name, inner in metrics.items()}
        if isinstance(metrics, (list, tuple)):
            each = any(isinstance(inner, (list, tuple)) for inner in metrics)
            each = each or (key is None and len(metrics) == len(places) > 1)
            return [walk(inner, i if each else key) for i, inner in enumerate(metrics)]
        mark = marks.get(key)
        return metrics if metrics is None or mark is None else _labelled(metrics, mark)

    return walk(given, None)


def _labelled(metric: Any, ignored: int) -> Any:
    found = labelled(metric, ignored)
    if found is metric:
        warnings.warn(
            f"Metric {metric!r} takes no `sample_weight`, so it cannot leave out the rows whose "
            f"label is {ignored}, as the loss does, and counts them too.",
            stacklevel=6,
        )
    return found


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
        return None  # Keras raises an error of its own
    if not isinstance(found, keras.metrics.Metric):
        return _misread_by(found, repr(metric) if isinstance(metric, str) else str(name_of(found)))
    shown = repr(metric) if isinstance(metric, str) else repr(found.name)
    name = type(found).__name__
    if not is_of_keras(type(found)):
        own = getattr(found, "from_logits", None)  # the convention
        return (shown, "Give it from_logits=True.") if own is False else None
    config = found.get_config()
    if name in _METRICS_FROM_LOGITS and config.get("from_logits") is False:
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
    kind = FUNCTIONS.get(name or "", "")
    if kind in _METRICS_FROM_LOGITS:
        return shown, f"Write keras.metrics.{kind}(from_logits=True)."
    return None


def check_metric_names(*given: Any) -> None:
    """Raises when one of this package's metrics is given by its name, which Keras does not know."""
    ours = {snake_case(kind): kind for kind in package_metrics.__all__}
    for name in keras.tree.flatten(given):
        if isinstance(name, str) and name in ours:
            raise ValueError(
                f"Keras knows no metric '{name}' by its name. Give the object: "
                f"metrics=[keras_kd.metrics.{ours[name]}()]."
            )
