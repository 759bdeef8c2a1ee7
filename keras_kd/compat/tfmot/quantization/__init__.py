"""Quantization-aware training, as in `tfmot.quantization`."""

from keras_kd.compat.tfmot.quantization import keras as keras
