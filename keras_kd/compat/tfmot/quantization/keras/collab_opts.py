"""Schemes for pruned models, as in `tfmot.quantization.keras.collab_opts`."""

from keras_kd.compat.tfmot._schemes import (
    Default8BitPrunePreserveQuantizeScheme as Default8BitPrunePreserveQuantizeScheme,
)
