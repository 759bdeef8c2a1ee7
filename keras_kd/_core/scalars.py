"""A number that may follow the training step: a float, or a Keras schedule."""

from typing import Any, TypeAlias, TypeGuard

import numpy as np
from keras.optimizers.schedules import LearningRateSchedule

#: What stands wherever a float stands: a constant, or a schedule read at the current step.
Number: TypeAlias = float | LearningRateSchedule


def at(number: Number, step: Any) -> Any:
    """The value of `number` at `step`: itself when constant, a scalar tensor when scheduled."""
    return number(step) if isinstance(number, LearningRateSchedule) else number


def positive(value: Number, argument: str) -> Number:
    """`value`, checked as far as a constant can be: a schedule is trusted."""
    if isinstance(value, LearningRateSchedule):
        return value
    if not is_number(value) or not 0 < value < float("inf"):
        raise ValueError(
            f"`{argument}` must be a number above 0 (and finite) or a "
            f"keras.optimizers.schedules.LearningRateSchedule. Received: {argument}={value!r}."
        )
    return _plain_number(value)


def finite(value: Number, argument: str) -> Number:
    """`value`, checked to be a finite number or a schedule."""
    if isinstance(value, LearningRateSchedule):
        return value
    if not is_number(value) or not abs(value) < float("inf"):
        raise ValueError(
            f"`{argument}` must be a finite number or a "
            f"keras.optimizers.schedules.LearningRateSchedule. Received: {argument}={value!r}."
        )
    return _plain_number(value)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a number, NumPy's among them; `True` is none."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _plain_number(value: Any) -> Any:
    """NumPy's numbers as Python's, which any file can hold."""
    return value.item() if isinstance(value, np.generic) else value


def count(value: int, argument: str, least: int = 1, most: int | None = None) -> int:
    """`value`, checked to be a whole number from `least` to `most`, NumPy's among them."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(
            f"`{argument}` must be a whole number {bounds}. Received: {argument}={value!r}."
        )
    return int(value)


def plain(value: Any) -> Any:
    """A scalar tensor as the float it holds, which older Keras leaves as a tensor in its logs."""
    return value if len(getattr(value, "shape", ())) else float(value)
