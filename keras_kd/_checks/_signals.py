"""Which signals a batch brings, which are read, and which are missing."""

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from keras import ops

from keras_kd._checks import _values
from keras_kd._checks._batch import absent, check_read
from keras_kd._core.addresses import INPUTS
from keras_kd._core.messages import listing
from keras_kd._participants import check_learners
from keras_kd.taps import Signals

if TYPE_CHECKING:  # the other half is a keras.Model with the distiller's methods
    from keras import Model as Base
else:
    Base = object


class SignalChecks(Base):
    """What is known of a batch's signals, and what errors and logs make of it."""

    _learners_checked: bool
    _warned_of_absent: bool

    def _check_signals(self, signals: Signals, training: bool) -> None:
        """Proves that every signal is there; an evaluation leaves out what is missing."""
        if not training:
            self._warn_of_absent_signals(signals)
            return
        if not self._learners_checked:
            check_learners(self.students, self.terms)
            self._learners_checked = True
        for one in self._signal_metrics.bound:
            self._check_present((one.target, one.pred), signals, one.described)
        for term in self.terms:
            self._check_present(term.addresses(), signals, f"Term '{term.name}'")

    def _check_present(
        self, addresses: Iterable[str], signals: Collection[str], reader: str
    ) -> None:
        for address in addresses:
            if address not in signals:
                raise absent(reader, address, signals, self.students)

    def _check_signals_are_read(self, given: Signals) -> None:
        """Proves, with the first batch, that something reads the signals that came with it."""
        if given.keys() <= self._known_signals:
            return
        addresses = [a for term in self.terms for a in term.addresses()]
        addresses += [a for one in self._signal_metrics.bound for a in (one.target, one.pred)]
        addresses += [f"{role}:{INPUTS}" for role in self.teachers]
        check_read(given, addresses, {**self.students, **self.teachers})
        self._known_signals |= given.keys()

    def _warn_of_absent_signals(self, signals: Signals) -> None:
        """Warns once of what an evaluation without the teacher's outputs leaves out."""
        named = zip(self.term_names, self.terms, strict=True)
        terms = {name: term.addresses() for name, term in named}
        metrics = {one.name: (one.target, one.pred) for one in self._signal_metrics.bound}
        missing = {a for of in (terms, metrics) for both in of.values() for a in both}
        missing -= set(signals)
        if missing and not self._warned_of_absent:
            self._warned_of_absent = True
            _warn_of_absent(missing, terms, metrics)

    def _left_out(self, outcome: Any) -> set[str]:
        """What the logs leave out: terms and metrics whose signals did not come."""
        names = zip(self.term_names, outcome.values, strict=True)
        out = {name for name, value in names if value is None}
        there = self._signal_metrics.present(outcome.metric_signals)
        out.update(one.name for one in self._signal_metrics.bound if one not in there)
        return out | {"loss"} if all(value is None for value in outcome.values) else out

    def _teacher_faults(self, targets: Signals) -> Any:
        """Per checked target, 1 when this batch's holds NaN or infinite values."""
        return _values.faults(targets, self._checked_targets)

    def _label_messages(self) -> list[Callable[[str], str]]:
        """For each check of the labels, the error message, from where the fault is."""
        return [check.message for check in self._label_checks]

    def _term_values(self) -> dict[str, Any]:
        """Each term's mean over the batches since the last reset."""
        named = zip(self.term_names, self._term_means, strict=True)
        return {name: ops.convert_to_numpy(tracker.result()) for name, tracker in named}


def _warn_of_absent(
    absent: set[str], terms: Mapping[str, Iterable[str]], metrics: Mapping[str, Iterable[str]]
) -> None:
    """Warns of the terms and metrics that are left out for want of `absent`, and of what the loss
    holds then.

    Args:
        absent: The addresses of which nothing came.
        terms: The addresses that each term reads, by its name.
        metrics: Those that each metric reads.
    """
    out = [name for of in (terms, metrics) for name, reads in of.items() if absent & set(reads)]
    left = [name for name in terms if name not in out]
    holds = (
        f"Its loss is the sum of {listing(left)} alone, and cannot be compared with that of training"
        if left
        else "It has no loss, for no term is left"
    )
    warnings.warn(
        f"This evaluation brings no {listing(sorted(absent))}, and no model here gives it. "
        f"Left out: {listing(out)}. {holds}. To have them, evaluate on {{'inputs': x, 'signals': "
        f"{{{sorted(absent)[0]!r}: ...}}}} in place of x, as in training.",
        stacklevel=2,
    )
