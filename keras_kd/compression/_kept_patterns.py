"""Zeros and clusters of a trained student, which training on few bits is to keep."""

from typing import Any

import keras
import numpy as np

from keras_kd.compression._quantization_scheme import ROUNDED

L = keras.layers


class Kept:
    """Which weights stay zero and which stay equal.

    Args:
        zeros: `None` for kernels that look pruned, `True` for every zero, `False` for none.
        clusters: `None` for kernels of few distinct values, `True` for some more, `False` for none.
    """

    def __init__(self, zeros: bool | None, clusters: bool | None):
        for name, value in (("keep_zeros", zeros), ("keep_clusters", clusters)):
            if value not in (None, True, False):
                raise TypeError(f"`{name}` must be True, False or None. Received: {value!r}.")
        self.zeros, self.clusters = zeros, clusters

    def of(self, layer: Any) -> tuple[bool, tuple[int, ...]]:
        """Whether zeros of a layer's kernels are kept, and for each kernel the distinct values to
        keep, 0 where it is free."""
        kernels = _kernels(layer)
        pruned = self.zeros is not False and any(map(self._pruned, kernels))
        if self.clusters is False:
            return pruned, (0,) * len(kernels)
        return pruned, tuple(distinct(kernel, bool(self.clusters)) for kernel in kernels)

    def _pruned(self, kernel: np.ndarray) -> bool:
        """Learnt weights are hardly ever exactly 0, and a kernel of zeros alone has yet to learn."""
        share = float(np.mean(kernel == 0.0))
        return (share > 0.0 if self.zeros else share >= 0.05) and share < 1.0

    def check(self, layers: list[Any], student: str) -> None:
        """An error where what is to be kept is not there."""
        found = [self.of(part) for layer in layers for part in _parts(layer)]
        if self.zeros and not any(pruned for pruned, _ in found):
            raise ValueError(
                f"keep_zeros=True, and no kernel of student '{student}' has a zero. Prune it before, "
                "with keras_kd.compression.Pruning, or leave `keep_zeros` out."
            )
        if self.clusters and not any(map(any, (clusters for _, clusters in found))):
            raise ValueError(
                f"keep_clusters=True, and no kernel of student '{student}' has few distinct values. "
                "Cluster it before, with keras_kd.compression.Clustering, or leave `keep_clusters` out."
            )


def distinct(kernel: np.ndarray, asked: bool) -> int:
    """The number of distinct values of a kernel that was clustered, and 0 for any other."""
    values = len(np.unique(kernel))
    most = kernel.size // 2 if asked else min(256, kernel.size // 4)
    return values if 2 <= values <= most else 0


def _parts(layer: Any) -> list[Any]:
    if isinstance(layer, L.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    return [layer]


def _kernels(layer: Any) -> list[np.ndarray]:
    """The weights of a layer that are rounded; a padding row of zeros is no pruning."""
    if isinstance(layer, L.Embedding):
        return [np.ones(1)]
    if isinstance(layer, L.SeparableConv2D):
        return [keras.ops.convert_to_numpy(layer.pointwise_kernel)]
    targets = ROUNDED[type(layer)].targets(layer)
    return [keras.ops.convert_to_numpy(getattr(owner, name)) for owner, name in targets]
