"""The step, told once.

    unpack -> the teachers' answers -> the students' one pass and the sum of the terms
    -> scale -> gradients -> apply -> step + 1 -> logs

When batches are skipped on which a teacher is at fault, a step on such a batch leaves all as it
was, and is counted.

The files beside this one say it in each backend's words for state and gradients. What a term, a
teacher or a student is, only the distiller knows: it gives `answers`, `objective` and `advance`.
"""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
from keras import ops

from keras_kd._checks import _values
from keras_kd._core.keras_private import loss_tracker


class Outcome(NamedTuple):
    """What one pass came to."""

    total: Any  # the scalar to minimise
    values: list[Any]  # each term's value, before its weight; none of a term left out
    counts: list[Any]  # how many values each of them is the mean of
    parts: list[Any]  # each term's value times its weight; last, what layers add to the loss
    outputs: Any  # what the students returned
    faults: Any  # per watched target, 1 when it holds NaN or Inf
    labels: Any  # per check of the labels, 1 when they cannot be right
    empty: Any  # 1 when the batch holds no examples
    asked: dict[str, Any]  # the signals that metrics ask for
    looks: Any  # of the first examples: what each signal that is read as logits looks like


def batch_size(x: Any) -> Any:
    """Number of examples in the batch `x`, as a tensor when only the run will tell."""
    first = next(leaf for leaf in keras.tree.flatten(x) if leaf is not None)
    return ops.shape(first)[0]


if TYPE_CHECKING:  # the other half of a step is a keras.Model with the distiller's methods
    from keras import Model as Base
else:
    Base = object


class Step(Base):
    """The part of a step that is the same on every backend."""

    def along(self, function: Any, x: Any, direction: Any) -> Any:
        """The derivative of `function` at `x` along `direction`."""
        raise NotImplementedError

    def check_places(self, doing: str) -> None:
        """Proves that everything lies on the devices where it is about to be used."""

    def unscaled(self, value: Any) -> Any:
        """`value` as one device would have computed it."""
        return value

    def shared(self, value: Any, count: Any) -> Any:
        """A mean over `count` values of this replica, as its share in the mean over all."""
        return value

    @property
    def gather(self) -> Callable[[Any], Any] | None:
        """Joins the rows of all replicas, where a step sees those of one alone."""
        return None

    def everywhere(self, found: Any) -> Any:
        """The faults that any replica found."""
        return found

    def first_looks(self, look: Callable[[], Any]) -> Any:
        """`look()` while too few examples were looked at; then zeros, which cost nothing."""
        watch = self.watch
        return ops.cond(watch.enough, lambda: ops.zeros(watch.looks.shape, "float32"), look)

    def record(self, x: Any, y: Any, sample_weight: Any, outcome: Outcome) -> dict[str, Any]:
        """Moves the metrics by one batch and returns the logs."""
        counts = [*outcome.counts, batch_size(x)]
        parts = [self.unscaled(part) for part in outcome.parts]
        loss_tracker(self).update_state(parts, counts)
        for tracker, value, count in zip(
            self.term_trackers, outcome.values, outcome.counts, strict=True
        ):
            if value is not None:
                tracker.update_state(self.unscaled(value), sample_weight=count)
        if not self.watch.skip:
            self.look(outcome)
        self.watch.look_at(outcome.looks, batch_size(x), outcome.faults)
        self.signal_metrics.update_state(outcome.asked, sample_weight)
        logs = self.compute_metrics(x, y, outcome.outputs, sample_weight)
        left_out = self.left_out(outcome)
        return {name: value for name, value in logs.items() if name not in left_out}

    def look(self, outcome: Outcome) -> None:
        """Tells the watch what was at fault in a batch."""
        found = _values.all_faults(outcome.faults, outcome.labels, outcome.total, outcome.empty)
        self.watch.update_state(self.everywhere(found))

    def still(self, *models: Any) -> contextlib.AbstractContextManager[Any]:
        """A scope that forgets what is assigned in it: models answer, and their state stays.

        `models` are those of which regularisers read the weights.
        """
        weights = [v for model in models for v in model.trainable_variables]
        return keras.StatelessScope([(v, v.value) for v in weights], collect_losses=True)

    def judged(self, x: Any, y: Any, sample_weight: Any, answers: Any) -> Outcome:
        """The objective in inference mode. Of the students nothing moves but metrics in them."""
        if not self._prepared:  # what is built in such a scope would have no values
            return self.objective(x, y, sample_weight, answers, training=False)
        with self.still(*self.students.values(), *self.terms) as scope:
            outcome = self.objective(x, y, sample_weight, answers, training=False)
        for variable in self.metrics_variables:
            value = scope.get_current_value(variable)
            if value is not None:
                variable.assign(value)
        return outcome

    def alone(self) -> contextlib.AbstractContextManager[Any]:
        """Holds up other threads that need the same variables, where a backend takes their values
        out of them while it trains."""
        return contextlib.nullcontext()

    def settle(self) -> None:
        """Brings the metrics' variables up to date, where a backend keeps them elsewhere."""
