"""The step on TensorFlow: a tape around the students, the teachers outside it."""

from typing import Any

import keras
import tensorflow as tf

from keras_kd._trainers._base import Step


class TensorFlowStep(Step):
    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        answers = self.answers(x)
        with tf.GradientTape() as tape:
            outcome = self.objective(x, y, sample_weight, answers, training=True)
            scaled = self.optimizer.scale_loss(outcome.total)
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(scaled, weights), weights, strict=True))
        self.advance()
        return self.record(x, y, sample_weight, outcome)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        outcome = self.objective(x, y, sample_weight, self.answers(x), training=False)
        return self.record(x, y, sample_weight, outcome)

    def along(self, function: Any, x: Any, direction: Any) -> Any:
        leaves = keras.tree.flatten(x)
        with tf.autodiff.ForwardAccumulator(leaves, keras.tree.flatten(direction)) as forward:
            said = function(x)
        zero = tf.UnconnectedGradients.ZERO
        return keras.tree.map_structure(lambda y: forward.jvp(y, zero), said)

    def unscaled(self, value: Any) -> Any:
        # Keras divides each replica's loss by their number; the logs tell one device's.
        return value * tf.cast(tf.distribute.get_strategy().num_replicas_in_sync, value.dtype)
