"""Metrics on the rows that have a label."""

import inspect
from typing import Any

import keras
from keras import ops

from keras_kd._core.tensors import Tensor
from keras_kd._core.valid_counts import spread


class Labelled(keras.metrics.Metric):
    """A metric on the rows that have a label.

    The loss leaves such rows out by its `ignore_class`. A metric has no such argument, and would
    count each of them as wrong.

    Args:
        metric: The metric; it keeps its name, its state and its result.
        ignored: The label that stands for a missing one.
    """

    def __init__(self, metric: keras.metrics.Metric, ignored: int):
        super().__init__(name=metric.name, dtype=metric.dtype)
        self.metric, self.ignored = metric, ignored

    @property
    def variables(self) -> list[keras.Variable]:
        return self.metric.variables

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        y_true = ops.convert_to_tensor(y_true)
        known = ops.not_equal(y_true, self.ignored)
        y_true = ops.where(known, y_true, ops.zeros_like(y_true))
        if len(known.shape) == len(y_pred.shape) and known.shape[-1] == 1:
            known = ops.squeeze(known, axis=-1)
        weights = ops.cast(known, self.dtype)
        if sample_weight is not None:
            weights = weights * spread(sample_weight, weights)
        self.metric.update_state(y_true, y_pred, sample_weight=weights)

    def result(self) -> Any:
        return self.metric.result()

    def reset_state(self) -> None:
        self.metric.reset_state()


def labelled(metric: Any, ignored: int) -> Any:
    """`metric`, as `compile` takes it, on the rows that have a label; itself when it takes no
    weights, and so counts all rows."""
    if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
        found: Any = keras.metrics.SparseCategoricalAccuracy(name=metric)
    else:
        found = keras.metrics.get(metric)
    if not isinstance(found, keras.metrics.Metric):
        name = metric if isinstance(metric, str) else getattr(found, "__name__", "metric")
        found = keras.metrics.MeanMetricWrapper(found, name=name)
    elif isinstance(metric, str):
        found.name = metric
    if "sample_weight" not in inspect.signature(found.update_state).parameters:
        return metric
    return Labelled(found, ignored)
