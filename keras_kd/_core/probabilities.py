"""What numbers look like: probabilities, where logits were expected.

Decided from the values alone, and only where true logits cannot look so by accident: several rows
have to agree. Zeros do not count, for padding and fresh heads give them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops

from keras_kd._core.tensors import Tensor

#: So many rows, or examples, make an accident impossible.
ENOUGH = 8
#: What rounding takes from a sum of 1: bfloat16 has eight bits.
ROUNDING = 5e-3
#: A probability that a trained sigmoid is sure of.
SURE = 0.02


class Looks(NamedTuple):
    """Counts of rows and of numbers, from which `read` decides what they are."""

    distributions: Any  # rows that are nowhere negative and sum to 1
    others: Any  # rows that do not, zeros left out
    no: Any  # numbers just above 0
    yes: Any  # numbers from 1/2 to 1
    ones: Any
    zeros: Any
    sure: Any  # numbers just above 0 or just below 1
    outside: Any  # numbers below 0 or above 1
    numbers: Any
    lowest: Any  # numbers that are -inf

    @property
    def softmax(self) -> bool:
        """Whether these can only be the probabilities of classes."""
        return bool(self.distributions >= ENOUGH and self.others == 0)

    @property
    def sigmoid(self) -> bool:
        """Whether these can only be probabilities that are each of their own."""
        if self.outside:
            return False
        hard = self.ones + self.zeros == self.numbers and min(self.ones, self.zeros) >= ENOUGH
        apart = self.no >= 2 * ENOUGH and self.yes > 0
        return bool(hard or (apart and 4 * self.sure >= self.numbers - self.zeros))


def looks(x: Tensor) -> Tensor:
    """The counts of `Looks` for a tensor `(batch, ..., n)`, as one tensor."""
    x = ops.stop_gradient(ops.cast(x, "float32"))
    if len(x.shape) < 2:
        x = ops.reshape(x, (-1, 1))
    total, lowest = ops.sum(x, axis=-1), ops.min(x, axis=-1)
    sums = ops.logical_and(lowest >= 0.0, ops.abs(total - 1.0) <= ROUNDING)
    empty = ops.logical_and(lowest >= 0.0, total == 0.0)
    others = ops.logical_not(ops.logical_or(sums, empty))
    if x.shape[-1] == 1:  # one number is no choice
        sums = ops.zeros_like(sums)
    inside = ops.logical_and(x >= 0.0, x <= 1.0)
    no = ops.logical_and(x > 0.0, x <= SURE)
    yes = ops.logical_and(inside, x >= 0.5)
    sure = ops.logical_or(no, ops.logical_and(inside, x >= 1.0 - SURE))
    counted = Looks(
        sums, others, no, yes, x == 1.0, x == 0.0, sure, ops.logical_not(inside),
        ops.ones_like(inside), x == float("-inf"),
    )  # fmt: skip
    return ops.stack([ops.sum(ops.cast(found, "float32")) for found in counted])


def read(counts: Sequence[float]) -> Looks:
    """The counts as numbers."""
    return Looks(*(float(count) for count in counts))
