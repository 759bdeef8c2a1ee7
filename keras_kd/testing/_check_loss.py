"""`check_loss`: the contract, for losses of one's own."""

from collections.abc import Callable
from typing import Any

from keras_kd.losses import Loss
from keras_kd.testing._case import Contract, LossCase
from keras_kd.testing._checks import CHECKS


def check_loss(
    loss: type[Loss], oracle: Callable[..., Any], case: LossCase | None = None
) -> list[str]:
    """Checks that a loss of your own computes what its formula states, on the backend in use.

    A wrong loss seldom fails: it trains, a little worse. So each check compares with something that
    the loss's code has no part in, above all with an *oracle*: the formula written once more, in
    NumPy, so plainly that it can be read against the page. Every loss of this package passes.

    The checks: the values are the oracle's, one per example, in float32; the minimum is where the
    sides agree; the order of the batch does not matter; `relational` states whether examples depend
    on one another; sample weights count; the gradient is the oracle's, by differences; values and
    gradients are finite at 1e4; rows without variation pull no harder than others; half precision
    is computed in float32; the config brings the loss back; schedules are read at the step;
    compiled is as eager.

    Args:
        loss: The class, a subclass of `keras_kd.losses.Loss`; made as `loss(**constants)`.
        oracle: `oracle(target, pred, **constants)` gives the values `(4, ...)` from float64 arrays.
        case: A `LossCase`: inputs and settings. Defaults to logits of six classes.

    Returns:
        The names of the checks that it passed. Checks that do not apply are left out.

    Raises:
        AssertionError: If it breaks any check; the message names all of them, and how.
        TypeError: If `loss` is no subclass of `keras_kd.losses.Loss`.

    Example:

    >>> class Squared(keras_kd.losses.Loss):
    ...     def call(self, y_true, y_pred):
    ...         return ops.sum(ops.square(y_pred - y_true), axis=-1)
    >>> def oracle(target, pred):
    ...     return ((target - pred) ** 2).sum(axis=-1)
    >>> with keras.saving.custom_object_scope({"Squared": Squared}):
    ...     passed = keras_kd.testing.check_loss(Squared, oracle)
    >>> "gradient_equals_differences" in passed
    True
    """
    if not (isinstance(loss, type) and issubclass(loss, Loss)):
        raise TypeError(
            "`loss` must be a class, a subclass of keras_kd.losses.Loss: give the class itself, and "
            f"its settings as LossCase(constants=...). Received: {loss!r}."
        )
    contract = Contract(loss, oracle, case or LossCase())
    passed, broken = [], []
    for check in CHECKS:
        try:
            if check(contract) is None:
                passed.append(check.__name__)
        except Exception as error:  # a loss that cannot even be run breaks the check as well
            broken.append(f"{check.__name__}: {type(error).__name__}: {str(error).strip()}")
    if broken:
        raise AssertionError(
            f"{loss.__name__} breaks {len(broken)} of {len(CHECKS)} checks.\n\n"
            + "\n\n".join(broken)
        )
    return passed
