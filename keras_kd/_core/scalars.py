"""A number that may follow the training step: a float, or a Keras schedule."""

from typing import Any, TypeAlias

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
    if not _is_number(value) or not 0 < value < float("inf"):
        raise ValueError(
            f"`{argument}` must be a number above 0 (and finite) or a "
            f"keras.optimizers.schedules.LearningRateSchedule. Received: {argument}={value!r}."
        )
    return value


def finite(value: Number, argument: str) -> Number:
    """`value`, checked to be a finite number or a schedule."""
    if isinstance(value, LearningRateSchedule):
        return value
    if not _is_number(value) or not abs(value) < float("inf"):
        raise ValueError(
            f"`{argument}` must be a finite number or a "
            f"keras.optimizers.schedules.LearningRateSchedule. Received: {argument}={value!r}."
        )
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def count(value: int, argument: str) -> int:
    """`value`, checked to be a whole number of at least 1, NumPy's among them."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"`{argument}` must be a whole number of at least 1. Received: {argument}={value!r}."
        )
    return int(value)


def plain(value: Any) -> Any:
    """A scalar tensor as the float it holds, which older Keras leaves to whoever reads its logs."""
    return value if len(getattr(value, "shape", ())) else float(value)
