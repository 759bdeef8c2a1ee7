"""Weights that become zero while a student learns, and stay zero."""

import gzip
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.kernels import check_one_step, kernels_in, sync
from keras_kd._core.messages import did_you_mean, listing
from keras_kd._core.scalars import count, is_number
from keras_kd.compression._patterns import Magnitude, Pattern, mask
from keras_kd.distiller import Distiller
from keras_kd.taps import layer_paths


class Pruning(keras.callbacks.Callback):
    """Sets the smallest weights to zero, little by little, while a model is trained.

    Under a `keras_kd.Distiller` it prunes the student, which learns from its teacher to do without
    them; under a plain model's `fit` it prunes that model. Each kernel is pruned by itself. After
    every step the weights that are gone are zero again, whatever the optimizer did to them, and
    the logs of each epoch hold `sparsity`, the share of zeros in the pruned kernels.

    The share of zeros at step `t` between `begin` and `end`, of the final share `s`:

    `s(t) = s · (1 - (1 - (t - begin) / (end - begin))³)`

    fast at first, when there is much to spare, and slow at the end. After `end` the weights that
    are left are trained on. Pruned are the kernels of dense layers, convolutions (of separable ones
    the pointwise part; not depthwise ones) and recurrent cells.

    Zeros take as much room in a file as other numbers do, until it is compressed; see
    `compressed_bytes`.

    Args:
        pattern: `keras_kd.compression.Magnitude(sparsity)`, for which a float is short, or
            `keras_kd.compression.NOfM(keep=2, of=4)`. Defaults to `0.8`.
        begin: Number of steps before the first weight goes. Defaults to `0`.
        end: Step at which the whole share is reached. What is left needs steps, and a learning
            rate that is not yet small, to make up for it. Defaults to half the steps of the first
            `fit`.
        every: Number of steps between two prunings. Defaults to a hundredth of the way.
        layers: List of the paths of layers to prune (`"block1"`, `"backbone/block1"`). Defaults
            to all that have such kernels and can have the pattern.

    Raises:
        ValueError: If a number is out of its bounds, a layer does not exist or cannot have the
            pattern, or nothing is left to prune.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    >>> model.compile("sgd", "mse")
    >>> pruning = keras_kd.compression.Pruning(0.5)
    >>> history = model.fit(np.ones((32, 4)), np.ones((32, 8)), verbose=0, callbacks=[pruning])
    >>> history.history["sparsity"]
    [0.5]

    Reference: Zhu, Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model
    compression", 2017, arXiv:1710.01878, section 3.
    """

    def __init__(
        self,
        pattern: float | Pattern = 0.8,
        *,
        begin: int = 0,
        end: int | None = None,
        every: int | None = None,
        layers: Sequence[str] | None = None,
    ):
        super().__init__()
        self.pattern: Any = Magnitude(pattern) if is_number(pattern) else pattern
        begin = count(begin, "begin", least=0)
        end = None if end is None else count(end, "end")
        every = None if every is None else count(every, "every")
        if end is not None and end <= begin:
            raise ValueError(f"`end` must be after `begin`. Received: begin={begin}, end={end}.")
        self.begin, self.end, self.every = begin, end, every
        self.layers = None if layers is None else list(layers)
        self.step = 0
        self._end = self._every = 0  # known when training begins
        self._kernels: list[keras.Variable] = []
        self._masks: list[Any] = []

    @property
    def sparsity(self) -> float:
        """The share of zeros in the pruned kernels now."""
        return _zeros([ops.convert_to_numpy(kernel) for kernel in self._kernels])

    def on_train_begin(self, logs: Any = None) -> None:
        check_one_step(self.model, "Pruning")
        if not self._end:  # a second fit goes on where the first has ended
            self._end = self.end or self._default_end()
            self._every = self.every or max(1, (self._end - self.begin) // 100)
        self._choose()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        sync(self.model)
        self.step += 1
        if not self._kernels:
            self._choose()  # a model that its first batch built
        due = self.step == self._end or (self.step - self.begin) % self._every == 0
        if due and self.begin < self.step <= self._end:
            self._look()
        self._apply()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None:
            logs["sparsity"] = self.sparsity

    def on_train_end(self, logs: Any = None) -> None:
        self._apply()  # an optimizer that averages has put its averages in place
        if self.step < self._end:
            warnings.warn(
                f"Training ended at step {self.step}, and `end` is {self._end}: the sparsity is "
                f"{self.sparsity:.3f}, not {self.pattern.share:.3f}.",
                stacklevel=2,
            )

    def _default_end(self) -> int:
        steps = self.params.get("steps")
        if not steps:
            raise ValueError(
                "The number of steps of this fit() is not known, so Pruning needs `end`: the step "
                "at which the whole sparsity is reached."
            )
        return max(self.begin + 1, steps * self.params["epochs"] // 2)

    def _choose(self) -> None:
        models = _models(self.model)
        if all(model.built for model in models):
            self._kernels = [k for model in models for k in self._kernels_of(model)]
            self._masks = self._masks or [None] * len(self._kernels)

    def _kernels_of(self, model: keras.Model) -> list[keras.Variable]:
        found = {path: kernels for path, kernels in _prunable(model).items() if kernels}
        paths = list(found) if self.layers is None else self.layers
        chosen: dict[int, keras.Variable] = {}
        for path in paths:
            if path not in found:
                raise ValueError(
                    f"No layer '{path}' with a kernel in '{model.name}', named in `layers`. "
                    f"Expected one of {listing(found)}.{did_you_mean(path, found)}"
                )
            layer, kernels = layer_paths(model)[path], found[path]
            fit = [self.pattern.fits(layer, tuple(kernel.shape)) for kernel in kernels]
            if self.layers is not None and not all(fit):
                raise ValueError(
                    f"The kernel of layer '{path}', {tuple(kernels[0].shape)} in a "
                    f"{type(layer).__name__}, cannot have the pattern "
                    f"{type(self.pattern).__name__}. Leave it out of `layers`."
                )
            chosen.update({id(k): k for k, fits in zip(kernels, fit, strict=True) if fits})
        if not chosen:
            raise ValueError(
                f"Nothing to prune: no layer of '{model.name}' has a kernel that can have the "
                f"pattern {type(self.pattern).__name__}."
            )
        return list(chosen.values())

    def _look(self) -> None:
        """Chooses anew what is zero; what is zero already is the smallest there is."""
        way = (self.step - self.begin) / (self._end - self.begin)
        progress = 1.0 - (1.0 - way) ** 3
        for i, kernel in enumerate(self._kernels):
            kept = mask(ops.convert_to_numpy(kernel), self.pattern, progress)
            self._masks[i] = ops.convert_to_tensor(kept, dtype=kernel.dtype)

    def _apply(self) -> None:
        for kernel, kept in zip(self._kernels, self._masks, strict=True):
            if kept is not None:
                kernel.assign(kernel * kept)


def sparsity(model: keras.Model) -> float:
    """The share of zeros in the kernels that a `Pruning` would prune.

    Args:
        model: A built model.

    Returns:
        A number in `[0, 1]`.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.eye(4, 2), np.zeros(2)])
    >>> keras_kd.compression.sparsity(model)
    0.75
    """
    kernels = {id(k): k for kernels in _prunable(model).values() for k in kernels}
    return _zeros([ops.convert_to_numpy(kernel) for kernel in kernels.values()])


def compressed_bytes(model: keras.Model) -> int:
    """The size of a model's weights after gzip, as a device would download them.

    Args:
        model: A built model.

    Returns:
        Number of bytes.

    Example:

    >>> model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(100)])
    >>> whole = keras_kd.compression.compressed_bytes(model)
    >>> model.set_weights([np.zeros((100, 100)), np.zeros(100)])
    >>> whole > 30_000, keras_kd.compression.compressed_bytes(model) < 100
    (True, True)
    """
    weights = [np.ascontiguousarray(ops.convert_to_numpy(w)) for w in model.weights]
    return len(gzip.compress(b"".join(w.tobytes() for w in weights), 9, mtime=0))


def _zeros(kernels: list[np.ndarray]) -> float:
    size = sum(kernel.size for kernel in kernels)
    return sum(int((kernel == 0).sum()) for kernel in kernels) / size if size else 0.0


def _models(model: keras.Model) -> list[keras.Model]:
    return list(model.students.values()) if isinstance(model, Distiller) else [model]


def _prunable(model: keras.Model) -> dict[str, list[keras.Variable]]:
    """Each layer's kernels by its path."""
    return {path: kernels_in(layer) for path, layer in layer_paths(model).items()}
