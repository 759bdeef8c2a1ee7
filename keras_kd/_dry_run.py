"""The dry run: models and terms tried on symbolic inputs, before any data."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_kd._checks._batch import cannot_run
from keras_kd._core.addresses import IDS, MASK
from keras_kd._core.symbolic import input_of, lengths_unknown, reason, symbolic
from keras_kd.taps import Signals

if TYPE_CHECKING:  # the other half is a keras.Model with the distiller's methods
    from keras import Model as Base
else:
    Base = object


class DryRun(Base):
    """Building: once, on symbolic inputs where the student has them, else on the first batch."""

    _terms_built: bool
    _with_own_tokens: Callable[[], set[str]]

    def _dry_run(self, inputs: Any) -> None:
        """One dry run: every model takes the input, every address and every shape is right.

        It may only help. On symbolic inputs a backend makes up what is unknown, and some models
        cannot take a length that was made up: then an error shows at the first batch.
        """
        signals: Signals = {IDS: keras.KerasTensor((None,), "int32")}
        students_inputs, apart = inputs, self._with_own_tokens()
        for role, tap in self._taps.items():
            inputs = input_of(tap.model) if role in apart else students_inputs
            if inputs is None:
                return
            try:
                signals.update(symbolic(tap.dry_run, inputs))
            except Exception:
                if lengths_unknown(inputs):
                    return
                try:
                    signals.update(tap.dry_run_on_zeros(inputs))
                except Exception as error:
                    why, learns = reason(error), role in self.students
                    raise cannot_run(role, tap.model, inputs, why, learns) from error
        self._build_terms(signals, students_inputs)

    def _build_terms(self, signals: Signals, inputs: Any) -> None:
        """Builds what the terms own; runs once."""
        if self._terms_built:
            return
        if MASK not in signals:
            signals = {**signals, **_mask_for(signals)}
        for term in self.terms:
            term.check(signals)
        self._input_config = keras.tree.map_structure(
            lambda x: {"shape": [None, *x.shape[1:]], "dtype": keras.backend.standardize_dtype(x.dtype)},
            inputs,
        )  # fmt: skip
        self._terms_built = self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Nothing by itself: the models and projectors build when they see data."""

    def get_build_config(self) -> dict[str, Any] | None:
        return {"inputs": self._input_config} if self._terms_built else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        if config and not self._terms_built:
            self._dry_run(_symbolic_inputs(config["inputs"]))


def _mask_for(signals: Signals) -> Signals:
    """A mask in the shape that it has beside these signals, for projectors to be built on."""
    for signal in keras.tree.flatten(signals):
        if len(getattr(signal, "shape", ())) > 2:  # labels may be none
            symbolic = keras.backend.is_keras_tensor(signal)
            shape = tuple(signal.shape[:2]) if symbolic else ops.shape(signal)[:2]
            return {MASK: keras.KerasTensor(shape, "bool") if symbolic else ops.ones(shape, "bool")}
    return {}


def _symbolic_inputs(config: Any) -> Any:
    if isinstance(config, dict) and set(config) == {"shape", "dtype"}:
        return keras.KerasTensor(config["shape"], config["dtype"])
    if isinstance(config, dict):
        return {name: _symbolic_inputs(inner) for name, inner in config.items()}
    return [_symbolic_inputs(inner) for inner in config]
