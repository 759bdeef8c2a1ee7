"""What tfmot has beside, and this package has not."""

from keras_kd.compat.tfmot._absent import absent

_BITS = "keras_kd.compression.quantize_aware(model, bits={...}) takes the bits of each layer."
QuantizeWrapper = absent(
    "QuantizeWrapper",
    "Layers are not wrapped: quantize_model returns keras_kd.compression's GridDense, GridConv2D "
    "and so on, and FakeQuant between them.",
)
QuantizeWrapperV2 = absent(
    "QuantizeWrapperV2",
    "Layers are not wrapped: quantize_model returns keras_kd.compression's GridDense, GridConv2D "
    "and so on, and FakeQuant between them.",
)
QuantizeLayoutTransform = absent("QuantizeLayoutTransform", _BITS)
QuantizeRegistry = absent("QuantizeRegistry", _BITS)
FixedQuantizer = absent(
    "FixedQuantizer", "A fixed range is keras_kd.compression.FakeQuant(fixed=(low, high))."
)
fix_input_output_range = absent(
    "fix_input_output_range",
    "Ranges follow the data; a softmax, sigmoid or tanh has the range that LiteRT gives it. A fixed "
    "one is keras_kd.compression.FakeQuant(fixed=(low, high)) in a model of your own.",
)
remove_input_range = absent(
    "remove_input_range",
    "keras_kd.compression.plain(model) is the model without any ranges.",
)
ClusteringAlgorithm = absent(
    "ClusteringAlgorithm",
    "k-means is keras_kd.compression.assign_clusters, and share_values what follows each step.",
)
ClusteringSummaries = absent(
    "ClusteringSummaries",
    "keras.callbacks.TensorBoard(log_dir, histogram_freq=1) shows the weights' few values.",
)
