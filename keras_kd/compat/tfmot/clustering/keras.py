"""Clustering, as in `tfmot.clustering.keras`."""

from keras_kd.compat.tfmot._absent_names import ClusteringAlgorithm as ClusteringAlgorithm
from keras_kd.compat.tfmot._absent_names import ClusteringSummaries as ClusteringSummaries
from keras_kd.compat.tfmot._clustered_layer import CentroidInitialization as CentroidInitialization
from keras_kd.compat.tfmot._clustered_layer import ClusterableLayer as ClusterableLayer
from keras_kd.compat.tfmot._clustered_layer import ClusterWeights as ClusterWeights
from keras_kd.compat.tfmot._clustering import cluster_scope as cluster_scope
from keras_kd.compat.tfmot._clustering import cluster_weights as cluster_weights
from keras_kd.compat.tfmot._clustering import strip_clustering as strip_clustering
