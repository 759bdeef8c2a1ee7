"""Soft targets that are softened on the teacher's side alone."""

from typing import Any

from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._custom_gradients import Formula
from keras_kd.losses._rows import RowLoss


@serializable
class TransformedTeacher(RowLoss):
    """Soft target between the softened teacher and the student as it is.

    A softmax at a temperature is the same as raising probabilities to a power and normalizing them.
    Here only the teacher's are: the student has to become as soft by itself. It is `T` times the usual
    soft target without its `T²`, less `T - 1` times the student's Rényi entropy of the order `1/T`
    (and what depends on the teacher alone), so a student that is too sure pays for it.

    With `p = softmax(y_true)`, `p_T = p^(1/T) / Σ_c p_c^(1/T)` and `q = softmax(y_pred)`:

    `loss = KL(p_T ‖ q)`

    and, `weighted`, `loss = U · KL(p_T ‖ q)` with the power sum `U = Σ_c p_c^(1/T)`, which is the
    larger the softer the teacher is on the example: from 1 where it is certain to `classes^(1 - 1/T)`.
    There is no factor `T²`, as in the paper, for the student's slope is not divided by `T`.

    Shapes: `y_true`, `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        temperature: Softening `T` of the teacher, above 0; a float or a schedule; the paper's exponent
            is `1/T`. Defaults to `4.0`.
        weighted: Whether each example has the weight `U`. Defaults to `False`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0.

    Example:

    >>> teacher, student = [[2.0, 0.0]], [[0.0, 0.0]]
    >>> loss = keras_kd.losses.TransformedTeacher(temperature=2.0)
    >>> round(float(loss(teacher, student)), 4)  # ln 2 minus the entropy of (.731, .269)
    0.1109
    >>> weighted = keras_kd.losses.TransformedTeacher(temperature=2.0, weighted=True)
    >>> round(float(weighted(teacher, student)), 4)  # times .881^½ + .119^½
    0.1424

    Reference: Zheng, Yang, "Knowledge Distillation Based on Transformed Teacher Matching", ICLR 2024,
    arXiv:2402.11148, sections 3 and 4.
    """

    def __init__(self, temperature: Number = 4.0, weighted: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.temperature = positive(temperature, "temperature")
        if not isinstance(weighted, bool):
            raise ValueError(f"`weighted` must be True or False. Received: weighted={weighted!r}.")
        self.weighted = weighted

    def formula(self) -> Formula:
        def weight(t: Tensor) -> Tensor:
            """`U`, one for each row."""
            return ops.exp(ops.logsumexp(ops.log_softmax(t, axis=-1) / self.temperature, axis=-1))

        def value(t: Tensor, s: Tensor) -> Tensor:
            log_p = ops.log_softmax(t / self.temperature, axis=-1)
            gap = log_p - ops.log_softmax(s, axis=-1)
            found = ops.sum(ops.exp(log_p) * gap, axis=-1)
            return weight(t) * found if self.weighted else found

        def gradient(t: Tensor, s: Tensor) -> Tensor:
            slope = ops.softmax(s, axis=-1) - ops.softmax(t / self.temperature, axis=-1)
            return ops.expand_dims(weight(t), -1) * slope if self.weighted else slope

        return value, gradient
