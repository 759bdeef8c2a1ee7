"""What all metrics of this package share: predictions as log-probabilities, weights, configs."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.addresses import parse
from keras_kd._core.keras_private import mask_of
from keras_kd._core.messages import shape_of, snake_case
from keras_kd._core.tensors import Tensor
from keras_kd._core.valid_counts import spread
from keras_kd._core.vocabularies import of_common_tokens
from keras_kd.metrics._log_probabilities import log_probabilities


class ClassifierMetric(keras.metrics.Metric):
    """A metric on the predictions of a classifier, computed in float32 or wider.

    Args:
        from_logits: Whether predictions are logits; else probabilities.
        multi_label: Whether each column is a yes-no question of its own.
        name: Name of the metric. Defaults to the class's name in snake case.
        dtype: Type of the computation. Defaults to float32, or `keras.config.floatx()` if wider.
    """

    def __init__(
        self,
        *,
        from_logits: bool = True,
        multi_label: bool = False,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(
            name=name or snake_case(type(self).__name__),
            dtype=dtype or keras.backend.result_type(keras.config.floatx(), "float32"),
        )
        self.from_logits, self.multi_label = from_logits, multi_label

    def _log_probabilities(self, predictions: Tensor) -> Tensor:
        predictions = ops.convert_to_tensor(predictions, dtype=self.dtype)
        return log_probabilities(predictions, self.from_logits, self.multi_label)

    def _weights(self, values: Tensor, y_pred: Tensor, sample_weight: Tensor) -> Tensor:
        """One weight for each of `values`: the sample's, and 0 where a mask hides it."""
        weights = ops.ones_like(values)
        mask = mask_of(y_pred)
        for given in (mask, sample_weight):
            if given is not None:
                weights = weights * spread(given, values)
        return weights

    def get_config(self) -> dict[str, Any]:
        own = {"from_logits": self.from_logits, "multi_label": self.multi_label}
        return {**super().get_config(), **own}


class ClassifierMean(ClassifierMetric):
    """The weighted mean of one value per prediction; a subclass computes it in `values`."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value per prediction."""
        raise NotImplementedError(f"{type(self).__name__} must define values(y_true, y_pred).")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        values = self.values(y_true, y_pred)
        weights = self._weights(values, y_pred, sample_weight)
        self.total.assign_add(ops.sum(ops.cast(values, self.dtype) * weights))
        self.count.assign_add(ops.sum(weights))

    def result(self) -> Any:
        return ops.divide_no_nan(self.total, ops.convert_to_tensor(self.count))


class TeacherMetric(ClassifierMean):
    """A metric that compares with a teacher's outputs instead of with labels.

    Listed in `Distiller.compile(metrics=[...])`, it is fed by the Distiller: `y_true` is the signal
    of the address `target`, whether a teacher gave it now or it came with the batch. Used alone,
    call `update_state(teacher_logits, student_logits)`. A subclass defines
    `values(y_true, y_pred)`, one value per example.

    Logits `(batch, positions, vocabulary)` of two vocabularies, of which one has but rows of padding
    more, are compared over the tokens that both have, as in the terms of a `Distiller`.

    Args:
        target: Address of the teacher's signal. Defaults to `None`: `"teacher:output"`, and under
            the name of an output, that output of it.
        pred: Address of the student's signal. Defaults to `None`: the output that the metric is
            listed for.
        from_logits: Whether both outputs are logits; else probabilities. Defaults to `True`.
        multi_label: Whether each column is a yes-no question of its own. Defaults to `False`.
        **kwargs: `name`, `dtype` as in `keras.metrics.Metric`.

    Raises:
        ValueError: If an address is malformed.
    """

    def __init__(
        self,
        *,
        target: str | None = None,
        pred: str | None = None,
        from_logits: bool = True,
        multi_label: bool = False,
        **kwargs: Any,
    ):
        super().__init__(from_logits=from_logits, multi_label=multi_label, **kwargs)
        for address in (target, pred):
            if address is not None:
                parse(address)
        self.target, self.pred = target, pred
        self._told_of_padding = False

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        if self.from_logits and not self.multi_label and not isinstance(y_true, tuple):
            y_pred, y_true, self._told_of_padding = of_common_tokens(
                f"Metric '{self.name}'", y_pred, y_true, self._told_of_padding
            )
        super().update_state(y_true, y_pred, sample_weight)

    def both(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        """The log-probabilities of teacher and student."""
        sides = self._log_probabilities(y_true), self._log_probabilities(y_pred)
        if shape_of(sides[0]) != shape_of(sides[1]):
            raise ValueError(
                f"Metric '{self.name}' compares outputs that differ in shape: the teacher's are "
                f"{shape_of(ops.convert_to_tensor(y_true))}, the student's "
                f"{shape_of(ops.convert_to_tensor(y_pred))}. Give `target` and `pred` the addresses "
                "of two signals of one shape."
            )
        return sides

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target": self.target, "pred": self.pred}
