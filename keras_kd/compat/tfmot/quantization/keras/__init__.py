"""Quantization-aware training, as in `tfmot.quantization.keras`."""

from keras_kd.compat.tfmot._absent_names import QuantizeLayoutTransform as QuantizeLayoutTransform
from keras_kd.compat.tfmot._absent_names import QuantizeRegistry as QuantizeRegistry
from keras_kd.compat.tfmot._absent_names import QuantizeWrapper as QuantizeWrapper
from keras_kd.compat.tfmot._absent_names import QuantizeWrapperV2 as QuantizeWrapperV2
from keras_kd.compat.tfmot._absent_names import fix_input_output_range as fix_input_output_range
from keras_kd.compat.tfmot._absent_names import remove_input_range as remove_input_range
from keras_kd.compat.tfmot._quantization import quantize_annotate_layer as quantize_annotate_layer
from keras_kd.compat.tfmot._quantization import quantize_annotate_model as quantize_annotate_model
from keras_kd.compat.tfmot._quantization import quantize_apply as quantize_apply
from keras_kd.compat.tfmot._quantization import quantize_model as quantize_model
from keras_kd.compat.tfmot._quantization import quantize_scope as quantize_scope
from keras_kd.compat.tfmot._quantize_configs import QuantizeConfig as QuantizeConfig
from keras_kd.compat.tfmot._schemes import QuantizeScheme as QuantizeScheme
from keras_kd.compat.tfmot.quantization.keras import collab_opts as collab_opts
from keras_kd.compat.tfmot.quantization.keras import default_8bit as default_8bit
from keras_kd.compat.tfmot.quantization.keras import experimental as experimental
from keras_kd.compat.tfmot.quantization.keras import quantizers as quantizers
