"""The loss between directional derivatives: how two models' outputs change with the input."""

from keras import ops

from keras_kd._core.geometry import flat
from keras_kd._core.registry import serializable
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss


@serializable
class JacobianMatch(Loss):
    """Squared difference of the outputs' derivatives along a direction of the input.

    Outputs that are equal at the examples may still differ between them. Matching the derivatives
    too takes more from each example, and helps most where examples are few.

    With `J` the Jacobians of the outputs by the input, and a direction `v`:

    `loss = Σ_c (J_pred v - J_true v)²_c`

    The signals `"student:jvp"` and `"teacher:jvp"` are `J v`, exact, in inference, of a
    direction of standard normal numbers that is drawn for each example and step and is the same
    for all models. The mean over such directions is the squared Frobenius norm of
    `J_pred - J_true`.

    Shapes: `y_true`, `y_pred` `(batch, ...)`, as the outputs; one value per example.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.JacobianMatch()
    >>> round(float(loss([[1.0, 2.0]], [[2.0, 4.0]])), 4)  # 1² + 2²
    5.0

    Reference: Czarnecki et al., "Sobolev Training for Neural Networks", NIPS 2017,
    arXiv:1706.04859, section 2 (derivatives along random directions); Srinivas, Fleuret,
    "Knowledge Transfer with Jacobian Matching", ICML 2018, arXiv:1803.00443, section 3.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.sum(ops.square(flat(y_pred) - flat(y_true)), axis=-1)
