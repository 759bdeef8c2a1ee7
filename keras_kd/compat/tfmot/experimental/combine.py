"""Schemes that keep zeros and clusters, as in `tfmot.experimental.combine`."""

from keras_kd.compat.tfmot._clustering import strip_clustering_cqat as strip_clustering_cqat
from keras_kd.compat.tfmot._schemes import (
    Default8BitClusterPreserveQuantizeScheme as Default8BitClusterPreserveQuantizeScheme,
)
from keras_kd.compat.tfmot._schemes import (
    Default8BitPrunePreserveQuantizeScheme as Default8BitPrunePreserveQuantizeScheme,
)
