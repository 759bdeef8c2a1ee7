"""Keras's own `fit`, `evaluate`, `predict` and their like, and what is looked at before and after."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras

from keras_kd._checks import _moving_averages, _values
from keras_kd._checks._batch import check_some, no_batches
from keras_kd._compiled._label_values import check_arrays, explained
from keras_kd._core.scalars import plain

if TYPE_CHECKING:  # the other half is a keras.Model with the distiller's methods
    from keras import Model as Base
else:
    Base = object


class Fitting(Base):
    """`fit` and its like: nothing changed, data that are there, labels that can be right."""

    _by_hand: _values.Watcher | None = None

    def fit(
        self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, **kwargs
    ):
        """As `keras.Model.fit`."""
        self.check_places("fit")
        self.check_trainable()
        callbacks = _moving_averages.with_averages(_values.with_watcher(callbacks))
        with self._looked_at(x, y):
            judged = kwargs.get("validation_data")
            if isinstance(judged, tuple):
                check_some(judged[0], "`validation_data`")
                check_arrays(self._label_checks, judged[1] if len(judged) > 1 else None)
            return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)

    def evaluate(
        self, x: Any = None, y: Any = None, *args: Any, return_dict: bool = False, **kwargs: Any
    ) -> Any:
        """As `keras.Model.evaluate`: the same sum of terms, in inference mode; moves nothing.

        Without `return_dict=True`, a list in the order of `metrics_names`.
        """
        kwargs["callbacks"] = _values.with_watcher(kwargs.get("callbacks"))
        with self._looked_at(x, y):
            try:
                logs = super().evaluate(x, y, *args, return_dict=True, **kwargs)
                logs = keras.tree.map_structure(plain, logs)
            finally:
                self.settle()  # an error midway leaves the models as they were
        if return_dict:
            return logs
        values = [logs[name] for name in self.metrics_names if name in logs]
        return values[0] if len(values) == 1 else values

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`: the student's answers."""
        with self._looked_at(x, None):
            try:
                return super().predict(x, *args, **kwargs)
            except UnboundLocalError as error:  # what Keras says when there was no batch
                raise StopIteration from error

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.train_on_batch`."""
        self.check_trainable()
        with self._looked_at(x, y):
            logs = super().train_on_batch(x, y, *args, **kwargs)
        self._look_by_hand(training=True)
        return logs

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.test_on_batch`."""
        with self._looked_at(x, y):
            logs = super().test_on_batch(x, y, *args, **kwargs)
        self._look_by_hand(training=False)
        return logs

    def _look_by_hand(self, training: bool) -> None:
        if self._by_hand is None:
            self._by_hand = _values.Watcher()
            self._by_hand.set_model(self)
        self._by_hand.look(training)

    @contextlib.contextmanager
    def _looked_at(self, x: Any, y: Any) -> Iterator[None]:
        """What every pass over data has around it."""
        self.check_unchanged()
        check_some(x, "`x`")
        check_arrays(self._label_checks, y)
        try:
            with self.alone(), explained(self._label_checks):
                yield
        except StopIteration as error:
            raise no_batches() from error
