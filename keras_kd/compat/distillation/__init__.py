"""`keras.distillation` with its own names and signatures, computing what its pages say.

`from keras_kd.compat.distillation import Distiller, LogitsDistillation, FeatureDistillation` takes
the place of `from keras.distillation import ...`; on a Keras without that module too.
"""

from keras_kd.compat.distillation._distiller import Distiller as Distiller
from keras_kd.compat.distillation._losses import DistillationLoss as DistillationLoss
from keras_kd.compat.distillation._losses import FeatureDistillation as FeatureDistillation
from keras_kd.compat.distillation._losses import LogitsDistillation as LogitsDistillation
