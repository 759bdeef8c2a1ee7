"""Losses of logits, row by row, of which the formula and its gradient stand written."""

from collections.abc import Callable
from typing import Any

import keras

from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss
from keras_kd.losses._custom_gradients import Formula, with_gradient


class RowLoss(Loss):
    """A loss of one row of logits and what belongs to it; no row knows of the others.

    Such a loss can be computed a few rows at a time: of large logits, and of logits that are made
    only for it (`Fused`).
    """

    on_logits = True
    among_classes = True

    def formula(self) -> Formula:
        """One value per row, and its gradient by the logits."""
        raise NotImplementedError(f"{type(self).__name__} must define formula().")

    def prepared(self, y_true: Any, logits: keras.KerasTensor) -> Any:
        """The target as the formula takes it, for logits of this shape."""
        return y_true

    #: `at_once(target, logits)`: the values, and a function that makes the gradient of what comes from
    #: above, where both need the same of the logits. It is computed once and kept, unless the logits
    #: are large.
    at_once: Callable[[Any, Any], tuple[Tensor, Callable[[Any], Any]]] | None = None

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        logits = keras.KerasTensor(y_pred.shape, self.dtype)
        target = self.prepared(y_true, logits)
        return with_gradient(self.formula(), target, y_pred, self.at_once)
