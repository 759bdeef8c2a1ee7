"""Running averages that lag: a student that learns, and a validation that does not see it."""

import math
import warnings
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_kd._core.keras_private import layers_of

_FORGOTTEN = 0.01  # this much of the start in the averages is as good as nothing
_FELL = 0.05  # the loss learns: it fell by this part of the first epoch's
_FOLLOWS = 0.25  # the validation follows: it fell by this part of what the loss fell by
_APART = math.log(1.5)  # a layer is off: half of its channels are scaled by 1.5 or more too little
_REMEDIES = (0.9, 0.8, 0.5)


class _Norm(NamedTuple):
    """A layer, and its averages before the first step."""

    layer: keras.layers.BatchNormalization
    mean: Any
    variance: Any


class LaggingAverages(keras.callbacks.Callback):
    """Warns once when the validation is bad only because running averages lag behind.

    In training, `keras.layers.BatchNormalization` normalizes by each batch; in inference, by
    running averages, which begin at mean 0 and variance 1 and still hold the part
    `momentum ** steps` of that beginning. At Keras's default of 0.99 this is 36 % after 100 steps
    and 5 % after 300: on a small set the loss falls for many epochs while the validation stays at
    chance. The student is better than it looks, and the best epoch is chosen at random.

    It warns when all of this holds at the end of an epoch:

    - `loss` has fallen by 5 % or more since the first epoch, and `val_loss` by less than a quarter
      of that;
    - more than 1 % of the beginning is left in the averages of a layer;
    - that layer's averages, with the beginning taken out,
      `(now - momentum ** steps * beginning) / (1 - momentum ** steps)`, differ so much from those
      it has that half of its channels or more are moved by 0.4 standard deviations or scaled by a
      factor of 1.5.

    An overfitted student has the first without the others. It looks at a few numbers at the end of
    an epoch, and no longer once the beginning is forgotten. `keras_kd.Distiller.fit` has one
    already; list it for a plain `keras.Model`, such as a teacher.

    Example:

    >>> x = np.random.default_rng(0).normal(size=(64, 4)) * 9
    >>> y = (x[:, 0] > 0).astype("int32")
    >>> model = keras.Sequential([keras.layers.BatchNormalization(), keras.layers.Dense(2)])
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> history = model.fit(x, y, validation_data=(x, y), epochs=2, verbose=0,
    ...                     callbacks=[keras_kd.callbacks.LaggingAverages()])
    """

    def on_train_begin(self, logs: Any = None) -> None:
        self._first: tuple[float, float] | None = None
        self._epochs = 0
        self._begun = self._steps_taken()
        self._norms = [_Norm(layer, *_averages(layer)) for layer in _norms_of(self.model)]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        loss, validation = (float((logs or {}).get(n, math.nan)) for n in ("loss", "val_loss"))
        self._epochs += 1
        if not self._norms or not math.isfinite(loss + validation):
            return
        steps = self._steps_taken() - self._begun
        self._norms = [n for n in self._norms if n.layer.momentum**steps > _FORGOTTEN]
        if self._first is None:
            self._first = loss, validation
            return
        fell, followed = (a - b for a, b in zip(self._first, (loss, validation), strict=True))
        if fell < _FELL * abs(self._first[0]) or followed > _FOLLOWS * fell or validation < loss:
            return
        off = max(self._norms, key=lambda n: _gap(n, steps), default=None)
        if off is not None and _gap(off, steps) > _APART:
            warnings.warn(self._message(off, steps, loss, validation), stacklevel=2)
            self._norms = []

    def _steps_taken(self) -> int:
        """The steps so far; a step of a gradient that is accumulated counts as well."""
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of one that scales the loss
        times = optimizer.gradient_accumulation_steps or 1
        return int(ops.convert_to_numpy(optimizer.iterations)) * times

    def _message(self, off: _Norm, steps: int, loss: float, validation: float) -> str:
        assert self._first is not None
        momentum, each = off.layer.momentum, steps / self._epochs
        needs = math.ceil(math.log(_FORGOTTEN) / math.log(momentum))
        smaller = [m for m in _REMEDIES if m < momentum]
        remedy = next((m for m in smaller if m**each < 0.2), min(_REMEDIES))
        return (
            f"After {steps} steps the loss has fallen from {self._first[0]:.3g} to {loss:.3g}, and "
            f"val_loss has not followed: {validation:.3g}, {self._first[1]:.3g} at first. The cause "
            f"is BatchNormalization, such as '{off.layer.path}': at momentum={momentum:g}, "
            f"{momentum**steps:.0%} of its running averages are still what they were before the first "
            "step, and inference normalizes by them. In training mode the model is better than its "
            f"validation shows. Build it with BatchNormalization(momentum={remedy:g}), or train "
            f"longer: at {momentum:g} the averages take about {needs} steps, {math.ceil(needs / each)} "
            "epochs."
        )


def with_averages(callbacks: Any) -> Any:
    """The callbacks, with one that looks at running averages."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks  # made by the user, who chose what is in it
    if any(isinstance(callback, LaggingAverages) for callback in callbacks):
        return callbacks
    return [*callbacks, LaggingAverages()]


def _norms_of(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The layers that normalize by batches in training and by averages in inference."""
    students = getattr(model, "students", None)
    models = [model] if students is None else students.values()
    layers = (layer for m in models for layer in layers_of(m))
    norms = (n for n in layers if isinstance(n, keras.layers.BatchNormalization))
    return [n for n in norms if n.trainable and n.built and 0 < n.momentum < 1]


def _averages(layer: keras.layers.BatchNormalization) -> tuple[Any, Any]:
    pair = (layer.moving_mean, layer.moving_variance)
    mean, variance = (ops.convert_to_numpy(v).astype("float64") for v in pair)
    return mean, variance


def _gap(norm: _Norm, steps: int) -> float:
    """How far inference is from training in half of the channels: a shift in standard deviations,
    or the logarithm of a scale."""
    left = norm.layer.momentum**steps
    if left >= 1:
        return 0.0
    mean, variance = _averages(norm.layer)
    true_mean = (mean - left * norm.mean) / (1 - left)
    true_variance = np.maximum((variance - left * norm.variance) / (1 - left), 0)
    wide, true = (np.sqrt(v + norm.layer.epsilon) for v in (variance, true_variance))
    apart = np.maximum(np.abs(np.log(wide / true)), np.abs(mean - true_mean) / true)
    return float(np.median(apart))
