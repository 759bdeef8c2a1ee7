"""The step on torch: backward through the students, the teachers without gradients."""

from typing import Any

import keras
import torch

from keras_kd._trainers._base import Step


class TorchStep(Step):
    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with torch.no_grad():
            answers = self.answers(x)
        outcome = self.objective(x, y, sample_weight, answers, training=True)
        self.zero_grad()
        self.optimizer.scale_loss(outcome.total).backward()
        weights = self.trainable_weights[:]
        with torch.no_grad():
            self.optimizer.apply([v.value.grad for v in weights], weights)
            self.advance()
            return self.record(x, y, sample_weight, outcome)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with torch.no_grad():
            outcome = self.objective(x, y, sample_weight, self.answers(x), training=False)
            return self.record(x, y, sample_weight, outcome)
