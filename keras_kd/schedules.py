"""Schedules: numbers that follow the training step, legal wherever a float is.

Those of `keras.optimizers.schedules` serve as well; these are the ones that papers on distillation
use for their weights.
"""

import math
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import finite, positive


def _share(step: Any, steps: Any) -> Any:
    """How much of `steps` is done, from 0 to 1."""
    return ops.minimum(ops.cast(step, "float32") / steps, 1.0)


class _Rise(LearningRateSchedule):
    """From nothing to `value` in `steps` steps."""

    def __init__(self, value: float, steps: int):
        super().__init__()
        self.value, self.steps = finite(value, "value"), positive(steps, "steps")

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value, "steps": self.steps}


@serializable
class Linear(LearningRateSchedule):
    """A number that goes from one value to another along a line, and stays there.

    `start + (end - start) · min(step / steps, 1)`

    Args:
        start: Its value at the first step.
        end: Where it ends.
        steps: Training steps until then.

    Raises:
        ValueError: If `start` or `end` is not finite, or `steps` not above 0.

    Example:

    >>> share = keras_kd.schedules.Linear(0.0, 1.0, steps=500)
    >>> float(share(125)), float(share(600))
    (0.25, 1.0)
    """

    def __init__(self, start: float, end: float, steps: int):
        super().__init__()
        self.start, self.end = finite(start, "start"), finite(end, "end")
        self.steps = positive(steps, "steps")

    def __call__(self, step: Any) -> Any:
        return self.start + (self.end - self.start) * _share(step, self.steps)

    def get_config(self) -> dict[str, Any]:
        return {"start": self.start, "end": self.end, "steps": self.steps}


@serializable
class LinearWarmup(_Rise):
    """A number that rises from 0 to its value along a line, and stays there.

    `value · min(step / steps, 1)`

    Args:
        value: Where it ends.
        steps: Training steps until then.

    Raises:
        ValueError: If `steps` is not above 0.

    Example:

    >>> float(keras_kd.schedules.LinearWarmup(8.0, steps=100)(25))
    2.0

    Reference: Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022, arXiv:2203.08679,
    whose distillation weight warms up over 20 epochs.
    """

    def __call__(self, step: Any) -> Any:
        return self.value * _share(step, self.steps)


@serializable
class SigmoidWarmup(_Rise):
    """A number that rises from nearly 0 to its value along half a bell, and stays there.

    `value · exp(-5 · (1 - min(step / steps, 1))²)`

    Args:
        value: Where it ends.
        steps: Training steps until then.

    Raises:
        ValueError: If `steps` is not above 0.

    Example:

    >>> round(float(keras_kd.schedules.SigmoidWarmup(1.0, steps=100)(50)), 4)  # exp(-5 / 4)
    0.2865

    Reference: Tarvainen, Valpola, "Mean teachers are better role models", NIPS 2017,
    arXiv:1703.01780, appendix B.
    """

    def __call__(self, step: Any) -> Any:
        return self.value * ops.exp(-5.0 * ops.square(1.0 - _share(step, self.steps)))


@serializable
class CosineWarmup(_Rise):
    """A number that rises from 0 to its value along half a cosine, and stays there.

    `value · (1 - cos(π · min(step / steps, 1))) / 2`

    Args:
        value: Where it ends.
        steps: Training steps until then.

    Raises:
        ValueError: If `steps` is not above 0.

    Example:

    >>> round(float(keras_kd.schedules.CosineWarmup(1.0, steps=100)(50)), 4)
    0.5

    Reference: Li et al., "Curriculum Temperature for Knowledge Distillation", AAAI 2023,
    arXiv:2211.16231, section 3.3.
    """

    def __call__(self, step: Any) -> Any:
        return self.value * 0.5 * (1.0 - ops.cos(math.pi * _share(step, self.steps)))


@serializable
class Adjustable(LearningRateSchedule):
    """A number that stays as it is until it is set, while training runs and nothing is retraced.

    For the weight of a `Term` or of `Labels`, which keep it with the distiller: what it was set to
    is saved and restored. `keras_kd.callbacks.Plateau` sets it; so may a callback of your own.

    Args:
        value: What it is at first.

    Raises:
        ValueError: If `value` is not a finite number.

    Example:

    >>> weight = keras_kd.schedules.Adjustable(0.9)
    >>> weight.assign(0.25)
    >>> weight.now, float(weight(step=1000))
    (0.25, 0.25)
    """

    def __init__(self, value: float):
        super().__init__()
        if isinstance(value, LearningRateSchedule):
            raise ValueError(f"`value` must be a finite number. Received: value={value!r}.")
        self.value = finite(value, "value")
        self.variable = keras.Variable(
            float(value), dtype="float32", trainable=False, name="adjustable",
            aggregation="only_first_replica",
        )  # fmt: skip

    def __call__(self, step: Any) -> Any:
        return ops.convert_to_tensor(self.variable)

    @property
    def now(self) -> float:
        """What it is now."""
        return float(ops.convert_to_numpy(self.variable))

    def assign(self, value: float) -> None:
        """Sets it, from the next step on."""
        self.variable.assign(finite(value, "value"))

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}
