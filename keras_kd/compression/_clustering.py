"""Weights that share a few values while a student learns."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.kernels import check_one_step, kernels_in, sync
from keras_kd._core.messages import did_you_mean, listing
from keras_kd._core.scalars import count
from keras_kd.distiller import Distiller
from keras_kd.taps import layer_paths

#: `start(weights, clusters)`, sorted float32 weights to as many first centroids.
Start = Callable[[np.ndarray, int], np.ndarray]


def linear_centroids(weights: np.ndarray, clusters: int) -> np.ndarray:
    """First centroids at equal distances, from the smallest weight to the largest.

    Large weights are few and matter most; this start keeps values for them, and did best in the
    paper.

    Args:
        weights: The weights of a kernel.
        clusters: Number of centroids.

    Returns:
        An array of `clusters` values.

    Raises:
        ValueError: If `clusters` is no whole number of at least 1.

    Example:

    >>> keras_kd.compression.linear_centroids(np.array([0.0, 0.1, 0.2, 3.0]), 4).tolist()
    [0.0, 1.0, 2.0, 3.0]

    Reference: Han, Mao, Dally, "Deep Compression", ICLR 2016, arXiv:1510.00149, section 3.2.
    """
    return np.linspace(np.min(weights), np.max(weights), count(clusters, "clusters"))


def density_centroids(weights: np.ndarray, clusters: int) -> np.ndarray:
    """First centroids with the same number of weights about each of them.

    Args:
        weights: The weights of a kernel.
        clusters: Number of centroids.

    Returns:
        An array of `clusters` values.

    Raises:
        ValueError: If `clusters` is no whole number of at least 1.

    Example:

    >>> keras_kd.compression.density_centroids(np.array([0.0, 1.0, 2.0, 9.0]), 2).tolist()
    [0.75, 3.75]

    Reference: Han, Mao, Dally, "Deep Compression", ICLR 2016, arXiv:1510.00149, section 3.2.
    """
    clusters = count(clusters, "clusters")
    return np.quantile(weights, (np.arange(clusters) + 0.5) / clusters)


def random_centroids(weights: np.ndarray, clusters: int) -> np.ndarray:
    """First centroids that are weights drawn at random, the same for the same weights.

    Args:
        weights: The weights of a kernel.
        clusters: Number of centroids.

    Returns:
        An array of `clusters` values.

    Raises:
        ValueError: If `clusters` is no whole number of at least 1.

    Example:

    >>> set(keras_kd.compression.random_centroids(np.array([1.0, 2.0]), 2)) == {1.0, 2.0}
    True

    Reference: Han, Mao, Dally, "Deep Compression", ICLR 2016, arXiv:1510.00149, section 3.2.
    """
    clusters, values = count(clusters, "clusters"), np.unique(weights)
    return np.random.default_rng(0).choice(values, min(clusters, len(values)), replace=False)


def distant_centroids(weights: np.ndarray, clusters: int) -> np.ndarray:
    """First centroids drawn one after another, far from those before (k-means++).

    A weight is drawn with a probability that grows with the square of its distance to the nearest
    centroid so far; the draws are the same for the same weights.

    Args:
        weights: The weights of a kernel.
        clusters: Number of centroids.

    Returns:
        An array of at most `clusters` values.

    Raises:
        ValueError: If `clusters` is no whole number of at least 1.

    Example:

    >>> sorted(keras_kd.compression.distant_centroids(np.array([1.0, 1.0, 5.0]), 2).tolist())
    [1.0, 5.0]

    Reference: Arthur, Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007,
    section 2.2.
    """
    clusters, draw = count(clusters, "clusters"), np.random.default_rng(0)
    weights = np.asarray(weights, "float64").ravel()
    chosen = [draw.choice(weights)]
    nearest = (weights - chosen[0]) ** 2
    while len(chosen) < clusters and nearest.sum() > 0:
        chosen.append(draw.choice(weights, p=nearest / nearest.sum()))
        nearest = np.minimum(nearest, (weights - chosen[-1]) ** 2)
    return np.array(chosen)


def assign_clusters(
    kernel: Any,
    clusters: int,
    *,
    start: Start = linear_centroids,
    keep_zeros: bool = True,
    per_channel: bool = False,
    iterations: int = 50,
) -> np.ndarray:
    """The cluster of each weight, by k-means: weights of one cluster are to have one value.

    `argmin over clusters C of Σ_i Σ_{w in C_i} (w - c_i)²`, the weights of a kernel by themselves.

    Args:
        kernel: A kernel.
        clusters: Number of different values, from 2 on; the zero that stays is one of them.
        start: First centroids, for example `keras_kd.compression.density_centroids`. Defaults to
            `keras_kd.compression.linear_centroids`.
        keep_zeros: Whether weights that are exactly 0 have the cluster 0 to themselves, and stay
            0. Defaults to `True`.
        per_channel: Whether each place along the last axis has clusters of its own. Defaults to
            `False`.
        iterations: Largest number of rounds of k-means. Defaults to `50`.

    Returns:
        An array of the kernel's shape: whole numbers, 0 for zeros that stay and from 1 on else.

    Raises:
        TypeError: If `start` is no function.
        ValueError: If `clusters` is no whole number of at least 2, or `iterations` none.

    Example:

    >>> kernel = np.array([[0.9, 1.1], [0.0, -2.0]])
    >>> keras_kd.compression.assign_clusters(kernel, 3).tolist()
    [[2, 2], [0, 1]]

    Reference: Han, Mao, Dally, "Deep Compression: Compressing Deep Neural Networks with Pruning,
    Trained Quantization and Huffman Coding", ICLR 2016, arXiv:1510.00149, section 3.1.
    """
    clusters = count(clusters, "clusters", least=2)
    iterations = count(iterations, "iterations", least=0)
    if not callable(start):
        raise TypeError(
            "`start` must be a function of weights and a number of clusters, such as "
            f"keras_kd.compression.density_centroids. Received: start={start!r}."
        )
    kernel = np.asarray(kernel, "float64")
    if per_channel and kernel.ndim > 1:
        channels = [
            assign_clusters(
                channel, clusters, start=start, keep_zeros=keep_zeros, iterations=iterations
            )
            for channel in np.moveaxis(kernel, -1, 0)
        ]
        shifted = [np.where(m == 0, 0, m + i * clusters) for i, m in enumerate(channels)]
        return np.stack(shifted, axis=-1)
    free = kernel != 0 if keep_zeros else np.ones(kernel.shape, bool)
    members = np.zeros(kernel.shape, "int32")
    if free.any():
        wanted = clusters - (not free.all())
        members[free] = 1 + _nearest(
            kernel[free], _k_means(kernel[free], wanted, start, iterations)
        )
    return members


def _nearest(weights: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return np.searchsorted((centroids[1:] + centroids[:-1]) / 2, weights).astype("int32")


def _k_means(weights: np.ndarray, clusters: int, start: Start, iterations: int) -> np.ndarray:
    """Centroids of weights on a line, in order; those that nothing is near to are left out."""
    values = np.sort(weights, axis=None)
    if len(np.unique(values)) <= clusters:
        return np.unique(values)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    centroids = np.unique(np.asarray(start(values, clusters), "float64"))
    for _ in range(iterations):
        middles = (centroids[1:] + centroids[:-1]) / 2
        ends = np.concatenate([[0], np.searchsorted(values, middles), [len(values)]])
        sizes = np.diff(ends)
        moved = (np.diff(sums[ends]) / np.maximum(sizes, 1))[sizes > 0]
        if len(moved) == len(centroids) and np.allclose(moved, centroids, rtol=1e-6, atol=0):
            break
        centroids = moved
    return centroids


def share_values(kernel: Any, members: np.ndarray) -> Any:
    """The kernel with the mean of its cluster in the place of each weight.

    The nearest kernel, in squares, in which the weights of a cluster are alike. After a step of
    gradient descent it moves each value by the mean of what its weights were moved.

    Args:
        kernel: A kernel, as a tensor of any backend.
        members: The cluster of each weight, of `assign_clusters`.

    Returns:
        A tensor of the kernel's shape; 0 where `members` is 0.

    Example:

    >>> kernel = np.array([1.0, 3.0, 5.0, 9.0], "float32")
    >>> shared = keras_kd.compression.share_values(kernel, np.array([1, 1, 0, 2]))
    >>> [float(v) for v in shared]
    [2.0, 2.0, 0.0, 9.0]
    """
    flat = np.asarray(members).ravel()
    number = int(flat.max()) + 1
    sizes = np.bincount(flat, minlength=number)
    factors = np.where(np.arange(number) == 0, 0.0, 1.0 / np.maximum(sizes, 1))
    kernel = ops.convert_to_tensor(kernel)
    wide = ops.cast(ops.reshape(kernel, (-1,)), "float32")
    sums = ops.segment_sum(wide, ops.convert_to_tensor(flat, "int32"), num_segments=number)
    means = sums * ops.convert_to_tensor(factors, "float32")
    shared = ops.take(means, ops.convert_to_tensor(flat, "int32"), axis=0)
    return ops.cast(ops.reshape(shared, kernel.shape), kernel.dtype)


class Clustering(keras.callbacks.Callback):
    """Gives the weights of each kernel a few shared values, which are trained.

    At the beginning k-means puts the weights of each kernel into clusters, and each weight takes
    the value of its centroid. After every step the members of a cluster are alike again: their
    value `c` has moved by the mean of what the optimizer moved them, which for gradient descent is

    `c ← c - η · (1/n) Σ_{w in cluster} ∂loss/∂w`,

    the gradient of a centroid (the sum over its members), divided by their number `n`. Zeros of a
    pruned student stay. Begin from a trained student, as with a `Pruning`; under a
    `keras_kd.Distiller` it clusters the student, else the model itself.

    A file of such weights is smaller when it is compressed: `compressed_bytes`. With 16 clusters a
    weight is 4 bits and a table.

    Args:
        clusters: Number of different values in a kernel, from 2 on. Defaults to `16`.
        start: First centroids: `linear_centroids`, `density_centroids`, `random_centroids` or
            `distant_centroids` (k-means++) of `keras_kd.compression`, or a function like them.
            Defaults to `linear_centroids`.
        keep_zeros: Whether weights that are exactly 0 stay 0. Defaults to `True`.
        per_channel: Whether each output channel has clusters of its own. Defaults to `False`.
        layers: List of the paths of layers to cluster (`"block1"`). Defaults to all with kernels.

    Raises:
        ValueError: If a number is out of its bounds, or a layer does not exist or has no kernel.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    >>> model.compile("sgd", "mse")
    >>> clustering = keras_kd.compression.Clustering(4)
    >>> _ = model.fit(np.ones((32, 4)), np.ones((32, 8)), verbose=0, callbacks=[clustering])
    >>> len(np.unique(model.layers[0].get_weights()[0]))
    4

    Reference: Han, Mao, Dally, "Deep Compression: Compressing Deep Neural Networks with Pruning,
    Trained Quantization and Huffman Coding", ICLR 2016, arXiv:1510.00149, section 3.
    """

    def __init__(
        self,
        clusters: int = 16,
        *,
        start: Start = linear_centroids,
        keep_zeros: bool = True,
        per_channel: bool = False,
        layers: Sequence[str] | None = None,
    ):
        super().__init__()
        self.clusters = count(clusters, "clusters", least=2)
        if not callable(start):
            raise ValueError(
                "`start` must be a function of weights and a number of clusters, such as "
                f"keras_kd.compression.density_centroids. Received: {start!r}."
            )
        self.start, self.keep_zeros, self.per_channel = start, keep_zeros, per_channel
        self.layers = None if layers is None else list(layers)
        self._members: list[tuple[keras.Variable, np.ndarray]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        check_one_step(self.model, "Clustering")
        sync(self.model)
        self._begin()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        sync(self.model)
        self._begin()  # a model that its first batch built
        self._share()

    def on_train_end(self, logs: Any = None) -> None:
        sync(self.model)
        self._share()  # an optimizer that averages has put its averages in place

    def _begin(self) -> None:
        models = (
            list(self.model.students.values())
            if isinstance(self.model, Distiller)
            else [self.model]
        )
        if self._members or not all(model.built for model in models):
            return
        for kernel in [k for model in models for k in _kernels_of(model, self.layers)]:
            members = assign_clusters(
                ops.convert_to_numpy(kernel), self.clusters, start=self.start,
                keep_zeros=self.keep_zeros, per_channel=self.per_channel,
            )  # fmt: skip
            self._members.append((kernel, members))
        self._share()

    def _share(self) -> None:
        for kernel, members in self._members:
            kernel.assign(share_values(kernel, members))


def _kernels_of(model: keras.Model, paths: list[str] | None) -> list[keras.Variable]:
    found = {path: kernels_in(layer) for path, layer in layer_paths(model).items()}
    found = {path: kernels for path, kernels in found.items() if kernels}
    for path in paths or ():
        if path not in found:
            raise ValueError(
                f"No layer '{path}' with a kernel in '{model.name}', named in `layers`. "
                f"Expected one of {listing(found)}.{did_you_mean(path, found)}"
            )
    if not found:
        raise ValueError(f"Nothing to cluster: no layer of '{model.name}' has a kernel.")
    chosen = {id(k): k for path in paths or found for k in found[path]}
    return list(chosen.values())
