"""The callbacks that prune, and that write down how far it went."""

import os
import warnings
from typing import Any

import keras
from keras import ops

from keras_kd._core.kernels import check_one_step, sync
from keras_kd._core.optional import require
from keras_kd.compat.tfmot._pruned_layer import PruneLowMagnitude, pruned_layers, share_of_zeros
from keras_kd.distiller import Distiller


class UpdatePruningStep(keras.callbacks.Callback):
    """Prunes the layers that `prune_low_magnitude` wrapped, while `fit` runs.

    Before each step it counts the step, chooses the zeros anew where the layer's schedule says so,
    and sets them; after the step they are zero again, whatever the optimizer did to them. The logs
    of each epoch hold `sparsity`, the share of zeros in the pruned weights. Under a
    `keras_kd.Distiller` it prunes the students.

    Example:

    >>> callbacks = [keras_kd.compat.tfmot.sparsity.keras.UpdatePruningStep()]
    """

    def __init__(self) -> None:
        super().__init__()
        self.prunable_layers: list[PruneLowMagnitude] = []
        self._masks: dict[int, tuple[keras.Variable, Any]] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        if getattr(self.model, "steps_per_execution", None) is not None:
            check_one_step(self.model, "UpdatePruningStep")
        models = self.model.students.values() if isinstance(self.model, Distiller) else [self.model]
        self.prunable_layers = [layer for model in models for layer in pruned_layers(model)]
        if not self.prunable_layers:
            warnings.warn(
                f"UpdatePruningStep found nothing to prune in '{self.model.name}': make the model "
                "with tfmot.sparsity.keras.prune_low_magnitude.",
                stacklevel=2,
            )
        sync(self.model)
        if self.model.compiled:  # a step that was compiled before may be one without the callback
            self.model.make_train_function(force=True)
        self._masks = {}
        for layer in self.prunable_layers:
            layer.is_updated = True
            if layer.built and _step_of(layer) > 0:  # what a file brought goes on
                for kernel in layer.prunable_weights:
                    self._masks[id(kernel)] = kernel, ops.cast(kernel != 0, kernel.dtype)
            elif layer.built:
                layer.pruning_step.assign(0)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        sync(self.model)
        for layer in self.prunable_layers:
            if layer.built:
                step = max(0, _step_of(layer)) + 1
                layer.pruning_step.assign(step)
                self._choose(layer, step)
        self._apply()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        sync(self.model)
        self._apply()

    def on_epoch_end(self, epoch: int = 0, logs: Any = None, *, batch: int | None = None) -> None:
        sync(self.model)
        self._apply()  # in a loop of one's own nobody calls the other
        if logs is not None and self.prunable_layers:
            logs["sparsity"] = self._sparsity()

    def on_train_end(self, logs: Any = None) -> None:
        sync(self.model)
        self._apply()  # an optimizer that averages has put its averages in place
        for layer in self.prunable_layers:
            layer.is_updated = False
        self.model.train_function = None  # a compiled one would run without this callback
        late = [layer for layer in self.prunable_layers if _is_behind(layer)]
        if late:
            step, schedule = _step_of(late[0]), late[0].pruning_schedule
            warnings.warn(
                f"Training ended at step {step}, and the share of zeros in layer "
                f"'{late[0].layer.name}' is {share_of_zeros(late[0]):.3f}, less than its schedule "
                f"asks for at this step. Weights are chosen every `frequency` steps "
                f"({getattr(schedule, 'frequency', '?')}): make it smaller, or train longer.",
                stacklevel=2,
            )

    def _choose(self, layer: PruneLowMagnitude, step: int) -> None:
        due, share = layer.pruning_schedule(step)
        if not bool(due):
            return
        for kernel in layer.prunable_weights:
            kept = layer.mask_for(ops.convert_to_numpy(kernel), float(share))
            self._masks[id(kernel)] = kernel, ops.convert_to_tensor(kept, dtype=kernel.dtype)

    def _apply(self) -> None:
        for kernel, kept in self._masks.values():
            kernel.assign(kernel * kept)

    def _sparsity(self) -> float:
        sizes = [sum(int(ops.size(w)) for w in la.prunable_weights) for la in self.prunable_layers]
        shares = map(share_of_zeros, self.prunable_layers)
        return sum(n * s for n, s in zip(sizes, shares, strict=True)) / max(1, sum(sizes))


def _step_of(layer: PruneLowMagnitude) -> int:
    return int(ops.convert_to_numpy(layer.pruning_step))


def _is_behind(layer: PruneLowMagnitude) -> bool:
    """Whether the schedule asks for clearly more zeros than there are."""
    if not layer.built or not layer.prunable_weights:
        return False
    step = _step_of(layer)
    if step < getattr(layer.pruning_schedule, "begin_step", 0):
        return False
    wanted = float(layer.pruning_schedule(step)[1])
    if layer.sparsity_m_by_n is not None:
        wanted = layer.sparsity_m_by_n[0] / layer.sparsity_m_by_n[1]
    return share_of_zeros(layer) < wanted - 0.02


class PruningSummaries(keras.callbacks.TensorBoard):
    """`keras.callbacks.TensorBoard`, with the share of zeros of each pruned layer, by epoch.

    Args:
        log_dir: Folder for TensorBoard.
        update_freq: As in `keras.callbacks.TensorBoard`. Defaults to `"epoch"`.
        **kwargs: As in `keras.callbacks.TensorBoard`.

    Raises:
        ValueError: If `log_dir` is no path.
        ImportError: If TensorBoard is not installed.
    """

    def __init__(self, log_dir: Any, update_freq: Any = "epoch", **kwargs: Any):
        if not isinstance(log_dir, (str, os.PathLike)) or not str(log_dir):
            raise ValueError(f"`log_dir` must be the path of a folder. Received: {log_dir!r}.")
        require("tensorboard", purpose="PruningSummaries writes")
        super().__init__(log_dir=str(log_dir), update_freq=update_freq, **kwargs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        sync(self.model)
        shares = {
            f"{layer.name}/sparsity": share_of_zeros(layer)
            for layer in pruned_layers(self.model)
            if layer.built
        }
        super().on_epoch_end(epoch, {**(logs or {}), **shares})
