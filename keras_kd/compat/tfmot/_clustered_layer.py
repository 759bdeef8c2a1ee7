"""The layer whose weights share a few values while its model is trained."""

import enum
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd import compression
from keras_kd._core.keras_private import input_shape_argument, layers_of
from keras_kd._core.kernels import kernel_names, kernels_in
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd.compat.tfmot._pruned_layer import check_one_input

L = keras.layers
_OTHERS = ((L.Embedding, "embeddings"),)


class CentroidInitialization(str, enum.Enum):
    """The first centroids of `cluster_weights`."""

    LINEAR = "CentroidInitialization.LINEAR"
    RANDOM = "CentroidInitialization.RANDOM"
    DENSITY_BASED = "CentroidInitialization.DENSITY_BASED"
    KMEANS_PLUS_PLUS = "CentroidInitialization.KMEANS_PLUS_PLUS"


STARTS = {
    CentroidInitialization.LINEAR: compression.linear_centroids,
    CentroidInitialization.RANDOM: compression.random_centroids,
    CentroidInitialization.DENSITY_BASED: compression.density_centroids,
    CentroidInitialization.KMEANS_PLUS_PLUS: compression.distant_centroids,
}


class ClusterableLayer:
    """What a layer class of your own inherits to say which of its weights may be clustered."""

    def get_clusterable_weights(self) -> list[tuple[str, keras.Variable]]:
        """Pairs of a name and a weight to cluster."""
        raise NotImplementedError(
            f"{type(self).__name__} must define get_clusterable_weights(), the list of pairs of a "
            "name and a weight to cluster."
        )


def can_be_clustered(layer: keras.Layer) -> bool:
    """Whether the layer, or one inside it, has weights to cluster, built or not."""
    return any(
        hasattr(one, "get_clusterable_weights")  # as tfmot has it: any class with it
        or isinstance(one, (L.Embedding, L.DepthwiseConv2D))
        or kernel_names(one)
        for one in layers_of(layer)
    )


def clusterable(layer: keras.Layer) -> list[keras.Variable]:
    """The weights to cluster in a built layer and in the layers inside it."""
    found: dict[int, keras.Variable] = {}
    for one in layers_of(layer):
        if hasattr(one, "get_clusterable_weights"):
            kernels = [weight for _, weight in one.get_clusterable_weights()]
        elif isinstance(one, L.Embedding):
            kernels = [one.embeddings]
        elif isinstance(one, L.DepthwiseConv2D):
            kernels = [one.kernel]
        else:
            kernels = kernels_in(one)
        found.update({id(kernel): kernel for kernel in kernels})
    return list(found.values())


class Shared(keras.constraints.Constraint):
    """Has the optimizer's every step end with the members of each cluster alike."""

    def __init__(self, members: np.ndarray):
        self.members = members

    def __call__(self, w: Any) -> Any:
        return compression.share_values(w, self.members)


@serializable
class ClusterWeights(keras.layers.Wrapper):
    """A layer whose weights share a few values, which are trained.

    What `cluster_weights` makes of a layer. It computes what the layer computes. A constraint on
    each clustered weight has the members of a cluster take their mean after every step.

    Args:
        layer: The layer to cluster.
        number_of_clusters: As in `cluster_weights`.
        cluster_centroids_init: As in `cluster_weights`.
        preserve_sparsity: As in `cluster_weights`.
        cluster_per_channel: As in `cluster_weights`.
        **kwargs: As in `keras.layers.Layer`.
    """

    def __init__(
        self,
        layer: keras.Layer,
        number_of_clusters: int,
        cluster_centroids_init: Any = CentroidInitialization.KMEANS_PLUS_PLUS,
        preserve_sparsity: bool = False,
        cluster_per_channel: bool = False,
        **kwargs: Any,
    ):
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(f"`layer` must be a keras.layers.Layer. Received: {layer!r}.")
        check_one_input(layer, "cluster_weights()", "keras_kd.compression.Clustering(16)")
        self.number_of_clusters = count(number_of_clusters, "number_of_clusters", least=2)
        self.cluster_centroids_init = CentroidInitialization(cluster_centroids_init)
        shape = input_shape_argument(layer)
        if shape is not None:
            kwargs.setdefault("input_shape", shape)
        kwargs["name"] = f"cluster_{layer.name}"
        super().__init__(layer, **kwargs)
        self.preserve_sparsity = bool(preserve_sparsity)
        self.cluster_per_channel = bool(cluster_per_channel) and isinstance(layer, L.Conv2D)
        self.supports_masking = True

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        self.cluster_of = [
            self.add_weight(
                name=f"cluster_of_{i}", shape=weight.shape, dtype="int32", trainable=False,
                initializer="zeros",
            )
            for i, weight in enumerate(clusterable(self.layer))
        ]  # fmt: skip
        self.form_clusters()

    def form_clusters(self) -> None:
        """Puts the weights, as they are now, into clusters, each with one value."""
        members = [
            compression.assign_clusters(
                ops.convert_to_numpy(weight), self.number_of_clusters,
                start=STARTS[self.cluster_centroids_init], keep_zeros=self.preserve_sparsity,
                per_channel=self.cluster_per_channel,
            )
            for weight in clusterable(self.layer)
        ]  # fmt: skip
        self._use(members)
        for weight in clusterable(self.layer):
            weight.assign(weight.constraint(weight))

    def _use(self, members: list[np.ndarray]) -> None:
        for weight, variable, cluster in zip(
            clusterable(self.layer), self.cluster_of, members, strict=True
        ):
            variable.assign(cluster)
            weight.constraint = Shared(np.asarray(cluster))

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)
        self._use([ops.convert_to_numpy(variable) for variable in self.cluster_of])

    def call(self, inputs: Any, **kwargs: Any) -> Any:
        return self.layer(inputs, **kwargs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        own = {
            "number_of_clusters": self.number_of_clusters,
            "cluster_centroids_init": self.cluster_centroids_init.value,
            "preserve_sparsity": self.preserve_sparsity,
            "cluster_per_channel": self.cluster_per_channel,
        }
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        layer = keras.saving.deserialize_keras_object(config["layer"], custom_objects)
        return cls(**{**config, "layer": layer})
