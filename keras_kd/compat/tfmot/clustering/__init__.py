"""Clustering, as in `tfmot.clustering`."""

from keras_kd.compat.tfmot.clustering import keras as keras
