"""Teachers that are no Keras models: a batch of inputs in, arrays by address out.

They run outside the compiled step, on NumPy arrays: into a store, ahead of the step, or by a call
back to the host.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.largest import Largest
from keras_kd._core.messages import did_you_mean, listing
from keras_kd._core.output_kinds import FLOOR, check_kind, logits_of, numbers

Signals = dict[str, Any]
Names = Callable[[int], str]
_BY_PLACE: Names = "row {} of the batch".format


class ExternalTeacher:
    """What teachers of other frameworks share.

    A subclass defines `run`, and `weights_hash` and `settings` where it has any.

    Args:
        name: Its name in stores and messages.
        kind: What its output is: `"logits"`, `"probabilities"`, `"log_probabilities"`,
            `"binary_probabilities"` (each of its own, as after a sigmoid) or `"values"` (of a
            regression). Of all but the last, logits are made.
        floor: The probability that 0 counts as.
    """

    #: Whether it takes the examples' ids in place of their inputs.
    by_id = False

    def __init__(self, name: str, *, kind: str = "logits", floor: float = FLOOR):
        if not isinstance(name, str) or not name:
            raise ValueError(
                "`name` must be a text by which stores know the teacher, such as "
                f"name='forest-2026'. Received: {name!r}."
            )
        check_kind(kind, floor)
        self.name, self.kind, self.floor = name, kind, floor

    def run(self, x: Any, paths: Sequence[str]) -> Any:
        """Runs the teacher on a batch, NumPy in and NumPy out: its output alone, or a dict by path
        with `"output"` among them.

        Args:
            x: Inputs: an array, or a tree of these.
            paths: The signals that are needed. It may return more.
        """
        raise NotImplementedError

    def weights_hash(self) -> str | None:
        """A hash of what it learned; `None` where none can be had."""
        return None

    def settings(self) -> dict[str, Any]:
        """What else decides on its outputs."""
        return {}

    def fingerprint(self) -> str:
        """A hash of all that is known of it; of its name too where that is all."""
        weights = self.weights_hash()
        known = {
            "class": type(self).__name__, "kind": self.kind, "floor": self.floor,
            "settings": self.settings(), "weights": weights if weights else f"name {self.name}",
        }  # fmt: skip
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:32]

    def signals(
        self, x: Any, paths: Sequence[str] = (OUTPUT,), *, row: Names = _BY_PLACE
    ) -> Signals:
        """Its signals for a batch, by path: the output as float32 logits, all else as it is."""
        given = self.run(x, tuple(paths))
        found = _by_path(given) if isinstance(given, Mapping) else {OUTPUT: given}
        examples = len(keras.tree.flatten(x)[0])
        return {path: self._signal(found, path, examples, row) for path in paths}

    def _signal(self, found: Signals, path: str, examples: int, row: Names) -> Any:
        whose = f"'{path}' of the teacher '{self.name}'"
        if path not in found:
            raise ValueError(
                f"The teacher '{self.name}' gives no '{path}'. Expected one of {listing(found)}."
                + did_you_mean(path, found)
            )
        signal = found[path]
        if isinstance(signal, Largest):
            signal = Largest(*(numbers(part, whose) for part in signal))
            rows = len(signal.values)
        elif path == OUTPUT:
            signal = logits_of(signal, self.kind, whose=whose, floor=self.floor, row=row)
            rows = len(signal)
        else:
            signal = numbers(signal, whose)
            rows = len(signal) if signal.ndim else 0
        if rows != examples:
            raise ValueError(
                f"{whose} has {rows} rows for a batch of {examples} examples: one for each is "
                "expected, in their order."
            )
        return signal

    def __call__(self, x: Any) -> np.ndarray:
        return self.signals(x)[OUTPUT]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}'>"


def _by_path(given: Mapping[Any, Any], prefix: str = "") -> Signals:
    """Nested dicts with the path of each array; lists count from 0."""
    found: Signals = {}
    for key, value in given.items():
        if isinstance(value, (list, tuple)) and not isinstance(value, Largest) and _several(value):
            value = dict(enumerate(value))
        inner = isinstance(value, Mapping)
        found |= _by_path(value, f"{prefix}{key}/") if inner else {f"{prefix}{key}": value}
    return found


def _several(value: Sequence[Any]) -> bool:
    return any(np.ndim(each) > 0 and hasattr(each, "shape") for each in value)


class SteadySignals:
    """The signals of a teacher batch by batch, each batch in shape and type like the first.

    Args:
        teacher: The teacher.
        paths: The paths of its signals.
    """

    def __init__(self, teacher: ExternalTeacher, paths: Sequence[str]):
        self.teacher, self.paths = teacher, tuple(paths)
        self.first: dict[str, Any] | None = None

    def __call__(self, x: Any, row: Names = _BY_PLACE) -> Signals:
        signals = self.teacher.signals(x, self.paths, row=row)
        now = {path: _form(signal) for path, signal in signals.items()}
        if self.first is None:
            self.first = now
        for path, form in now.items():
            if form != self.first[path]:
                raise ValueError(
                    f"'{path}' of the teacher '{self.teacher.name}' changed: it is {form} from "
                    f"{row(0)} on, and was {self.first[path]} before. One size and type for all "
                    "batches is expected."
                )
        return signals


def _form(signal: Any) -> str:
    """Shape of one example, and type."""
    leaves = signal if isinstance(signal, Largest) else [signal]
    return ", ".join(f"{leaf.dtype.name} {tuple(leaf.shape[1:])}" for leaf in leaves)
