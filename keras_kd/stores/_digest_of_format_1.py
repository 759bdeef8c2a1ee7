"""What an example looked like, as stores of format 1 keep it: three numbers for all inputs."""

import zlib
from typing import Any

import keras
import numpy as np

from keras_kd.stores._digest import Digest

#: As a part of the largest of the three.
TOLERANCE = 1e-3


class DigestOfFormat1(Digest):
    """As its base; some other images of 224 x 224 look the same to it."""

    def __init__(self) -> None:
        self.shape = (3,)

    def of(self, x: Any, examples: int = 0) -> np.ndarray:
        """Mean, root mean square and a mean with fixed uneven weights of each example."""
        parts = [_of_leaf(np.asarray(leaf)) for leaf in keras.tree.flatten(x)]
        return np.mean(parts, axis=0).astype("float32")

    def apart(self, now: np.ndarray, then: np.ndarray) -> np.ndarray:
        largest = np.maximum(np.abs(now).max(axis=1), np.abs(then).max(axis=1))
        largest = np.where(largest == 0, 1, largest)
        return np.abs(now - then).max(axis=1) / largest / TOLERANCE


def _of_leaf(leaf: np.ndarray) -> np.ndarray:
    if leaf.dtype.kind in "OSU":
        flat = leaf.reshape(len(leaf), -1)
        numbers = [[zlib.crc32(_plain(word)) / 2**32 for word in row] for row in flat]
        leaf = np.array(numbers)
    flat = leaf.reshape(len(leaf), -1).astype("float64")
    weights = np.cos(1.7 * np.arange(flat.shape[1]) + 0.3)
    rms = np.sqrt(np.mean(flat**2, axis=1))
    return np.stack([flat.mean(axis=1), rms, flat @ weights / flat.shape[1]], axis=1)


def _plain(word: Any) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()
