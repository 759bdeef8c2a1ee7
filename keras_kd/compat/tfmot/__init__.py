"""`tensorflow_model_optimization` 0.8.1 for Keras 3: the same names and signatures.

`from keras_kd.compat import tfmot` takes the place of
`import tensorflow_model_optimization as tfmot`. Models are of Keras 3, on any backend.
"""

from keras_kd.compat.tfmot import clustering as clustering
from keras_kd.compat.tfmot import experimental as experimental
from keras_kd.compat.tfmot import quantization as quantization
from keras_kd.compat.tfmot import sparsity as sparsity

#: The version whose names these are.
__version__ = "0.8.1"
