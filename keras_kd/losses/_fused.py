"""Losses of logits that are made a few rows at a time, and never stand whole."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.factors import KINDS
from keras_kd._core.hard_labels import hard
from keras_kd._core.keras_private import mask_of
from keras_kd._core.registry import serializable
from keras_kd._core.tensors import Tensor
from keras_kd._core.valid_counts import Reduced, weighed
from keras_kd.losses._composed import _Composed
from keras_kd.losses._custom_gradients import Formula, cross_entropy
from keras_kd.losses._row_sums import swept
from keras_kd.losses._rows import RowLoss


@serializable
class Fused(_Composed):
    """A loss of logits that are made of their factors, a few rows at a time.

    With a large vocabulary the logits are by far the largest tensors of a step: more than all
    layers' outputs together. Here a model's last layer and the loss become one: what enters the
    layer goes in, its rows are multiplied with the layer's weights a block at a time, and each
    block gives its part of the loss and of the gradients before the next one is made. The value and
    the gradients are those of the loss inside on whole logits.

    In a distiller the factors are signals, `"student:factors"` and `"teacher:factors"`:

    `Term(Fused(SoftTarget(1.0)), pred="student:factors", target="teacher:factors")`

    No logits are made as long as nothing else reads `"student:output"`, such as `Labels` or a
    metric; `Term(Fused(LabelTarget()), pred="student:factors", target="labels")` stands for the
    former.

    Shapes: `y_pred` is `Factors`: `hidden` `(batch, ..., features)`, `kernel` `(features,
    classes)`, `bias` `(classes,)`, or `CappedFactors`. `y_true` is what the loss inside takes, with
    `Factors` in place of logits or with the logits; one value per `(batch, ...)`.

    Args:
        loss: A loss of this package that looks at each row of logits by itself: `SoftTarget`,
            `ReverseKL`, `JensenShannon`, `SkewKL`, `SkewReverseKL`, `DecoupledSoftTarget`,
            `NormalizedTarget`, `LabelTarget`, and those on the largest or sampled logits.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`. The name defaults to that
            of the loss inside.

    Raises:
        TypeError: If `loss` is no such loss.
        ValueError: If `y_pred` is no factors, or the sides have different numbers of rows or
            classes.

    Example:

    >>> pred = keras_kd.losses.Factors([[1.0]], [[0.0, 0.0]], [0.0, 0.0])  # logits (0, 0)
    >>> target = keras_kd.losses.Factors([[2.0]], [[1.0, 0.0]], [0.0, 0.0])  # logits (2, 0)
    >>> loss = keras_kd.losses.Fused(keras_kd.losses.SoftTarget(temperature=1.0))
    >>> round(float(loss(target, pred)), 4)
    0.3278

    Reference: Hsu et al., "Liger Kernel: Efficient Triton Kernels for LLM Training", 2024,
    arXiv:2410.10989, section 3.2 (the gradient of a block beside its value); Wijmans et al., "Cut
    Your Losses in Large-Vocabulary Language Models", ICLR 2025, arXiv:2411.09009.
    """

    on_logits = False  # type: ignore[assignment]

    def __init__(self, loss: Any, **kwargs: Any):
        if not isinstance(loss, RowLoss):
            raise TypeError(
                "`loss` must be a loss of keras_kd.losses that looks at each row of logits by "
                "itself, for example keras_kd.losses.JensenShannon(0.5). Received: "
                f"{loss!r}."
            )
        kwargs["name"] = kwargs.get("name") or loss.name
        super().__init__(loss, **kwargs)

    @property
    def with_labels(self) -> bool:  # type: ignore[override]
        return self.loss.with_labels

    def measured(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> tuple[Tensor, Tensor]:
        if self.reduction not in ("sum_over_batch_size", "mean", "sum"):
            return super().measured(y_true, y_pred, sample_weight)
        mask = mask_of(y_pred[0]) if isinstance(y_pred, KINDS) else None
        y_true, y_pred = self._widened(y_true), self._widened(y_pred)
        target, lead = self._target(y_true, y_pred)
        blank = ops.zeros(lead, self.dtype)
        weights, count = weighed(blank, [mask], sample_weight, self.reduction)
        shares = ops.ones_like(blank) if weights is None else ops.cast(weights, self.dtype)
        if self.reduction != "sum":
            shares = ops.divide_no_nan(shares, ops.cast(ops.size(blank), self.dtype))
        total = self._total(target, y_pred, ops.stop_gradient(shares))
        total = ops.reshape(total, (1,))  # of one number the mean is itself, whatever the replicas
        return Reduced(total, self.reduction, self.dtype)(total, total), count

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        target, _ = self._target(y_true, y_pred)
        formula = self.loss.formula()
        target = keras.tree.map_structure(ops.stop_gradient, target)

        @ops.custom_gradient
        def values(*factors: Any) -> Any:
            pred = type(y_pred)(*factors)
            ones = ops.ones(ops.shape(pred.hidden)[:-1], self.dtype)

            def grad(*args: Any, upstream: Any = None) -> Any:
                up = args[0] if upstream is None else upstream
                return swept(formula, target, pred, up)[1]

            return swept(formula, target, pred, ones, slopes=False)[0], grad

        return values(*y_pred)

    def _total(self, target: Any, pred: Any, shares: Tensor) -> Tensor:
        """`Σ share · value`, whose gradients are there as soon as it is."""
        formula = self.loss.formula()
        target = keras.tree.map_structure(ops.stop_gradient, target)

        @ops.custom_gradient
        def total(*factors: Any) -> Any:
            values, slopes = swept(formula, target, type(pred)(*factors), shares)
            held = [slopes]  # given away by the first call: a copy is as large as the kernel
            del slopes

            def grad(*args: Any, upstream: Any = None) -> Any:
                up = args[0] if upstream is None else upstream
                slopes = (
                    held.pop() if held else swept(formula, target, type(pred)(*factors), shares)[1]
                )
                return tuple(_times(slope, ops.cast(up, slope.dtype)) for slope in slopes)

            return ops.sum(values * shares), grad

        return total(*pred)

    def _target(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """The target as the formula takes it, and the axes of the rows."""
        if not isinstance(y_pred, KINDS):
            raise ValueError(
                "Fused takes the factors of logits as its prediction, a keras_kd.losses.Factors: "
                f"in a distiller pred='student:factors'. Received: {type(y_pred).__name__}."
            )
        axes, classes = y_pred.hidden.shape[:-1], y_pred.kernel.shape[-1]
        logits = keras.KerasTensor((*axes, classes), self.dtype)
        for side in _factors_among(y_true):
            apart = side.kernel.shape[-1] != classes and not self.loss.own_classes
            if apart or _differ(side.hidden.shape[:-1], axes):
                raise ValueError(
                    "The factors of both sides must have the same rows and classes. Received a "
                    f"target of rows {tuple(side.hidden.shape[:-1])} and {side.kernel.shape[-1]} "
                    f"classes for a prediction of rows {tuple(axes)} and {classes} classes."
                )
        return self.loss.prepared(y_true, logits), ops.shape(y_pred.hidden)[:-1]

    def _widened(self, side: Any) -> Any:
        wide = super()._widened(side)
        return type(side)(*wide) if isinstance(side, KINDS) else wide


def _times(x: Tensor, factor: Tensor) -> Tensor:
    """`x`, which nobody else holds, times a number: in place where arrays are changed in place."""
    return x.mul_(factor) if keras.config.backend() == "torch" else x * factor


def _factors_among(target: Any) -> list[Any]:
    if isinstance(target, KINDS):
        return [target]
    return [f for part in target for f in _factors_among(part)] if isinstance(target, tuple) else []


def _differ(one: Any, other: Any) -> bool:
    pairs = zip(one, other, strict=False)
    return len(one) != len(other) or any(a != b and None not in (a, b) for a, b in pairs)


@serializable
class LabelTarget(RowLoss):
    """Cross-entropy to the labels, as a loss of this package.

    What `keras.losses.SparseCategoricalCrossentropy(from_logits=True)` is, with the gradient
    written out and one rule for means: for labels inside `Fused`, where the logits never stand
    whole. Elsewhere `keras_kd.Labels()` is the term for the ground truth.

    `loss = -log softmax(y_pred)[y_true]`

    Shapes: `y_true` class numbers `(batch, ...)`; `y_pred` logits `(batch, ..., classes)`; one
    value per `(batch, ...)`.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If the labels are not hard.

    Example:

    >>> loss = keras_kd.losses.LabelTarget()
    >>> round(float(loss([1], [[0.0, 0.0]])), 4)  # ln 2
    0.6931

    Reference: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR
    2016, arXiv:1512.00567, section 7 (cross-entropy to one class, and its gradient).
    """

    same_shape = False

    def prepared(self, y_true: Any, logits: keras.KerasTensor) -> Any:
        return hard(y_true, logits)

    def formula(self) -> Formula:
        return cross_entropy()
