"""Pruning, as in `tfmot.sparsity`."""

from keras_kd.compat.tfmot.sparsity import keras as keras
