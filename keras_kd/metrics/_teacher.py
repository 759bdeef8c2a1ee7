"""How like the teacher: the same choice, a choice among the first, the same probabilities."""

from typing import Any

from keras import ops

from keras_kd._core.messages import shape_of
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses import SparseSoftTarget
from keras_kd.metrics._base import TeacherMetric


@serializable
class Agreement(TeacherMetric):
    """Share of examples for which student and teacher predict the same class.

    Needs no labels. It shows what accuracy does not: a student can be as accurate as its teacher
    and make other errors.

    `agreement = mean[ argmax y_true = argmax y_pred ]`

    Of equal logits the first class is predicted; a prediction with NaN never agrees. One logit
    predicts by its sign. With `multi_label=True` it is the share of yes-no decisions that are the
    same. Where the teacher's largest logits alone were stored, those serve.

    Shapes: `y_true`, `y_pred` `(batch, ..., classes)`, or `(batch, 1)`.

    Args:
        target: Address of the teacher's signal. Defaults to `None`: `"teacher:output"`.
        pred: Address of the student's signal. Defaults to `None`: the output that the metric is
            listed for.
        from_logits: Whether both outputs are logits; else probabilities. Defaults to `True`.
        multi_label: Whether each column is a yes-no question of its own. Defaults to `False`.
        **kwargs: `name`, `dtype` as in `keras.metrics.Metric`.

    Raises:
        ValueError: If an address is malformed, or the two outputs differ in shape.

    Example:

    >>> metric = keras_kd.metrics.Agreement()
    >>> metric.update_state([[2.0, 0.0], [0.0, 1.0]], [[0.5, 0.0], [3.0, 1.0]])
    >>> float(metric.result())
    0.5

    Reference: Stanton et al., "Does Knowledge Distillation Really Work?", NeurIPS 2021,
    arXiv:2106.05945, section 3.2, top-1 agreement.
    """

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        choice, outputs = _choice(self, y_true, y_pred)
        same = ops.equal(choice, ops.argmax(outputs, axis=-1))
        return ops.cast(ops.logical_and(same, _without_nan(y_true, outputs)), self.dtype)


@serializable
class TopKAgreement(TeacherMetric):
    """Share of examples whose first class, for the teacher, is among the student's first `k`.

    For many classes, where the first few are all good predictions. Of equal logits the first class
    stands first, so that `k=1` is `Agreement`; a prediction with NaN never agrees.

    Shapes: `y_true`, `y_pred` `(batch, ..., classes)`.

    Args:
        k: How many of the student's classes count, at least 1. Defaults to `5`.
        target: Address of the teacher's signal. Defaults to `None`: `"teacher:output"`.
        pred: Address of the student's signal. Defaults to `None`: the output that the metric is
            listed for.
        **kwargs: `from_logits`, `multi_label`, `name`, `dtype` as in `Agreement`.

    Raises:
        ValueError: If `k` is not from 1 to the number of classes, or the two outputs differ in
            shape.

    Example:

    >>> metric = keras_kd.metrics.TopKAgreement(k=2)
    >>> metric.update_state([[2.0, 0.0, 0.0]] * 2, [[1.0, 3.0, 0.0], [0.0, 1.0, 2.0]])
    >>> float(metric.result())
    0.5
    """

    def __init__(
        self, k: int = 5, *, target: str | None = None, pred: str | None = None, **kwargs: Any
    ):
        super().__init__(target=target, pred=pred, **kwargs)
        self.k = count(k, "k")

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        choice, outputs = _choice(self, y_true, y_pred)
        if self.k > outputs.shape[-1]:
            raise ValueError(
                f"`k` must be at most the number of classes, {outputs.shape[-1]}. "
                f"Received: k={self.k}."
            )
        choice = ops.cast(ops.expand_dims(choice, -1), "int32")
        own, place = ops.take_along_axis(outputs, choice, axis=-1), ops.arange(outputs.shape[-1])
        equal_before = ops.logical_and(outputs == own, place < choice)
        before = ops.sum(ops.cast(ops.logical_or(outputs > own, equal_before), "int32"), axis=-1)
        return ops.cast(ops.logical_and(before < self.k, _without_nan(y_true, outputs)), self.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k}


