"""The step: what is the same on every backend.

    unpack -> the teachers' signals -> the students' one pass and the sum of the terms
    -> scale -> gradients -> apply -> step + 1 -> logs

When batches are skipped on which a teacher is at fault, a step on such a batch leaves all as it
was, and is counted.

The files beside this one do it with each backend's state and gradients. Only the distiller knows
what a term, a teacher or a student is: it provides `_teacher_signals`, `_objective` and
`_advance_step`.
"""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
from keras import ops

from keras_kd._checks import _values
from keras_kd._core.keras_private import loss_tracker
from keras_kd._core.tensors import Tensor
from keras_kd._trainers._accumulation import Accumulating


class Outcome(NamedTuple):
    """What one pass came to."""

    total: Any  # the scalar to minimize
    values: list[Any]  # each term's value, before its weight; none of a term left out
    counts: list[Any]  # how many values each of them is the mean of
    parts: list[Any]  # each term's value times its weight; last, what layers add to the loss
    outputs: Any  # what the students returned
    faults: Any  # per watched target, 1 when it holds NaN or Inf
    labels: Any  # per check of the labels, 1 when they cannot be right
    empty: Any  # 1 when the batch holds no examples
    metric_signals: dict[str, Any]  # the signals that metrics read
    looks: Any  # of the first examples: statistics of each signal that is read as logits


def batch_size(x: Tensor) -> Tensor:
    """Number of examples in the batch `x`, as a tensor when it is known only at run time."""
    first = next(leaf for leaf in keras.tree.flatten(x) if leaf is not None)
    return ops.shape(first)[0]


if TYPE_CHECKING:  # the other half of a step is a keras.Model with the distiller's methods
    from keras import Model as Base
else:
    Base = object


class Step(Accumulating, Base):
    """The part of a step that is the same on every backend."""

    def _jvp(self, function: Any, x: Tensor, direction: Tensor) -> Tensor:
        """The derivative of `function` at `x` along `direction`."""
        raise NotImplementedError

    def _check_devices(self, doing: str) -> None:
        """Proves that everything lies on the devices where it is about to be used."""

    def _unscaled(self, value: Any) -> Any:
        """`value` as one device would have computed it."""
        return value

    def _share_of_mean(self, value: Any, count: Any) -> Any:
        """A mean over `count` values of this replica, as its share in the mean over all."""
        return value

    @property
    def _gather(self) -> Callable[[Any], Any] | None:
        """Joins the rows of all replicas, where a step sees those of one alone."""
        return None

    def _any_replica(self, found: Any) -> Any:
        """The faults that any replica found."""
        return found

    def _first_looks(self, look: Callable[[], Any]) -> Any:
        """`look()` while too few examples were looked at; then zeros, which cost nothing."""
        check = self._value_check
        return ops.cond(check.enough, lambda: ops.zeros(check.looks.shape, "float32"), look)

    def _update_metrics(
        self, x: Tensor, y: Tensor, sample_weight: Tensor, outcome: Outcome
    ) -> dict[str, Any]:
        """Moves the metrics by one batch and returns the logs."""
        counts = [*outcome.counts, batch_size(x)]
        parts = [self._unscaled(part) for part in outcome.parts]
        loss_tracker(self).update_state(parts, counts)
        for tracker, value, count in zip(
            self._term_means, outcome.values, outcome.counts, strict=True
        ):
            if value is not None:
                tracker.update_state(self._unscaled(value), sample_weight=count)
        if not self._value_check.skip:
            self._count_faults(outcome)
        self._value_check.count_looks(outcome.looks, batch_size(x), outcome.faults)
        self._signal_metrics.update_state(outcome.metric_signals, sample_weight)
        logs = self.compute_metrics(x, y, outcome.outputs, sample_weight)
        left_out = self._left_out(outcome)
        return {name: value for name, value in logs.items() if name not in left_out}

    def _count_faults(self, outcome: Outcome) -> None:
        """Counts what is at fault in a batch."""
        found = _values.all_faults(outcome.faults, outcome.labels, outcome.total, outcome.empty)
        self._value_check.update_state(self._any_replica(found))

    def _without_updates(self, *models: Any) -> contextlib.AbstractContextManager[Any]:
        """A scope that forgets what is assigned in it: models predict, and their state stays.

        `models` are those of which regularizers read the weights.
        """
        weights = [v for model in models for v in model.trainable_variables]
        return keras.StatelessScope([(v, v.value) for v in weights], collect_losses=True)

    def _objective_in_inference(
        self, x: Tensor, y: Tensor, sample_weight: Tensor, targets: Any
    ) -> Outcome:
        """The objective in inference mode. Of the students nothing moves but metrics in them."""
        if not self._terms_built:  # what is built in such a scope would have no values
            return self._objective(x, y, sample_weight, targets, training=False)
        with self._without_updates(*self.students.values(), *self.terms) as scope:
            outcome = self._objective(x, y, sample_weight, targets, training=False)
        for variable in self.metrics_variables:
            value = scope.get_current_value(variable)
            if value is not None:
                variable.assign(value)
        return outcome

    def _making_variables(self) -> contextlib.AbstractContextManager[Any]:
        """Where a step makes variables that are not there yet."""
        return contextlib.nullcontext()

    def _exclusive(self) -> contextlib.AbstractContextManager[Any]:
        """Holds up other threads that need the same variables, where a backend takes their values
        out of them while it trains."""
        return contextlib.nullcontext()

    def _sync_state(self) -> None:
        """Brings the metrics' variables up to date, where a backend keeps them elsewhere."""
