"""Logits that are not computed: what enters a model's last layer, and that layer's weights."""

from typing import Any, NamedTuple

from keras import ops

from keras_kd._core.tensors import Tensor


class Factors(NamedTuple):
    """The factors of logits, `hidden · kernel + bias`.

    What the address `"role:factors"` gives in place of the logits of `"role:output"`.

    Args:
        hidden: What enters the last layer, `(batch, ..., features)`.
        kernel: Its weights, `(features, classes)`.
        bias: What it adds, `(classes,)`.
    """

    hidden: Any
    kernel: Any
    bias: Any

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits of rows `hidden`, `(rows, features)`."""
        logits = ops.matmul(hidden, self.kernel)
        logits += self.bias  # in place where arrays are changed in place
        return logits

    def by_product(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """The gradient by `hidden · kernel`, from that by the logits."""
        return gradient


class CappedFactors(NamedTuple):
    """The factors of logits with a soft cap, `cap · tanh((hidden · kernel + bias) / cap)`.

    Args:
        hidden: What enters the last layer, `(batch, ..., features)`.
        kernel: Its weights, `(features, classes)`.
        bias: What it adds, `(classes,)`.
        cap: The bound of the logits.
    """

    hidden: Any
    kernel: Any
    bias: Any
    cap: Any

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits of rows `hidden`, `(rows, features)`."""
        return self.cap * ops.tanh(Factors(*self[:3]).logits(hidden) / self.cap)

    def by_product(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """The gradient by `hidden · kernel + bias`, from that by the logits."""
        return gradient * (1.0 - ops.square(logits / self.cap))


#: Either.
KINDS = (Factors, CappedFactors)
