"""What terms and metrics read of each model, and the taps that give it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras

from keras_kd._compiled._outputs import keys_of
from keras_kd._compiled._signal_metrics import SignalMetrics
from keras_kd._core.addresses import RESERVED, SPANS, as_tuple, parse
from keras_kd._core.keras_private import compiled_metrics
from keras_kd.taps import Tap
from keras_kd.terms import Labels, Term

if TYPE_CHECKING:  # the other half is a keras.Model with the distiller's methods
    from keras import Model as Base
else:
    Base = object


class ReadPaths(Base):
    """The paths that are read of each role."""

    students: dict[str, keras.Model]
    teachers: dict[str, keras.Model]
    terms: Sequence[Term | Labels]
    _signal_metrics: SignalMetrics

    def _paths_of(self, role: str) -> dict[str, str]:
        """The paths that are read of `role`, each with the term or metric that reads it."""
        readers: dict[str, str] = {}
        for term in self.terms:
            for address in map(parse, term.addresses()):
                if address.role == role:
                    readers.setdefault(address.path, f"Term '{term.name}'")
        for one in self._signal_metrics.bound:
            for address in (parse(one.target), parse(one.pred)):
                if address.role == role:
                    readers.setdefault(address.path, one.described)
        return readers

    def _with_own_tokens(self) -> set[str]:
        """The teachers' roles that have tokens of their own: terms compare them over spans of text."""
        spanned = (term.target for term in self.terms if isinstance(term, Term))
        sides = [as_tuple(target) for target in spanned if SPANS in as_tuple(target)]
        return {parse(a).role for side in sides for a in side if a not in RESERVED}

    def _make_taps(self) -> dict[str, Tap]:
        """Every model, tapped for all that terms and metrics read of it."""
        models = {**self.students, **self.teachers}
        return {
            role: Tap(role, model, self._paths_of(role), self._reads_output(role))
            for role, model in models.items()
        }

    def _reads_output(self, role: str) -> bool:
        """Whether anything reads what `role` returns: a term, or a metric."""
        model = {**self.students, **self.teachers}[role]
        judged = role in self.students and compiled_metrics(self) is not None
        return judged or any(keys_of(model, path) is not None for path in self._paths_of(role))

    def _targets_to_check(self) -> list[str]:
        targets = (a for term in self.terms for a in term.targets())
        return [a for a in dict.fromkeys(targets) if parse(a).role not in self.students]
