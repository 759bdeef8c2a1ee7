"""Other numbers of bits, as in `tfmot.quantization.keras.experimental`."""

from keras_kd.compat.tfmot.quantization.keras.experimental import default_n_bit as default_n_bit
