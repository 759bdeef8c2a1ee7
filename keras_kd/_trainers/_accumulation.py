"""Keras's accumulation of gradients, where micro batches do not hold as many positions that count.

Keras takes the mean of the micro batches' gradients. Each is weighed here by its positions, so that
a step of k micro batches is the step on all of them at once.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_kd._core.keras_private import accumulated

if TYPE_CHECKING:  # the other half is a keras.Model with the distiller's methods
    from keras import Model as Base
else:
    Base = object


class Accumulating(Base):
    """What a step does to gradients that the optimizer accumulates."""

    #: Positions that counted in the micro batches of the step so far.
    _positions: keras.Variable | None = None

    def _count_positions(self) -> None:
        """Makes room for their number, once, where the optimizer accumulates."""
        if self.optimizer.gradient_accumulation_steps and self._positions is None:
            self._positions = self.add_weight(
                name="positions", shape=(), initializer="zeros", trainable=False,
                aggregation="only_first_replica",
            )  # fmt: skip

    def _over_replicas(self, count: Any) -> Any:
        """The sum of what each replica counted."""
        return count

    def _weighed(self, gradients: Sequence[Any], weights: Sequence[Any], outcome: Any) -> list[Any]:
        """A micro batch's gradients, as the optimizer is to add them to those before.

        With `n` positions in this one and `N` in those before, `k · g · n / (N + n)`; and of what
        is accumulated already, the share `N / (N + n)` is to stay. The optimizer divides by `k`.
        """
        steps = self.optimizer.gradient_accumulation_steps
        outputs = keras.tree.flatten(outcome.outputs)
        if not steps or self._positions is None or all(len(x.shape) < 3 for x in outputs):
            return list(gradients)
        # Terms count the same positions; those that count labels or examples have fewer.
        counts = [ops.cast(count, "float32") for count in outcome.counts]
        count = self._over_replicas(ops.max(ops.stack(counts)))
        if not self.optimizer.built:
            self.optimizer.build(weights)
        done, before = accumulated(self.optimizer, weights)
        positions = ops.where(ops.equal(done, 0), 0.0, ops.convert_to_tensor(self._positions))
        self._positions.assign(positions + count)
        share = float(steps) * ops.divide_no_nan(count, positions + count)
        lost = ops.divide_no_nan(count, positions + count)
        return [
            None
            if gradient is None
            else ops.convert_to_tensor(gradient) * ops.cast(share, variable.dtype)
            - ops.convert_to_tensor(sum_before) * ops.cast(lost, variable.dtype)
            for gradient, variable, sum_before in zip(gradients, weights, before, strict=True)
        ]
