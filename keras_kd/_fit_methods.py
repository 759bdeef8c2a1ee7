"""Keras's own `fit`, `evaluate`, `predict` and their like, and what is checked before and after."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import keras

from keras_kd._checks import _moving_averages, _values
from keras_kd._checks._batch import (
    check_classes_have_labels,
    check_signal_arrays,
    check_some,
    check_weights_have_labels,
    no_batches,
)
from keras_kd._compiled._label_values import check_arrays, explained
from keras_kd._core.scalars import plain
from keras_kd._core.student_source import StudentSource
from keras_kd._preprocessing import holds_texts, read_batch, read_texts, split_texts

if TYPE_CHECKING:  # the other half is a keras.Model with the distiller's methods
    from keras import Model as Base
else:
    Base = object


class Fitting(Base):
    """`fit` and its like: nothing changed, data that are there, labels that can be right."""

    _by_hand: _values.ValueCheck | None = None

    def fit(
        self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, **kwargs
    ):
        """As `keras.Model.fit`. Of raw texts, given in place of `x`, the student's own preprocessor
        makes inputs, labels and weights, as models of keras-hub do."""
        if holds_texts(x):
            x, y, batch_size, kwargs = self._read(x, y, batch_size, kwargs)
        self._check_devices("fit")
        self._check_trainable()
        check_weights_have_labels(y, kwargs.get("sample_weight"), "fit()")
        check_classes_have_labels(x, y, kwargs.get("class_weight"))
        callbacks = _moving_averages.with_averages(_values.with_value_check(callbacks))
        if isinstance(x, StudentSource):
            first = x.fit_callback(self, kwargs.get("steps_per_epoch"))
            callbacks = with_callback(callbacks, first)
            kwargs.setdefault("shuffle", False)
        with self._checked(x, y):
            held_out = kwargs.get("validation_data")
            if isinstance(held_out, tuple):
                check_some(held_out[0], "`validation_data`")
                if len(held_out) == 3:
                    check_weights_have_labels(*held_out[1:], "`validation_data`")
                check_arrays(self._label_checks, held_out[1] if len(held_out) > 1 else None)
            return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)

    def _read(
        self, x: Any, y: Any, batch_size: int | None, kwargs: dict[str, Any]
    ) -> tuple[Any, Any, int | None, dict[str, Any]]:
        """Raw texts given to `fit`, and those to validate on, as data that Keras takes."""
        student = self._reader()
        data = x, y, kwargs.pop("sample_weight", None)
        share, held_out = kwargs.pop("validation_split", 0), kwargs.pop("validation_data", None)
        if share and held_out is None:
            data, held_out = split_texts(data, share)
        if isinstance(held_out, tuple) and holds_texts(held_out[0]):
            texts, labels, weights = (*held_out, None, None)[:3]
            held_out = read_texts(student, texts, labels, weights, batch_size)
        elif not isinstance(held_out, (tuple, type(None))) and holds_texts(held_out):
            held_out = read_texts(student, held_out, batch_size=batch_size)
        shuffle = kwargs.pop("shuffle", True)
        read = read_texts(student, *data, batch_size=batch_size, shuffle=shuffle)
        return read, None, None, {**kwargs, "validation_data": held_out, "shuffle": False}

    def evaluate(
        self, x: Any = None, y: Any = None, *args: Any, return_dict: bool = False, **kwargs: Any
    ) -> Any:
        """As `keras.Model.evaluate`: the same sum of terms, in inference mode; moves nothing.

        Without `return_dict=True`, a list in the order of `metrics_names`.
        """
        if holds_texts(x):
            kwargs.update(zip(("batch_size", "verbose", "sample_weight"), args, strict=False))
            given, args = (kwargs.pop("sample_weight", None), kwargs.pop("batch_size", None)), ()
            x, y = read_texts(self._reader(), x, y, *given), None
        weights = args[2] if len(args) > 2 else kwargs.get("sample_weight")
        check_weights_have_labels(y, weights, "evaluate()")
        kwargs["callbacks"] = _values.with_value_check(kwargs.get("callbacks"))
        with self._checked(x, y):
            try:
                logs = super().evaluate(x, y, *args, return_dict=True, **kwargs)
                logs = keras.tree.map_structure(plain, logs)
            finally:
                self._sync_state()  # an error midway leaves the models as they were
        if return_dict:
            return logs
        values = [logs[name] for name in self.metrics_names if name in logs]
        return values[0] if len(values) == 1 else values

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`: the student's outputs."""
        if holds_texts(x):
            batch_size = args[0] if args else kwargs.pop("batch_size", None)
            x, args = read_texts(self._reader(), x, batch_size=batch_size), args[1:]
        with self._checked(x, None):
            try:
                return super().predict(x, *args, **kwargs)
            except UnboundLocalError as error:  # what Keras raises when there was no batch
                raise StopIteration from error

    def predict_on_batch(self, x: Any) -> Any:
        """As `keras.Model.predict_on_batch`: the student's outputs for one batch, of texts too."""
        return super().predict_on_batch(read_batch(self._reader(), x)[0])

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """As `keras.Model.train_on_batch`; one batch of texts as in `fit`."""
        self._check_trainable()
        x, y, sample_weight = read_batch(self._reader(), x, y, sample_weight)
        with self._checked(x, y):
            logs = super().train_on_batch(x, y, sample_weight, *args, **kwargs)
        self._check_by_hand(training=True)
        return logs

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """As `keras.Model.test_on_batch`; one batch of texts as in `evaluate`."""
        x, y, sample_weight = read_batch(self._reader(), x, y, sample_weight)
        with self._checked(x, y):
            logs = super().test_on_batch(x, y, sample_weight, *args, **kwargs)
        self._check_by_hand(training=False)
        return logs

    def _reader(self) -> keras.Model:
        """The student whose preprocessor reads texts: the first."""
        return next(iter(self.students.values()))

    def _check_by_hand(self, training: bool) -> None:
        if self._by_hand is None:
            self._by_hand = _values.ValueCheck()
            self._by_hand.set_model(self)
        self._by_hand.check_now(training)

    def summary(
        self, *args: Any, print_fn: Callable[[str], Any] | None = None, **kwargs: Any
    ) -> None:
        """As `keras.Model.summary`, and below it the terms that make the loss."""
        super().summary(*args, print_fn=print_fn, **kwargs)
        lines = ["Terms, whose weighted sum is the loss, by their names in the logs:"]
        width = max(map(len, self.term_names))
        for name, term in zip(self.term_names, self.terms, strict=True):
            lines.append(f" {name:{width}}  {term!r}")
        (print_fn or print)("\n".join(lines))

    @contextlib.contextmanager
    def _checked(self, x: Any, y: Any) -> Iterator[None]:
        """What every pass over data has around it."""
        self._check_unchanged()
        check_some(x, "`x`")
        check_signal_arrays(x)
        check_arrays(self._label_checks, y)
        try:
            with self._exclusive(), explained(self._label_checks):
                yield
        except StopIteration as error:
            raise no_batches() from error


def with_callback(callbacks: Any, first: keras.callbacks.Callback) -> Any:
    """The callbacks, with one that goes before them."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.callbacks.insert(0, first)
        first.set_model(callbacks.model)
        return callbacks
    return [first, *callbacks]
