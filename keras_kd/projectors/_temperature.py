"""A temperature that makes the lesson harder as training goes on."""

import math
from typing import Any

import keras
from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import finite, positive
from keras_kd._core.tensors import Tensor


@serializable
class Temperature(keras.layers.Layer):
    """Logits, and a trained temperature that works against the learner.

    `T = lowest + span · σ(θ)`

    `θ` is one trained number. Its gradient is reversed, so that it looks for the temperature at
    which the learner does worst, and multiplied by `λ`, which rises from 0 to 1 along a cosine
    over `steps` training steps: an easy lesson first.

    Shapes: logits `(batch, ..., classes)` -> a pair: the logits as they are, and `T`, a scalar.

    Args:
        steps: Training steps until `λ` is 1. Defaults to `1`, at once; the paper takes 10 epochs.
        lowest: The temperature that is never gone below. Defaults to `1.0`.
        span: Width of the range above it. Defaults to `20.0`.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If `steps` is not above 0.

    Example:

    >>> logits, temperature = keras_kd.projectors.Temperature()(np.zeros((2, 10)))
    >>> round(float(temperature), 4)  # 1 + 20 · σ(1)
    15.6212

    Reference: Li et al., "Curriculum Temperature for Knowledge Distillation", AAAI 2023,
    arXiv:2211.16231, section 3.
    """

    keeps_logits = True

    def __init__(self, steps: int = 1, *, lowest: float = 1.0, span: float = 20.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.steps, self.span = positive(steps, "steps"), finite(span, "span")
        self.lowest = positive(lowest, "lowest")

    def build(self, input_shape: Any) -> None:
        self.theta = self.add_weight(name="theta", shape=(), initializer="ones", autocast=False)
        # Counted by each replica for itself: they take the same steps.
        self.taken = self.add_weight(
            name="taken", shape=(), initializer="zeros", trainable=False, autocast=False
        )

    def strength(self) -> Any:
        """`λ` now."""
        done = ops.minimum(self.taken / self.steps, 1.0)
        return 0.5 * (1.0 - ops.cos(math.pi * done))

    def call(self, logits: Tensor, training: bool | None = None) -> tuple:
        strength = ops.stop_gradient(self.strength())
        theta = self.theta + 0.0
        # As it is going forward, times -λ going back.
        theta = ops.stop_gradient((1.0 + strength) * theta) - strength * theta
        if training:
            self.taken.assign(self.taken + 1.0)
        return logits, self.lowest + self.span * ops.sigmoid(theta)

    def get_config(self) -> dict[str, Any]:
        own = {"steps": self.steps, "lowest": self.lowest, "span": self.span}
        return {**super().get_config(), **own}
