"""What all losses of this package share: precision, weights, schedules, configs."""

from typing import Any, ClassVar

import keras
from keras import ops

from keras_kd._core.configs import arguments_of, restored
from keras_kd._core.hard_labels import sound
from keras_kd._core.keras_private import mask_of
from keras_kd._core.messages import shape_of, snake_case
from keras_kd._core.representation import call_of
from keras_kd._core.scalars import LearningRateSchedule, at
from keras_kd._core.tensors import Tensor
from keras_kd._core.valid_counts import Reduced, fits, weighed


class Loss(keras.losses.Loss):
    """Compares the learner's signal with a target, one value per example or position.

    A subclass writes `call(y_true, y_pred)`, target first, and returns the values unreduced:
    shape `(batch,)`, or `(batch, ...)` with one value per position. It keeps its constructor's
    arguments as attributes of the same names; saving, schedules, precision, masks, sample weights
    and the mean are done here and in Keras.

    Computation is in float32 or wider, whatever the inputs are.

    One rule for all means. A mask, and a `sample_weight` with one number per position, select the
    positions that count; a `sample_weight` with one number per example is a factor, as in Keras. With
    `m` the former (1 where there is none) and `w` the latter:

    `mean = Σ w · m · value / Σ m`

    so padding never thins a mean out, and weights of 2 make a loss twice as large. In a distiller
    Keras's own losses follow it too, in terms and in `compile`; by themselves they divide by all
    positions under a `sample_weight` per position. Where nothing counts, the mean is 0. (Numbers
    per position for a loss with one value per example are averaged first.)

    Args:
        name: Name of the loss. Defaults to the class's name in snake case.
        reduction: As in `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        dtype: Type of the computation. Defaults to float32, or `keras.config.floatx()` if wider.
    """

    #: Both sides must have one shape; checked before training starts.
    same_shape: ClassVar[bool] = True
    #: It takes logits, and probabilities given in their place are refused before training starts.
    on_logits: bool = False
    #: It compares classes by a softmax over the last axis, which of one logit alone is always 1.
    among_classes: ClassVar[bool] = False
    #: Each side may have classes of its own, however many.
    own_classes: ClassVar[bool] = False
    #: Its target is a tuple that ends in the labels; the rest are the teacher's.
    with_labels: ClassVar[bool] = False
    #: What to take in its place when there are no labels.
    without_labels: ClassVar[str] = ""
    #: A side may be a tuple of tensors, each of that one shape.
    several: ClassVar[bool] = False
    #: Its target, or the last of several, is the labels as class numbers (or exact one-hot rows).
    hard_labels: ClassVar[bool] = False
    #: An example's value depends on the others in its batch: the global one, for a Distiller joins
    #: the rows of all replicas for it, on whatever engine.
    relational: ClassVar[bool] = False
    #: It makes one value of all positions of an example. Padded ones are zeros on both sides then.
    joins_positions: ClassVar[bool] = False
    #: Its target is a pair: a teacher's logits, and the spans of text that its tokens and the
    #: student's share.
    reads_spans: ClassVar[bool] = False
    #: Its `call` takes the mask of the predictions, `mask=`, to leave padded positions out within
    #: an example's value.
    reads_mask: ClassVar[bool] = False

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

    def at(self, step: Tensor) -> "Loss":
        """This loss with its schedules read at `step`; itself when it has none."""
        scheduled = {
            name: ops.cast(at(value, step), self.dtype)
            for name, value in vars(self).items()
            if isinstance(value, LearningRateSchedule)
        }
        if not scheduled:
            return self
        # Not copy.copy: for Keras's objects that is a round trip through their config.
        held = object.__new__(type(self))
        held.__dict__.update(vars(self), **scheduled)
        return held

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        return self.measured(y_true, y_pred, sample_weight)[0]

    def measured(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> tuple[Tensor, Tensor]:
        """The reduced value; and how many values it is the mean of, to join it with others'."""
        if self.with_labels and not isinstance(y_true, (tuple, list)):
            raise ValueError(
                f"{type(self).__name__} reads the labels as well: its target is a tuple, the "
                "teacher's output and the labels. Received one tensor."
            )
        target, pred = self._widened(y_true), self._widened(y_pred)
        if self.among_classes and not isinstance(pred, tuple):
            _check_classes(self, shape_of(pred))
        mask = mask_of(y_pred[0] if isinstance(y_pred, tuple) else y_pred)
        if self.joins_positions and mask is not None:
            target, pred = keras.tree.map_structure(lambda x: _emptied(x, mask), (target, pred))
        if self.reads_mask and mask is not None:
            values = self.call(target, pred, mask=mask)  # type: ignore[call-arg]
        else:
            values = self.call(target, pred)
        if self.hard_labels:
            values = sound(target[-1] if isinstance(target, tuple) else target, pred, values)
        masks = [mask, self.counting(target)]
        weights, count = weighed(values, masks, sample_weight, self.reduction)
        return Reduced(values, self.reduction, self.dtype)(values, values, weights), count

    def counting(self, y_true: Any) -> Tensor:
        """Which positions have a value, besides the mask; `None`: all of them."""
        return None

    def _widened(self, side: Any) -> Any:
        """One tensor, or a tuple of them, in the type of the computation."""
        if isinstance(side, tuple):
            return tuple(self._widened(signal) for signal in side)
        return ops.convert_to_tensor(side, dtype=self.dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define call(y_true, y_pred).")

    def __repr__(self) -> str:
        return call_of(self)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **arguments_of(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Loss":
        return cls(**restored(config))


def _check_classes(loss: Loss, shape: tuple[Any, ...]) -> None:
    if shape and isinstance(shape[-1], int) and shape[-1] == 1:
        raise ValueError(
            f"{type(loss).__name__} compares the classes of the last axis, and there is but one: "
            f"shape {shape}. For one logit of yes or no, take "
            "keras_kd.losses.BinarySoftTarget; for a number, as in regression, "
            "terms=keras_kd.recipes.regression()."
        )


def _emptied(x: Tensor, mask: Tensor) -> Tensor:
    """`x` with zeros at padded positions, where it has the mask's positions."""
    if len(x.shape) <= len(mask.shape) or not fits(mask, x):
        return x
    kept = ops.cast(mask, "bool")
    while len(kept.shape) < len(x.shape):
        kept = ops.expand_dims(kept, axis=-1)
    return ops.where(kept, x, ops.zeros_like(x))
