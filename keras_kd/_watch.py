"""Keeps an eye on the teachers: answers that are NaN or infinite are named as such."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.messages import did_you_mean
from keras_kd.taps import Signals


def skips(on_bad_teacher: str) -> bool:
    """Whether batches on which a teacher is at fault are left out."""
    if on_bad_teacher not in ("raise", "skip"):
        raise ValueError(
            "`on_bad_teacher` must be 'raise' or 'skip'. Received: "
            f"{on_bad_teacher!r}." + did_you_mean(str(on_bad_teacher), ("raise", "skip"))
        )
    return on_bad_teacher == "skip"


def faults(signals: Signals, addresses: list[str]) -> Any:
    """Per address, 1.0 when this batch's signal holds NaN or Inf, else 0.0."""
    if not addresses:
        return ops.zeros((1,))
    # A signal that is missing is told of by the term that asks for it.
    return ops.stack([_fault(signals.get(address, 0.0)) for address in addresses])


def _fault(signal: Any) -> Any:
    leaves = [ops.cast(leaf, "float32") for leaf in keras.tree.flatten(signal)]
    good = [ops.all(ops.isfinite(leaf)) for leaf in leaves]
    return 1.0 - ops.cast(ops.all(ops.stack(good)), "float32")


class Faults(keras.metrics.Metric):
    """Counts the batches in which each address held NaN or Inf; `skip` when such are left out.

    Of several replicas each is told what all of them found, and the first one's count is read.
    """

    def __init__(self, addresses: list[str], skip: bool):
        super().__init__(name="skipped", dtype="float32")
        self.addresses, self.skip = addresses, skip
        shape = (max(len(addresses), 1),)
        self.bad, self.first, self.seen, self.skipped = (
            self.add_variable(s, "zeros", name=name, aggregation="only_first_replica")
            for name, s in (("bad", shape), ("first", shape), ("seen", ()), ("skipped", ()))
        )

    def update_state(self, found: Any) -> None:
        if not self.addresses:
            return
        self.bad.assign_add(found)
        self.first.assign_add(ops.cast(ops.equal(self.bad, 0.0), "float32"))
        self.seen.assign_add(1.0)
        self.skipped.assign_add(ops.max(found))

    def result(self) -> Any:
        return ops.convert_to_tensor(self.skipped)

    def complain(self) -> None:
        """Raises when any address was at fault since the last reset; when such batches are left
        out, only if none was left."""
        bad = ops.convert_to_numpy(self.bad)
        if not bad.any():
            return
        seen = int(ops.convert_to_numpy(self.seen))
        if self.skip and int(ops.convert_to_numpy(self.skipped)) < seen:
            return
        ever = (
            "All batches were left out for it."
            if self.skip
            else "Distiller(on_bad_teacher='skip') leaves out such batches and counts them."
        )
        first = ops.convert_to_numpy(self.first)
        found = "; ".join(
            f"'{address}' in {int(bad[i])} of {seen} batches, first in batch {int(first[i])}"
            for i, address in enumerate(self.addresses)
            if bad[i]
        )
        raise ValueError(
            f"The teacher's answers hold NaN or infinite values: {found} (counted from 0). Look at "
            "teacher.predict() on that data: unscaled or missing inputs, and float16 logits above "
            f"65,504, are the usual causes. {ever}"
        )


class Watcher(keras.callbacks.Callback):
    """Complains after 1, 2, 4, 8, ... batches, for to look has a price, and after each epoch."""

    _next = 1

    # Not at the end of a batch: a callback there has Keras wait for the logs of every batch.
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch >= self._next and not self.model.watch.skip:
            self._next = 2 * batch
            self.model.settle()
            self.model.watch.complain()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._next = 1

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
