"""Which weights of a kernel may go."""

from typing import Any, Protocol

import keras
import numpy as np

from keras_kd._core.scalars import count, is_number

_MATRICES = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


class Pattern(Protocol):
    """What a `Pruning` asks of a pattern."""

    share: float

    def fits(self, layer: keras.Layer, shape: tuple[int, ...]) -> bool:
        """Whether a kernel of this shape can have the pattern."""

    def candidates(self, weights: np.ndarray) -> np.ndarray:
        """True where a weight may become zero."""


class Magnitude:
    """Any weights of a kernel may go: the smallest do.

    Unstructured sparsity. The file shrinks when it is compressed; a device is faster only with
    kernels made for it.

    Args:
        sparsity: Share of each kernel that becomes zero, in `(0, 1)`. Defaults to `0.8`.

    Raises:
        ValueError: If `sparsity` is not in `(0, 1)`.

    Example:

    >>> pattern = keras_kd.compression.Magnitude(0.25)
    >>> keras_kd.compression.mask(np.array([[3.0, -1.0], [2.0, 4.0]]), pattern).tolist()
    [[1.0, 0.0], [1.0, 1.0]]

    Reference: Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural
    Networks", NeurIPS 2015, arXiv:1506.02626, section 3.
    """

    def __init__(self, sparsity: float = 0.8):
        if not is_number(sparsity) or not 0.0 < sparsity < 1.0:
            raise ValueError(f"`sparsity` must be in (0, 1). Received: sparsity={sparsity!r}.")
        self.share = float(sparsity)

    def fits(self, layer: keras.Layer, shape: tuple[int, ...]) -> bool:
        return True

    def candidates(self, weights: np.ndarray) -> np.ndarray:
        return np.ones(weights.shape, bool)


class NOfM:
    """In each block of `of` weights that are summed one after another, the largest `keep` stay.

    2 of 4 is the pattern that NVIDIA's sparse tensor cores run at twice the speed. A block lies
    along the inputs of one output channel; a convolution's inputs are counted row, column,
    channel, as a device lays them out. For `Dense` and convolution kernels whose number of inputs
    is divisible by `of`.

    Args:
        keep: Number of weights that stay in each block. Defaults to `2`.
        of: Length of a block. Defaults to `4`.

    Raises:
        ValueError: If not `0 < keep < of`.

    Example:

    >>> column = np.array([[3.0], [-1.0], [2.0], [-4.0]])
    >>> keras_kd.compression.mask(column, keras_kd.compression.NOfM(keep=2, of=4))[:, 0].tolist()
    [1.0, 0.0, 0.0, 1.0]

    Reference: Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, arXiv:2104.08378,
    sections 2 and 4.
    """

    def __init__(self, *, keep: int = 2, of: int = 4):
        self.of = count(of, "of", least=2)
        self.keep = count(keep, "keep", most=of - 1)
        self.share = 1.0 - keep / of

    def fits(self, layer: keras.Layer, shape: tuple[int, ...]) -> bool:
        return isinstance(layer, _MATRICES) and int(np.prod(shape[:-1])) % self.of == 0

    def candidates(self, weights: np.ndarray) -> np.ndarray:
        blocks = np.abs(weights).reshape(-1, self.of, weights.shape[-1])
        rank = blocks.argsort(axis=1, kind="stable").argsort(axis=1)
        return (rank < self.of - self.keep).reshape(weights.shape)


def mask(weights: Any, pattern: Pattern, progress: float = 1.0) -> np.ndarray:
    """1 where a weight stays and 0 where it goes: the smallest of those that may go.

    Args:
        weights: A kernel.
        pattern: `Magnitude` or `NOfM`.
        progress: Share of the pattern's sparsity to reach, in `[0, 1]`. Defaults to `1.0`.

    Returns:
        An array of the kernel's shape.

    Raises:
        ValueError: If `progress` is not from 0 to 1.

    Example:

    >>> pattern = keras_kd.compression.Magnitude(0.5)
    >>> keras_kd.compression.mask(np.array([3.0, 1.0, 2.0, 4.0]), pattern, 0.5).tolist()
    [1.0, 0.0, 1.0, 1.0]
    """
    if not is_number(progress) or not 0 <= progress <= 1:
        raise ValueError(f"`progress` must be from 0 to 1. Received: progress={progress!r}.")
    weights = np.asarray(weights, "float32")
    pruned = round(pattern.share * progress * weights.size)
    size = np.where(pattern.candidates(weights), np.abs(weights), np.inf).ravel()
    kept = np.ones(weights.size, "float32")
    kept[np.argsort(size, kind="stable")[:pruned]] = 0.0
    return kept.reshape(weights.shape)