@serializable
class TeacherKL(TeacherMetric):
    """Mean Kullback-Leibler divergence from the teacher's probabilities to the student's, in nats.

    With `p = softmax(y_true / T)` and `q = softmax(y_pred / T)`:

    `kl = mean[ Σ_c p_c · (log p_c - log q_c) ]`

    There is no factor `T²` here: that belongs to the gradient of a loss. One logit is a choice
    between two classes; with `multi_label=True` the value is the mean over the questions. Where
    the teacher's largest logits alone were stored, the other classes count as one, and
    the value is never above the one of all logits.

    Shapes: `y_true`, `y_pred` logits `(batch, ..., classes)`, or `(batch, 1)`.

    Args:
        temperature: Softening `T`, above 0. Defaults to `1.0`.
        target: Address of the teacher's signal. Defaults to `None`: `"teacher:output"`.
        pred: Address of the student's signal. Defaults to `None`: the output that the metric is
            listed for.
        **kwargs: `from_logits`, `multi_label`, `name`, `dtype` as in `Agreement`. Probabilities
            are softened as logits are, by way of their logarithms.

    Raises:
        ValueError: If `temperature` is not above 0, or the two outputs differ in shape.

    Example:

    >>> metric = keras_kd.metrics.TeacherKL()
    >>> metric.update_state([[2.0, 0.0]], [[0.0, 0.0]])
    >>> round(float(metric.result()), 4)  # ln 2 minus the entropy of (0.881, 0.119)
    0.3278

    Reference: Stanton et al., "Does Knowledge Distillation Really Work?", NeurIPS 2021,
    arXiv:2106.05945, section 3.2, predictive KL.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        target: str | None = None,
        pred: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(target=target, pred=pred, **kwargs)
        positive(temperature, "temperature")
        self.temperature = float(temperature)

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if isinstance(y_true, tuple):
            _check_largest(self, y_true)
            divergence = SparseSoftTarget(self.temperature, dtype=self.dtype)
            target = tuple(ops.cast(signal, self.dtype) for signal in y_true)
            student = self._log_probabilities(y_pred)
            return divergence.call(target, student) / self.temperature**2
        log_p, log_q = (
            ops.log_softmax(side / self.temperature, axis=-1) for side in self.both(y_true, y_pred)
        )
        return ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


def _without_nan(y_true: Tensor, student: Tensor) -> Tensor:
    """Where neither the teacher's output nor the student's holds a NaN."""
    teacher = y_true[0] if isinstance(y_true, tuple) else ops.convert_to_tensor(y_true)
    if len(teacher.shape) == len(student.shape) - 1:  # a question in each column
        teacher = ops.expand_dims(teacher, axis=-1)
    nan = [ops.any(ops.isnan(side), axis=-1) for side in (teacher, student)]
    return ops.logical_not(ops.logical_or(*nan))


def _choice(metric: TeacherMetric, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """The class that the teacher chooses, and the student's log-probabilities."""
    if not isinstance(y_true, tuple):
        teacher, student = metric.both(y_true, y_pred)
        return ops.argmax(teacher, axis=-1), student
    _check_largest(metric, y_true)
    largest, classes, _ = y_true  # as stored: the largest logits, their classes, log-sum-exp
    student = metric._log_probabilities(y_pred)
    if shape_of(largest)[:-1] != shape_of(student)[:-1]:
        raise ValueError(
            f"Metric '{metric.name}': the teacher's stored logits have the shape "
            f"{shape_of(largest)}, the student's outputs {shape_of(student)}."
        )
    first = ops.expand_dims(ops.argmax(largest, axis=-1), -1)
    choice = ops.take_along_axis(ops.cast(classes, "int32"), ops.cast(first, "int32"), axis=-1)
    return ops.squeeze(choice, axis=-1), student


def _check_largest(metric: TeacherMetric, y_true: Any) -> None:
    if len(y_true) != 3:
        raise ValueError(
            f"Metric '{metric.name}' needs all of the teacher's logits or the largest, and the store "
            "has classes that were drawn: from these its choice and its probabilities cannot be told. "
            "Leave the metric out, or write the store with `top_k`."
        )
