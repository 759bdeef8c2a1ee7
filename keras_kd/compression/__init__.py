"""Compression: students that are smaller still.

Fewer bits (`quantize_aware`), fewer weights (`Pruning`), fewer channels and layers (`shrink`). Each
gives a student that the `Distiller` trains like any other.
"""

from keras_kd.compression._fake_quantization import FakeQuant as FakeQuant
from keras_kd.compression._fake_quantization import GridConv1D as GridConv1D
from keras_kd.compression._fake_quantization import GridConv2D as GridConv2D
from keras_kd.compression._fake_quantization import GridDense as GridDense
from keras_kd.compression._fake_quantization import GridDepthwiseConv2D as GridDepthwiseConv2D
from keras_kd.compression._patterns import Magnitude as Magnitude
from keras_kd.compression._patterns import NOfM as NOfM
from keras_kd.compression._patterns import mask as mask
from keras_kd.compression._pruning import Pruning as Pruning
from keras_kd.compression._pruning import compressed_bytes as compressed_bytes
from keras_kd.compression._pruning import sparsity as sparsity
from keras_kd.compression._quantize import plain as plain
from keras_kd.compression._quantize import quantize_aware as quantize_aware
from keras_kd.compression._shrink import shrink as shrink
