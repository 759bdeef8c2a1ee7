"""The finite-value check, and its like: teachers that predict NaN, a student whose loss turns NaN,
labels that cannot be right, probabilities that are read as logits.

Each step adds to a few counters on the device. A callback reads them after 1, 2, 4, 8, ... batches
and at the end of each epoch, for reading them waits for the device.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._checks._batch import LEAVE_OUT, no_batches
from keras_kd._checks._logits import cause, check_looks
from keras_kd._core.factors import KINDS
from keras_kd._core.messages import did_you_mean, listing, see
from keras_kd._core.probabilities import ENOUGH, Looks
from keras_kd._core.tensors import Tensor
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
    # The term that reads a missing signal raises for it.
    return ops.stack([_fault(signals.get(address, 0.0)) for address in addresses])


def _fault(signal: Tensor) -> Tensor:
    if isinstance(signal, KINDS):
        signal = signal.hidden  # weights do not come from the batch
    leaves = [ops.cast(leaf, "float32") for leaf in keras.tree.flatten(signal)]
    good = [ops.all(ops.isfinite(leaf)) for leaf in leaves]
    return 1.0 - ops.cast(ops.all(ops.stack(good)), "float32")


def all_faults(teachers: Any, labels: Tensor, total: Tensor, empty: Tensor) -> Tensor:
    """What is at fault in a batch, in one vector: teachers, labels, no examples in it, and the
    student last.

    A loss of a batch in which anything else is at fault is no fault of the student's.
    """
    parts = (teachers, labels, ops.reshape(empty, (1,)))
    others = ops.concatenate([ops.cast(part, "float32") for part in parts])
    lost = 1.0 - ops.cast(ops.all(ops.isfinite(total)), "float32")
    return ops.concatenate([others, ops.reshape(lost * (1.0 - ops.max(others)), (1,))])


#: How many checks of the labels are counted apart.
LABEL_CHECKS = 8


class FaultCounts(keras.metrics.Metric):
    """Counts the batches in which each address held NaN or Inf, in which labels could not be right,
    and in which the loss was NaN or Inf; `skip` when those of teachers are left out.

    Each replica counts what any of them found, and the first one's count is read.

    The first examples since the last reset are looked at as well: whether `logits`, the addresses
    that terms read as such, each with its term, can only be probabilities.
    """

    def __init__(self, addresses: list[str], skip: bool, logits: Mapping[str, str]):
        super().__init__(name="skipped", dtype="float32")
        self.addresses, self.skip, self.logits, self.examples = addresses, skip, logits, 0
        self.teachers = max(len(addresses), 1)
        shape = (self.teachers + LABEL_CHECKS + 2,)
        counts = (max(len(logits), 1), len(Looks._fields))
        self.bad, self.first, self.seen, self.skipped, self.looked, self.looks = (
            self.add_variable(s, "zeros", name=name, aggregation="only_first_replica")
            for name, s in (
                ("bad", shape), ("first", shape), ("seen", ()), ("skipped", ()), ("looked", ()),
                ("looks", counts),
            )
        )  # fmt: skip

    def reset_state(self) -> None:
        super().reset_state()
        self.examples = 0  # as `looked`, where steps are run and not traced

    @property
    def enough(self) -> Any:
        """Whether enough examples were looked at."""
        return self.looked >= float(ENOUGH)

    def count_looks(self, found: Any, examples: Any, faults: Tensor) -> None:
        """Adds what a batch looks like; one with a fault is not the last to be looked at."""
        whole = 1.0 - ops.max(ops.cast(faults, "float32"))
        self.looks.assign_add(found * whole if self.skip else found)
        self.looked.assign_add(whole * ops.cast(examples, "float32"))
        if isinstance(examples, int):
            self.examples += examples

    def update_state(self, found: Any) -> None:
        self.bad.assign_add(found)
        self.first.assign_add(ops.cast(ops.equal(self.bad, 0.0), "float32"))
        self.seen.assign_add(1.0)
        self.skipped.assign_add(ops.max(found[: self.teachers]))

    def result(self) -> Any:
        return self.skipped + 0.0  # a value of its own, which a reset leaves alone

    def _counts(self) -> list[tuple[int, str]]:
        """For each possible fault, in how many batches it was, and these in words."""
        bad, first = (ops.convert_to_numpy(v).astype(int) for v in (self.bad, self.first))
        seen = int(ops.convert_to_numpy(self.seen))
        return [
            (n, f"in {n} of {seen} batches, first in batch {at}")
            for n, at in zip(bad, first, strict=True)
        ]

    def check_teachers(self) -> None:
        """Raises when any address was at fault since the last reset; when such batches are left
        out, only if none was left."""
        counts = self._counts()[: len(self.addresses)]
        if not any(n for n, _ in counts):
            return
        seen, skipped = (int(ops.convert_to_numpy(v)) for v in (self.seen, self.skipped))
        if self.skip and skipped < seen:
            return
        ever = (
            "All batches were left out for it."
            if self.skip
            else "Distiller(on_bad_teacher='skip') leaves out such batches and counts them."
        )
        by_address = zip(self.addresses, counts, strict=True)
        found = "; ".join(f"'{address}' {where}" for address, (n, where) in by_address if n)
        raise ValueError(
            f"The teacher's outputs hold NaN or infinite values: {found} (counted from 0). "
            f"{cause(ops.convert_to_numpy(self.looks), self.logits)} {ever}"
        )

    def check_probabilities(self) -> None:
        """Raises when a signal that terms read as logits can only be probabilities."""
        check_looks(ops.convert_to_numpy(self.looks), self.logits)

    def check_labels(self, messages: Sequence[Any]) -> None:
        """Raises when labels could not be right; `message(where)` words it for each check."""
        counts = self._counts()[self.teachers : self.teachers + len(messages)]
        for message, (n, where) in zip(messages, counts, strict=True):
            if n:
                raise ValueError(message(f"the labels hold others {where} (counted from 0)"))

    def check_batches(self) -> None:
        """Raises when there was no batch, or one without examples."""
        if not int(ops.convert_to_numpy(self.seen)):
            raise no_batches()
        n, where = self._counts()[-2]
        if n:
            raise ValueError(f"The data hold no examples {where} (counted from 0). {LEAVE_OUT}")

    def check_student(self, terms: Mapping[str, Any], learners: Iterable[Any]) -> None:
        """Raises when the loss was NaN or infinite; `terms` are their values, to name those that were."""
        n, where = self._counts()[-1]
        if not n:
            return
        lost = [name for name, value in terms.items() if not np.isfinite(value).all()]
        of = f" (of the terms: {listing(lost)})" if lost else ""
        broken = broken_weights(learners)
        now = f" Its weights are NaN by now, '{broken}' for one: load or make it anew." if broken else ""  # fmt: skip
        raise ValueError(
            f"The student's loss is NaN or infinite{of}: {where} (counted from 0), while the "
            f"teacher's outputs were finite. {_CAUSES}{now}{see('nan-student')}"
        )


_CAUSES = (
    "The usual causes: steps too large for these weights of the terms (lower the learning rate, or "
    "give the optimizer global_clipnorm=1.0), inputs or labels that hold NaN, and float16 numbers "
    "above 65,504. keras.callbacks.TerminateOnNaN() stops without an error."
)


def broken_weights(learners: Iterable[Any]) -> str | None:
    """The path of the first variable that holds NaN or infinite values."""
    for variable in (v for learner in learners for v in learner.trainable_variables):
        try:
            value = np.asarray(variable.numpy(), "float32")
        except RuntimeError:  # shared out over processes: no one of them sees it whole
            continue
        if not np.isfinite(value).all():
            return variable.path
    return None


class ValueCheck(keras.callbacks.Callback):
    """Raises after 1, 2, 4, 8, ... batches, for to look has a price, and after each epoch.

    It also sees to it that what was changed meanwhile counts, or is refused.

    Args:
        student: Whether to check the student as well; no need, when another callback ends
            the training in its own way.
    """

    _next = 1
    _training = False
    _looks: Any = 0.0

    def __init__(self, student: bool = True):
        super().__init__()
        self.of_student = student

    def _raise_for_faults(self, training: bool = True, midway: bool = False) -> None:
        model = self.model
        model._sync_state()
        model._value_check.check_batches()
        model._value_check.check_labels(model._label_messages())
        model._value_check.check_probabilities()
        if not (midway and model._value_check.skip):  # a batch to keep may be yet to come
            model._value_check.check_teachers()
        if training and self.of_student:
            model._value_check.check_student(model._term_values(), self._learners())

    def check_now(self, training: bool) -> None:
        """Raises at once, of batches that are given one by one: Keras counts anew for each."""
        self._raise_for_faults(training, midway=True)
        counts = self.model._value_check
        self._looks = self._looks + ops.convert_to_numpy(counts.looks)
        check_looks(self._looks, counts.logits)

    def _learners(self) -> list[Any]:
        return [*self.model.students.values(), *self.model.terms]

    # Not at the end of a batch: a callback there has Keras wait for the logs of every batch.
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch >= self._next:
            self._next = 2 * batch
            self._raise_for_faults(midway=True)
        self._check_for_changes()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._next, self._training = 1, True
        self._check_for_changes()

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self._distiller = model

    def _check_for_changes(self) -> None:
        # Not `self.model`: reading that makes Keras on JAX bring the state back, in every step.
        self._distiller._check_unchanged()
        self._distiller._check_trainable()
        self._distiller.make_train_function()  # anew, if a constant changed

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._training:  # else a validation has raised already, before it counted anew
            self._end_of_training()

    def on_test_begin(self, logs: Any = None) -> None:
        if self._training:
            self._end_of_training()

    def _end_of_training(self) -> None:
        self._training = False
        self._raise_for_faults()
        broken = broken_weights(self._learners()) if self.of_student else None
        if broken is not None:
            raise ValueError(
                f"The student's weights turned NaN or infinite: '{broken}' in the last step of the "
                f"epoch, with a loss that was still finite. {_CAUSES} Load or make it anew."
            )

    def on_test_end(self, logs: Any = None) -> None:
        self._raise_for_faults(training=False)


def with_value_check(callbacks: Any) -> Any:
    """The user's callbacks, with the value check before them."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks  # an evaluation within fit: the value check is among them
    given = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    given = [callback for callback in given if callback is not None]
    return [ValueCheck(student=not any(map(_stops_by_itself, given))), *given]


def _stops_by_itself(callback: Any) -> bool:
    """Whether a callback ends the training of a student that turns NaN, in its own way."""
    ours = getattr(callback, "stops_at_nan", False)  # those that keep the last good student
    return ours or isinstance(callback, keras.callbacks.TerminateOnNaN)
