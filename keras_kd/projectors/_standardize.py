"""Features on one scale: each channel by its mean and deviation over the data."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.shapes import channel_axis, channels, position_axes
from keras_kd._core.tensors import Tensor

#: A channel whose deviation is below this share of its mean is constant, and what it has of
#: deviation comes of rounding: divided by that, it would be noise as large as any other channel.
_CONSTANT = 1e-4
#: A variance below this is none.
_NONE = 1e-12


@serializable
class Standardize(keras.layers.Layer):
    """Each channel brought to mean 0 and variance 1, by the statistics of the data.

    For targets of several teachers, or of one whose channels differ in size: as the
    `target_projector` of a term. The statistics are given, or gathered from all batches of
    training: after an epoch they are those of the data set. It learns nothing, and outside of
    training its weights stay as they are. Before the first batch it changes nothing.

    `y = (x - mean) / sqrt(variance)`

    over all examples and positions, channel by channel. A channel whose deviation is below a
    ten-thousandth of its mean is constant, but for rounding: its mean alone is taken off.

    Under `tf.distribute` each replica gathers statistics of its own.

    Shapes: `(batch, ..., channels)` -> the same; maps have their channels first when
    `keras.config.image_data_format()` is `"channels_first"`.

    Args:
        mean: The mean of each channel, or one for all. Defaults to `None`: gathered.
        variance: The variance of each channel, or one for all. Defaults to `None`: gathered.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If one of `mean` and `variance` is given without the other, if a variance is
            below 0, or if their number is not that of the channels.

    Example:

    >>> layer = keras_kd.projectors.Standardize()
    >>> y = layer(np.array([[1.0, 10.0], [3.0, 50.0]]), training=True)
    >>> np.round(keras.ops.convert_to_numpy(y), 2).tolist()  # means 2 and 30, deviations 1 and 20
    [[-1.0, -1.0], [1.0, 1.0]]

    Reference: Shang et al., "Theia: Distilling Diverse Vision Foundation Models for Robot
    Learning", CoRL 2024, arXiv:2407.20179, section 3; Ranzinger et al., "PHI-S: Distribution
    Balancing for Label-Free Multi-Teacher Distillation", 2024, arXiv:2410.01680, compares it with
    others.
    """

    def __init__(
        self,
        mean: float | Sequence[float] | None = None,
        variance: float | Sequence[float] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if (mean is None) != (variance is None):
            raise ValueError(
                "`mean` and `variance` are given together, or neither to have them gathered. "
                f"Received: mean={mean!r}, variance={variance!r}."
            )
        self.given = None if mean is None else (_listed(mean), _listed(variance))
        if self.given is not None and not all(v >= 0 for v in self.given[1]):
            raise ValueError(f"`variance` is 0 or more. Received: variance={variance!r}.")

    def build(self, input_shape: Any) -> None:
        count = channels(tuple(input_shape))
        if self.given is not None:
            for argument, values in zip(("mean", "variance"), self.given, strict=True):
                if len(values) not in (1, count):
                    raise ValueError(
                        f"`{argument}` has one number for each channel, or one for all. Received "
                        f"{len(values)} numbers for {count} channels."
                    )
            return
        self.mean, self.variance = (
            self.add_weight(
                name=name, shape=(count,), initializer=start, trainable=False, autocast=False
            )
            for name, start in (("mean", "zeros"), ("variance", "ones"))
        )
        self.seen = self.add_weight(
            name="seen", shape=(), initializer="zeros", trainable=False, autocast=False
        )

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        values = ops.cast(x, "float32")
        if self.given is not None:
            mean, variance = (ops.convert_to_tensor(v, "float32") for v in self.given)
        elif training:
            mean, variance = self._gathered(ops.stop_gradient(values))
        else:
            mean, variance = map(ops.convert_to_tensor, (self.mean, self.variance))
        shape = [1] * len(x.shape)
        shape[channel_axis(len(x.shape))] = -1
        constant = variance <= ops.square(_CONSTANT * mean) + _NONE
        spread = ops.sqrt(ops.where(constant, 1.0, variance))
        values = (values - ops.reshape(mean, shape)) / ops.reshape(spread, shape)
        return ops.cast(values, self.compute_dtype)

    def _gathered(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The statistics of all batches so far and this one, kept."""
        axes = (0, *position_axes(len(x.shape)))
        here, spread = ops.mean(x, axes), ops.var(x, axes)
        rows = ops.cast(ops.size(x) // x.shape[channel_axis(len(x.shape))], "float32")
        seen, mean, variance = map(ops.convert_to_tensor, (self.seen, self.mean, self.variance))
        share = ops.divide_no_nan(rows, seen + rows)
        gap = here - mean
        # All of them before the first assignment, which may reach what was read.
        rest = 1.0 - share
        now = rest * variance + share * (spread + rest * ops.square(gap))
        center, total = mean + share * gap, seen + rows
        self.seen.assign(total)
        self.mean.assign(center)
        self.variance.assign(now)
        return center, now

    def get_config(self) -> dict[str, Any]:
        mean, variance = self.given or (None, None)
        return {**super().get_config(), "mean": mean, "variance": variance}


def _listed(values: Any) -> list[float]:
    return [float(value) for value in np.ravel(values)]
