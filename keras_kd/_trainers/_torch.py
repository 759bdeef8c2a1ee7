"""The step on torch: backward through the students, the teachers without gradients."""

from collections.abc import Callable
from typing import Any

import keras
import torch
from torch.autograd import forward_ad

from keras_kd._checks import _values
from keras_kd._core.probabilities import ENOUGH
from keras_kd._core.tensors import Tensor
from keras_kd._trainers._base import Outcome, Step


class TorchStep(Step):
    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with torch.no_grad():
            targets = self._teacher_signals(x)
            if self._skipped(targets):
                return self.get_metrics_result()
        outcome = self._objective(x, y, sample_weight, targets, training=True)
        weights = self.trainable_weights[:]
        scaled = self.optimizer.scale_loss(outcome.total)
        # Not backward() and zero_grad(): Keras lists a torch module's parameters by path, where a
        # student's "dense/kernel" hides a teacher's, and gradients that are never zeroed add up.
        gradients = torch.autograd.grad(scaled, [v.value for v in weights], allow_unused=True)
        with torch.no_grad():
            self.optimizer.apply(self._weighed(gradients, weights, outcome), weights)
            self._advance_step()
            return self._recorded(x, y, sample_weight, outcome)

    def _jvp(self, function: Any, x: Tensor, direction: Tensor) -> Tensor:
        with forward_ad.dual_level():
            outputs = function(keras.tree.map_structure(forward_ad.make_dual, x, direction))
            return keras.tree.map_structure(_derivative, outputs)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with torch.no_grad():
            targets = self._teacher_signals(x)
            if self._skipped(targets):
                return self.get_metrics_result()
            outcome = self._objective_in_inference(x, y, sample_weight, targets)
            return self._recorded(x, y, sample_weight, outcome)

    def _recorded(
        self, x: Tensor, y: Tensor, sample_weight: Tensor, outcome: Outcome
    ) -> dict[str, Any]:
        if self._value_check.skip:  # else `_update_metrics` does
            self._count_faults(outcome)
        return self._update_metrics(x, y, sample_weight, outcome)

    def _first_looks(self, look: Callable[[], Any]) -> Any:
        # Not by the metric's variable: to read it would have every step wait for the device.
        check = self._value_check
        return torch.zeros_like(check.looks.value) if check.examples >= ENOUGH else look()

    def _skipped(self, targets: Any) -> bool:
        """Whether this batch is one to leave out; counts it."""
        if not self._value_check.skip:
            return False
        found = self._teacher_faults(targets)
        if not found.any():
            return False
        none = found.new_zeros(_values.LABEL_CHECKS)
        zero = found.new_zeros(())
        self._value_check.update_state(_values.all_faults(found, none, zero, zero))
        return True


def _derivative(dual: Any) -> Any:
    value, derivative = forward_ad.unpack_dual(dual)
    return torch.zeros_like(value) if derivative is None else derivative
