"""When weights are pruned, and how many of them."""

from typing import Any

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count, is_number


class PruningSchedule:
    """Says of each training step whether weights are pruned in it, and which share is zero then.

    The base of schedules of your own: `__call__(step)` returns the two, and `get_config` the
    constructor's arguments. `step` is a whole number, 1 in the first training step; what is
    returned may be Python's numbers or any backend's scalars.

    Example:

    >>> class Half(keras_kd.compat.tfmot.sparsity.keras.PruningSchedule):
    ...     def __call__(self, step):
    ...         return self._should_prune_in_step(step, 0, -1, 10), 0.5
    >>> Half()(20)
    (True, 0.5)
    """

    def __call__(self, step: Any) -> tuple[Any, Any]:
        raise NotImplementedError(
            f"{type(self).__name__} must define __call__(step), which returns whether weights are "
            "pruned in this step and the share of them that is zero."
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PruningSchedule":
        """A schedule made of `get_config()`."""
        return cls(**config)

    def _should_prune_in_step(
        self, step: Any, begin_step: int, end_step: int, frequency: int
    ) -> bool:
        step = int(step)
        within = step >= begin_step and (end_step < 0 or step <= end_step)
        return within and (step - begin_step) % frequency == 0


def _check_steps(begin_step: int, end_step: int, frequency: int, may_be_endless: bool) -> None:
    count(begin_step, "begin_step", least=0)
    count(end_step, "end_step", least=-1 if may_be_endless else 0)
    count(frequency, "frequency")
    if end_step != -1 and end_step < begin_step:
        raise ValueError(
            f"`end_step` must not be before `begin_step`. Received: begin_step={begin_step}, "
            f"end_step={end_step}."
        )


def _check_share(value: float, argument: str) -> None:
    if not is_number(value) or not 0.0 <= value < 1.0:
        raise ValueError(
            f"`{argument}` must be a share of weights, in [0, 1). Received: {argument}={value!r}."
        )


@serializable
class ConstantSparsity(PruningSchedule):
    """The same share of zeros from the first pruning on.

    Args:
        target_sparsity: Share of weights that is zero, in `[0, 1)`.
        begin_step: Step from which on weights are pruned.
        end_step: Last step in which they are chosen; `-1` for no end. Defaults to `-1`.
        frequency: Number of steps between two choices. Defaults to `100`.

    Raises:
        ValueError: If a number is out of its bounds.

    Example:

    >>> schedule = keras_kd.compat.tfmot.sparsity.keras.ConstantSparsity(0.5, 0)
    >>> schedule(99), schedule(100)
    ((False, 0.5), (True, 0.5))
    """

    def __init__(
        self, target_sparsity: float, begin_step: int, end_step: int = -1, frequency: int = 100
    ):
        _check_steps(begin_step, end_step, frequency, may_be_endless=True)
        _check_share(target_sparsity, "target_sparsity")
        self.target_sparsity = target_sparsity
        self.begin_step, self.end_step, self.frequency = begin_step, end_step, frequency

    def __call__(self, step: Any) -> tuple[Any, Any]:
        due = self._should_prune_in_step(step, self.begin_step, self.end_step, self.frequency)
        return due, self.target_sparsity

    def get_config(self) -> dict[str, Any]:
        return {
            "target_sparsity": self.target_sparsity, "begin_step": self.begin_step,
            "end_step": self.end_step, "frequency": self.frequency,
        }  # fmt: skip


@serializable
class PolynomialDecay(PruningSchedule):
    """A share of zeros that rises, fast at first, between two steps.

    `s(t) = final + (initial - final) · (1 - (t - begin) / (end - begin))^power`

    Weights are chosen in every `frequency`-th step only, counted from `begin_step`: the last choice
    is in the last of these that is not after `end_step`.

    Args:
        initial_sparsity: Share of zeros at `begin_step`, in `[0, 1)`.
        final_sparsity: Share of zeros at `end_step`, in `[0, 1)`.
        begin_step: Step from which on weights are pruned.
        end_step: Step at which the final share is reached.
        power: Exponent. Defaults to `3`.
        frequency: Number of steps between two choices. Defaults to `100`.

    Raises:
        ValueError: If a number is out of its bounds.

    Example:

    >>> keras = keras_kd.compat.tfmot.sparsity.keras
    >>> schedule = keras.PolynomialDecay(0.5, 0.8, begin_step=0, end_step=200)
    >>> due, share = schedule(100)
    >>> due, round(share, 4)  # 0.8 - 0.3 / 2³
    (True, 0.7625)

    Reference: Zhu, Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model
    compression", 2017, arXiv:1710.01878, section 3.
    """

    def __init__(
        self,
        initial_sparsity: float,
        final_sparsity: float,
        begin_step: int,
        end_step: int,
        power: float = 3,
        frequency: int = 100,
    ):
        _check_steps(begin_step, end_step, frequency, may_be_endless=False)
        _check_share(initial_sparsity, "initial_sparsity")
        _check_share(final_sparsity, "final_sparsity")
        self.initial_sparsity, self.final_sparsity = initial_sparsity, final_sparsity
        self.begin_step, self.end_step = begin_step, end_step
        self.power, self.frequency = power, frequency

    def __call__(self, step: Any) -> tuple[Any, Any]:
        due = self._should_prune_in_step(step, self.begin_step, self.end_step, self.frequency)
        way = (int(step) - self.begin_step) / max(1, self.end_step - self.begin_step)
        left = (1.0 - min(1.0, max(0.0, way))) ** self.power
        return due, self.final_sparsity + (self.initial_sparsity - self.final_sparsity) * left

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_sparsity": self.initial_sparsity, "final_sparsity": self.final_sparsity,
            "begin_step": self.begin_step, "end_step": self.end_step,
            "power": self.power, "frequency": self.frequency,
        }  # fmt: skip
