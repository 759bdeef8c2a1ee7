"""The step on JAX: state goes in and comes out, nothing is changed in place."""

import contextlib
import functools
from typing import Any

import jax
import keras

from keras_kd._core.keras_private import KeepsJaxState
from keras_kd._core.tensors import Tensor
from keras_kd._trainers._base import Outcome, Step
from keras_kd._trainers._exclusive_access import in_turn

Values = list[Any]


class JAXStep(KeepsJaxState, Step):
    def train_step(self, state: tuple, data: Any) -> tuple[dict[str, Any], tuple]:
        trainable, non_trainable, optimizer, metrics = state
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        targets = self._targets_of(trainable, non_trainable, metrics, x)

        def scaled(trainable: Values) -> tuple[Any, tuple]:
            scope, outcome = self._objective_of(
                trainable, non_trainable, metrics, x, y, sample_weight, targets, training=True
            )
            loss = outcome.total
            with keras.StatelessScope(zip(self.optimizer.variables, optimizer, strict=True)):
                loss = self.optimizer.scale_loss(loss)
            moved = (
                _values(scope, self.non_trainable_variables),
                _values(scope, self.metrics_variables),
            )
            return loss, (outcome, *moved)

        gradient = jax.grad(scaled, has_aux=True)
        gradients, (outcome, non_trainable, metrics) = gradient(trainable)
        if self.optimizer.gradient_accumulation_steps:
            with self._holding(trainable, non_trainable, optimizer=optimizer) as scope:
                gradients = self._weighed(gradients, self.trainable_variables, outcome)
            non_trainable = _values(scope, self.non_trainable_variables)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        with self._holding(trainable, non_trainable) as scope:
            self._advance_step()
        non_trainable = _values(scope, self.non_trainable_variables)
        logs, metrics = self._record_of(metrics, x, y, sample_weight, outcome)
        return self._or_skip(logs, state, (trainable, non_trainable, optimizer, metrics), outcome)

    def test_step(self, state: tuple, data: Any) -> tuple[dict[str, Any], tuple]:
        trainable, non_trainable, metrics = state
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        targets = self._targets_of(trainable, non_trainable, metrics, x)
        scope, outcome = self._objective_of(
            trainable, non_trainable, metrics, x, y, sample_weight, targets, training=False
        )
        metrics = _values(scope, self.metrics_variables)
        logs, metrics = self._record_of(metrics, x, y, sample_weight, outcome)
        return self._or_skip(logs, state, (trainable, non_trainable, metrics), outcome)

    def _or_skip(
        self, logs: dict[str, Any], before: tuple, after: tuple, outcome: Outcome
    ) -> tuple[dict[str, Any], tuple]:
        """The state after the step, or that before it when its batch is one to skip."""
        if not self._value_check.skip:
            return logs, after
        bad = jax.numpy.any(outcome.faults > 0)
        pick = functools.partial(jax.numpy.where, bad)
        *others, metrics = jax.tree.map(pick, tuple(map(list, before)), tuple(map(list, after)))
        with keras.StatelessScope(zip(self.metrics_variables, metrics, strict=True)) as scope:
            self._count_faults(outcome)
            result = self.get_metrics_result()
            logs = {name: result[name] for name in logs}
        return logs, (*others, _values(scope, self.metrics_variables))

    def _jvp(self, function: Any, x: Tensor, direction: Tensor) -> Tensor:
        return jax.jvp(function, (x,), (direction,))[1]

    def _sync_state(self) -> None:
        self.jax_state_sync()

    def _without_updates(self, *models: Any) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()  # the step's own scopes forget already

    def _exclusive(self) -> contextlib.AbstractContextManager[Any]:
        return in_turn(self.variables)

    def _holding(
        self,
        trainable: Values,
        non_trainable: Values,
        metrics: Values | None = None,
        optimizer: Values | None = None,
        **options: Any,
    ) -> keras.StatelessScope:
        """A scope in which the variables have these values."""
        pairs = [
            *zip(self.trainable_variables, trainable, strict=True),
            *zip(self.non_trainable_variables, non_trainable, strict=True),
        ]
        if metrics:
            pairs += zip(self.metrics_variables, metrics, strict=True)
        if optimizer:
            pairs += zip(self.optimizer.variables, optimizer, strict=True)
        return keras.StatelessScope(pairs, **options)

    def _targets_of(
        self, trainable: Values, non_trainable: Values, metrics: Values, x: Tensor
    ) -> Tensor:
        with self._holding(
            trainable, non_trainable, metrics
        ):  # what a teacher changes is forgotten
            return self._teacher_signals(x)

    def _objective_of(
        self,
        trainable: Values,
        non_trainable: Values,
        metrics: Values,
        x: Tensor,
        y: Tensor,
        sample_weight: Tensor,
        targets: Any,
        training: bool,
    ) -> tuple[keras.StatelessScope, Outcome]:
        with self._holding(trainable, non_trainable, metrics, collect_losses=True) as scope:
            return scope, self._objective(x, y, sample_weight, targets, training=training)

    def _record_of(
        self, metrics: Values, x: Tensor, y: Tensor, sample_weight: Tensor, outcome: Outcome
    ) -> tuple[dict[str, Any], Values]:
        with keras.StatelessScope(zip(self.metrics_variables, metrics, strict=True)) as scope:
            logs = self._update_metrics(x, y, sample_weight, outcome)
        return logs, _values(scope, self.metrics_variables)


def _values(scope: keras.StatelessScope, variables: list[keras.Variable]) -> Values:
    """The variables' values in `scope`: as they were given, or as they were assigned there."""
    values = ((v, scope.get_current_value(v)) for v in variables)
    return [v.value if value is None else value for v, value in values]
