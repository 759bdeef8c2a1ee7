"""`cluster_weights` and what goes with it."""

from typing import Any

import keras

from keras_kd._core.keras_private import layers_of
from keras_kd.compat.tfmot._clustered_layer import (
    CentroidInitialization,
    ClusterWeights,
    can_be_clustered,
)
from keras_kd.compat.tfmot._copies import check_known, copied, unwrapped

_SETTINGS = ("preserve_sparsity", "cluster_per_channel")


def cluster_weights(
    to_cluster: Any,
    number_of_clusters: int,
    cluster_centroids_init: Any = CentroidInitialization.KMEANS_PLUS_PLUS,
    **kwargs: Any,
) -> Any:
    """A layer or a model whose weights share a few values, which are trained.

    Begin from a trained model. k-means puts the weights of each kernel into clusters, each of one
    value; whatever trains the model, `fit` or a loop of your own, the members of a cluster stay
    alike. Of a model, a copy is wrapped and the model stays as it was; a layer by itself is wrapped
    as it is, with its weights. Clustered are the kernels of dense layers, convolutions and
    recurrent cells, embeddings, and what a `ClusterableLayer` names.

    Args:
        to_cluster: A layer, a list of layers, or a Sequential or Functional model.
        number_of_clusters: Number of different values in a kernel, from 2 on.
        cluster_centroids_init: First centroids of k-means, a `CentroidInitialization`. Defaults to
            `KMEANS_PLUS_PLUS`.
        **kwargs: `preserve_sparsity` (whether weights that are exactly 0 stay 0; `False`),
            `cluster_per_channel` (whether each channel of a `Conv2D` has clusters of its own;
            `False`); others as in `keras.layers.Layer`, for a layer.

    Returns:
        The wrapped layer, a list of them, or a model with wrapped layers, not compiled.

    Raises:
        ValueError: If a number is out of its bounds, if a layer has weights, but none that it is
            known how to cluster, or if `to_cluster` is nothing of these.

    Example:

    >>> clustering = keras_kd.compat.tfmot.clustering.keras
    >>> model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(8)])
    >>> clustered = clustering.cluster_weights(model, number_of_clusters=4)
    >>> clustered.compile("sgd", "mse")
    >>> _ = clustered.fit(np.ones((32, 16)), np.ones((32, 8)), verbose=0)
    >>> plain = clustering.strip_clustering(clustered)
    >>> len(np.unique(plain.layers[0].get_weights()[0]))
    4

    Reference: Han, Mao, Dally, "Deep Compression: Compressing Deep Neural Networks with Pruning,
    Trained Quantization and Huffman Coding", ICLR 2016, arXiv:1510.00149, section 3.
    """
    own = {name: kwargs.pop(name) for name in _SETTINGS if name in kwargs}
    settings = {
        "number_of_clusters": number_of_clusters,
        "cluster_centroids_init": CentroidInitialization(cluster_centroids_init),
        **own,
    }

    def wrapped(layer: keras.Layer, copy: keras.Layer) -> keras.Layer:
        if isinstance(layer, (ClusterWeights, keras.layers.InputLayer)):
            return copy
        return ClusterWeights(copy, **settings) if _has_clusterable(layer) else copy

    if isinstance(to_cluster, (list, tuple)):
        return [wrapped(layer, layer) for layer in to_cluster]
    if isinstance(to_cluster, keras.Model):
        model = copied(to_cluster, "cluster_weights()", around=wrapped)
        layers = [la for la in layers_of(model) if isinstance(la, ClusterWeights)]
        if not layers:
            raise ValueError(
                f"Nothing to cluster: model '{to_cluster.name}' has no layer with a kernel. Let a "
                "layer of your own inherit tfmot.clustering.keras.ClusterableLayer."
            )
        for layer in layers:
            if layer.built:
                layer.form_clusters()  # of the weights that the copy has by now
        return model
    if isinstance(to_cluster, keras.layers.Layer):
        return ClusterWeights(to_cluster, **settings, **kwargs)
    raise ValueError(
        "`to_cluster` must be a layer, a list of layers, or a Sequential or Functional model. "
        f"Received: {to_cluster!r} of type {type(to_cluster).__name__}."
    )


def strip_clustering(model: keras.Model) -> keras.Model:
    """A copy of the model without the wrappers of `cluster_weights`: plain layers, shared values.

    Args:
        model: A model with clustered layers.

    Returns:
        A model of the same layers as before `cluster_weights`, not compiled.

    Raises:
        ValueError: If `model` is no Sequential or Functional model.
    """
    return unwrapped(model, ClusterWeights, "strip_clustering()")


def strip_clustering_cqat(to_strip: keras.Model) -> keras.Model:
    """The model as it is: one that was quantized after `strip_clustering` has no wrappers.

    Args:
        to_strip: A model that `quantize_apply` returned.
    """
    return to_strip


def cluster_scope() -> Any:
    """The scope in which files with clustered layers are loaded. `keras.saving.load_model` finds
    them without it too, once this module is imported."""
    return keras.saving.custom_object_scope({"ClusterWeights": ClusterWeights})


def _has_clusterable(layer: keras.Layer) -> bool:
    if can_be_clustered(layer):
        return True
    check_known(
        layer, "clustered", "tfmot.clustering.keras.ClusterableLayer", "get_clusterable_weights"
    )
    return False
