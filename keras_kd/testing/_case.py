"""What a loss is checked on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_kd._core.tensors import Tensor
from keras_kd.losses import Loss

#: Examples in a batch of a case.
EXAMPLES = 4

Draw = Callable[..., np.ndarray]


def logits(draw: Draw) -> tuple[np.ndarray, np.ndarray]:
    """Logits of six classes on both sides."""
    return draw(EXAMPLES, 6), draw(EXAMPLES, 6)


@dataclass(frozen=True)
class LossCase:
    """The inputs and settings that `check_loss` tries a loss on.

    Args:
        make: `make(draw)` gives the batch `(target, pred)` of 4 examples, each side an array or a
            tuple of arrays; `draw(*shape)` gives one of random numbers. Defaults to logits of six
            classes, `(4, 6)`, on both sides.
        constants: Arguments of the loss's constructor, which the oracle takes by the same names.
        scheduled: Those of them that may be a schedule.
        shape: Shape of the loss's values after the batch: `()` for one value per example, `(3,)`
            for one at each of 3 positions.
        identity: `identity(target)` gives the `pred` that agrees with the target; `None` where
            there is no such minimum. Defaults to the target itself.
        least: Value of the loss there. Defaults to `0.0`.
        derivative_of: Where the formula holds a part of itself still for the gradient:
            `derivative_of(target, pred)` gives the function `(target, pred) -> values` whose
            gradient is meant. Defaults to `None`: the oracle.
        rtol: Relative difference of values that is let pass: larger where the formula subtracts
            numbers that are nearly equal. Defaults to `1e-5`.
    """

    make: Callable[[Draw], tuple[Any, Any]] = logits
    constants: dict[str, Any] = field(default_factory=dict)
    scheduled: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    identity: Callable[[Any], Any] | None = lambda target: target
    least: float = 0.0
    derivative_of: Callable[[Any, Any], Callable[[Any, Any], np.ndarray]] | None = None
    rtol: float = 1e-5


class Contract:
    """A loss, its oracle and its case: what each check is given."""

    def __init__(self, loss: type[Loss], oracle: Callable[..., Any], case: LossCase):
        self.loss, self.oracle, self.case = loss, oracle, case
        self.make, self.identity = case.make, case.identity
        self.programs: dict[str, Any] = {}  # compiled once for all checks

    def build(self, **kwargs: Any) -> Loss:
        return self.loss(**{**self.case.constants, **kwargs})

    def values(self, target: Tensor, pred: Tensor) -> np.ndarray:
        return np.asarray(self.oracle(target, pred, **self.case.constants))

    def inputs(self, seed: int = 0) -> tuple[Any, Any]:
        rng = np.random.default_rng(seed)
        return self.make(lambda *shape: rng.normal(size=shape).astype("float32"))

    def extreme(self, size: float) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        return self.make(
            lambda *shape: rng.choice([-size, 0.0, size], size=shape).astype("float32")
        )

    def shares(self) -> np.ndarray:
        """A weight for each value, each another one, so that none hides another."""
        shape = (EXAMPLES, *self.case.shape)
        return np.linspace(0.5, 2.0, int(np.prod(shape)), dtype="float32").reshape(shape)
