"""The codec of the largest logits as probabilities, each in one byte."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_kd._core.largest import Largest
from keras_kd.stores._codecs import Columns, StoreError, TopK, class_kind

#: A byte `q` stands for the log-odds `q / _STEPS - _MOST`: from -16 to 15.875.
_STEPS, _MOST = np.float32(8), np.float32(16)
_LOG_ODDS = np.arange(256, dtype="float32") / _STEPS - _MOST
#: The probability of each byte, and its logarithm.
_P = 1 / (1 + np.exp(-_LOG_ODDS))
_LOG_P = -np.log1p(np.exp(-_LOG_ODDS))


@dataclass(frozen=True)
class TopKBytes(TopK):
    """The probabilities of the largest logits at one temperature, and their classes.

    Log-odds are stored in steps of 1/8, so that those near 1 are as exact as those near 0: an error
    of at most 1/16, from probabilities of 1e-7 on. Where rounding brings the sum above 1, all are
    divided by it.
    """

    name = "top_k_int8"
    tolerance = 2 / 256

    def columns(self) -> dict[str, Any]:
        known = (*self.shape[:-1], self.k)
        return {"values": ("uint8", known), "classes": (class_kind(self.shape[-1]), known)}

    def encode(self, prepared: Any) -> dict[str, np.ndarray]:
        values, classes, sums = map(np.asarray, prepared)
        codes = np.rint(self._codes(values, sums)).astype("uint8")
        return {"values": codes, "classes": classes.astype(class_kind(self.shape[-1]))}

    def unseen_faults(self, prepared: Any) -> np.ndarray:
        values, _, sums = map(np.asarray, prepared)
        return ~(np.isfinite(values).all(axis=-1) & np.isfinite(sums).all(axis=-1))

    def decode(self, columns: Columns) -> Any:
        codes = columns["values"]
        total = _P[codes].sum(axis=-1, keepdims=True)
        values = _LOG_P[codes] - np.log(np.maximum(total, 1))
        return Largest(
            values * np.float32(self.temperatures[0]),
            columns["classes"].astype("int32"),
            np.zeros((*codes.shape[:-1], 1), "float32"),
        )

    def apart(self, prepared: Any, columns: Columns) -> np.ndarray:
        values, _, sums = map(np.asarray, prepared)
        # At padding that was left out stand zeros, which are no logits with their log-sum-exp.
        there = (values != 0).any(axis=-1, keepdims=True) | (sums != 0)
        apart = np.abs(self._codes(values, sums) - columns["values"]) * there
        difference = apart.reshape(len(apart), -1)
        return difference.max(axis=1, initial=0.0) / 256

    def _codes(self, values: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """The bytes, before they are rounded."""
        with np.errstate(divide="ignore", invalid="ignore"):
            log_p = np.minimum(values / np.float32(self.temperatures[0]) - sums, 0)
            log_odds = log_p - np.log(-np.expm1(log_p))
        return np.clip(np.nan_to_num((log_odds + _MOST) * _STEPS), 0, 255)


def top_k_codec(
    shape: tuple[int, ...], k: int, dtype: str, temperatures: tuple[float, ...]
) -> TopK:
    """The codec for the largest logits, stored as this type."""
    if dtype != "int8":
        return TopK(shape, k, dtype, temperatures)
    if len(temperatures) > 1:
        raise StoreError(
            "With dtype='int8' the largest logits are kept as probabilities, which hold at one "
            f"temperature. Received: temperatures={temperatures}. Give one, or dtype='float16'."
        )
    return TopKBytes(shape, k, dtype, temperatures)
