"""The step on TensorFlow: a tape around the students, the teachers outside it."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_kd._core.tensors import Tensor
from keras_kd._trainers._base import Outcome, Step

Logs = dict[str, Any]


class TensorFlowStep(Step):
    def train_step(self, data: Any) -> Logs:
        with _once_there(data):
            return self._train(data)

    def _train(self, data: Any) -> Logs:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        targets = self._teacher_signals(x)

        def learn() -> tuple[Logs, Outcome]:
            with tf.GradientTape() as tape:
                outcome = self._objective(x, y, sample_weight, targets, training=True)
                scaled = self.optimizer.scale_loss(outcome.total)
            weights = self.trainable_weights
            gradients = tape.gradient(scaled, weights)
            if not self.optimizer.built:
                with self._making_variables():
                    self.optimizer.build(weights)
            gradients = self._weighed(gradients, weights, outcome)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
            self._advance_step()
            return self._update_metrics(x, y, sample_weight, outcome), outcome

        return self._or_skip(learn, targets, self._moving_variables)

    def test_step(self, data: Any) -> Logs:
        with _once_there(data):
            return self._test(data)

    def _test(self, data: Any) -> Logs:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        targets = self._teacher_signals(x)

        def evaluate() -> tuple[Logs, Outcome]:
            outcome = self._objective_in_inference(x, y, sample_weight, targets)
            return self._update_metrics(x, y, sample_weight, outcome), outcome

        return self._or_skip(evaluate, targets, list)

    def _or_skip(
        self,
        step: Callable[[], tuple[Logs, Outcome]],
        targets: Any,
        moving: Callable[[], list[keras.Variable]],
    ) -> Logs:
        """`step()`; all that it moved is put back when its batch is one to skip."""
        if not self._value_check.skip:
            return step()[0]
        found = self._any_replica(self._teacher_faults(targets))
        counting = {id(v) for v in self._value_check.variables}
        moved = [v for v in [*moving(), *self.metrics_variables] if id(v) not in counting]
        before = [tf.identity(v.value) for v in moved]
        logs, outcome = step()
        for variable, value in zip(moved, before, strict=True):
            variable.assign(tf.where(tf.reduce_any(found > 0), value, variable.value))
        self._count_faults(outcome)
        result = self.get_metrics_result()
        return {name: result[name] for name in logs}

    @contextlib.contextmanager
    def _making_variables(self) -> Iterator[None]:
        """Outside the graph: one that makes variables is traced twice. A step that may have to put
        them back is, so that it knows them from its beginning."""
        if self._value_check.skip:
            yield
            return

        def as_they_are(creator: Callable[..., Any], **kwargs: Any) -> Any:
            return creator(**{**kwargs, "experimental_enable_variable_lifting": False})

        with tf.init_scope(), tf.variable_creator_scope(as_they_are):
            yield

    def _jvp(self, function: Any, x: Tensor, direction: Tensor) -> Tensor:
        leaves = keras.tree.flatten(x)
        with tf.autodiff.ForwardAccumulator(leaves, keras.tree.flatten(direction)) as forward:
            outputs = function(x)
        zero = tf.UnconnectedGradients.ZERO
        return keras.tree.map_structure(lambda y: forward.jvp(y, zero), outputs)

    def _check_devices(self, doing: str) -> None:
        here = tf.distribute.get_strategy()
        many = here.num_replicas_in_sync > 1
        kinds = {"distiller": [self._step], **_weights(self.students), **_weights(self.teachers)}
        outside = [name for name, held in kinds.items() if held and not any(map(_mirrored, held))]
        inside = [name for name, held in kinds.items() if any(map(_mirrored, held))]
        fits = doing == "fit"  # which finds the strategy by itself
        if (many and outside) or (inside and (outside or not (many or fits))):
            within = [f"{name} made inside it" for name in inside]
            without = [f"{name} made outside it" for name in outside]
            where = f"{doing}() called {'inside' if many else 'outside'} it"
            raise ValueError(
                "Everything belongs inside one strategy.scope(). Received: "
                f"{', '.join([*within, *without, where])}. Write\n"
                "with strategy.scope():\n"
                "    student, teacher = ...  # made or loaded here\n"
                "    distiller = keras_kd.Distiller(student=student, teacher=teacher)\n"
                "    distiller.compile(...)\n"
                "distiller.fit(...)"
            )

    def _unscaled(self, value: Any) -> Any:
        # Keras divides each replica's loss by their number; the logs hold one device's.
        return value * tf.cast(tf.distribute.get_strategy().num_replicas_in_sync, value.dtype)

    def _share_of_mean(self, value: Any, count: Any) -> Any:
        context = _one_of_many()
        if context is None:
            return value
        count = tf.cast(count, value.dtype)
        return value * tf.math.divide_no_nan(count, context.all_reduce("mean", count))

    def _over_replicas(self, count: Any) -> Any:
        context = _one_of_many()
        return context.all_reduce("sum", count) if context else count

    @property
    def _gather(self) -> Callable[[Any], Any] | None:
        context = _one_of_many()
        return context and functools.partial(context.all_gather, axis=0)

    def _any_replica(self, found: Any) -> Any:
        context = _one_of_many()
        return tf.minimum(context.all_reduce("sum", found), 1.0) if context else found


def _once_there(data: Any) -> Any:
    """Has every operation wait for the batch: counters would be moved else by the attempt to read
    one more batch than there are."""
    tensors = tf.nest.flatten(data, expand_composites=True)
    return tf.control_dependencies([x for x in tensors if x is not None])


def _weights(models: dict[str, keras.Model]) -> dict[str, list[keras.Variable]]:
    return {role: model.variables for role, model in models.items()}


def _mirrored(variable: keras.Variable) -> bool:
    """Whether it lies on several devices at once."""
    value = variable.value
    return (
        isinstance(value, tf.distribute.DistributedValues)
        and value.distribute_strategy.num_replicas_in_sync > 1
    )


def _one_of_many() -> Any:
    """The replica that this code runs for, if it is not the only one."""
    alone = tf.distribute.get_strategy().num_replicas_in_sync == 1
    return None if alone else tf.distribute.get_replica_context()
