"""Keeps an eye on the teachers: answers that are NaN or infinite are named as such."""

from typing import Any

import keras
from keras import ops

from keras_kd.taps import Signals


def faults(signals: Signals, addresses: list[str]) -> Any:
    """Per address, 1.0 when this batch's signal holds NaN or Inf, else 0.0."""
    if not addresses:
        return ops.zeros((1,))
    return ops.stack([_fault(signals[address]) for address in addresses])


def _fault(signal: Any) -> Any:
    leaves = [ops.cast(leaf, "float32") for leaf in keras.tree.flatten(signal)]
    good = [ops.all(ops.isfinite(leaf)) for leaf in leaves]
    return 1.0 - ops.cast(ops.all(ops.stack(good)), "float32")


class Faults(keras.metrics.Metric):
    """Counts the batches in which each address held NaN or Inf."""

    def __init__(self, addresses: list[str]):
        super().__init__(name="faults", dtype="float32")
        self.addresses = addresses
        shape = (max(len(addresses), 1),)
        self.bad = self.add_variable(shape, "zeros", name="bad")
        self.seen = self.add_variable((), "zeros", name="seen")
        self.first = self.add_variable(shape, "zeros", name="first")

    def update_state(self, found: Any) -> None:
        if not self.addresses:
            return
        self.bad.assign_add(found)
        self.first.assign_add(ops.cast(ops.equal(self.bad, 0.0), "float32"))
        self.seen.assign_add(1.0)

    def result(self) -> Any:
        return ops.sum(self.bad)

    def complain(self) -> None:
        """Raises when any address was at fault since the last reset."""
        bad = ops.convert_to_numpy(self.bad)
        if not bad.any():
            return
        seen = int(ops.convert_to_numpy(self.seen))
        first = ops.convert_to_numpy(self.first)
        found = "; ".join(
            f"'{address}' in {int(bad[i])} of {seen} batches, first in batch {int(first[i])}"
            for i, address in enumerate(self.addresses)
            if bad[i]
        )
        raise ValueError(
            f"The teacher's answers hold NaN or infinite values: {found} (counted from 0). Look at "
            "teacher.predict() on that data: unscaled or missing inputs, and float16 logits above "
            "65,504, are the usual causes."
        )


class Watcher(keras.callbacks.Callback):
    """Complains after the first batch, when little is lost, and after each epoch."""

    _looked = False

    # Not at the end of a batch: a callback there has Keras wait for the logs of every batch.
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch and not self._looked:
            self._looked = True
            self.model.settle()
            self.model.watch.complain()

    def on_train_begin(self, logs: Any = None) -> None:
        self._looked = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.watch.complain()

    def on_test_end(self, logs: Any = None) -> None:
        self.model.watch.complain()


def with_watcher(callbacks: Any) -> Any:
    """The user's callbacks, with the watcher before them."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks  # an evaluation within fit: the watcher is among them
    if callbacks is None:
        return [Watcher()]
    return [Watcher(), *(callbacks if isinstance(callbacks, (list, tuple)) else [callbacks])]
