"""What all losses of this package share: precision, weights, schedules, configs."""

from typing import Any, ClassVar

import keras
from keras import ops

from keras_kd._core.configs import arguments_of, restored
from keras_kd._core.messages import snake_case
from keras_kd._core.numbers import LearningRateSchedule, at


class Loss(keras.losses.Loss):
    """Compares what the learner says with a target, one value per example or position.

    A subclass writes `call(y_true, y_pred)`, target first, and returns the values unreduced:
    shape `(batch,)`, or `(batch, ...)` with one value per position. It keeps its constructor's
    arguments as attributes of the same names; saving, schedules, precision, masks, sample weights
    and the mean are done here and in Keras.

    Computation is in float32 or wider, whatever the inputs are. `sample_weight` may have fewer
    axes than the values (it is repeated over the positions) or more (it is averaged).

    Args:
        name: Name of the loss. Defaults to the class's name in snake case.
        reduction: As in `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        dtype: Type of the computation. Defaults to float32, or `keras.config.floatx()` if wider.
    """

    #: Both sides must have one shape; checked before training starts.
    same_shape: ClassVar[bool] = True
    #: It takes logits, and probabilities given in their place are refused before training starts.
    on_logits: bool = False
    #: It compares classes by a softmax over the last axis, which says nothing of one logit alone.
    among_classes: ClassVar[bool] = False
    #: An example's value depends on the others in its batch: the global one, for a Distiller joins
    #: the rows of all replicas for it, on whatever engine.
    relational: ClassVar[bool] = False

    def __init__(
        self,
        *,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(
            name=name or snake_case(type(self).__name__),
            reduction=reduction,
            dtype=dtype or keras.backend.result_type(keras.config.floatx(), "float32"),
        )

    def at(self, step: Any) -> "Loss":
        """This loss with its schedules read at `step`; itself when it has none."""
        scheduled = {
            name: ops.cast(at(value, step), self.dtype)
            for name, value in vars(self).items()
            if isinstance(value, LearningRateSchedule)
        }
        if not scheduled:
            return self
        # Not copy.copy: Keras's objects answer it with a round trip through their config.
        held = object.__new__(type(self))
        held.__dict__.update(vars(self), **scheduled)
        return held

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        target, pred = self._widened(y_true), self._widened(y_pred)
        if self.among_classes and not isinstance(pred, tuple):
            _check_classes(self, ops.shape(pred))
        values = self.call(target, pred)
        if sample_weight is not None:
            sample_weight = _spread(sample_weight, values)
        # Keras reads a sequence's mask from the prediction, where it is one per position.
        masked = y_pred if len(values.shape) > 1 and ops.is_tensor(y_pred) else values
        return _Reduced(values, self.reduction, self.dtype)(values, masked, sample_weight)

    def _widened(self, side: Any) -> Any:
        """One tensor, or a tuple of them, in the type of the computation."""
        if isinstance(side, tuple):
            return tuple(self._widened(signal) for signal in side)
        return ops.convert_to_tensor(side, dtype=self.dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define call(y_true, y_pred).")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **arguments_of(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Loss":
        return cls(**restored(config))


def _check_classes(loss: Loss, shape: tuple[Any, ...]) -> None:
    if shape and isinstance(shape[-1], int) and shape[-1] == 1:
        raise ValueError(
            f"{type(loss).__name__} compares the classes of the last axis, and there is but one: "
            f"shape {shape}. For one logit that tells yes from no, take "
            "keras_kd.losses.BinarySoftTarget."
        )


class _Reduced(keras.losses.Loss):
    """Keras's own reduction, over values that are there already."""

    def __init__(self, values: Any, reduction: str | None, dtype: Any):
        super().__init__(name="reduced", reduction=reduction, dtype=dtype)
        self.values = values

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.values


def _spread(sample_weight: Any, values: Any) -> Any:
    """`sample_weight` in the shape of `values`."""
    weight = ops.convert_to_tensor(sample_weight, dtype=values.dtype)
    while len(weight.shape) > len(values.shape):
        weight = ops.mean(weight, axis=-1)
    while len(weight.shape) < len(values.shape):
        weight = ops.expand_dims(weight, axis=-1)
    return weight * ops.ones_like(values)
