"""Compat: the names and signatures of other libraries, for Keras 3, over this one.

Change one import, and code that was written for them runs here. `keras_kd.compat.tfmot` stands for
`tensorflow_model_optimization`, `keras_kd.compat.distillation` for `keras.distillation`.
"""

from keras_kd.compat import distillation as distillation
from keras_kd.compat import tfmot as tfmot
