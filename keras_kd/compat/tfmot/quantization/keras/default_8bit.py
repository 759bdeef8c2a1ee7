"""The scheme by default, as in `tfmot.quantization.keras.default_8bit`."""

from keras_kd.compat.tfmot._schemes import Default8BitQuantizeScheme as Default8BitQuantizeScheme
