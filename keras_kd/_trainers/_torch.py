"""The step on torch: backward through the students, the teachers without gradients."""

from collections.abc import Callable
from typing import Any

import keras
import torch
from torch.autograd import forward_ad

from keras_kd._checks import _values
from keras_kd._core.probabilities import ENOUGH
from keras_kd._trainers._base import Outcome, Step


class TorchStep(Step):
    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with torch.no_grad():
            answers = self.answers(x)
            if self._skipped(answers):
                return self.get_metrics_result()
        outcome = self.objective(x, y, sample_weight, answers, training=True)
        weights = self.trainable_weights[:]
        scaled = self.optimizer.scale_loss(outcome.total)
        # Not backward() and zero_grad(): Keras lists a torch module's parameters by path, where a
        # student's "dense/kernel" hides a teacher's, and gradients that are never zeroed add up.
        gradients = torch.autograd.grad(scaled, [v.value for v in weights], allow_unused=True)
        with torch.no_grad():
            self.optimizer.apply(list(gradients), weights)
            self.advance()
            return self._recorded(x, y, sample_weight, outcome)

    def along(self, function: Any, x: Any, direction: Any) -> Any:
        with forward_ad.dual_level():
            said = function(keras.tree.map_structure(forward_ad.make_dual, x, direction))
            return keras.tree.map_structure(_change, said)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with torch.no_grad():
            answers = self.answers(x)
            if self._skipped(answers):
                return self.get_metrics_result()
            outcome = self.judged(x, y, sample_weight, answers)
            return self._recorded(x, y, sample_weight, outcome)

    def _recorded(self, x: Any, y: Any, sample_weight: Any, outcome: Outcome) -> dict[str, Any]:
        if self.watch.skip:  # else it looks by itself
            self.look(outcome)
        return self.record(x, y, sample_weight, outcome)

    def first_looks(self, look: Callable[[], Any]) -> Any:
        # Not by the metric's variable: to read it would have every step wait for the device.
        watch = self.watch
        return torch.zeros_like(watch.looks.value) if watch.met >= ENOUGH else look()

    def _skipped(self, answers: Any) -> bool:
        """Whether this batch is one to leave out; counts it."""
        if not self.watch.skip:
            return False
        found = self.faults(answers)
        if not found.any():
            return False
        none = found.new_zeros(_values.LABEL_CHECKS)
        zero = found.new_zeros(())
        self.watch.update_state(_values.all_faults(found, none, zero, zero))
        return True


def _change(said: Any) -> Any:
    value, change = forward_ad.unpack_dual(said)
    return torch.zeros_like(value) if change is None else change
