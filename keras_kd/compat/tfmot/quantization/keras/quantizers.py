"""What a `QuantizeConfig` names, as in `tfmot.quantization.keras.quantizers`."""

from keras_kd.compat.tfmot._absent_names import FixedQuantizer as FixedQuantizer
from keras_kd.compat.tfmot._quantize_configs import AllValuesQuantizer as AllValuesQuantizer
from keras_kd.compat.tfmot._quantize_configs import LastValueQuantizer as LastValueQuantizer
from keras_kd.compat.tfmot._quantize_configs import MovingAverageQuantizer as MovingAverageQuantizer
from keras_kd.compat.tfmot._quantize_configs import Quantizer as Quantizer
