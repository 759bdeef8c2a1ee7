"""Total variation: the probability that two distributions do not share."""

from typing import Any

from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._custom_gradients import Formula
from keras_kd.losses._rows import RowLoss


@serializable
class TotalVariation(RowLoss):
    """Half the sum of the absolute differences of two distributions.

    In speculative decoding a small model drafts tokens, and the large one accepts each with the
    probability that both distributions share, on average `1 - loss`: this loss is what a draft is
    not accepted for. It is bounded by 1; its gradient vanishes where the student gives nothing to
    what the teacher predicts, so a divergence beside it helps at first (`keras_kd.recipes.draft`).

    With `p = softmax(y_true / T)` and `q = softmax(y_pred / T)`:

    `loss = ½ · Σ_c |p_c - q_c| = 1 - Σ_c min(p_c, q_c)`

    There is no factor `T²`.

    Shapes: `y_true`, `y_pred` logits `(batch, ..., classes)`; one value per `(batch, ...)`.

    Args:
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `1.0`.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If `temperature` is not above 0.

    Example:

    >>> loss = keras_kd.losses.TotalVariation()
    >>> round(float(loss([[0.0, 0.0]], [[2.0, 0.0]])), 4)  # .881 - .5
    0.3808

    Reference: Zhou et al., "DistillSpec: Improving Speculative Decoding via Knowledge
    Distillation", ICLR 2024, arXiv:2310.08461, section 3; Leviathan, Kalman, Matias, "Fast Inference
    from Transformers via Speculative Decoding", ICML 2023, arXiv:2211.17192, section 3.2.
    """

    def __init__(self, temperature: Number = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.temperature = positive(temperature, "temperature")

    def formula(self) -> Formula:
        return self._value, self._gradient

    def _gap(self, target: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        q = ops.softmax(logits / self.temperature, axis=-1)
        return q, q - ops.softmax(target / self.temperature, axis=-1)

    def _value(self, target: Tensor, logits: Tensor) -> Tensor:
        return 0.5 * ops.sum(ops.abs(self._gap(target, logits)[1]), axis=-1)

    def _gradient(self, target: Tensor, logits: Tensor) -> Tensor:
        q, gap = self._gap(target, logits)
        gain = 0.5 * ops.sign(gap)
        return q * (gain - ops.sum(q * gain, axis=-1, keepdims=True)) / self.temperature
