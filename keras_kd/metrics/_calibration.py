"""Calibration: of the predictions with 80 % confidence, are 80 % right?"""

from typing import Any

from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd._core.tensors import Tensor
from keras_kd.metrics._base import ClassifierMetric
from keras_kd.metrics._log_probabilities import log_odds_of_first, one_hot

#: Where the fine cells lie: confidences from 3e-4 to 1 - 4e-11, as log-odds.
_LOWEST, _HIGHEST = -8.0, 24.0


class _Binned(ClassifierMetric):
    """Per bin: the weight, and the sums of confidence and of right predictions."""

    def __init__(self, cells: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.sums = self.add_variable((cells, 3), "zeros", name="sums")

    def places(self, log_p: Tensor) -> Tensor:
        """The bin of each prediction."""
        raise NotImplementedError

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        log_p = self._log_probabilities(y_pred)
        right = _right(one_hot(y_true, log_p), log_p)
        confidence = ops.exp(ops.max(log_p, axis=-1))
        weights = self._weights(right, y_pred, sample_weight)
        rows = ops.stack([weights, weights * confidence, weights * right], axis=-1)
        places = ops.reshape(self.places(log_p), (-1,))
        cells = self.sums.shape[0]
        self.sums.assign_add(ops.segment_sum(ops.reshape(rows, (-1, 3)), places, cells))


@serializable
class CalibrationError(_Binned):
    """Expected calibration error over bins of equal width.

    Predictions are sorted into `M` bins by their confidence, the largest probability: bin `m` holds
    those in `((m - 1) / M, m / M]`. With `n_m` predictions of `N` in it, their share of right ones
    and their mean confidence:

    `ece = Σ_m n_m / N · | accuracy_m - confidence_m |`

    0 is perfect: of the predictions with 80 % confidence, 80 % are right. It is the same number
    however the data are cut into batches.

    Shapes: `y_true` class numbers `(batch, ...)` or one-hot rows `(batch, ..., classes)`; `y_pred`
    `(batch, ..., classes)`, or `(batch, 1)`.

    Args:
        bins: Number of bins `M`, at least 1. Defaults to `15`.
        from_logits: Whether predictions are logits; else probabilities. Defaults to `True`.
        multi_label: Whether each column is a yes-no question of its own. Defaults to `False`.
        **kwargs: `name`, `dtype` as in `keras.metrics.Metric`.

    Raises:
        ValueError: If `bins` is below 1, or labels and predictions do not fit each other.

    Example:

    >>> metric = keras_kd.metrics.CalibrationError(from_logits=False)
    >>> metric.update_state([0, 0, 1, 0], [[0.7, 0.3]] * 4)  # 75 % right at 70 %
    >>> round(float(metric.result()), 4)
    0.05

    Reference: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
    arXiv:1706.04599, formula 3.
    """

    def __init__(self, bins: int = 15, **kwargs: Any):
        bins = count(bins, "bins")
        super().__init__(bins, **kwargs)
        self.bins = bins

    def places(self, log_p: Tensor) -> Tensor:
        upper = ops.ceil(ops.exp(ops.max(log_p, axis=-1)) * self.bins)
        return ops.clip(ops.cast(upper, "int32") - 1, 0, self.bins - 1)

    def result(self) -> Any:
        weight, confidence, right = ops.unstack(ops.convert_to_tensor(self.sums), axis=1)
        return ops.divide_no_nan(ops.sum(ops.abs(right - confidence)), ops.sum(weight))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins}


@serializable
class EqualMassCalibrationError(_Binned):
    """Expected calibration error over bins that hold equally many predictions.

    Where nearly all predictions are confident, bins of equal width leave most of them in the last
    one. Here each of the `M` bins holds `N / M` predictions:

    `ece = 1/M · Σ_m | accuracy_m - confidence_m |`

    Sorting needs all predictions at once, and a stream has no end. So predictions are counted in
    fine cells of equal width in log-odds, from -8 to 24 (what lies outside counts with the end
    cells), and the bins are cut from the cells at the end. A cell that a cut goes through is shared
    in proportion. Such a result differs from the one on sorted predictions by at most the share of
    examples in the cells that are cut, at most `M - 1` of them, and a little for the width of a
    cell. The same number however the data are cut into batches.

    Shapes: `y_true` class numbers `(batch, ...)` or one-hot rows `(batch, ..., classes)`; `y_pred`
    `(batch, ..., classes)`, or `(batch, 1)`.

    Args:
        bins: Number of bins `M`, at least 1. Defaults to `15`.
        cells: Number of fine cells, at least `bins`. Defaults to `2048`, each 1/64 wide.
        **kwargs: `from_logits`, `multi_label`, `name`, `dtype` as in `CalibrationError`.

    Raises:
        ValueError: If `bins` is below 1 or above `cells`, or labels and predictions do not fit.

    Example:

    >>> metric = keras_kd.metrics.EqualMassCalibrationError(bins=2, from_logits=False)
    >>> metric.update_state([0, 0, 1, 0], [[0.7, 0.3], [0.7, 0.3], [0.6, 0.4], [0.6, 0.4]])
    >>> round(float(metric.result()), 4)  # (|1 - 0.7| + |0.5 - 0.6|) / 2
    0.2

    Reference: Nguyen, O'Connor, "Posterior Calibration and Exploratory Analysis for Natural
    Language Processing Models", EMNLP 2015, arXiv:1508.05154, section 3 (adaptive binning).
    """

    def __init__(self, bins: int = 15, cells: int = 2048, **kwargs: Any):
        bins, cells = count(bins, "bins"), count(cells, "cells")
        if cells < bins:
            raise ValueError(f"`cells` must be at least `bins`, {bins}. Received: cells={cells}.")
        super().__init__(cells, **kwargs)
        self.bins, self.cells = bins, cells

    def places(self, log_p: Tensor) -> Tensor:
        share = (log_odds_of_first(log_p) - _LOWEST) / (_HIGHEST - _LOWEST)
        share = ops.where(ops.isnan(share), 0.0, share)  # a NaN is no place, and is to be seen
        return ops.cast(ops.clip(ops.floor(share * self.cells), 0, self.cells - 1), "int32")

    def result(self) -> Any:
        weight, confidence, right = ops.unstack(ops.convert_to_tensor(self.sums), axis=1)
        up_to = ops.cumsum(weight)
        total = up_to[-1]
        cuts = ops.arange(self.bins + 1, dtype=self.dtype) / self.bins * total
        upper = ops.minimum(up_to, ops.expand_dims(cuts[1:], -1))
        lower = ops.maximum(up_to - weight, ops.expand_dims(cuts[:-1], -1))
        share = ops.divide_no_nan(ops.maximum(upper - lower, 0.0), weight)
        gaps = ops.matmul(share, ops.expand_dims(right - confidence, -1))
        return ops.divide_no_nan(ops.sum(ops.abs(gaps)), total)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins, "cells": self.cells}


def _right(y: Tensor, log_p: Tensor) -> Tensor:
    """1 where the largest probability is on the class that is true."""
    return ops.cast(ops.equal(ops.argmax(y, axis=-1), ops.argmax(log_p, axis=-1)), log_p.dtype)
