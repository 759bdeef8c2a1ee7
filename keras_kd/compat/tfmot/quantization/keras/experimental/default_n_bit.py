"""Other numbers of bits, as in `tfmot.quantization.keras.experimental.default_n_bit`."""

from keras_kd.compat.tfmot._schemes import DefaultNBitQuantizeScheme as DefaultNBitQuantizeScheme
